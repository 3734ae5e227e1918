"""What becomes of several documents: counts, a line for each that failed, and the exit status of the command."""

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
)

if TYPE_CHECKING:
    from docstore.cli.progress import Bar
    from docstore.export.copy import Step


class Summary:
    """Counts documents. Threads may share it if they hold a lock."""

    def __init__(self, bar: "Bar") -> None:
        self.documents = self.size = self.skipped = self.failed = 0
        self.bar = bar
        self._worst = EXIT_OK

    @property
    def status(self) -> int:
        """The worst exit status of any document, but EXIT_USAGE only if all failed."""
        return EXIT_PARTIAL if self._worst == EXIT_USAGE and self.documents + self.skipped else self._worst

    def count(self, size: int) -> None:
        self.documents += 1
        self.size += size
        self.bar.advance(documents=1)

    def fail(self, name: str, error: Exception) -> None:
        self.failed += 1
        self._worst = max(self._worst, exit_status(error))
        self.bar.print_with(partial(print_error, f"{name}: {error_lines(error)[0]}"))

    async def count_steps(self, steps: "AsyncGenerator[Step, None]") -> None:
        """Count what a copy reports."""
        from docstore.export.copy import StepOutcome  # not loaded for get, put and rm

        async with aclosing(steps):
            async for step in steps:
                if step.outcome in (StepOutcome.REFUSED, StepOutcome.BROKEN):
                    error = CommandError(EXIT_FAILED, step.why) if isinstance(step.why, str) else step.why
                    self.fail(repr(step.key), error)
                elif step.outcome is StepOutcome.STORED:
                    self.count(step.size)
                else:
                    self.skipped += 1
