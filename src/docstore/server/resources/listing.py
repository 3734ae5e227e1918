"""A collection's listing: the query that asks for it, the page that answers it, and its four representations.

Pages go by key (`after`), never by offset: a page costs the same at the end as at the beginning, and documents that
come and go meanwhile neither repeat nor hide others. NDJSON without `limit` is the whole collection, a page at a time.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Final
from urllib.parse import parse_qs, urlencode

from docstore.http.headers import parse_natural
from docstore.http.url import encode
from docstore.keys import PATH_LIMIT
from docstore.model import Meta
from docstore.server import pages
from docstore.server.errors import Refusal
from docstore.server.mounts import Mount
from docstore.units import format_rfc3339

DEFAULT_LIMIT: Final = 1000
HTML_LIMIT: Final = 100
"""Documents in a page for people, who have one painted at once and go on by prefix sooner than by page."""
MAX_LIMIT: Final = 10_000
PARAMETERS_LIMIT: Final = 100

FORMATS: Final = {
    "html": "text/html",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "text": "text/plain",
}
"""`?format=` and the media type it stands for, in the order in which a tie is broken."""


@dataclass(frozen=True, slots=True)
class Query:
    """What a listing was asked for; `limit` is None when nothing was said of it."""

    prefix: str = ""
    after: str = ""
    limit: int | None = None
    delimiter: str = ""
    format: str | None = None

    @classmethod
    def parse(cls, query: str) -> "Query":
        """Raises Refusal naming the parameter. Parameters that nobody knows are ignored."""
        if query.count("&") >= PARAMETERS_LIMIT:
            raise Refusal("invalid-query", f"it has more than {PARAMETERS_LIMIT} parameters")
        try:
            # What came unencoded stands for the bytes on the wire, as in a path.
            text = query.encode("latin-1").decode("utf-8")
            values = parse_qs(text, keep_blank_values=True, errors="strict")
        except ValueError:
            raise Refusal("invalid-query", "it is not UTF-8") from None
        given = {name: texts[0] for name, texts in values.items()}
        limit = None
        if "limit" in given:
            limit = parse_natural(given["limit"], MAX_LIMIT)
            if not limit:
                raise Refusal("invalid-query", f"limit is a number from 1 to {MAX_LIMIT}")
        if given.get("delimiter", "") not in ("", "/"):
            raise Refusal("invalid-query", "delimiter is / or nothing")
        if given.get("format", "html") not in FORMATS:
            raise Refusal("invalid-query", f"format is one of {', '.join(FORMATS)}")
        return cls(
            given.get("prefix", ""), given.get("after", ""), limit, given.get("delimiter", ""), given.get("format")
        )

    def following(self, after: str) -> "Query":
        return replace(self, after=after)

    def encoded(self) -> str:
        """The query string that parses to this."""
        given = {
            "prefix": self.prefix,
            "delimiter": self.delimiter,
            "after": self.after,
            "limit": self.limit or "",
            "format": self.format or "",
        }
        return urlencode({name: value for name, value in given.items() if value != ""})


@dataclass(frozen=True, slots=True)
class Page:
    """Documents and, with a delimiter, folders: what keys that go on behind the delimiter have in common."""

    documents: list[Meta]
    folders: list[str]
    next: Query | None


async def read_page(mount: Mount, query: Query, *, html: bool = False) -> Page:
    """The page that `query` asks for; one document more is read to know whether there is a next."""
    limit = query.limit or (HTML_LIMIT if html else DEFAULT_LIMIT)
    if query.delimiter:
        return await _read_folders(mount, query, limit)
    metas = await _list(mount, query.prefix, query.after, limit + 1)
    page = metas[:limit]
    return Page(page, [], query.following(page[-1].key) if len(metas) > limit else None)


async def _list(mount: Mount, prefix: str, after: str, limit: int) -> list[Meta]:
    """As the engine's, without what has no address here: a person may put a file of any name into a folder."""
    found: list[Meta] = []
    asked = limit
    while True:
        metas = await mount.engine.list(prefix=prefix, after=after, limit=asked)
        found += [meta for meta in metas if mount.allows(meta.key)]
        if len(metas) < asked or len(found) >= limit:
            return found[:limit]
        after, asked = metas[-1].key, max(limit, DEFAULT_LIMIT)


