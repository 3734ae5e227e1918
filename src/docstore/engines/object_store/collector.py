"""The collector: expired documents, tombstones, blobs and markers that nothing refers to. The engine's `sweep` runs it.

What this process leaves behind is in a queue. What killed processes left is found by a scan, some pages at each sweep:
a tombstone by its size, a blob by reading the manifest of its key. The scan compares times of the store's clock only.

A blob is deleted an hour after nothing refers to it, so that readers of a replaced document can finish, and so that an
upload whose manifest is not written yet is not taken for an orphan. Its name is never used again, so the DELETE can't
hit another. A tombstone stays as long: it has the time of the deletion, and the ids that a lost answer looks for.
`manifest.py` explains its removal.
"""

import asyncio
import heapq
import logging
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from itertools import count
from time import monotonic
from typing import Final

from docstore.engines.object_store.bucket import Bucket, Raced
from docstore.engines.object_store.manifest import (
    SEAL_TIMEOUT_S,
    TOMBSTONE_SIZE,
    Manifest,
    Stored,
    ancestors_of,
    new_write_id,
)
from docstore.engines.object_store.names import (
    BLOBS,
    DOCUMENTS,
    MARKERS,
    blob_name,
    marker_name,
    parse_blob,
    parse_marker,
)
from docstore.errors import EngineError
from docstore.model import Clock

GRACE_S: Final = 3600
"""How long tombstones, and blobs that were replaced or deleted, stay."""
SCAN_INTERVAL_S: Final = 24 * 3600
SCANNED_AT_ONCE: Final = 10_000
"""Objects that one sweep scans."""
_AT_ONCE: Final = 16

log: Final = logging.getLogger("docstore")


