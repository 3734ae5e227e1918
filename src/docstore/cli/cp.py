"""`docstore cp`: copy documents between any two addresses, with all their metadata.

A copy has the same version and the same ETag as the original, which is verified after each write. It runs on the engine
of `docstore copy`, to which a collection looks like a store of documents. `docstore copy` does more between two
engines: it keeps modification times, which no client can set.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import click

from docstore.cli.addresses import Address
from docstore.cli.errors import EXIT_FAILED, EXIT_OK, CommandError, exits
from docstore.cli.options import ADDRESS, Access, access_options
from docstore.cli.progress import Bar
from docstore.cli.put import SMALL_SIZE
from docstore.cli.summary import Summary
from docstore.content import Stream, read_all
from docstore.engines.contract import PutRequest
from docstore.errors import Conflict, DocstoreError, NotFound, SetupError
from docstore.export.copy import StepOutcome, copy_document, copy_documents
from docstore.model import Document, Fields, Meta, WriteResult

if TYPE_CHECKING:
    from docstore import AsyncClient, Info, PutOptions


@click.command(
    epilog="""\b
Examples:
  docstore cp docs/greeting file/greeting
  docstore cp -r docs/ sqlite:backup.db"""
)
@click.argument("source", type=ADDRESS, metavar="FROM")
@click.argument("target", type=ADDRESS, metavar="TO")
@click.option("-r", "--recursive", is_flag=True, help="All documents whose keys begin with FROM.")
@access_options
@exits
def cp(source: Address, target: Address, recursive: bool, access: Access) -> int:
    """Copy documents between any two addresses: servers, engines, or both.

    Content, type, fields, ETag and the remaining TTL are kept. If TO ends with a slash, the name is kept. Documents
    that TO already has in the same version are skipped, so an interrupted copy can be run again.
    """
    if recursive and not target.is_collection:
        raise SetupError(f"{target} is a document; with -r TO must be a collection, which ends with a slash")
    if not recursive and target.is_collection:
        target = target.child(source.name)
    find = access.find_prefix if recursive else access.find_document
    (source_url, key), (target_url, new_key) = find(source), find(target)
    cut = key.rfind("/") + 1 if recursive else len(key)

    async def run(bar: Bar) -> int:
        async with access.async_client(source_url) as docs, access.async_client(target_url, writes=True) as others:
            reader, writer = _CollectionEngine(docs), _CollectionEngine(others, cut, new_key)
            if recursive:
                summary = Summary(bar)
                await summary.count_steps(copy_documents(reader, writer, prefix=key, on_bytes=bar.advance))
                return summary.status
            info = await docs.info(key)
            bar.set_total(info.size)
            reader.listed[key] = _meta_of(info)
            step = await copy_document(reader, writer, reader.listed[key], bar.advance)
            if isinstance(step.why, DocstoreError):
                raise step.why
            if step.outcome is StepOutcome.EXPIRED:
                raise NotFound(f"{key!r} has just expired")
            if step.outcome is StepOutcome.BROKEN:
                raise CommandError(EXIT_FAILED, f"{key!r}: {step.why}")
            return EXIT_OK

    with access.progress("cp") as bar:
        return asyncio.run(run(bar))


@dataclass(slots=True)
class _CollectionEngine:
    """A collection as the source or target of a copy. In a target, `prefix` replaces `cut` characters of each key."""

    client: "AsyncClient"
    cut: int = 0
    prefix: str = ""
    listed: dict[str, Meta] = field(default_factory=dict)
    """What the last page says about documents that were not read since, which saves a request for each."""

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        page = await self.client.list(prefix=prefix, after=after, limit=limit)
        self.listed = {info.key: _meta_of(info) for info in page.documents}
        return [*self.listed.values()]

    async def head(self, key: str) -> Meta | None:
        try:
            return _meta_of(await self.client.info(self.prefix + key[self.cut :]))
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
        content = await read_all(upload) if (upload.size or 0) < SMALL_SIZE else aiter(upload)
        result = await self.client.put(self.prefix + request.key[self.cut :], content, **options)
        return WriteResult(Meta(result.key, result.version, 0, b"", fields, 0), result.created)


def _meta_of(info: "Info") -> Meta:
    fields = Fields.make(info.type, {**info.fields, **{f"meta-{name}": value for name, value in info.meta.items()}})
    expires_ns = None if info.expires is None else _ns(info.expires)
    return Meta(info.key, info.version, info.size, info.digest or b"", fields, 0, expires_ns)


def _ns(moment: datetime) -> int:
    return int(moment.timestamp() * 1000) * 10**6