async def _read_folders(mount: Mount, query: Query, limit: int) -> Page:
    """As `read_page`, skipping over what lies in a folder: a folder costs a look-up, whatever it holds."""
    documents: list[Meta] = []
    folders: list[str] = []
    # Only a folder of this very listing is left behind: any other name that ends with a slash lies in one.
    within = query.after.removeprefix(query.prefix) if query.after.startswith(query.prefix) else ""
    after = _behind(query.after) if within.find("/") == len(within) - 1 > -1 else query.after
    last, batch = query.after, _FOLDER_BATCH
    while True:
        await asyncio.sleep(0)  # an engine may never wait, and there may be thousands of folders
        metas = await _list(mount, query.prefix, after, batch)
        for meta in metas:
            entry, slash, _ = meta.key[len(query.prefix) :].partition("/")
            name = query.prefix + entry + slash
            if len(documents) + len(folders) == limit:
                return Page(documents, folders, query.following(last))
            if slash:
                folders.append(name)
            else:
                documents.append(meta)
            last, after = name, _behind(name)
            if slash:
                batch = 2
                break
        else:
            if len(metas) < batch:
                return Page(documents, folders, None)
            batch = min(4 * batch, _FOLDER_BATCH)


_FOLDER_BATCH: Final = 100
_LAST_CHARACTER: Final = "\U0010ffff"


def _behind(name: str) -> str:
    """What to list after, to leave a folder: no valid key is as long as this. A key never ends with a slash."""
    return name + _LAST_CHARACTER * (PATH_LIMIT // 4) if name.endswith("/") else name


def link_next(mount: Mount, page: Page) -> str:
    """The address of the next page, "" when there is none."""
    return f"{encode(mount.prefix)}?{page.next.encoded()}" if page.next else ""


def render_html(mount: Mount, query: Query, page: Page, *, now_ns: int, nonce: str) -> str:
    """The page for people: a list of links, which a script with this nonce makes more of."""
    skipped = len(query.prefix) - len(query.prefix.rpartition("/")[2]) if query.delimiter else 0
    documents = [(encode(mount.prefix + meta.key), meta.key[skipped:], meta) for meta in page.documents]
    folders = [(_folder_link(folder), folder[skipped:]) for folder in page.folders]
    crumbs: list[tuple[str, str]] = []
    for name in query.prefix[:skipped].split("/")[:-1]:
        folder = query.prefix[: sum(len(crumb) for _, crumb in crumbs) + len(name) + 1]
        crumbs.append((_folder_link(folder), f"{name}/"))
    place = pages.Place(mount.prefix, mount.keys, query.prefix, query.after, query.delimiter, crumbs)
    return pages.collection(place, documents, folders, link_next(mount, page), now_ns=now_ns, nonce=nonce)


def _folder_link(folder: str) -> str:
    return f"?{urlencode({'prefix': folder, 'delimiter': '/'})}"


def render(mount: Mount, page: Page, format: str) -> str:
    """The page as json, ndjson or text."""
    if format == "text":
        return "".join(f"{name}\n" for name in sorted([*(meta.key for meta in page.documents), *page.folders]))
    if format == "ndjson":
        entries = [(meta.key, describe(meta)) for meta in page.documents]
        entries += [(folder, {"folder": folder}) for folder in page.folders]
        return "".join(_line(entry) for _, entry in sorted(entries, key=itemgetter(0)))
    listing: dict[str, object] = {
        "mount": mount.prefix,
        "documents": [describe(meta) for meta in page.documents],
        "next": link_next(mount, page) or None,
    }
    if page.folders:
        listing["folders"] = page.folders
    return _line(listing)


async def stream_ndjson(mount: Mount, query: Query) -> AsyncIterator[bytes]:
    """The whole collection from `query.after` on, a document a line, in the memory of one page."""
    page_query: Query | None = query
    while page_query is not None:
        page = await read_page(mount, page_query)
        yield render(mount, page, "ndjson").encode("utf-8")
        page_query = page.next


def describe(meta: Meta) -> dict[str, object]:
    """A document's meta as the JSON of listings has it."""
    described: dict[str, object] = {
        "key": meta.key,
        "version": meta.version,
        "size": meta.size,
        "sha256": meta.digest.hex(),
        "media_type": meta.fields.media_type,
        "modified": format_rfc3339(meta.modified_ns),
    }
    if meta.fields.others:
        described["fields"] = dict(meta.fields.others)
    if meta.expires_ns is not None:
        described["expires"] = format_rfc3339(meta.expires_ns)
    return described


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"