class Collector:
    """The collector of one engine."""

    def __init__(self, bucket: Bucket, clock: Clock, lock: Callable[[str], asyncio.Lock]) -> None:
        self._bucket = bucket
        self._clock = clock
        self._lock = lock
        self._due: list[tuple[float, int, str, Stored | None]] = []
        """A heap of what to remove and when; a tombstone comes with its state."""
        self._numbers = count()
        self._seals: dict[str, float] = {}
        """When this process first saw each seal that it still saw later, by write id."""
        self._scan: AsyncIterator[bool] | None = None
        self._next_scan_s = 0.0

    def delete_later(self, path: str, after_s: float = 0, tombstone: Stored | None = None) -> None:
        heapq.heappush(self._due, (monotonic() + after_s, next(self._numbers), path, tombstone))

    def collect_replaced(self, name: str, old: Stored | None, new: Stored) -> None:
        """Queue what the replaced state leaves, and the new one if it is a tombstone."""
        if old is not None and old.manifest.blob is not None:
            self.delete_later(blob_name(name, old.manifest.blob), GRACE_S)
        if old is not None and old.manifest.meta is not None and old.manifest.meta.expires_ns is not None:
            self.delete_later(marker_name(name, old.manifest.meta.expires_ns, old.manifest.write))
        if new.manifest.meta is None:
            self.delete_later(DOCUMENTS + name, GRACE_S, new)

    def is_replaceable(self, stored: Stored) -> bool:
        """Return whether a write may replace this state: not a seal, unless this process has seen it for long."""
        if not stored.manifest.sealed:
            return True
        return monotonic() - self._seals.setdefault(stored.manifest.write, monotonic()) > SEAL_TIMEOUT_S

    async def sweep(self, limit: int) -> int:
        removed = await self._remove_expired(limit)
        await self._remove_due()
        await self._scan_on()
        return removed

    async def _remove_expired(self, limit: int) -> int:
        now_ns, removed, compared = self._clock(), 0, False
        markers: list[str] = []
        async for entry in self._bucket.entries(MARKERS):
            if parse_marker(entry.path)[0] > now_ns:
                break
            if not compared:  # This machine's clock may be ahead.
                now_ns, compared = min(now_ns, int((await self._bucket.now()).timestamp()) * 10**9), True
                if parse_marker(entry.path)[0] > now_ns:
                    break
            markers.append(entry.path)
            if len(markers) == min(_AT_ONCE, limit - removed):
                removed += sum(await asyncio.gather(*map(self._remove_marked, markers)))
                markers.clear()
                if removed == limit:
                    return removed
        return removed + sum(await asyncio.gather(*map(self._remove_marked, markers)))

    async def _remove_marked(self, marker: str) -> bool:
        """Remove the document of a marker if it is still the marked one, and the marker."""
        expires_ns, name, write = parse_marker(marker)
        async with self._lock(name):
            stored = await self._bucket.read(DOCUMENTS + name, meta_only=True)
            marked = stored is not None and stored.manifest.write == write
            if stored is not None and marked:
                tombstone = Manifest(new_write_id(), ancestors_of(stored))
                try:
                    new = await self._bucket.swap(DOCUMENTS + name, stored, tombstone)
                except Raced:
                    return False
                self.collect_replaced(name, stored, new)
                return True
        if self._clock() - expires_ns > GRACE_S * 10**9:  # else its document may not be written yet
            await self._bucket.delete(marker)
        return False

    async def _remove_due(self) -> None:
        now_s = monotonic()
        while self._due and self._due[0][0] <= now_s:
            due = [heapq.heappop(self._due) for _ in range(min(_AT_ONCE, len(self._due))) if self._due[0][0] <= now_s]
            await asyncio.gather(*(self._remove(path, tombstone) for _, _, path, tombstone in due))

    async def _remove(self, path: str, tombstone: Stored | None) -> None:
        try:
            if tombstone is None:
                await self._bucket.delete(path)
            else:
                await self._remove_tombstone(path, tombstone)
        except EngineError as error:
            log.warning("%s was not removed: %s", path, error)  # The scan finds it later.

    async def _remove_tombstone(self, path: str, stored: Stored) -> None:
        async with self._lock(path.removeprefix(DOCUMENTS)):
            began_s = monotonic()
            try:
                await self._bucket.swap(path, stored, Manifest(new_write_id(), ancestors_of(stored), sealed=True))
            except Raced:
                return
            if monotonic() - began_s > SEAL_TIMEOUT_S / 2:
                return  # This process was stopped meanwhile, and another may have taken the seal over.
            await self._bucket.delete_sealed(path)
            self._seals.pop(stored.manifest.write, None)

    async def _scan_on(self) -> None:
        """Scan some more objects; begin again a day after the end, or at the next sweep after an error."""
        if self._scan is None:
            if monotonic() < self._next_scan_s:
                return
            self._scan = self._scan_all()
        scan, self._scan = self._scan, None
        for _ in range(SCANNED_AT_ONCE):
            if not await anext(scan, False):
                self._next_scan_s = monotonic() + SCAN_INTERVAL_S
                return
        self._scan = scan

    async def _scan_all(self) -> AsyncIterator[bool]:
        """Queue what other processes left; yield True after each object."""
        before = await self._bucket.now() - timedelta(seconds=GRACE_S)
        async for entry in self._bucket.entries(DOCUMENTS):
            if entry.size < TOMBSTONE_SIZE and entry.modified < before:
                stored = await self._bucket.read(entry.path)
                if stored is not None and stored.manifest.meta is None and self.is_replaceable(stored):
                    self.delete_later(entry.path, 0, stored)
            yield True
        async for entry in self._bucket.entries(BLOBS):
            if entry.modified < before:
                name, blob = parse_blob(entry.path)
                stored = await self._bucket.read(DOCUMENTS + name, meta_only=True)
                if is_unreferenced(blob, stored, before):
                    self.delete_later(entry.path)
            yield True


def is_unreferenced(blob: str, stored: Stored | None, before: datetime) -> bool:
    """Return whether a blob that is older than `before` belongs to no document, since before then."""
    return stored is None or (stored.manifest.blob != blob and stored.modified is not None and stored.modified < before)
