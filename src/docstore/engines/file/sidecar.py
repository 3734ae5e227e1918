"""What a sidecar says: for one key, the meta of each content that may stand in its place now.

A sidecar is text, a line for each note: the content's modification time in nanoseconds, a space, and the meta as
`Meta.pack` writes it, which holds the size. Two lines stand in it from before a write's commit until the next write;
the reader takes the one that fits the content it has open. Nothing here touches a disk, so what is raised here does
not name the sidecar.
"""

import os
from dataclasses import dataclass

from docstore.errors import CorruptData
from docstore.model import Meta


@dataclass(frozen=True, slots=True)
class Note:
    """The meta of a content, and the modification time by which that content is known."""

    mtime_ns: int
    meta: Meta


def identity(status: os.stat_result) -> tuple[int, int]:
    """What ties a content to its note."""
    return status.st_mtime_ns, status.st_size


def compose(*notes: Note) -> bytes:
    return "".join(f"{note.mtime_ns} {note.meta.pack()}\n" for note in notes).encode("ascii")


def fitting(sidecar: bytes, key: str, status: os.stat_result) -> Note | None:
    """The note of the content with this status; None when it has none. Raises CorruptData."""
    if not sidecar:
        raise CorruptData(f"not the note of {key!r}: it is empty")
    try:
        lines = [line.split(b" ", 1) for line in sidecar.splitlines()]
        metas = [Meta.unpack(packed) for mtime, packed in lines if int(mtime) == status.st_mtime_ns]
    except (ValueError, CorruptData) as error:
        raise CorruptData(f"not the note of {key!r}: {error}") from error
    for meta in metas:
        if meta.key != key:
            raise CorruptData(f"not the note of {key!r}, but of {meta.key!r}")
        if meta.size == status.st_size:
            return Note(status.st_mtime_ns, meta)
    return None


def key_of(sidecar: bytes) -> str:
    """Whose sidecar it is. Raises CorruptData."""
    return Meta.unpack(sidecar.partition(b"\n")[0].partition(b" ")[2]).key
