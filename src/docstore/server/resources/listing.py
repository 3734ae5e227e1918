"""Listings of a collection: the query, the page of its results, and the formats.

Pages continue after a key, not at an offset: a page costs the same at the end as at the beginning, and documents that
are stored or deleted meanwhile neither repeat nor hide others. A new format is a row of LISTING_FORMATS and a renderer.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Final
from urllib.parse import parse_qs, urlencode

from docstore.export.members import Members
from docstore.export.tar import TarMembers
from docstore.export.zip import ZipMembers
from docstore.http.headers import parse_natural
from docstore.http.url import PARAMETERS_LIMIT, encode
from docstore.keys import PATH_LIMIT
from docstore.links import LINK_FORM, LINK_PARAMETER
from docstore.model import Clock, Meta
from docstore.server.errors import HTTPProblem
from docstore.server.mounts import Mount
from docstore.units import format_rfc3339

DEFAULT_LIMIT: Final = 1000
HTML_LIMIT: Final = 100
"""Documents in an HTML page, which browsers render at once; people filter by prefix rather than turn pages."""
MAX_LIMIT: Final = 10_000
HIDDEN_LIMIT: Final = 10_000
"""Names that a page skips because the key rule does not allow them; then it ends, perhaps without a document."""
KEYS_LIMIT: Final = 1000
"""Keys that a download may name."""


@dataclass(frozen=True, slots=True)
class Query:
    """The query parameters of a listing; `limit` is None by default."""

    prefix: str = ""
    delimiter: str | None = None
    """None for the default of the format: `/` in HTML of a mount with `keys=path`."""
    after: str = ""
    limit: int | None = None
    format: str | None = None
    folder: str = ""
    """The folder whose URL was requested, "" for the collection; `prefix` begins with it, but not in the query."""
    keys: tuple[str, ...] = ()
    """The documents and folders of an archive, () for all; they begin with `folder`, but not in the query."""
    link: str = ""
    """The signed link of the request, which the URLs in its response have too."""

    @classmethod
    def parse(cls, query: str, folder: str = "") -> "Query":
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
        prefix = folder + given.get("prefix", "")
        keys = tuple(folder + key for key in given.get("keys", "").replace("\r", "\n").split("\n") if key)
        if len(keys) > KEYS_LIMIT:
            raise HTTPProblem("invalid-query", f"keys has more than {KEYS_LIMIT} keys")
        after, link = given.get("after", ""), given.get(LINK_PARAMETER, "")
        link = link if LINK_FORM.fullmatch(link) else ""
        return cls(prefix, given.get("delimiter"), after, limit, given.get("format"), folder, keys, link)

    def encoded(self) -> str:
        """Return the query string that parses to this, in a URL of the same folder."""
        values: dict[str, object] = {"prefix": self.prefix[len(self.folder) :], "after": self.after}
        values |= {"limit": self.limit, "format": self.format, LINK_PARAMETER: self.link}
        given = {name: value for name, value in values.items() if value}
        return urlencode(given if self.delimiter is None else {**given, "delimiter": self.delimiter})


@dataclass(frozen=True, slots=True)
class ListingPage:
    """Documents and, with a delimiter, folders: the common prefixes of keys that contain a delimiter."""

    documents: list[Meta]
    folders: list[str]
    next: Query | None
    hidden: int = 0
    """The names that the engine holds between these, and that the key rule of the mount does not allow."""
    folder: str = ""
    """`Query.folder`."""


async def read_page(mount: Mount, query: Query, *, html: bool = False) -> ListingPage:
    """Read the page of `query`, and one document more to know whether there is a next page."""
    limit = query.limit or (HTML_LIMIT if html else DEFAULT_LIMIT)
    if query.delimiter and mount.keys == "path":  # plain names have no slash
        return replace(await _read_folders(mount, query, limit), folder=query.folder)
    metas, hidden, rest = await _list(mount, query.prefix, query.after, limit + 1)
    page = metas[:limit]
    if len(metas) > limit:
        rest = page[-1].key
    following = replace(query, after=rest) if rest else None
    shown = [key for key in hidden if following is None or key <= following.after]
    return ListingPage(page, [], following, len(shown), query.folder)


async def count_hidden(mount: Mount) -> int:
    """Return how many of the first names in the engine the mount does not show. Raise an EngineError."""
    if mount.keys == "path":
        return 0  # this rule allows every name that an engine lists
    hidden = [meta.key for meta in await mount.engine.list(limit=DEFAULT_LIMIT) if not mount.allows(meta.key)]
    mount.report_hidden(hidden)
    return len(hidden)


def without_future(page: ListingPage, now_ns: int) -> ListingPage:
    """Show modification times that another clock put into the future as now, as Last-Modified does."""
    if all(meta.modified_ns <= now_ns for meta in page.documents):
        return page
    documents = [replace(meta, modified_ns=min(meta.modified_ns, now_ns)) for meta in page.documents]
    return replace(page, documents=documents)


async def has_documents(mount: Mount, folder: str) -> bool:
    return bool((await _list(mount, folder, "", 1))[0])


async def _list(mount: Mount, prefix: str, after: str, limit: int) -> tuple[list[Meta], list[str], str]:
    """List documents whose keys the mount allows, and the names of others that the engine holds between them.

    The last value is the name after which to continue if these were too many, otherwise "".
    """
    found: list[Meta] = []
    hidden: list[str] = []
    asked = limit
    while True:
        metas = await mount.engine.list(prefix=prefix, after=after, limit=asked)
        for meta in metas:
            if mount.allows(meta.key):
                found.append(meta)
            else:
                hidden.append(meta.key)
        is_end = len(metas) < asked or len(found) >= limit
        if is_end or len(hidden) >= HIDDEN_LIMIT:
            mount.report_hidden(hidden)
            return found[:limit], hidden, "" if is_end else metas[-1].key
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
        metas = (await _list(mount, query.prefix, after, batch))[0]
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


def next_link(mount: Mount, page: ListingPage, root: str) -> str:
    """Return the URL of the next page, "" if there is none."""
    return f"{root}{encode(mount.prefix + page.next.folder)}?{page.next.encoded()}" if page.next else ""


def _render_json(mount: Mount, page: ListingPage, root: str) -> str:
    listing: dict[str, object] = {
        "mount": mount.prefix,
        **({"folder": page.folder} if page.folder else {}),
        "documents": [meta_json(meta) for meta in page.documents],
        "next": next_link(mount, page, root) or None,
    }
    if page.folders:
        listing["folders"] = page.folders
    if page.hidden:
        listing["hidden"] = page.hidden
    return _json_line(listing)


def _render_ndjson(mount: Mount, page: ListingPage, root: str) -> str:
    entries = [(meta.key, meta_json(meta)) for meta in page.documents]
    entries += [(folder, {"folder": folder}) for folder in page.folders]
    return "".join(_json_line(entry) for _, entry in sorted(entries, key=itemgetter(0)))


def _render_text(mount: Mount, page: ListingPage, root: str) -> str:
    return "".join(f"{name}\n" for name in sorted([*(meta.key for meta in page.documents), *page.folders]))


async def stream_lines(mount: Mount, page: ListingPage, render: "Renderer", clock: Clock) -> AsyncIterator[bytes]:
    """Yield the listing from its first `page` on, rendered in lines, with one page in memory."""
    while True:
        yield render(mount, page, "").encode("utf-8")
        if page.next is None:
            break
        page = without_future(await read_page(mount, page.next), clock())


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


Renderer = Callable[[Mount, ListingPage, str], str]
"""Renders a page; the text is the prefix of links, `Request.root`."""


@dataclass(frozen=True, slots=True)
class ListingFormat:
    """A representation of a page; `schema` is its name in the OpenAPI document, "" for none."""

    media_type: str
    render: Renderer | None
    """None for HTML, see `html_listing`, and for archives."""
    schema: str = ""
    in_lines: bool = False
    """Whether pages can be joined, so that a listing without a limit is sent whole."""
    members: Callable[[], Members] | None = None
    """For an archive, which has the documents themselves; see `download`."""


LISTING_FORMATS: Final = {
    "html": ListingFormat("text/html", None),
    "json": ListingFormat("application/json", _render_json, "Listing"),
    "ndjson": ListingFormat("application/x-ndjson", _render_ndjson, in_lines=True),
    "text": ListingFormat("text/plain", _render_text, in_lines=True),
    "zip": ListingFormat("application/zip", None, members=ZipMembers),
    "tar": ListingFormat("application/x-tar", None, members=TarMembers),
}
"""By `?format=`, in the server's order of preference."""
