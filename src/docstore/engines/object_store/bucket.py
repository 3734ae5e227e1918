"""A bucket through obstore: its calls, errors, timeouts and retries. The only module that knows the driver.

obstore's own retries are off for small requests: a retry after a lost answer would report a write that was applied as
a failed condition, and could send a DELETE twice. Here a read is tried again at the next endpoint, and a swap looks at
what is stored first. Parts of large content have names of their own and are sent again by obstore.
"""

import asyncio
import random
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    GenericError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from docstore.engines.object_store.manifest import Manifest, Stored, lineage_is_complete
from docstore.errors import EngineError, NoSpace, OutcomeUnknown, StorageUnavailable

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult, ListStream, ObjectMeta, PutResult, UpdateVersion
    from obstore.store import ObjectStore

RETRY_S: Final = 12.0
"""How long a request is tried again before it fails."""
HEAD_SIZE: Final = 4096
"""Bytes read for the meta of a document; the rest is read if they are not enough."""
LISTED_AT_ONCE: Final = 1000
"""Names of one request; S3 sends no more."""
PART_SIZE: Final = 8 * 1024 * 1024
PARTS_IN_FLIGHT: Final = 4
READ_AT_ONCE: Final = 1024 * 1024
"""Bytes of a download that are received while as many are sent."""

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 0.5
_NO_BUCKET: Final = re.compile("<Code>(NoSuchBucket|ContainerNotFound)</Code>")
_FULL: Final = re.compile("<Code>(QuotaExceeded|XMinioStorageFull|InsufficientStorage)</Code>")
_DENIED: Final = re.compile("status code: 40[13] ")
"""In the GenericError of a listing, which obstore raises for every failure of one."""
_CODE: Final = re.compile("<Code>([^<]*)</Code>")
_CAUSE: Final = re.compile('(?:message|error): "([^"]*)"')
_NOT_SENT: Final = "kind: Connect,"
_METADATA_SERVICE: Final = "//169.254.169.254/"
_TIMED_OUT: Final = "kind: Timeout,"

T = TypeVar("T")


class Raced(Exception):
    """A swap was not applied and never will be: another write came first."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An object in a listing."""

    path: str
    size: int
    e_tag: str | None
    modified: datetime


