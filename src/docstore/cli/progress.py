"""How far a long piece of work has come: a bar with rate and time left, for a person who waits.

    with progress("export", total_bytes=meta.size) as bar:
        bar.advance(len(chunk))
        bar.advance(documents=1)

It is drawn on standard error, only when that is a terminal, and only once the work has taken over a second; who pipes
or scripts sees nothing. Without `total_bytes` it tells what has come so far and how fast. It knows no store.

The bar is drawn by the calls of `advance` and by no thread: work that stands still shows a bar that stands still. The
library that draws it is loaded when there is something to draw, which most commands never have.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SILENT_S: Final = 1.0
"""How long the work may take before it is drawn."""

REDRAWN_S: Final = 0.1


class Bar(Protocol):
    """What who works tells of it."""

    def advance(self, n_bytes: int = 0, documents: int = 0) -> None:
        """So much more is done."""

    def expect(self, total_bytes: int) -> None:
        """Now it is known how much there is to do."""

    def say(self, write: Callable[[], None]) -> None:
        """Calls `write`, which writes lines to the terminal, with the bar out of its way."""


@contextmanager
def progress(
    doing: str, *, total_bytes: int | None = None, now_s: Callable[[], float] = time.monotonic
) -> Iterator[Bar]:
    """A bar for `doing`, gone from the terminal at the end; `total_bytes` is None when nobody knows it."""
    if not sys.stderr.isatty():
        yield Silent()
        return
    bar = _Drawn(doing, total_bytes, now_s)
    try:
        yield bar
    finally:
        bar.clear()


def size_text(size: float) -> str:
    """`size` bytes for a person: 999 B, 1.5 MiB."""
    units = iter(("B", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while size >= 1024 and unit != "TiB":
        size, unit = size / 1024, next(units)
    return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"


def number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


class Silent:
    """A bar that nobody sees."""

    def advance(self, n_bytes: int = 0, documents: int = 0) -> None:
        pass

    def expect(self, total_bytes: int) -> None:
        pass

    def say(self, write: Callable[[], None]) -> None:
        write()


class _Drawn:
    def __init__(self, doing: str, total: int | None, now_s: Callable[[], float]) -> None:
        self._doing = doing
        self._total = total
        self._now_s = now_s
        self._size = self._documents = 0
        self._began_s = now_s()
        self._next_s = self._began_s + SILENT_S
        self._drawing: tuple[Progress, TaskID] | None = None

    def advance(self, n_bytes: int = 0, documents: int = 0) -> None:
        self._size += n_bytes
        self._documents += documents
        if self._now_s() >= self._next_s:
            self._draw()
            self._next_s = self._now_s() + REDRAWN_S

    def expect(self, total_bytes: int) -> None:
        self._total = total_bytes

    def say(self, write: Callable[[], None]) -> None:
        self.clear()
        write()

    def clear(self) -> None:
        """Takes the bar away; the next `advance` draws it again."""
        if self._drawing is not None:
            self._drawing[0].stop()
            self._drawing = None

    def _draw(self) -> None:
        # More than the total: the work has grown since it was counted.
        total = None if self._total is None else max(self._total, self._size)
        if self._drawing is None:
            drawn = _bar(self._doing, self._now_s)
            self._drawing = drawn, drawn.add_task(self._doing, total=total, told="", left="")
            drawn.start()
        drawn, task = self._drawing
        drawn.update(task, completed=self._size, total=total, told=self._told(), left=self._left())
        drawn.refresh()

    def _told(self) -> str:
        told = [number(self._documents, "document")] if self._documents else []
        told.append(size_text(self._size) + (f" of {size_text(self._total)}" if self._total is not None else ""))
        told.append(f"{size_text(self._size / (self._now_s() - self._began_s))}/s")
        return ", ".join(told)

    def _left(self) -> str:
        """The time left, by the rate of the whole: 5 s, 12:34, 1:02:03."""
        if self._total is None or self._size == 0:
            return ""
        left_s = round((self._now_s() - self._began_s) / self._size * max(0, self._total - self._size))
        minutes, seconds = divmod(left_s, 60)
        if minutes == 0:
            return f"{seconds} s left"
        hours, minutes = divmod(minutes, 60)
        return (f"{hours}:{minutes:02}" if hours else f"{minutes}") + f":{seconds:02} left"


def _bar(doing: str, now_s: Callable[[], float]) -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[told]}", markup=False),
        TextColumn("{task.fields[left]}", markup=False),
        console=Console(stderr=True),
        get_time=now_s,
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
