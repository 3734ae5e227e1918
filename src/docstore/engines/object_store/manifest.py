"""The manifest: the one object of a document that is ever replaced, and only by compare-and-swap.

    docstore 1 <write id> <ids of earlier writes> <state>
    <meta, one line of JSON>
    <content, if it is small>

The state is `inline`, the id of a blob, `deleted` or `sealed`. The latter two end after their line. They are shorter
than every document, so that a listing, which has only names and sizes, skips them without reading them.

**Lost answers.** A write whose answer was lost may have been applied. Its id is then in the manifest, or among the ids
of earlier writes if others followed. Trying again without looking would apply it twice.

**Deletion.** Most stores have no conditional DELETE, so a delete swaps in a tombstone (`deleted`). An unconditional
DELETE of a tombstone could remove the document that another process is just creating there. So the collector first
swaps the tombstone for a seal, which no writer replaces, and only the process whose seal is in place sends one DELETE,
once. While a seal is there, a DELETE may be on its way, and a create waits; when nothing is there, none is. If the
process was killed between the two, the seal stays: it is taken over after SEAL_TIMEOUT_S, much longer than a request
can take.
"""

import secrets
from datetime import datetime
from typing import TYPE_CHECKING, Final

from docstore.errors import CorruptData, StorageUnavailable
from docstore.frozen import frozen_dataclass
from docstore.model import Meta

if TYPE_CHECKING:
    from obstore import UpdateVersion

TOMBSTONE_SIZE: Final = 200
"""Bytes; a tombstone or seal has fewer, a document more."""
SEAL_TIMEOUT_S: Final = 600

_PROGRAM: Final = b"docstore "
_FORMAT: Final = _PROGRAM + b"1 "
_ANCESTORS: Final = 8
_DELETED: Final = "deleted"
_SEALED: Final = "sealed"
_INLINE: Final = "inline"


@frozen_dataclass(frozen=True, slots=True)
class Manifest:
    """The state of one key: a document, or without `meta` a tombstone or seal."""

    write: str
    """The id of the write that made it."""
    ancestors: tuple[str, ...]
    """The ids of the writes before it, the latest first; complete if there are fewer than eight."""
    meta: Meta | None = None
    blob: str | None = None
    content: bytes = b""
    """Content without a blob; incomplete if only the beginning was read."""
    sealed: bool = False

    def pack(self) -> bytes:
        state = self.blob or (_SEALED if self.sealed else _DELETED if self.meta is None else _INLINE)
        head = b"%s%s %s %s\n" % (_FORMAT, self.write.encode(), ",".join(self.ancestors).encode(), state.encode())
        return head if self.meta is None else b"%s%s\n%s" % (head, self.meta.pack().encode(), self.content)

    @classmethod
    def unpack(cls, body: bytes, name: str) -> "Manifest | None":
        """Parse the beginning of an object. Return None if it does not contain all of the meta.

        Raise CorruptData, or StorageUnavailable for an object that a newer Docstore wrote meanwhile.
        """
        head, newline, rest = body.partition(b"\n")
        if head.startswith(_PROGRAM) and not head.startswith(_FORMAT):
            raise StorageUnavailable(f"{name} has the format of a newer Docstore")
        try:
            if not head.startswith(_FORMAT) or not newline:
                raise ValueError
            write, ids, state = head[len(_FORMAT) :].decode("ascii").split(" ")
        except ValueError:
            raise CorruptData(f"{name} is not an object of Docstore") from None
        ancestors = tuple(ids.split(",")) if ids else ()
        if state in (_DELETED, _SEALED):
            return cls(write, ancestors, sealed=state == _SEALED)
        packed, newline, content = rest.partition(b"\n")
        if not newline:
            return None
        return cls(write, ancestors, Meta.unpack(packed), None if state == _INLINE else state, content)


@frozen_dataclass(frozen=True, slots=True)
class Stored:
    """A manifest as it is stored, and what a swap must name to replace it."""

    manifest: Manifest
    version: "UpdateVersion"
    modified: datetime | None = None
    """When it was written, by the clock of the store; None for a write of this process."""

    def descends_from(self, write: str) -> bool:
        return write == self.manifest.write or write in self.manifest.ancestors


def ancestors_of(stored: Stored | None) -> tuple[str, ...]:
    """Return the earlier writes of a manifest that replaces `stored`."""
    return () if stored is None else (stored.manifest.write, *stored.manifest.ancestors)[:_ANCESTORS]


def lineage_is_complete(manifest: Manifest) -> bool:
    return len(manifest.ancestors) < _ANCESTORS


def new_write_id() -> str:
    return secrets.token_urlsafe(9)


def new_blob_id() -> str:
    return secrets.token_hex(12)
