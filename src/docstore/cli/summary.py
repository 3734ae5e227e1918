"""What becomes of several documents: counts, a line for each that failed, a closing line, and the exit status."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING

from docstore.cli.errors import (
    EXIT_FAILED,
    EXIT_OK,
    EXIT_PARTIAL,
    EXIT_USAGE,
    CommandError,
    error_lines,
    exit_status,
    print_error,
    print_notice,
)
from docstore.cli.output import escape_controls
from docstore.units import format_count, format_size

if TYPE_CHECKING:
    from docstore.cli.progress import Bar
    from docstore.export.copy import Step


class Summary:
    """Counts documents. Threads may share it if they hold a lock. With `verbose` each document is one line."""

    def __init__(self, bar: "Bar", done: str = "", *, verbose: bool = False) -> None:
        self.documents = self.size = self.skipped = self.failed = self.deleted = 0
        self.bar = bar
        self._done = done
        self._verbose = verbose
        self._worst = EXIT_OK

    @property
    def status(self) -> int:
        """The worst exit status of any document, but EXIT_USAGE only if all failed."""
        return EXIT_PARTIAL if self._worst == EXIT_USAGE and self.documents + self.skipped else self._worst

    def count(self, name: str, size: int = 0) -> None:
        self.documents += 1
        self.size += size
        self.bar.advance(documents=1)
        if self._verbose:
            self.bar.print_with(partial(print_notice, f"{self._done} {escape_controls(name)}"))

    def fail(self, name: str, error: Exception) -> None:
        self.failed += 1
        self._worst = max(self._worst, exit_status(error))
        why = error.strerror if isinstance(error, OSError) and error.strerror else error_lines(error)[0]
        self.bar.print_with(partial(print_error, escape_controls(f"{name}: {why}")))

    async def count_steps(self, steps: "AsyncGenerator[Step, None]", root: str = "") -> None:
        """Count what a copy reports; `root` precedes its keys."""
        from docstore.export.copy import StepOutcome  # not loaded for get, put and rm

        async with aclosing(steps):
            async for step in steps:
                if step.outcome in (StepOutcome.REFUSED, StepOutcome.BROKEN):
                    error = CommandError(EXIT_FAILED, step.why) if isinstance(step.why, str) else step.why
                    self.fail(repr(root + step.key), error)
                elif step.outcome is StepOutcome.STORED:
                    self.count(root + step.key, step.size)
                else:
                    self.skipped += 1

    def closing_line(self, subject: str, skipped: str) -> str:
        """Return the line with counts, bytes, time and rate."""
        size, done = self.size, self._done
        text = f"{subject}: {format_count(self.documents, 'document')} {done}"
        text += f", {format_size(size)}" if size or done != "removed" else ""
        text += f"; {self.skipped:,} {skipped}" if self.skipped else ""
        text += f"; {self.deleted:,} deleted" if self.deleted else ""
        text += f"; {self.failed:,} not {done}" if self.failed else ""
        elapsed_s = self.bar.elapsed_s
        return f"{text}; {elapsed_s:.1f} s" + (
            f", {format_size(int(size / elapsed_s))}/s" if size and elapsed_s else ""
        )
