"""Downloads: the documents of a listing as one zip or tar, streamed in constant memory.

Each document is exported in one complete version, and verified while it is sent; documents that are stored or deleted
meanwhile may be missing. After an error the server breaks off the response, so the client sees that it is incomplete,
and the archive has no end.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import replace
from urllib.parse import quote

from docstore.content import CHUNK_SIZE
from docstore.export.copy import VerifiedUpload, ignore_bytes
from docstore.export.members import Members, member_name
from docstore.http.message import HeaderPairs, StreamedContent
from docstore.keys import PATH_LIMIT
from docstore.model import Meta
from docstore.server.errors import HTTPProblem
from docstore.server.mounts import Mount
from docstore.server.resources.listing import ListingPage, Query, read_page


async def read_archive_content(mount: Mount, query: Query, new: Callable[[], Members]) -> StreamedContent:
    """Return the archive of all documents that `query` names. Raise HTTPProblem and EngineErrors.

    Names in the archive are relative to the folder of the query.
    """
    if query.keys:
        selected = _without_duplicates(query.keys)
        for key in selected:
            if not await _exists(mount, key):
                raise HTTPProblem("not-found", f"no key {key[:PATH_LIMIT]!r}")
        return StreamedContent(_in_blocks(_archive(mount, _list_selected(mount, selected), query.folder, new)))
    page = await read_page(mount, query)
    _check_readable(mount, query.prefix)
    return StreamedContent(_in_blocks(_archive(mount, _list_from(mount, page), query.folder, new)))


def _without_duplicates(keys: tuple[str, ...]) -> list[str]:
    """Sort the keys, without those in a folder among them."""
    kept: list[str] = []
    for key in sorted(set(keys)):
        if not (kept and kept[-1].endswith("/") and key.startswith(kept[-1])):
            kept.append(key)
    return kept


async def _exists(mount: Mount, key: str) -> bool:
    if key.endswith("/"):
        _check_readable(mount, key)
        return bool((await read_page(mount, Query(key, limit=1))).documents)
    return mount.allows(key) and await mount.engine.head(key) is not None


def _check_readable(mount: Mount, prefix: str) -> None:
    """Raise HTTPProblem before the response begins, if the client may list a document there and not read it."""
    if mount.rights is not None and (listed := mount.rights.listed_prefix(prefix)) is not None:
        mount.rights.require_read(listed)


async def _list_selected(mount: Mount, keys: list[str]) -> AsyncIterator[Meta]:
    for key in keys:
        if key.endswith("/"):
            async for meta in _list_from(mount, await read_page(mount, Query(key))):
                yield meta
        elif (selected := await mount.engine.head(key)) is not None:
            yield selected


async def _list_from(mount: Mount, page: ListingPage) -> AsyncIterator[Meta]:
    """Yield the documents of `page` and of the pages after it."""
    while True:
        for meta in page.documents:
            yield meta
        if page.next is None:
            return
        page = await read_page(mount, page.next)


async def _archive(
    mount: Mount, metas: AsyncIterator[Meta], folder: str, new: Callable[[], Members]
) -> AsyncIterator[bytes]:
    with closing(new()) as members:
        async for meta in metas:
            document = await mount.engine.get(meta.key)
            if document is None:
                continue  # deleted or expired since it was listed
            yield members.begin(document.meta, member_name(meta.key[len(folder) :]))
            async for chunk in VerifiedUpload(document.content, document.meta, ignore_bytes):
                members.add(chunk)
                yield chunk
            yield members.finish()
        for chunk in members.end():
            yield chunk


async def _in_blocks(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Join small chunks: a small document has three of them, and each that is sent costs a system call."""
    block = bytearray()
    async for chunk in chunks:
        if len(chunk) + len(block) <= CHUNK_SIZE:
            block += chunk
            continue
        yield bytes(block)
        yield chunk
        block.clear()
        await asyncio.sleep(0)  # an engine may never yield
    yield bytes(block)


def archive_headers(mount: Mount, query: Query, ending: str) -> HeaderPairs:
    """Return the Content-Disposition, which names the file as the folder or the mount (RFC 6266)."""
    name = f"{(query.folder or mount.name).rstrip('/').rpartition('/')[2]}.{ending}".replace("\\", "_")
    ascii_name = "".join(char if char.isascii() and char not in '"%' else "_" for char in name)
    value = f'attachment; filename="{ascii_name}"'
    if ascii_name != name:
        value += f"; filename*=UTF-8''{quote(name, safe='')}"
    return [(b"content-disposition", value.encode("ascii"))]


def archive_query(query: Query) -> Query:
    """Return the query of the first page of documents to archive. Raise HTTPProblem."""
    if query.limit is not None or query.after:
        raise HTTPProblem("invalid-query", f"format={query.format} has all documents: omit limit and after")
    if query.keys and query.prefix != query.folder:
        raise HTTPProblem("invalid-query", "either keys or prefix")
    return replace(query, delimiter="", format=None)
