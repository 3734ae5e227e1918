"""What clients did to one key, and what they were told: the register that a key must behave like.

A history is any number of operations on one key, each with the stretch of time in which it must have taken effect. The
state of a key is the version that stands there, None when there is no document. Times are of one clock, in any unit.

An operation that was never answered has taken effect at some time up to its end, or never. Its end is FOREVER when
nobody knows better; for a server that was killed it is the death of the process. Values only: no server is known here.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from docstore.model import ABSENT, ANY, Expectation

State = str | None

FOREVER: Final = 2**63


class Act(Enum):
    READ = "read"
    WRITE = "write"
    DELETE = "delete"


class Answer(Enum):
    DONE = "done"
    REFUSED = "refused"
    """A write whose expectation was not met, a delete of what was not there; nothing was changed."""
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation on one key: called at `called`, over at `returned`."""

    act: Act
    called: int
    returned: int
    answer: Answer = Answer.DONE
    version: State = None
    """What was written, or what a read found."""
    expect: Expectation = ANY
    """Of a write: what it demands of the state it replaces."""
    created: bool | None = None
    """Of a write that was done: whether it said that there was nothing before; None when it did not say."""

    @property
    def answered(self) -> bool:
        return self.answer is not Answer.NONE


def allowed(operation: Operation, state: State) -> bool:
    """Whether it can have had its answer if it took effect when the key was in this state."""
    if operation.act is Act.READ:
        return not operation.answered or operation.version == state
    if operation.created not in (None, state is None):
        return False
    # An operation without an answer that changed nothing is one that never took effect.
    return _met(operation, state) is (operation.answer is not Answer.REFUSED)


def result(operation: Operation, state: State) -> State:
    """The state after an operation that is allowed in `state`."""
    if operation.act is Act.READ or operation.answer is Answer.REFUSED:
        return state
    return operation.version if operation.act is Act.WRITE else None


def _met(operation: Operation, state: State) -> bool:
    if operation.act is Act.DELETE:
        return state is not None
    if operation.expect is ANY:
        return True
    return state == (None if operation.expect is ABSENT else operation.expect)
