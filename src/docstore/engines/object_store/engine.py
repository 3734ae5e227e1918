"""The engine of `s3:`, `gs:` and `az:` URLs: the six methods, on manifests and blobs.

Reads always ask the store. What this process knows of a key from its last request (`_known`) is only a first guess for
a write: if the guess is right, the swap succeeds, and the write is one request; if it is wrong, the store refuses the
swap, and the write reads and tries again. A guess is never the reason of a Conflict.

A listing of the store has names, sizes and tags. The meta of a document is in its manifest, so a page reads the
beginnings of its manifests, some at a time, except those whose tag is known. The alternative, one object with all
metas, would be swapped by every write.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from docstore.content import BytesContent, Stream
from docstore.engines.contract import PutRequest, check_expectation
from docstore.engines.object_store.bucket import Bucket, Entry, Raced
from docstore.engines.object_store.collector import Collector
from docstore.engines.object_store.manifest import (
    TOMBSTONE_SIZE,
    Manifest,
    Stored,
    ancestors_of,
    new_blob_id,
    new_write_id,
)
from docstore.engines.object_store.names import (
    DOCUMENTS,
    blob_name,
    group_of,
    marker_name,
    name_before,
    name_of,
    start_of,
)
from docstore.engines.object_store.upload import receive
from docstore.errors import Conflict, CorruptData, StorageUnavailable
from docstore.model import ANY, Clock, Document, Expectation, Meta, WriteResult, satisfies

KNOWN_KEYS: Final = 10_000
READS_AT_ONCE: Final = 128
"""Manifests that listings read at once."""
SEAL_WAIT_S: Final = 2.0
"""How long a write waits until another process has removed a tombstone, which takes one request."""
SEAL_PAUSE_S: Final = 0.02

_Metas = list[Meta]
_T = TypeVar("_T")


class ObjectStoreEngine:
    """A bucket with manifests and blobs."""

    def __init__(self, bucket: Bucket, clock: Clock) -> None:
        self._bucket = bucket
        self._clock = clock
        self._known: OrderedDict[str, Stored] = OrderedDict()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._reads = asyncio.Semaphore(READS_AT_ONCE)
        self._collector = Collector(bucket, clock, self._lock)

    async def get(self, key: str) -> Document | None:
        name = name_of(key)
        stored = await self._bucket.read(DOCUMENTS + name)
        self._learn(name, stored)
        meta = self._current(stored)
        if stored is None or meta is None:
            return None
        manifest = stored.manifest
        if manifest.blob is not None:
            return Document(
                meta, Stream(partial(self._bucket.read_range, blob_name(name, manifest.blob)), 0, meta.size)
            )
        if len(manifest.content) != meta.size:
            raise CorruptData(f"{self._bucket.where}: {DOCUMENTS}{name} does not have {meta.size} bytes of content")
        return Document(meta, BytesContent(manifest.content))

    async def head(self, key: str) -> Meta | None:
        return self._current(await self._read(name_of(key)))

    async def put(self, request: PutRequest) -> WriteResult:
        name, write, blob = name_of(request.key), new_write_id(), new_blob_id()
        content = await receive(self._bucket, request.upload, blob_name(name, blob))
        written: list[Meta] = []

        def make(stored: Stored | None) -> Manifest:
            written[:] = [request.meta(content.digest, content.size, self._clock())]
            data, ancestors = content.data, ancestors_of(stored)
            return Manifest(write, ancestors, written[0], blob if data is None else None, data or b"")

        try:
            replaced = await _finish(self._replace(name, request.expect, make))
        except Conflict:
            if content.data is None:
                self._collector.delete_later(blob_name(name, blob))
            raise
        return WriteResult(written[0], created=replaced is None)

    async def delete(self, key: str, *, expect: Expectation = ANY) -> Meta | None:
        write = new_write_id()

        def make(stored: Stored | None) -> Manifest | None:
            # An expired document is deleted too, though nothing is reported.
            absent = stored is None or stored.manifest.meta is None
            return None if absent else Manifest(write, ancestors_of(stored))

        return await _finish(self._replace(name_of(key), expect, make))

    async def _replace(
        self, name: str, expect: Expectation, make: Callable[[Stored | None], Manifest | None]
    ) -> Meta | None:
        """Swap the state of a key for `make(state)`, unless that is None. Return the meta of the replaced document.

        Raise Conflict if the state is not the expected one.
        """
        marked = False
        async with self._lock(name):
            stored, guessed = self._known.get(name), True
            while True:
                current = self._current(stored)
                manifest = make(stored) if satisfies(expect, current) else None
                if manifest is None:
                    if not guessed:
                        check_expectation(expect, current)
                        return current
                    stored, guessed = await self._read_unsealed(name), False
                    continue
                meta = manifest.meta
                if meta is not None and meta.expires_ns is not None and not marked:
                    # Before the document: a sweep finds every document that expires.
                    await self._bucket.put_marker(marker_name(name, meta.expires_ns, manifest.write))
                    marked = True
                try:
                    new = await self._bucket.swap(DOCUMENTS + name, stored, manifest)
                except Raced:
                    stored, guessed = await self._read_unsealed(name), False
                    continue
                except BaseException:
                    self._known.pop(name, None)
                    raise
                self._learn(name, new)
                self._collector.collect_replaced(name, stored, new)
                return current

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        start = start_of(prefix)
        page: list[Meta] = []
        batch: list[Entry] = []
        group: str | None = None
        async for entry in self._bucket.entries(DOCUMENTS, max(start, name_before(after))):
            name = entry.path.removeprefix(DOCUMENTS)
            if not name.startswith(start):
                break
            if entry.size < TOMBSTONE_SIZE:
                continue
            last_group, group = group, group_of(name)
            if len(page) + len(batch) >= limit and (group is None or group != last_group):
                page += await self._metas(batch, prefix, after)
                batch.clear()
                if len(page) >= limit:
                    break
            batch.append(entry)
        if len(page) < limit:
            page += await self._metas(batch, prefix, after)
        return page[:limit]

    async def _metas(self, entries: Sequence[Entry], prefix: str, after: str) -> _Metas:
        """Return the documents behind these entries in order; those of a group are sorted by name until here."""
        metas = await asyncio.gather(*map(self._meta, entries))
        found = [meta for meta in metas if meta is not None and meta.key > after and meta.key.startswith(prefix)]
        return sorted(found, key=lambda meta: meta.key)

    async def _meta(self, entry: Entry) -> Meta | None:
        name = entry.path.removeprefix(DOCUMENTS)
        known = self._known.get(name)
        if known is not None and entry.e_tag is not None and known.version.get("e_tag") == entry.e_tag:
            return self._current(known)
        async with self._reads:
            return self._current(await self._read(name))

    async def sweep(self, *, limit: int = 1000) -> int:
        return await self._collector.sweep(limit)

    async def close(self) -> None:
        self._known.clear()
        self._bucket.close()

    async def _read(self, name: str) -> Stored | None:
        stored = await self._bucket.read(DOCUMENTS + name, meta_only=True)
        self._learn(name, stored)
        return stored

    async def _read_unsealed(self, name: str) -> Stored | None:
        """Read a state that a write may replace. Raise StorageUnavailable if a seal stays in place."""
        ends_s = monotonic() + SEAL_WAIT_S
        while (stored := await self._read(name)) is not None and not self._collector.is_replaceable(stored):
            if monotonic() > ends_s:
                raise StorageUnavailable(f"{self._bucket.where}: the removal of {DOCUMENTS}{name} has not ended yet")
            await asyncio.sleep(SEAL_PAUSE_S)
        return stored

    def _learn(self, name: str, stored: Stored | None) -> None:
        if stored is None or stored.manifest.sealed:
            self._known.pop(name, None)
            return
        if stored.manifest.content:
            stored = replace(stored, manifest=replace(stored.manifest, content=b""))
        self._known[name] = stored
        self._known.move_to_end(name)
        if len(self._known) > KNOWN_KEYS:
            self._known.popitem(last=False)

    def _current(self, stored: Stored | None) -> Meta | None:
        meta = None if stored is None else stored.manifest.meta
        return None if meta is None or meta.expired(self._clock()) else meta

    def _lock(self, name: str) -> asyncio.Lock:
        """Return the lock of a key: writes of one process take turns instead of racing."""
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock


async def _finish(work: Coroutine[Any, Any, _T]) -> _T:
    """Run `work` to its end, also if this task is cancelled: a request that was sent can't be taken back."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # Retrieved, so that the loop does not report it.
        raise
