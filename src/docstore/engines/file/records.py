"""What a sidecar says: for one key, the meta of each content that may stand in its place now.

A sidecar is text, a line for each record: the content's modification time in nanoseconds, a space, and the meta as
`Meta.pack` writes it, which holds the size. Two lines stand in it from before a write's commit until the next write;
the reader takes the one that fits the content it has open. Nothing here touches a disk.
"""

import os
from dataclasses import dataclass

from docstore.errors import Corrupt
from docstore.model import Meta


@dataclass(frozen=True, slots=True)
class Record:
    """The meta of a content, and the modification time by which that content is known."""

    mtime_ns: int
    meta: Meta


def identity(status: os.stat_result) -> tuple[int, int]:
    """What ties a content to its record."""
    return status.st_mtime_ns, status.st_size


def compose(*records: Record) -> bytes:
    return "".join(f"{record.mtime_ns} {record.meta.pack()}\n" for record in records).encode("ascii")


def fitting(sidecar: bytes, key: str, status: os.stat_result) -> Record | None:
    """The record of the content with this status; None when it has none. Raises Corrupt."""
    try:
        lines = [line.split(b" ", 1) for line in sidecar.splitlines()]
        metas = [Meta.unpack(packed) for mtime, packed in lines if int(mtime) == status.st_mtime_ns]
    except (ValueError, Corrupt) as error:
        raise Corrupt(f"stored meta of {key!r}: {error}") from error
    for meta in metas:
        if meta.key != key:
            raise Corrupt(f"stored meta of {key!r} is that of {meta.key!r}")
        if meta.size == status.st_size:
            return Record(status.st_mtime_ns, meta)
    return None


def key_of(sidecar: bytes, name: str) -> str:
    """Whose sidecar it is that is called `name`. Raises Corrupt."""
    try:
        return Meta.unpack(sidecar.partition(b"\n")[0].partition(b" ")[2]).key
    except Corrupt as error:
        raise Corrupt(f"stored meta in {name}: {error}") from error
