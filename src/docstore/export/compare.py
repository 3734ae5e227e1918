"""The comparison of two listings: what to store and to delete. All commands that copy many documents share it.

Both listings are in bytewise order of their keys, so one pass compares them, in the memory of the differences. Where
nothing is to be deleted, parts of the target that the source does not have are skipped: a few files are compared with a
collection of millions in a few requests.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final

from docstore.model import Meta

SKIP_AFTER: Final = 1000
"""Documents of the target, all without a counterpart, after which its listing starts again at the next key."""

Listing = Callable[[str], AsyncIterator[Meta]]
"""Returns the documents after a key, in order."""


@dataclass(slots=True)
class Plan:
    """What makes a target like its source."""

    copies: list[Meta] = field(default_factory=list)
    """The documents of the source to store."""
    deletes: list[str] = field(default_factory=list)
    """The keys that only the target has."""
    same: int = 0
    """The number of documents that both have."""

    @property
    def size(self) -> int:
        """Bytes of all copies."""
        return sum(meta.size for meta in self.copies)


async def compare(
    source: AsyncIterator[Meta], target: Listing, is_same: Callable[[Meta, Meta], bool], *, delete: bool = False
) -> Plan:
    """Compare two listings; `is_same` gets a document of the source and the one of the same key in the target."""
    plan, others, passed = Plan(), target(""), 0
    other = await anext(others, None)
    async for meta in source:
        while other is not None and other.key < meta.key:
            passed += 1
            if delete:
                plan.deletes.append(other.key)
            elif passed >= SKIP_AFTER and meta.key[:-1] > other.key:
                others, passed = target(meta.key[:-1]), 0
            other = await anext(others, None)
        passed = 0
        if other is None or other.key != meta.key:
            plan.copies.append(meta)
            continue
        if is_same(meta, other):
            plan.same += 1
        else:
            plan.copies.append(meta)
        other = await anext(others, None)
    while delete and other is not None:
        plan.deletes.append(other.key)
        other = await anext(others, None)
    return plan
