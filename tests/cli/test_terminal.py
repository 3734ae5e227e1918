"""Tables, bars and questions at a real terminal."""

import io
import os
import re
import sys
from pathlib import Path

import pexpect
import pytest

from docstore.cli import progress
from docstore.cli.download import PARTS
from docstore.cli.options import Access
from tests.cli.fake_store import FakeStore, serving
from tests.stores import prepare, run

TIMEOUT_S = 60


def at_terminal(*arguments: object) -> pexpect.spawn:
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "160"}
    words = ["-m", "docstore", *map(str, arguments)]
    return pexpect.spawn(
        sys.executable,
        words,
        env=environment,
        timeout=TIMEOUT_S,
        encoding="utf-8",
        codec_errors="replace",
        dimensions=(40, 160),
    )


def wait_for_end(terminal: pexpect.spawn) -> tuple[int, str]:
    terminal.expect(pexpect.EOF)
    terminal.wait()
    return terminal.exitstatus, terminal.before


def test_a_listing_at_a_terminal_is_a_table(url: str) -> None:
    prepare("put", "docs/table", "--type", "text/plain", "--ttl", "3h", data=b"x" * 2048)
    status, shown = wait_for_end(at_terminal("ls", "docs/table"))
    head, row = shown.splitlines()
    assert (status, head.split()) == (0, ["SIZE", "TYPE", "AGE", "EXPIRES", "KEY"])
    assert re.fullmatch(r" +2\.0 KiB  text/plain +\d+ s +2 h  table", row)


def test_rm_of_several_documents_asks(url: str) -> None:
    for key in ("asked-1", "asked-2"):
        prepare("put", f"docs/{key}", data=b"x")
    for answer, status, left in (("n", 1, "asked-1\nasked-2\n"), ("y", 0, "")):
        terminal = at_terminal("rm", "-r", "docs/asked-")
        terminal.expect(r"remove 2 documents of .*/docs/asked- whose keys begin with 'asked-'\? \[y/N\]: ")
        terminal.sendline(answer)
        assert wait_for_end(terminal)[0] == status
        assert run("ls", "docs/asked-").out == left


def test_a_long_download_draws_a_bar_with_rate_and_time_left(tmp_path: Path) -> None:
    content = os.urandom(1_000_000)
    with serving(FakeStore({"big": content}, pause_s=0.025)) as store:
        status, shown = wait_for_end(at_terminal("get", f"{store.url}/docs/big", "-o", tmp_path))
        assert (status, (tmp_path / "big").read_bytes()) == (0, content)
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
        assert re.search(r"get .*KiB of 976 KiB, .*KiB/s .*\d+ s left", plain)


def test_quiet_draws_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setattr(progress, "SILENT_S", 0.0)
    for quiet in (True, False):
        assert shown.getvalue() == ""
        with Access({}, 1, quiet=quiet).progress("get") as bar:
            bar.advance(1)
    assert shown.getvalue() != ""


@pytest.mark.parametrize("many", [False, True])
def test_ctrl_c_ends_with_130_and_leaves_nothing(tmp_path: Path, many: bool) -> None:
    with serving(FakeStore({f"k{number}": b"x" * 3_000_000 for number in range(3)}, pause_s=0.05)) as store:
        arguments = ["-r", f"{store.url}/docs/"] if many else [f"{store.url}/docs/k1"]
        terminal = at_terminal("get", *arguments, "-o", f"{tmp_path}/to/" if many else tmp_path)
        terminal.expect("KiB/s|MiB/s")
        terminal.sendintr()
        status, shown = wait_for_end(terminal)
    assert status == 130
    assert "Traceback" not in shown
    assert [path.name for path in tmp_path.rglob("*") if path.name not in ("to", PARTS)] == []
    assert not (tmp_path / "to" / PARTS).exists()


def test_ctrl_c_ends_a_copy_with_130_and_stores_no_part_of_a_document(tmp_path: Path) -> None:
    with serving(FakeStore({f"k{number}": b"x" * 3_000_000 for number in range(3)}, pause_s=0.05)) as store:
        terminal = at_terminal("cp", "-r", f"{store.url}/docs/", f"file:{tmp_path}/to")
        terminal.expect("KiB/s|MiB/s")
        terminal.sendintr()
        status, shown = wait_for_end(terminal)
    assert status == 130
    assert "Traceback" not in shown
    assert not list((tmp_path / "to").glob("k*"))


def test_binary_content_is_not_written_to_a_terminal(url: str) -> None:
    prepare("put", "docs/binary", data=b"\x00\xff")
    prepare("put", "docs/text", data="é\x1b[1m\t\n".encode())
    status, shown = wait_for_end(at_terminal("get", "docs/binary"))
    assert (status, "binary" in shown, "-o -" in shown) == (2, True, True)
    assert wait_for_end(at_terminal("get", "docs/binary", "-o", "-"))[0] == 0
    status, shown = wait_for_end(at_terminal("get", "docs/text"))
    assert (status, "é" in shown) == (0, True)
    assert run("get", "docs/binary").data == b"\x00\xff", "a pipe gets everything"
