"""Writes to a shelve that wait for their turn."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Job:
    """A write that waits for its turn; `key` is None when it stores nothing."""

    key: str | None
    step: Callable[[], object]
    answer: Future[Any]

    def settle(self, outcome: object) -> None:
        if isinstance(outcome, Exception):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)
