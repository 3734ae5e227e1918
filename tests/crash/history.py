"""Operations on one key with their results: a key must behave like a register.

A history is a set of operations on one key, each with the interval in which it took effect. The state of a key is the
version of its document, None when there is none. Times are of one clock, in any unit.

An operation without a response has taken effect at some time up to its end, or never. Its end is the end of the server
process if that was killed, else FOREVER.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from docstore.model import ABSENT, ANY, Expectation

State = str | None

FOREVER: Final = 2**63


class Action(Enum):
    READ = "read"
    WRITE = "write"
    DELETE = "delete"


class Answer(Enum):
    DONE = "done"
    REFUSED = "refused"
    """A write whose expectation was not met, or a delete of an absent document; nothing was changed."""
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation on one key: called at `called`, ended at `returned`."""

    act: Action
    called: int
    returned: int
    answer: Answer = Answer.DONE
    version: State = None
    """The version written or read."""
    expect: Expectation = ANY
    """The expectation of a write."""
    created: bool | None = None
    """Whether the answer to a write said that it created the document; None when unknown."""

    @property
    def answered(self) -> bool:
        return self.answer is not Answer.NONE


def allowed(operation: Operation, state: State) -> bool:
    """Return whether the operation could get its answer when it took effect in this state."""
    if operation.act is Action.READ:
        return not operation.answered or operation.version == state
    if operation.created not in (None, state is None):
        return False
    # An operation without a response that changed nothing never took effect.
    return _satisfied(operation, state) is (operation.answer is not Answer.REFUSED)


def result(operation: Operation, state: State) -> State:
    """Return the state after an operation that is allowed in `state`."""
    if operation.act is Action.READ or operation.answer is Answer.REFUSED:
        return state
    return operation.version if operation.act is Action.WRITE else None


def _satisfied(operation: Operation, state: State) -> bool:
    if operation.act is Action.DELETE:
        return state is not None
    if operation.expect is ANY:
        return True
    return state == (None if operation.expect is ABSENT else operation.expect)
