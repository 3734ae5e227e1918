"""A collection of a server as a store of documents, so that `cp`, `sync`, `export` and `import` work on servers too.

An engine of an address is opened directly, which keeps the modification times that no client can set.
"""

import math
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from docstore.cli.options import Access, existing_store
from docstore.cli.put import SMALL_SIZE
from docstore.content import Stream, read_all
from docstore.engines.contract import PutRequest
from docstore.errors import Conflict, NotFound, OpenError, SetupError
from docstore.model import ANY, Document, Expectation, Fields, Meta, WriteResult

if TYPE_CHECKING:
    from docstore import AsyncClient, Info, PutOptions
    from docstore.engines.contract import Engine


@asynccontextmanager
async def open_place(
    access: Access, url: str, *, writes: bool, must_exist: bool = False, missing_ok: bool = False
) -> AsyncIterator["Engine"]:
    """Open the collection or the engine of a URL.

    With `writes` a store that does not exist is created, unless it must exist. If there is none and none is to be
    created, raise OpenError, or open an empty one with `missing_ok`.
    """
    if url.startswith(("http://", "https://")):
        async with access.async_client(url) as docs:
            yield CollectionEngine(docs)
        return
    from docstore.config import MountSettings
    from docstore.engines.registry import EngineURL, open_engine

    if writes:
        if must_exist:
            existing_store(url)
        settings = MountSettings.make("store", EngineURL.parse(url))
        if settings.readonly:
            raise SetupError(f"{url} is read-only")
        engine = open_engine(settings.engine)
    else:
        try:
            engine = existing_store(url).open_engine(create=False)
        except OpenError:
            if not missing_ok:
                raise
            engine = open_engine(EngineURL("memory", ""))
    try:
        yield engine
    finally:
        await engine.close()


@dataclass(slots=True)
class CollectionEngine:
    """A collection as an engine."""

    client: "AsyncClient"
    listed: dict[str, Meta] = field(default_factory=dict)
    """Documents of the last page, and the next ones of a plan, until they are read: it saves a request for each."""

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        page = await self.client.list(prefix=prefix, after=after, limit=limit)
        self.listed = {info.key: meta_of_info(info, info.key) for info in page.documents}
        return [*self.listed.values()]

    async def head(self, key: str) -> Meta | None:
        try:
            return meta_of_info(await self.client.info(key), key)
        except NotFound:
            return None

    async def get(self, key: str) -> Document | None:
        meta = self.listed.pop(key, None) or await self.head(key)
        if meta is None or meta.expired(time.time_ns()):
            return None
        return Document(meta, Stream(lambda *_: self._pieces(meta), 0, meta.size))

    async def _pieces(self, meta: Meta) -> AsyncIterator[bytes]:
        """Raise Conflict if the document is no longer of this version."""
        try:
            async for piece in self.client.iter_content(meta.key, if_match=meta.version):
                yield piece
        except NotFound:
            raise Conflict(None) from None

    async def put(self, request: PutRequest) -> WriteResult:
        upload, fields = request.upload, request.fields
        options: PutOptions = {"type": fields.media_type, "fields": dict(fields.others), "digest": True}
        if request.expires_ns is not None:
            # TTLs are whole seconds; the remaining time is rounded up so that a copy never expires early.
            options["ttl"] = max(1, math.ceil((request.expires_ns - time.time_ns()) / 10**9))
        if request.expect is not ANY:
            absent = not isinstance(request.expect, str)
            options["if_none_match" if absent else "if_match"] = "*" if absent else str(request.expect)
        content = await read_all(upload) if (upload.size or 0) < SMALL_SIZE else aiter(upload)
        result = await self.client.put(request.key, content, **options)
        return WriteResult(Meta(result.key, result.version, 0, b"", fields, 0), result.created)

    async def delete(self, key: str, *, expect: Expectation = ANY) -> Meta | None:
        meta = await self.head(key)
        if meta is not None:
            await self.client.delete(key, if_match=expect if isinstance(expect, str) else None)
        return meta

    async def close(self) -> None:
        await self.client.close()


def remember(store: "Engine", root: str, metas: Iterable[Meta]) -> Iterator[Meta]:
    """Yield listed documents, whose keys continue `root`; a collection then reads each without another request."""
    for meta in metas:
        if isinstance(store, CollectionEngine):
            store.listed[root + meta.key] = replace(meta, key=root + meta.key)
        yield meta


def meta_of_info(info: "Info", key: str) -> Meta:
    """Return the metadata of a document, under another key if it is one in a folder."""
    fields = Fields.make(info.type, {**info.fields, **{f"meta-{name}": value for name, value in info.meta.items()}})
    expires_ns = None if info.expires is None else _ns(info.expires)
    modified_ns = 0 if info.modified is None else _ns(info.modified)
    return Meta(key, info.version, info.size, info.digest or b"", fields, modified_ns, expires_ns)


def _ns(moment: datetime) -> int:
    return int(moment.timestamp() * 1000) * 10**6
