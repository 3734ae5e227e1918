"""The operations on the whole collection, and the stored fields of a document, which only a listing has.

The Cache-Control of a response is for caches: that of the mount if none is stored, and cut to the remaining TTL. What
is written back must be what is stored, or the version would change. The version shows whether the two are the same.
"""

import json
import math
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from docstore.client.errors import error_for
from docstore.client.operations import Operations
from docstore.client.options import PutOptions
from docstore.client.results import Info, Page, info_from_listing
from docstore.client.retry import RetryState, read_content, send_with_retries
from docstore.client.transport import ClientRequest, ClientResponse, ResponseStream
from docstore.errors import EngineError, NotFound
from docstore.model import Fields, version_of

LARGEST_PAGE: Final = 10_000
"""Documents of the largest page of a store."""

LISTING_SIZE_LIMIT: Final = 256 * 1024 * 1024
"""Bytes of a page of a listing. The largest page with the longest keys and fields has about half of that."""


async def get_page(
    operations: Operations,
    /,
    *,
    prefix: str = "",
    after: str = "",
    limit: int | None = None,
    delimiter: str = "",
) -> Page:
    """The first documents, in key order, whose keys start with `prefix` and come after `after`.

    At most `limit` of them, from 1 to 10,000; 1,000 by default. With the delimiter `/` the documents of a folder are
    one entry of `folders`. Raise RequestError for a query that the store does not accept, and NotFound if the URL is
    that of a folder: its listing has the keys of the collection, which are not the keys below that URL.
    """
    query = {"format": "json", "prefix": prefix, "after": after, "limit": limit, "delimiter": delimiter}
    text = urlencode({name: value for name, value in query.items() if value not in ("", None)})
    request = ClientRequest("GET", f"{operations.address.path}?{text}", operations.headers)
    state, call = RetryState(operations.policy), "GET of the collection"

    async def receive(response: ResponseStream) -> bytes:
        if response.status != 200:
            return await read_content(response, operations.policy)
        if not response.headers.get("content-type", "").startswith("application/json"):
            await response.close()
            raise EngineError(f"{operations.address.shown} is not a collection of Docstore")
        return await read_content(response, None, LISTING_SIZE_LIMIT)

    response, content, _ = await send_with_retries(operations.transport, request, state, call, receive)
    if response.status != 200:
        raise error_for(ClientResponse(response.status, response.headers, content), call)
    try:
        listing = json.loads(content)
        page, folder = _parse_page(listing), listing.get("folder")
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
        raise EngineError(f"{operations.address.shown} is not a collection of Docstore") from None
    if folder:
        raise NotFound(f"{operations.address.shown} is the folder {folder!r} of a collection, whose URL is needed")
    return page


def _parse_page(listing: Any) -> Page:
    after = listing["next"] and parse_qs(urlsplit(listing["next"]).query)["after"][0]
    documents = tuple(info_from_listing(entry) for entry in listing["documents"])
    return Page(documents, tuple(map(str, listing.get("folders", ()))), after, int(listing.get("hidden", 0)))


async def pages(operations: Operations, prefix: str, after: str, limit: int | None) -> AsyncGenerator[Page, None]:
    """Every page of the listing, in order. Raise EngineError if a page does not advance."""
    following: str | None = after
    while following is not None:
        shown = await get_page(operations, prefix=prefix, after=following, limit=limit)
        yield shown
        if shown.after is not None and shown.after <= following:
            raise EngineError(f"{operations.address.shown}: the next page of the listing does not advance")
        following = shown.after


async def documents(operations: Operations, prefix: str = "", /, *, after: str = "") -> AsyncGenerator[Info, None]:
    """The info of every document whose key starts with `prefix` and comes after `after`, in key order, page by page."""
    async for shown in pages(operations, prefix, after, None):
        for info in shown.documents:
            yield info


async def keys(operations: Operations, prefix: str = "", /) -> AsyncGenerator[str, None]:
    """Every key that starts with `prefix`, in order, page by page."""
    async for info in documents(operations, prefix):
        yield info.key


async def info(operations: Operations, key: str, /) -> Info:
    """A document's metadata. Raise NotFound."""
    return await stored_info(operations, await operations.head_info(key))


async def stored_info(operations: Operations, answered: Info, /) -> Info:
    """The info of a response with the fields as they are stored, or that of a newer version.

    It is `answered` itself if the document has been removed.
    """
    headers = {**answered.fields, **{f"meta-{name}": value for name, value in answered.meta.items()}}
    fields = Fields.make(answered.type, headers)
    if answered.digest is not None and version_of(answered.digest, fields) == answered.version:
        return answered
    first = (await get_page(operations, prefix=answered.key, limit=1)).documents
    return first[0] if first and first[0].key == answered.key else answered


def stored_options(info: Info) -> PutOptions:
    """The options that store a document's type, fields, meta and remaining TTL again."""
    options: PutOptions = {"type": info.type, "fields": info.fields, "meta": info.meta}
    if info.expires is not None:
        # TTLs are whole seconds; the remaining time is rounded up so that a copy never expires early.
        options["ttl"] = max(1, math.ceil((info.expires - datetime.now(UTC)).total_seconds()))
    return options


async def count(operations: Operations, prefix: str = "", /) -> int:
    """The number of documents whose keys start with `prefix`. It lists all of them."""
    return sum([len(shown.documents) async for shown in pages(operations, prefix, "", LARGEST_PAGE)])
