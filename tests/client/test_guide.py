"""docs/python.md is tested: its examples run against a real server, and it names everything that is public."""

import doctest
import inspect
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import docstore
from docstore import errors
from docstore.client.options import ClientOptions, PartOptions, PutOptions
from docstore.testing.pytest_plugin import DocstoreServer
from tests.server_process import RunningServer

ROOT = Path(__file__).parent.parent.parent
GUIDE = (ROOT / "docs" / "python.md").read_text()
README = (ROOT / "README.md").read_text()


def blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", [GUIDE, README], ids=["guide", "readme"])
def test_every_example_runs_and_prints_the_output_shown(
    text: str, docs: docstore.Client, server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {"0": b"other", "item": b"other", "zz/other": b"other"}
    for key, content in others.items():
        docs[key] = content
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL)
    shown = [block.replace("localhost:8080", f"localhost:{server.port}") for block in blocks(text)]
    assert shown
    for number, block in enumerate(shown):
        if ">>>" in block:
            test = doctest.DocTestParser().get_doctest(block, names, f"block {number}", None, None)
            runner.run(test, clear_globs=False)
            names = test.globs
        else:
            exec(compile(block, f"block {number}", "exec"), names)
    assert runner.summarize().failed == 0
    assert {key: docs[key] for key in others} == others, "an example removed a document of others"
    for value in names.values():
        if isinstance(value, docstore.Client):
            value.close()
    for name, value in names.items():
        if name.startswith("test_"):
            with RunningServerAsFixture(tmp_path / "fixture") as fixture:
                value(fixture)


class RunningServerAsFixture(DocstoreServer):
    """The fixture `docstore_server`, with a server of this test."""

    def __init__(self, data: Path) -> None:
        super().__init__(RunningServer(data, "--mount", "docs=memory:"))

    def __enter__(self) -> "RunningServerAsFixture":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def public(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


def test_every_public_name_is_in_the_guide() -> None:
    answers = (
        docstore.StoredContent,
        docstore.Info,
        docstore.PutResult,
        docstore.Page,
        docstore.NotModified,
        docstore.Problem,
    )
    named = {*dir(docstore), *public(docstore.Client), *public(docstore.AsyncClient), *public(DocstoreServer)}
    named |= {name for answer in answers for name in public(answer)}
    named |= {*PartOptions.__annotations__, *PutOptions.__annotations__, *ClientOptions.__annotations__}
    named -= {"alive", "clear", "process_id", "content"}
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`[^`]+`|```.*?```", GUIDE, re.DOTALL))))
    assert named - words == set()


def test_every_public_name_has_a_docstring() -> None:
    for name in dir(docstore):
        assert inspect.getdoc(getattr(docstore, name)), name
    for kind in (docstore.Client, docstore.AsyncClient):
        for name in public(kind) - {"items", "values"}:
            assert getattr(kind, name).__doc__, name


def test_every_error_is_public_and_in_the_tree() -> None:
    drawn = re.findall(r"(?:├──|└──) (\w+)", errors.__doc__ or "")
    defined = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert sorted([*drawn, "DocstoreError"]) == sorted(defined)
    assert defined <= set(dir(docstore))


def test_a_server_for_tests_in_another_language_is_ready_after_these_lines(tmp_path: Path) -> None:
    [lines] = re.findall(r"^```sh\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "docstore").write_text(f'#!/bin/sh\nexec {sys.executable} -m docstore "$@"\n')
    (tmp_path / "docstore").chmod(0o755)
    script = f"PATH={tmp_path}:$PATH; trap 'kill $!' EXIT\n{lines}"
    ended = subprocess.run(
        ["bash", "-ec", script.replace("8080", str(port))], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout.count("ready")) == (0, 1), ended
