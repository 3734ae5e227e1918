"""Listings of a collection: the query, the page of its results, and the formats.

Pages continue after a key, not at an offset: a page costs the same at the end as at the beginning, and documents that
are stored or deleted meanwhile neither repeat nor hide others. A new format is a row of LISTING_FORMATS and a renderer.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from operator import itemgetter
from typing import Final
from urllib.parse import parse_qs, urlencode

from docstore.http.headers import parse_natural
from docstore.http.url import PARAMETERS_LIMIT, encode
from docstore.keys import PATH_LIMIT
from docstore.model import Meta
from docstore.server import pages
from docstore.server.errors import HTTPProblem
from docstore.server.mounts import Mount
from docstore.units import format_rfc3339

DEFAULT_LIMIT: Final = 1000
HTML_LIMIT: Final = 100
"""Documents in an HTML page, which browsers render at once; people filter by prefix rather than turn pages."""
MAX_LIMIT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Query:
    """The query parameters of a listing; `limit` is None by default."""

    prefix: str = ""
    delimiter: str = ""
    after: str = ""
    limit: int | None = None
    format: str | None = None

    @classmethod
    def parse(cls, query: str) -> "Query":
        """Raise HTTPProblem naming the parameter. Unknown parameters are ignored."""
        if query.count("&") >= PARAMETERS_LIMIT:
            raise HTTPProblem("invalid-query", f"more than {PARAMETERS_LIMIT} parameters")
        try:
            # Characters that are not percent-encoded stand for the bytes received, as in a path.
            text = query.encode("latin-1").decode("utf-8")
            values = parse_qs(text, keep_blank_values=True, errors="strict")
        except ValueError:
            raise HTTPProblem("invalid-query", "not UTF-8") from None
        given = {name: texts[0] for name, texts in values.items()}
        limit = None
        if "limit" in given:
            limit = parse_natural(given["limit"], MAX_LIMIT)
            if not limit:
                raise HTTPProblem("invalid-query", f"limit must be a number from 1 to {MAX_LIMIT}")
        if given.get("delimiter", "") not in ("", "/"):
            raise HTTPProblem("invalid-query", "delimiter must be / or empty")
        if given.get("format", "html") not in LISTING_FORMATS:
            raise HTTPProblem("invalid-query", f"format must be one of {', '.join(LISTING_FORMATS)}")
        prefix, delimiter, after = (given.get(name, "") for name in ("prefix", "delimiter", "after"))
        return cls(prefix, delimiter, after, limit, given.get("format"))

    def encoded(self) -> str:
        """Return the query string that parses to this."""
        return urlencode({name: value for name, value in asdict(self).items() if value})


@dataclass(frozen=True, slots=True)
class ListingPage:
    """Documents and, with a delimiter, folders: the common prefixes of keys that contain a delimiter."""

    documents: list[Meta]
    folders: list[str]
    next: Query | None


async def read_page(mount: Mount, query: Query, *, html: bool = False) -> ListingPage:
    """Read the page of `query`, and one document more to know whether there is a next page."""
    limit = query.limit or (HTML_LIMIT if html else DEFAULT_LIMIT)
    if query.delimiter:
        return await _read_folders(mount, query, limit)
    metas = await _list(mount, query.prefix, query.after, limit + 1)
    page = metas[:limit]
    return ListingPage(page, [], replace(query, after=page[-1].key) if len(metas) > limit else None)


async def _list(mount: Mount, prefix: str, after: str, limit: int) -> list[Meta]:
    """List documents whose keys the mount allows: a folder of the file engine may contain files of any name."""
    found: list[Meta] = []
    asked = limit
    while True:
        metas = await mount.engine.list(prefix=prefix, after=after, limit=asked)
        found += [meta for meta in metas if mount.allows(meta.key)]
        if len(metas) < asked or len(found) >= limit:
            return found[:limit]
        after, asked = metas[-1].key, max(limit, DEFAULT_LIMIT)


async def _read_folders(mount: Mount, query: Query, limit: int) -> ListingPage:
    """As `read_page`, skipping the contents of folders: each costs one look-up, whatever its size."""
    documents: list[Meta] = []
    folders: list[str] = []
    # Skip a folder only if it belongs to this listing: any other name that ends with a slash lies in a folder.
    within = query.after.removeprefix(query.prefix) if query.after.startswith(query.prefix) else ""
    after = _past(query.after) if within.find("/") == len(within) - 1 > -1 else query.after
    last, batch = query.after, _FOLDER_BATCH
    while True:
        await asyncio.sleep(0)  # an engine may never yield, and there may be thousands of folders
        metas = await _list(mount, query.prefix, after, batch)
        for meta in metas:
            entry, slash, _ = meta.key[len(query.prefix) :].partition("/")
            name = query.prefix + entry + slash
            if len(documents) + len(folders) == limit:
                return ListingPage(documents, folders, replace(query, after=last))
            if slash:
                folders.append(name)
            else:
                documents.append(meta)
            last, after = name, _past(name)
            if slash:
                batch = 2
                break
        else:
            if len(metas) < batch:
                return ListingPage(documents, folders, None)
            batch = min(4 * batch, _FOLDER_BATCH)


_FOLDER_BATCH: Final = 100
_LAST_CHARACTER: Final = "\U0010ffff"


def _past(name: str) -> str:
    """Return a text after all keys in the folder `name`; names without a final slash are returned unchanged."""
    return name + _LAST_CHARACTER * (PATH_LIMIT // 4) if name.endswith("/") else name


def next_link(mount: Mount, page: ListingPage) -> str:
    """Return the URL of the next page, "" if there is none."""
    return f"{encode(mount.prefix)}?{page.next.encoded()}" if page.next else ""


def render_html(mount: Mount, query: Query, page: ListingPage, *, now_ns: int, nonce: str) -> str:
    """Render the HTML page: a list of links, which the script with this nonce enhances."""
    skipped = len(query.prefix) - len(query.prefix.rpartition("/")[2]) if query.delimiter else 0
    documents = [(encode(mount.prefix + meta.key), meta.key[skipped:], meta) for meta in page.documents]
    folders = [(_folder_link(folder), folder[skipped:]) for folder in page.folders]
    ends = [index + 1 for index in range(skipped) if query.prefix[index] == "/"]
    crumbs = [(_folder_link(query.prefix[:end]), query.prefix[start:end]) for start, end in pairwise([0, *ends])]
    return pages.render(
        "collection.html",
        mount=mount,
        query=query,
        crumbs=crumbs,
        documents=documents,
        folders=folders,
        next_link=next_link(mount, page),
        now_ns=now_ns,
        nonce=nonce,
    )


def _folder_link(folder: str) -> str:
    return f"?{urlencode({'prefix': folder, 'delimiter': '/'})}"


def _render_json(mount: Mount, page: ListingPage) -> str:
    listing: dict[str, object] = {
        "mount": mount.prefix,
        "documents": [meta_json(meta) for meta in page.documents],
        "next": next_link(mount, page) or None,
    }
    if page.folders:
        listing["folders"] = page.folders
    return _json_line(listing)


def _render_ndjson(mount: Mount, page: ListingPage) -> str:
    entries = [(meta.key, meta_json(meta)) for meta in page.documents]
    entries += [(folder, {"folder": folder}) for folder in page.folders]
    return "".join(_json_line(entry) for _, entry in sorted(entries, key=itemgetter(0)))


def _render_text(mount: Mount, page: ListingPage) -> str:
    return "".join(f"{name}\n" for name in sorted([*(meta.key for meta in page.documents), *page.folders]))


async def stream_ndjson(mount: Mount, query: Query) -> AsyncIterator[bytes]:
    """Yield the whole collection after `query.after`, one document per line, with one page in memory."""
    page_query: Query | None = query
    while page_query is not None:
        page = await read_page(mount, page_query)
        yield _render_ndjson(mount, page).encode("utf-8")
        page_query = page.next


def meta_json(meta: Meta) -> dict[str, object]:
    """Return the JSON of a document's metadata."""
    members: dict[str, object] = {
        "key": meta.key,
        "version": meta.version,
        "size": meta.size,
        "sha256": meta.digest.hex(),
        "media_type": meta.fields.media_type,
        "modified": format_rfc3339(meta.modified_ns),
    }
    if meta.fields.others:
        members["fields"] = dict(meta.fields.others)
    if meta.expires_ns is not None:
        members["expires"] = format_rfc3339(meta.expires_ns)
    return members


def _json_line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"


@dataclass(frozen=True, slots=True)
class ListingFormat:
    """A representation of a page; `schema` is its name in the OpenAPI document, "" for none."""

    media_type: str
    render: Callable[[Mount, ListingPage], str] | None
    """None for HTML: `render_html` needs more than the page."""
    schema: str = ""


LISTING_FORMATS: Final = {
    "html": ListingFormat("text/html", None),
    "json": ListingFormat("application/json", _render_json, "Listing"),
    "ndjson": ListingFormat("application/x-ndjson", _render_ndjson),
    "text": ListingFormat("text/plain", _render_text),
}
"""By `?format=`, in the server's order of preference."""