class Bucket:
    """The objects below the prefix of an engine URL."""

    def __init__(self, where: str, stores: "list[ObjectStore]", bulk: "list[ObjectStore]", *, bare_tags: bool) -> None:
        """`stores` and `bulk` have one client for each endpoint, for small requests and for parts of large content."""
        self.where = where
        self._stores = stores
        self._bulk = bulk
        self._bare_tags = bare_tags
        self._current = 0

    def close(self) -> None:
        """Drop the clients and with them their connections."""
        self._stores, self._bulk = [], []

    async def read(self, name: str, *, meta_only: bool = False) -> Stored | None:
        """Return the manifest with this name, or None. With `meta_only` its content may be incomplete."""
        return await self._persist(lambda store: self._read(store, name, HEAD_SIZE if meta_only else None))

    async def _read(self, store: "ObjectStore", name: str, size: int | None) -> Stored | None:
        try:
            found = await store.get_async(name, options={"range": (0, size)} if size else None)
            body = bytes(await found.bytes_async())
        except FileNotFoundError as error:
            if has_no_bucket(error):
                raise
            return None
        manifest = Manifest.unpack(body, name)
        if manifest is None:
            return await self._read(store, name, None)
        return Stored(manifest, self.state_of(found.meta), found.meta["last_modified"])

    async def swap(self, name: str, base: Stored | None, manifest: Manifest) -> Stored:
        """Replace `base` (None for no object) by `manifest`, exactly once however many answers are lost.

        Raise Raced, OutcomeUnknown, or another EngineError.
        """
        body = manifest.pack()
        unsure = False

        async def attempt(store: "ObjectStore") -> Stored:
            nonlocal unsure
            try:
                done = await store.put_async(name, body, mode="create" if base is None else base.version)
                return Stored(manifest, self.state_of(done))
            except (AlreadyExistsError, PreconditionError) as error:
                if has_no_bucket(error):
                    raise
                if not unsure:
                    raise Raced from None
            except GenericError as error:
                unsure = unsure or _NOT_SENT not in str(error)
                raise
            found = await self._read(store, name, None)
            return self._resolve(name, base, manifest, found)

        try:
            return await self._persist(attempt)
        except EngineError as error:
            if unsure:
                raise OutcomeUnknown(f"{error}; the write of {name} may have been applied") from error
            raise

    def _resolve(self, name: str, base: Stored | None, manifest: Manifest, found: Stored | None) -> Stored:
        """Decide from what is stored whether a write that lost an answer and was then refused has been applied."""
        if found is not None and found.descends_from(manifest.write):
            return found
        before, now = base and base.manifest.write, found and found.manifest.write
        if before == now:
            raise GenericError(f"{name} is as it was before the write")  # Tried again.
        if (
            found is None
            or before in found.manifest.ancestors
            or (before is None and lineage_is_complete(found.manifest))
        ):
            raise Raced
        raise OutcomeUnknown(f"{self.where}: other writes of {name} followed")

    async def put_marker(self, name: str) -> None:
        await self._persist(lambda store: store.put_async(name, b""))

    async def delete(self, name: str) -> None:
        """Delete an object whose name is never used again."""
        await self._persist(lambda store: self._delete(store, name))

    async def delete_sealed(self, name: str) -> None:
        """Send one DELETE. If it gets no answer, it may still be on its way."""
        try:
            await self._delete(self._stores[self._current], name)
        except (BaseError, OSError) as error:
            raise self.translate(error) from error

    async def _delete(self, store: "ObjectStore", name: str) -> None:
        try:
            await store.delete_async(name)
        except FileNotFoundError as error:
            if has_no_bucket(error):
                raise

    async def entries(self, folder: str, after: str = "") -> AsyncIterator[Entry]:
        """Yield the objects of a folder, after this name in it, in order of their names."""
        offset = folder + after
        stream: ListStream[Sequence[ObjectMeta]] | None = None

        async def next_page(store: "ObjectStore") -> "Sequence[ObjectMeta]":
            nonlocal stream
            current, stream = stream or store.list(folder.rstrip("/"), offset=offset, chunk_size=LISTED_AT_ONCE), None
            try:
                page = await anext(current)
            except StopAsyncIteration:
                return ()
            stream = current  # An error leaves None, so that the next attempt lists from `offset`.
            return page

        while page := await self._persist(next_page):
            for entry in page:
                if entry["path"] > offset:  # Some stores ignore the offset.
                    yield Entry(entry["path"], entry["size"], self.state_of(entry).get("e_tag"), entry["last_modified"])
            if len(page) < LISTED_AT_ONCE:
                return
            offset = max(offset, page[-1]["path"])

    async def now(self) -> datetime:
        """Return the time by the clock of the store, to which the times in listings can be compared."""
        await self.put_marker("clock")
        found = await self._persist(lambda store: store.head_async("clock"))
        return found["last_modified"]

    async def upload(self, name: str, pieces: AsyncIterator[bytes]) -> None:
        await self.read(name)  # Finds an endpoint that answers, because pieces can't be sent again to another.
        try:
            await self._bulk[self._current].put_async(
                name, pieces, chunk_size=PART_SIZE, max_concurrency=PARTS_IN_FLIGHT
            )
        except (BaseError, OSError) as error:
            raise self.translate(error) from error

    async def read_range(self, name: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield these bytes of an object, however slowly the consumer takes them and however often a request breaks."""
        while start < stop:
            options: GetOptions = {"range": (start, stop)}
            found = await self._persist(partial(self._get_bulk, name, options))
            opened_at = start
            try:
                async with aclosing(_read_ahead(found)) as chunks:
                    async for chunk in chunks:
                        start += len(chunk)
                        yield chunk
            except (BaseError, OSError) as error:
                if start == opened_at:
                    raise self.translate(error) from error

    async def _get_bulk(self, name: str, options: "GetOptions", _: "ObjectStore") -> "GetResult":
        return await self._bulk[self._current].get_async(name, options=options)

    async def _persist(self, call: "Callable[[ObjectStore], Awaitable[T]]") -> T:
        """Call until there is an answer, or for RETRY_S."""
        ends_s, pause_s = time.monotonic() + RETRY_S, _FIRST_PAUSE_S
        while True:
            try:
                return await call(self._stores[self._current])
            except (BaseError, OSError) as error:
                failure = self.translate(error)
                if _is_final(error) or time.monotonic() > ends_s:
                    raise failure from error
            self._current = (self._current + 1) % len(self._stores)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def translate(self, error: Exception) -> EngineError:
        """Return the engine error of a driver's error, in one line."""
        text = str(error)
        code = _CODE.search(text)
        if has_no_bucket(error):
            return StorageUnavailable(f"{self.where}: the bucket does not exist")
        if _FULL.search(text):
            return NoSpace(f"{self.where}: the store is full")
        if isinstance(error, PermissionDeniedError | UnauthenticatedError) or _DENIED.search(text):
            return StorageUnavailable(f"{self.where}: access denied" + (f" ({code[1]})" if code else ""))
        if isinstance(error, FileNotFoundError):
            return EngineError(f"{self.where}: an object is missing: {text.partition(':')[0]}")
        if _METADATA_SERVICE in text:
            return StorageUnavailable(f"{self.where}: no credentials in the environment, a profile or the machine")
        cause = code or _CAUSE.search(text)
        reason = "no answer in time" if _TIMED_OUT in text else cause[1] if cause else text.partition("\n")[0][:200]
        return StorageUnavailable(f"{self.where}: {reason}")

    def state_of(self, found: "PutResult | ObjectMeta") -> "UpdateVersion":
        """Return what names this state of an object. Ceph wants the tag without its quotes, Azure with them."""
        state: UpdateVersion = {}
        if tag := found["e_tag"]:
            state["e_tag"] = tag.strip('"') if self._bare_tags else tag
        if version := found["version"]:
            state["version"] = version
        return state


async def _read_ahead(found: "GetResult") -> AsyncGenerator[bytes, None]:
    """Yield the bytes of a response. The next ones are received while the consumer uses those before them."""
    stream = found.stream(READ_AT_ONCE)

    async def receive() -> bytes | None:
        return await anext(stream, None)

    ahead = asyncio.create_task(receive())
    try:
        while (chunk := await ahead) is not None:
            ahead = asyncio.create_task(receive())
            yield chunk
    finally:
        if not ahead.cancel() and not ahead.cancelled():
            ahead.exception()  # Retrieved, so that the loop does not report it.


def _is_final(error: Exception) -> bool:
    """Return whether the store would answer the same if it were asked again."""
    text = str(error)
    return not isinstance(error, GenericError) or any(each.search(text) for each in (_DENIED, _NO_BUCKET, _FULL))


def has_no_bucket(error: Exception) -> bool:
    return _NO_BUCKET.search(str(error)) is not None
