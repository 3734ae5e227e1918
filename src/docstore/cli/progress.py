"""The progress bar of long work: how much is done, how fast, and the time left.

    with progress("export", total_bytes=meta.size) as bar:
        bar.advance(len(chunk))
        bar.advance(documents=1)

The bar is drawn on standard error if that is a terminal, and only after the work has taken more than a second; pipes
and scripts see nothing. `advance` draws it, not a thread, so the bar does not move if the work hangs. The library
that draws is loaded only when a bar is drawn, because most commands draw none.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from docstore.units import format_count, format_duration, format_size

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SILENT_S: Final = 1.0
"""How long the work takes before the bar is drawn."""

_REDRAW_S: Final = 0.1


Advance = Callable[[int], None]
"""Counts bytes that were read or sent."""


class Bar:
    """Counts bytes and documents for several threads, and draws them if `visible`."""

    def __init__(self, title: str, total_bytes: int | None, now_s: Callable[[], float], *, visible: bool) -> None:
        self._title = title
        self._total = total_bytes
        self._total_documents: int | None = None
        self._now_s = now_s
        self._visible = visible
        self._size = self._documents = self._compared = 0
        self._start_s = now_s()
        self._next_draw_s = self._start_s + SILENT_S
        self._drawing: tuple[Progress, TaskID] | None = None
        self._lock = threading.Lock()

    def advance(self, n_bytes: int = 0, documents: int = 0) -> None:
        """Count work that is done."""
        with self._lock:
            self._size += n_bytes
            self._documents += documents
            self._draw_if_due()

    def advance_comparison(self) -> None:
        """Count a document that is compared, before anything is read or sent."""
        with self._lock:
            self._compared += 1
            self._draw_if_due()

    def set_total(self, total_bytes: int, documents: int | None = None) -> None:
        self._total = total_bytes
        self._total_documents = documents

    @property
    def elapsed_s(self) -> float:
        return self._now_s() - self._start_s

    def print_with(self, write: Callable[[], None]) -> None:
        """Call `write`, which prints lines, while the bar is cleared from the terminal."""
        with self._lock:
            self._clear()
            write()

    def close(self) -> None:
        with self._lock:
            self._clear()

    def _clear(self) -> None:
        if self._drawing is not None:
            self._drawing[0].stop()
            self._drawing = None

    def _draw_if_due(self) -> None:
        if self._visible and self._now_s() >= self._next_draw_s:
            self._draw()
            self._next_draw_s = self._now_s() + _REDRAW_S

    def _draw(self) -> None:
        # The work may have grown beyond the total since it was counted.
        total = None if self._total is None else max(self._total, self._size)
        if self._drawing is None:
            display = _rich_progress(self._now_s)
            self._drawing = display, display.add_task(self._title, total=total, done="", left="")
            display.start()
        display, task = self._drawing
        display.update(task, completed=self._size, total=total, done=self._done_text(), left=self._left_text())
        display.refresh()

    def _done_text(self) -> str:
        if self._compared and self._total is None:
            return f"{format_count(self._compared, 'document')} compared"
        parts = [format_count(self._documents, "document")] if self._documents else []
        if self._total_documents is not None:
            parts = [f"{self._documents:,} of {format_count(self._total_documents, 'document')}"]
        parts.append(format_size(self._size) + (f" of {format_size(self._total)}" if self._total is not None else ""))
        parts.append(f"{format_size(self._size / (self._now_s() - self._start_s))}/s")
        return ", ".join(parts)

    def _left_text(self) -> str:
        """Return the time left at the average rate."""
        if self._total is None or self._size == 0:
            return ""
        left_s = (self._now_s() - self._start_s) / self._size * max(0, self._total - self._size)
        return f"{format_duration(left_s)} left"


@contextmanager
def progress(
    title: str,
    total_bytes: int | None = None,
    *,
    quiet: bool = False,
    now_s: Callable[[], float] = time.monotonic,
) -> Iterator[Bar]:
    """Show a bar until the block ends; `total_bytes` is None when it is unknown."""
    bar = Bar(title, total_bytes, now_s, visible=not quiet and sys.stderr.isatty())
    try:
        yield bar
    finally:
        bar.close()


def _rich_progress(now_s: Callable[[], float]) -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[done]}", markup=False),
        TextColumn("{task.fields[left]}", markup=False),
        console=Console(stderr=True),
        get_time=now_s,
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
