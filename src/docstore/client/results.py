"""The results of the client: frozen values, made from the headers of a response and from the JSON of a listing.

Content is bytes: `docs.get("a")` equals the content, as a mapping requires, and has an attribute `info`. A pair of
content and info was rejected: `get` would return one thing as a mapping and another here.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from docstore.errors import EngineError, NotJSON
from docstore.http import structured
from docstore.http.dates import parse_http_date
from docstore.http.headers import parse_natural
from docstore.http.stored_headers import STORED_HEADERS
from docstore.model import DEFAULT_MEDIA_TYPE

_SIZE_LIMIT: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Info:
    """A document's metadata. Times are in UTC, with their time zone."""

    key: str
    version: str
    """Opaque name of this state; in quotes it is the `etag`. `if_match` and `if_none_match` accept both."""
    size: int
    """Bytes of the whole content."""
    type: str = DEFAULT_MEDIA_TYPE
    modified: datetime | None = None
    """In whole seconds, as Last-Modified; in milliseconds from a listing."""
    expires: datetime | None = None
    """None for a document without a TTL. Rounded down as `modified` is."""
    fields: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The other stored header fields, names in lower case. With content, Cache-Control is that of the response: cut to
    the remaining TTL, missing if it is `no-cache`, and that of the mount if none is stored."""
    meta: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The user's own fields: `author` was sent as Meta-Author. Names are in lower case."""
    digest: bytes | None = None
    """SHA-256 of the whole content, if the response contained it."""

    @property
    def etag(self) -> str:
        return f'"{self.version}"'


class StoredContent(bytes):
    """The content of one version of a document, or a part of it, with its `info`."""

    info: Info

    def __new__(cls, content: bytes, info: Info) -> "StoredContent":
        stored = super().__new__(cls, content)
        stored.__dict__["info"] = info
        return stored

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"cannot set {name}: content is immutable")

    def __reduce__(self) -> tuple[Any, ...]:
        return StoredContent, (bytes(self), self.info)

    @property
    def content(self) -> bytes:
        return self

    @property
    def text(self) -> str:
        """The content as UTF-8. Raise UnicodeDecodeError."""
        return self.decode("utf-8")

    def json(self) -> Any:
        """The content as JSON. Raise NotJSON."""
        try:
            return json.loads(self)
        except (ValueError, RecursionError) as error:
            raise NotJSON(f"{self.info.key[:100]!r} is not JSON: {error}") from error


@dataclass(frozen=True, slots=True)
class NotModified:
    """The document still has the version in `if_none_match`; its content was not sent."""

    version: str


@dataclass(frozen=True, slots=True)
class PutResult:
    """The result of a write."""

    key: str
    version: str
    created: bool
    """Whether the document was absent before; if a response was lost, before the last attempt."""

    @property
    def etag(self) -> str:
        return f'"{self.version}"'


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a listing, in bytewise order of the keys."""

    documents: tuple[Info, ...]
    folders: tuple[str, ...] = ()
    """With a delimiter: the common prefixes of the keys that contain it."""
    after: str | None = None
    """The value of `after` for the next page; None on the last page."""
    hidden: int = 0
    """The names that the engine holds between these documents and that are no keys of this collection."""


def version_in(headers: Mapping[str, str]) -> str:
    """The version in the ETag of a response; "" without one."""
    return headers.get("etag", "").removeprefix("W/").strip('"')


def document_size(headers: Mapping[str, str]) -> int:
    """The size of the whole document, from the headers of a response. Raise EngineError if they do not contain it."""
    content_range = headers.get("content-range")
    text = headers.get("content-length", "") if content_range is None else content_range.rpartition("/")[2]
    size = parse_natural(text, _SIZE_LIMIT)
    if size is None:
        raise EngineError("the response does not say how large the document is")
    return size


def info_from_headers(key: str, headers: Mapping[str, str], size: int) -> Info:
    """From the headers of a response about a document."""
    fields = {name: headers[name] for name in STORED_HEADERS if name in headers}
    if fields.get("cache-control") == "no-cache":
        del fields["cache-control"]
    return Info(
        key,
        version_in(headers),
        size,
        headers.get("content-type", DEFAULT_MEDIA_TYPE),
        _time(headers.get("last-modified")),
        _time(headers.get("sunset")),
        fields,
        _meta(headers),
        (structured.byte_sequences(headers.get("repr-digest", "")) or {}).get("sha-256"),
    )


def info_from_listing(entry: Mapping[str, Any]) -> Info:
    """From a document in a listing. Raise KeyError, TypeError or ValueError for anything else."""
    fields = {str(name): str(value) for name, value in entry.get("fields", {}).items()}
    return Info(
        str(entry["key"]),
        str(entry["version"]),
        int(entry["size"]),
        str(entry["media_type"]),
        datetime.fromisoformat(entry["modified"]),
        datetime.fromisoformat(entry["expires"]) if "expires" in entry else None,
        {name: value for name, value in fields.items() if not name.startswith("meta-")},
        _meta(fields),
        bytes.fromhex(entry["sha256"]),
    )


def _meta(fields: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix("meta-"): value for name, value in fields.items() if name.startswith("meta-")}


def _time(date: str | None) -> datetime | None:
    seconds = None if date is None else parse_http_date(date, int(time.time()))
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
