"""`docstore edit`: no change of another user is overwritten, and no edit is lost."""

import json
import os
import shlex
import stat
import sys
from pathlib import Path

import pexpect
import pytest

from tests.stores import CommandResult, run

TIMEOUT_S = 60


class Editor:
    """A shell script as the editor; `$1` is the file."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._script = folder / "editor"
        self.files = folder / "files"
        self.files.mkdir()
        patch.delenv("VISUAL", raising=False)
        patch.setenv("EDITOR", f"sh '{self._script}'")
        patch.setenv("TMPDIR", str(self.files))
        patch.setattr("tempfile.tempdir", str(self.files))

    def does(self, script: str) -> None:
        self._script.write_text(script)

    def left(self) -> list[Path]:
        return list(self.files.iterdir())


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Editor:
    return Editor(tmp_path, monkeypatch)


def put(address: str, content: bytes, *options: object) -> None:
    assert run("put", address, *options, data=content).status == 0


def edit(address: str, *options: str) -> CommandResult:
    return run("edit", address, *options)


@pytest.mark.parametrize("where", ["docs/edited", "sqlite"])
def test_a_change_is_written_back_with_all_metadata(url: str, editor: Editor, where: str, tmp_path: Path) -> None:
    address = where if "/" in where else f"sqlite:{tmp_path}/docs.db#edited"
    put(address, b"one\n", "--type", "application/json", "--meta", "a=b", "--ttl", "1h", "--language", "de")
    before = run("info", address).out
    editor.does(
        f'cp "$1" {tmp_path}/seen; stat -c %a "$1" > {tmp_path}/mode; echo "$1" > {tmp_path}/name; echo two >> "$1"'
    )
    assert edit(address).status == 0
    assert run("get", address).data == b"one\ntwo\n"
    assert (tmp_path / "seen").read_bytes() == b"one\n"
    assert (tmp_path / "mode").read_text() == "600\n"
    assert (tmp_path / "name").read_text().endswith(".json\n")
    after = run("info", address).out
    for line in ("media_type: ", "meta-a: ", "content-language: "):
        assert [found for found in before.splitlines() if found.startswith(line)] == [
            found for found in after.splitlines() if found.startswith(line)
        ]
    assert "expires: " in after
    assert editor.left() == []


@pytest.mark.parametrize("cached", ["max-age=86400", "no-cache"])
def test_an_edit_keeps_a_cache_control_that_responses_change(url: str, editor: Editor, cached: str) -> None:
    put("docs/cached", b"one\n", "--ttl", "1h", "--cache-control", cached)
    editor.does('echo two >> "$1"')
    assert edit("docs/cached").status == 0
    assert json.loads(run("ls", "--json", "docs/cached").out)["fields"] == {"cache-control": cached}


def test_without_a_change_nothing_is_written(url: str, editor: Editor) -> None:
    put("docs/untouched", b"same")
    before = run("info", "docs/untouched").out
    editor.does('cat "$1" > "$1.new"; mv "$1.new" "$1"')
    assert edit("docs/untouched").status == 0
    assert run("info", "docs/untouched").out == before
    editor.does("true")
    assert edit("docs/never-there").status == 0
    assert run("get", "docs/never-there").status == 1
    assert editor.left() == []


@pytest.mark.parametrize(
    ("key", "kind"), [("new.md", "text/markdown; charset=utf-8"), ("new", "text/plain; charset=utf-8")]
)
def test_a_document_that_does_not_exist_is_created(url: str, editor: Editor, key: str, kind: str) -> None:
    editor.does('printf typed > "$1"')
    assert edit(f"file/edit/{key}").status == 0
    assert run("get", f"file/edit/{key}").data == b"typed"
    assert f'"media_type":"{kind}"' in run("info", "--json", f"file/edit/{key}").out


@pytest.mark.parametrize("theirs", ["another change", "removed", "made"])
def test_a_change_made_meanwhile_is_shown_and_not_overwritten(url: str, editor: Editor, theirs: str) -> None:
    address = f"docs/both-{theirs.split(' ')[0]}"
    if theirs != "made":
        put(address, b"base\nkept\n")
    how = "-X DELETE" if theirs == "removed" else "-d 'theirs\nkept\n'"
    editor.does(f"curl -s {how} {url}/{address}; printf 'mine\\nkept\\n' > \"$1\"")
    result = edit(address)
    assert result.status == 1
    assert "+mine" in result.out
    assert ("theirs: the document was removed" if theirs == "removed" else "+theirs") in result.out
    assert ("-base" in result.out) is (theirs != "made")
    [mine] = editor.left()
    assert mine.read_bytes() == b"mine\nkept\n"
    assert stat.S_IMODE(mine.stat().st_mode) == 0o600
    assert str(mine) in result.err
    assert run("get", address).data == (b"" if theirs == "removed" else b"theirs\nkept\n")
    advised = result.err.partition("or overwrite it: ")[2].strip()
    assert run(*shlex.split(advised)[1:]).status == 0
    assert run("get", address).data == b"mine\nkept\n"


def test_the_same_change_by_two_users_is_not_a_conflict(url: str, editor: Editor) -> None:
    put("docs/alike", b"base")
    editor.does(f'curl -s -d both {url}/docs/alike; printf both > "$1"')
    assert edit("docs/alike").status == 0
    assert editor.left() == []


@pytest.mark.parametrize(("script", "status"), [("exit 1", 3), ("kill -INT $$", 130)], ids=["fails", "is interrupted"])
def test_an_editor_that_fails_writes_nothing(url: str, editor: Editor, script: str, status: int) -> None:
    put("docs/careful", b"base")
    editor.does(script)
    assert edit("docs/careful").status == status
    assert run("get", "docs/careful").data == b"base"
    assert editor.left() == []


@pytest.mark.parametrize("end", ["exit 1", "kill -9 $$", "kill -INT $$"])
def test_the_text_is_kept_when_the_editor_fails(url: str, editor: Editor, end: str) -> None:
    put("docs/careful", b"base")
    editor.does(f'echo "an hour of typing" > "$1"; {end}')
    result = edit("docs/careful")
    assert result.status in (3, 130)
    [mine] = editor.left()
    assert mine.read_text() == "an hour of typing\n"
    assert str(mine) in result.err
    assert run("get", "docs/careful").data == b"base"


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_a_blank_editor_is_no_editor(blank: str, url: str, monkeypatch: pytest.MonkeyPatch, editor: Editor) -> None:
    put("docs/script", b"#!/bin/sh\ntouch executed\n")
    editor.does('echo edited > "$1"')
    monkeypatch.setenv("VISUAL", blank)
    assert edit("docs/script").status == 0
    assert run("get", "docs/script").data == b"edited\n"


def test_a_missing_editor_is_an_error(url: str, monkeypatch: pytest.MonkeyPatch, editor: Editor) -> None:
    monkeypatch.setenv("VISUAL", "/no/such/editor")
    result = edit("docs/careful")
    assert (result.status, "EDITOR" in result.err, editor.left()) == (3, True, [])


def test_the_text_is_kept_when_the_server_rejects_it(url: str, editor: Editor) -> None:
    editor.does('echo "more than ten bytes" > "$1"')
    result = edit("tiny/full")
    assert result.status == 3
    [mine] = editor.left()
    assert mine.read_text() == "more than ten bytes\n"
    assert str(mine) in result.err


def test_binary_content_is_compared_by_its_size(url: str, editor: Editor) -> None:
    put("docs/bytes", b"\xff\x00")
    editor.does(f"curl -s -d 123 {url}/docs/bytes; printf '\\377' > \"$1\"")
    result = edit("docs/bytes", "--yes")
    assert (result.status, "1 byte, not text" in result.out) == (1, True)


def test_binary_content_is_edited_only_by_those_who_want_it(url: str, editor: Editor) -> None:
    put("docs/picture", b"\x89PNG\r\n\x1a\n")
    editor.does('printf x > "$1"')
    result = edit("docs/picture")
    assert (result.status, editor.left()) == (2, [])
    assert "docs/picture is binary, not text; add --yes to edit it" in result.err
    for answer, status, content in (("n", 1, b"\x89PNG\r\n\x1a\n"), ("y", 0, b"x")):
        terminal = pexpect.spawn(sys.executable, ["-m", "docstore", "edit", "docs/picture"], timeout=TIMEOUT_S)
        terminal.expect(r"is binary, not text; edit it\? \[y/N\]: ")
        terminal.sendline(answer)
        terminal.expect(pexpect.EOF)
        terminal.wait()
        assert terminal.exitstatus == status
        assert run("get", "docs/picture").data == content


def test_of_two_editors_at_two_terminals_the_second_sees_the_conflict(url: str, editor: Editor, tmp_path: Path) -> None:
    put("docs/shared-note", b"base\n")
    editor.does('printf "ready> "; read line; echo "$line" >> "$1"')
    command = [sys.executable, ["-m", "docstore", "edit", "docs/shared-note"]]
    environment = {**os.environ, "TERM": "xterm"}
    first, second = (pexpect.spawn(*command, env=environment, timeout=TIMEOUT_S) for _ in range(2))
    for terminal in (first, second):
        terminal.expect("ready> ")
    for terminal, line, status in ((first, "of the first", 0), (second, "of the second", 1)):
        terminal.sendline(line)
        terminal.expect(pexpect.EOF)
        terminal.wait()
        assert terminal.exitstatus == status
    assert b"+of the second" in second.before
    assert b"+of the first" in second.before
    assert b"docstore edit " in second.before
    assert run("get", "docs/shared-note").data == b"base\nof the first\n"
    assert [path.read_text() for path in editor.left()] == ["base\nof the second\n"]
