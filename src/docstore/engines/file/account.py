"""What the writer asks about room: before a write, under the lock of its key, and when a document has gone.

A folder without a bound has room for everything, and that is said here too, so that the writer takes the same steps
in both: `room_for` before the lock, because making room takes the locks of other keys; `take` under it, because what
stands at the key is known there; `settle` when the document stands. Room that was not settled is given back.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Final, Protocol

from docstore.engines.contract import PutRequest
from docstore.model import Meta


class RoomTaken(Exception):
    """What the write replaces has shrunk since room was made for it: more is needed."""


class Taking(Protocol):
    """Room for one write."""

    def take(self, standing: Meta | None) -> None:
        """`standing` is what the write replaces. Raises RoomTaken."""

    def settle(self, meta: Meta) -> None:
        """The document stands."""


class Account(Protocol):
    """Who knows how much there is in a folder."""

    def room_for(self, request: PutRequest, size: int) -> AbstractContextManager[Taking]:
        """May remove other documents. Raises NoSpace."""

    def gone(self, key: str) -> None: ...


class _Boundless:
    def room_for(self, request: PutRequest, size: int) -> AbstractContextManager[Taking]:
        return _ANY_ROOM

    def gone(self, key: str) -> None:
        """Nobody counts."""

    def take(self, standing: Meta | None) -> None:
        """There is room always."""

    def settle(self, meta: Meta) -> None:
        """Nobody counts."""


UNBOUNDED: Final = _Boundless()
_ANY_ROOM: Final = nullcontext(UNBOUNDED)
