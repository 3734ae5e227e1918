"""The collection as a whole: its pages, its documents one after the other, their number; and what it alone tells of a
document.

An answer's Cache-Control is for caches: `no-cache` where none is stored, and cut to what is left of a life. What is
written back must be what is stored, or the version would change. Whether an answer told just that, its version says.
"""

import json
from collections.abc import AsyncGenerator
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from docstore.client.errors import error_of
from docstore.client.operations import Operations
from docstore.client.results import Info, Page, listed
from docstore.client.retry import exchange
from docstore.client.transport import Call
from docstore.errors import EngineError
from docstore.model import Fields, version_of

LARGE_PAGE: Final = 10_000
"""Documents of the largest page that a store gives."""


async def page(
    operations: Operations,
    /,
    *,
    prefix: str = "",
    after: str = "",
    limit: int | None = None,
    delimiter: str = "",
) -> Page:
    """The first documents, in key order, whose keys start with `prefix` and come after `after`.

    At most `limit` of them, from 1 to 10,000; 1,000 when it is not given. With the delimiter `/` what lies in a folder
    is one entry of `folders`. Raises RequestError for a query that the store does not take.
    """
    asked = {"format": "json", "prefix": prefix, "after": after, "limit": limit, "delimiter": delimiter}
    query = urlencode({name: value for name, value in asked.items() if value not in ("", None)})
    target = f"{operations.address.path}?{query}"
    call = Call("GET", target, operations.headers)
    answer = await exchange(operations.wire, call, operations.patience, "GET of the collection")
    if answer.status != 200:
        raise error_of(answer, "GET of the collection")
    try:
        return _page(json.loads(answer.content))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise EngineError(f"what is at {operations.address.shown} is not a collection of Docstore") from None


def _page(listing: Any) -> Page:
    following = listing["next"] and parse_qs(urlsplit(listing["next"]).query)["after"][0]
    documents = tuple(listed(entry) for entry in listing["documents"])
    return Page(documents, tuple(map(str, listing.get("folders", ()))), following)


async def documents(operations: Operations, prefix: str = "", /, *, after: str = "") -> AsyncGenerator[Info, None]:
    """The info of every document whose key starts with `prefix` and comes after `after`, in key order, by pages."""
    following: str | None = after
    while following is not None:
        shown = await page(operations, prefix=prefix, after=following)
        for info in shown.documents:
            yield info
        following = shown.after


async def keys(operations: Operations, prefix: str = "", /) -> AsyncGenerator[str, None]:
    """Every key that starts with `prefix`, in order, by pages."""
    async for info in documents(operations, prefix):
        yield info.key


async def info(operations: Operations, key: str, /) -> Info:
    """All that the store tells of a document but its content. Raises NotFound."""
    return await stored(operations, await operations.info(key))


async def stored(operations: Operations, told: Info, /) -> Info:
    """What an answer `told`, with the fields as they are stored; what is there now if that is another version.

    It is what was told when the document is gone meanwhile.
    """
    others = {**told.fields, **{f"meta-{name}": value for name, value in told.meta.items()}}
    if told.digest is not None and version_of(told.digest, Fields.make(told.type, others)) == told.version:
        return told
    first = (await page(operations, prefix=told.key, limit=1)).documents
    return first[0] if first and first[0].key == told.key else told


async def count(operations: Operations, prefix: str = "", /) -> int:
    """The number of documents whose keys start with `prefix`: all of them are listed for it."""
    counted, following = 0, ""
    while True:
        shown = await page(operations, prefix=prefix, after=following, limit=LARGE_PAGE)
        counted += len(shown.documents)
        if shown.after is None:
            return counted
        following = shown.after


async def empty(operations: Operations, /) -> bool:
    """Whether there is no document."""
    return not (await page(operations, limit=1)).documents
