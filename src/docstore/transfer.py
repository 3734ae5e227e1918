"""Moving documents from one place to another: between two engines, and into one from an archive.

A document keeps its content, fields and expiry, and so its version and its ETag. The contract takes no time of
modification, so at the target that is when it was copied there. What the target has already, in the same version, is
passed over: whoever was interrupted starts again and goes on where it stopped.

Content is hashed on its way, and nothing is stored when it is not what its meta says: a fault of the source does not
become a sound document elsewhere. Documents follow each other, each in constant memory.
"""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from docstore.content import Upload
from docstore.engines import Engine
from docstore.errors import Conflict, Corrupt, DigestMismatch
from docstore.model import ABSENT, ANY, Expectation, Meta

PAGE_SIZE: Final = 1000
"""Documents whose meta is in memory at a time."""


class Outcome(Enum):
    """What became of a document."""

    STORED = "stored"
    SAME = "the same already"
    EXPIRED = "expired"
    REFUSED = "refused"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Step:
    """What became of the document `key`; `why` says more of one that was not stored."""

    key: str
    outcome: Outcome
    size: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Verified:
    """An upload that raises DigestMismatch at its end when it is not the content that `meta` tells of."""

    upload: Upload
    meta: Meta

    @property
    def size(self) -> int:
        return self.meta.size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        state, size = hashlib.sha256(), 0
        async for chunk in self.upload:
            state.update(chunk)
            size += len(chunk)
            yield chunk
        if size != self.meta.size or state.digest() != self.meta.digest:
            raise DigestMismatch("its content is not what was written: the digest differs")


async def copy(source: Engine, target: Engine, *, prefix: str = "") -> AsyncIterator[Step]:
    """Puts every document under `prefix` into `target`, in the place of what has its key there."""
    after = ""
    while page := await source.list(prefix=prefix, after=after, limit=PAGE_SIZE):
        for meta in page:
            after = meta.key
            yield await _copy(source, target, meta)


async def _copy(source: Engine, target: Engine, listed: Meta) -> Step:
    there = await target.head(listed.key)
    if _is_same(there, listed):
        return Step(listed.key, Outcome.SAME)
    try:
        document = await source.get(listed.key)
        if document is None:
            return Step(listed.key, Outcome.EXPIRED)  # or deleted, since it was listed
        return await put(target, document.meta, document.content, replace=True)
    except Corrupt as error:
        return Step(listed.key, Outcome.BROKEN, why=str(error))


async def put(target: Engine, meta: Meta, upload: Upload, *, replace: bool) -> Step:
    """Stores one document; one that is there in another version is replaced or is a refusal."""
    there = await target.head(meta.key)
    if _is_same(there, meta):
        return Step(meta.key, Outcome.SAME)
    expect: Expectation = ANY if replace else there.version if there and there.version == meta.version else ABSENT
    try:
        written = await target.put(
            meta.key, Verified(upload, meta), meta.fields, expires_ns=meta.expires_ns, expect=expect
        )
    except Conflict:
        return Step(meta.key, Outcome.REFUSED, why="there is another version of it")
    except DigestMismatch as error:
        return Step(meta.key, Outcome.BROKEN, why=str(error))
    return Step(meta.key, Outcome.STORED, written.meta.size)


def _is_same(there: Meta | None, meta: Meta) -> bool:
    # The expiry is no part of a version.
    return there is not None and there.version == meta.version and there.expires_ns == meta.expires_ns
