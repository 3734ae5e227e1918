"""The progress bar: drawn at a terminal for long work, and not otherwise."""

import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from docstore.cli.progress import progress

MIB = 1024 * 1024


class Terminal:
    """A standard error that is a terminal, and the text drawn on it."""

    def __init__(self) -> None:
        self._here, there = pty.openpty()
        self.file = os.fdopen(there, "w")
        os.set_blocking(self._here, False)

    def drawn(self) -> str:
        """The text drawn since the last call, without control sequences."""
        self.file.flush()
        drawn = b""
        try:
            while some := os.read(self._here, 65536):
                drawn += some
        except BlockingIOError:
            pass
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn.decode())

    def close(self) -> None:
        self.file.close()
        os.close(self._here)


class FakeClock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@contextmanager
def at_terminal() -> Iterator[Terminal]:
    """Not a fixture: pytest replaces the standard error between a fixture and its test."""
    terminal = Terminal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", terminal.file)
        for name, value in {"COLUMNS": "120", "TERM": "xterm", "NO_COLOR": "1"}.items():
            patch.setenv(name, value)
        try:
            yield terminal
        finally:
            terminal.close()


def test_short_work_draws_nothing() -> None:
    watch = FakeClock()
    with at_terminal() as terminal, progress("export", total_bytes=4 * MIB, now_s=watch) as bar:
        watch.now_s += 0.9
        bar.advance(4 * MIB, documents=1)
        assert terminal.drawn() == ""


def test_long_work_shows_size_rate_and_time_left() -> None:
    watch = FakeClock()
    with at_terminal() as terminal, progress("export", total_bytes=400 * MIB, now_s=watch) as bar:
        watch.now_s += 2
        bar.advance(4 * MIB, documents=3)
        drawn = terminal.drawn()
        assert "export" in drawn
        for shown in ("3 documents", "4.0 MiB of 400 MiB", "2.0 MiB/s", "3 min left"):
            assert shown in drawn
        bar.advance(4 * MIB, documents=1)
        assert terminal.drawn() == "", "it is not drawn too often"
        watch.now_s += 2
        bar.advance(392 * MIB)
        assert "4 documents, 400 MiB of 400 MiB, 100 MiB/s 0 s left" in terminal.drawn()


def test_work_of_unknown_size_shows_what_is_done() -> None:
    watch = FakeClock()
    with at_terminal() as terminal, progress("import", now_s=watch) as bar:
        watch.now_s += 10
        bar.advance(20 * MIB, documents=1)
        drawn = terminal.drawn()
    assert "1 document, 20 MiB, 2.0 MiB/s" in drawn
    assert "left" not in drawn


def test_a_comparison_before_the_work_is_counted() -> None:
    watch = FakeClock()
    with at_terminal() as terminal, progress("cp", now_s=watch) as bar:
        watch.now_s += 10
        bar.advance_comparison()
        watch.now_s += 10
        bar.advance_comparison()
        assert "2 documents compared" in terminal.drawn()
        bar.set_total(20 * MIB)
        watch.now_s += 10
        bar.advance(10 * MIB, documents=1)
        assert "1 document, 10 MiB of 20 MiB" in terminal.drawn()


def test_a_line_printed_meanwhile_is_not_mixed_with_the_bar() -> None:
    watch = FakeClock()
    with at_terminal() as terminal, progress("copy", now_s=watch) as bar:
        watch.now_s += 2
        bar.advance(MIB)
        terminal.drawn()
        bar.print_with(lambda: print("a line", file=sys.stderr))
        assert terminal.drawn().splitlines()[-1] == "a line"
        watch.now_s += 2
        bar.advance(MIB)
        assert "2.0 MiB" in terminal.drawn()


def test_without_a_terminal_nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setenv("FORCE_COLOR", "1")
    watch = FakeClock()
    with progress("export", now_s=watch) as bar:
        watch.now_s += 10
        bar.advance(MIB, documents=1)
        bar.print_with(lambda: print("a line", file=sys.stderr))
    assert sys.stderr.getvalue() == "a line\n"


def test_the_library_that_draws_is_loaded_only_to_draw() -> None:
    code = (
        "import sys, docstore.cli\nfrom docstore.cli.progress import progress\n"
        "with progress('x') as bar: bar.advance(1)\nassert 'rich' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)
