"""Completion, in bash itself and as a function."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from docstore.cli.completion import complete
from tests.cli.fake_store import FakeStore, serving
from tests.stores import prepare, run


@pytest.fixture(autouse=True)
def long_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not time out on a busy machine."""
    monkeypatch.setenv("DOCSTORE_COMPLETION_S", "60")


@pytest.fixture
def bash(url: str, tmp_path: Path) -> Iterator[pexpect.spawn]:
    """A bash at a terminal that has loaded the completion script."""
    command = tmp_path / "docstore"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m docstore "$@"\n')
    command.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "TERM": "dumb", "PS1": "$ "}
    shell = pexpect.spawn(
        "bash", ["--norc", "--noprofile", "-i"], env=environment, timeout=60, encoding="utf-8", dimensions=(40, 300)
    )
    shell.sendline("bind 'set bell-style none'; bind 'set enable-bracketed-paste off'; PS1='> '")
    shell.sendline('eval "$(docstore completion bash)"; echo lear""ned')
    shell.expect("learned")
    yield shell
    shell.close(force=True)


def test_bash_completes_keys_and_options_at_a_terminal(url: str, bash: pexpect.spawn) -> None:
    for key in ("me", "you/too", "\u00e9"):
        assert run("put", f"file/complete/{key}", data=b"x").status == 0
    for typed, completed in (
        ("get file/complete/m", "get file/complete/me "),
        ("get file/complete/y", "get file/complete/you/"),
        (f"get {url}/file/complete/m", f"get {url}/file/complete/me "),
        ("get --ra", "get --range "),
    ):
        bash.send(f"docstore {typed}\t")
        bash.expect_exact(f"docstore {completed}")
        bash.send("\x15\r")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_printed_for_each_shell(shell: str) -> None:
    result = run("completion", shell)
    assert (result.status, result.err) == (0, "")
    assert "_DOCSTORE_COMPLETE" in result.out
    assert f"{shell}_complete" in result.out


def test_mounts_folders_and_keys_are_completed(url: str, tmp_path: Path) -> None:
    prepare("put", f"sqlite:{tmp_path}/c.db#some/key", data=b"x")
    prepare("put", f"sqlite:{tmp_path}/c.db#some-thing", data=b"x")
    assert complete("f", url) == ["file:", "file/"]
    assert complete("cac", url) == ["cache/ac/"]
    engines = ["az:", "file:", "gs:", "postgresql:", "s3:", "shelve:", "sqlite:"]
    shown = [name for name in complete("", url) if name in engines or name.endswith("/")]  # other tests add engines
    assert shown == [*engines, "docs/", "file/", "cache/ac/", "tiny/"]
    start = f"sqlite:{tmp_path}/c.db#so"
    assert complete(start, url) == [f"{start}me-thing", f"{start}me/"]


def test_engines_their_files_and_servers_are_completed(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    prepare("put", "sqlite:notes.db#key", data=b"x")
    (tmp_path / "new").mkdir()
    (tmp_path / "docstore").mkdir()
    (tmp_path / "docstore" / "config.toml").write_text(f'[servers.square]\nurl = "{url}"\n')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert complete("sq", "http://127.0.0.1:1/") == ["sqlite:", "square:"]
    assert [
        name for name in complete("sqlite:n", url) if not name.endswith(("-wal", "-shm", "-reserve", ".sealed/"))
    ] == [
        "sqlite:new/",
        "sqlite:notes.db",
    ]
    assert complete("sqlite:notes.db", url)[-1] == "sqlite:notes.db#"
    assert complete("sqlite:notes.db#k", url) == ["sqlite:notes.db#key"]
    assert complete("square:do", "http://127.0.0.1:1/") == ["square:docs/"]


@pytest.mark.parametrize(
    "begun", ["nowhere/k", "100%", "sqlite:/no/such.db#k", "memory:#k", "nosuch:x#k", "docs//x", "://"]
)
def test_an_invalid_address_has_no_completions(url: str, begun: str) -> None:
    assert complete(begun, url) == []


def test_a_server_that_is_down_or_hangs_completes_nothing_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert complete("docs/k", "http://127.0.0.1:1/") == []
    with serving(FakeStore({"key": b""})) as store:
        assert complete("docs/k", store.url) == ["docs/key"]
        monkeypatch.setenv("DOCSTORE_COMPLETION_S", "0.1")
        monkeypatch.setattr(store, "listing", lambda query: time.sleep(2) or {})
        assert complete("docs/k", store.url) == []
