"""What the client answers with: frozen values, made from the fields of an answer and from the JSON of a listing.

What is found is bytes: `docs.get("a")` equals the content, as the mapping protocol wants, and carries its `info`. A
pair of content and info was rejected, for then `get` would be one thing in a mapping and another here.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NoReturn

from docstore.http import structured
from docstore.http.dates import parse_http_date
from docstore.http.stored_headers import STORED_HEADERS
from docstore.model import DEFAULT_MEDIA_TYPE


def _nothing() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Info:
    """What a store tells of a document without its content. Times are aware, in UTC."""

    key: str
    version: str
    """The opaque name of this state; quoted, it is the `etag`. Either is taken by `if_match` and `if_none_match`."""
    size: int
    """Bytes of the whole content."""
    type: str = DEFAULT_MEDIA_TYPE
    modified: datetime | None = None
    """Of a whole second, as Last-Modified is; of a millisecond where it comes from a listing."""
    expires: datetime | None = None
    """None for a document that lasts until it is replaced. Rounded down as `modified` is."""
    fields: Mapping[str, str] = field(default_factory=_nothing, hash=False)
    """The other header fields that are stored with it, names in lower case. Of what is found with its content the
    Cache-Control is that of the answer: cut to what is left of a life, and left out where it is `no-cache`."""
    meta: Mapping[str, str] = field(default_factory=_nothing, hash=False)
    """The user's own fields: `author` is what is sent as Meta-Author. Names are in lower case."""
    digest: bytes | None = None
    """SHA-256 of the whole content, where the answer gave it."""

    @property
    def etag(self) -> str:
        return f'"{self.version}"'

    def __reduce__(self) -> tuple[Any, ...]:
        given = (self.key, self.version, self.size, self.type, self.modified, self.expires)
        return _info, (
            *given,
            {**self.fields, **{f"meta-{name}": value for name, value in self.meta.items()}},
            self.digest,
        )


def _info(
    key: str,
    version: str,
    size: int,
    type: str,
    modified: datetime | None,
    expires: datetime | None,
    others: Mapping[str, str],
    digest: bytes | None,
) -> Info:
    own = {name.removeprefix("meta-"): value for name, value in others.items() if name.startswith("meta-")}
    fields = {name: value for name, value in others.items() if not name.startswith("meta-")}
    return Info(key, version, size, type, modified, expires, MappingProxyType(fields), MappingProxyType(own), digest)


class StoredContent(bytes):
    """The content of one version of a document, or the part of it that was asked for, with its `info`."""

    info: Info

    def __new__(cls, content: bytes, info: Info) -> "StoredContent":
        found = super().__new__(cls, content)
        found.__dict__["info"] = info
        return found

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"what was found is not changed; {name} can't be set")

    def __reduce__(self) -> tuple[Any, ...]:
        return StoredContent, (bytes(self), self.info)

    @property
    def content(self) -> bytes:
        return self

    @property
    def text(self) -> str:
        """The content as UTF-8. Raises UnicodeDecodeError."""
        return self.decode("utf-8")

    def json(self) -> Any:
        """The content as JSON. Raises ValueError."""
        return json.loads(self)


@dataclass(frozen=True, slots=True)
class NotModified:
    """The document is still of the version that `if_none_match` named; its content was not sent."""

    version: str


@dataclass(frozen=True, slots=True)
class PutResult:
    """What a write did."""

    key: str
    version: str
    created: bool
    """Whether there was no document before; when an answer was lost, whether there was none before the last attempt."""

    @property
    def etag(self) -> str:
        return f'"{self.version}"'


@dataclass(frozen=True, slots=True)
class Page:
    """A stretch of a listing, in bytewise order of key."""

    documents: tuple[Info, ...]
    folders: tuple[str, ...] = ()
    """With a delimiter: what the keys that go on behind it have in common."""
    after: str | None = None
    """What to give as `after` for the next page; None when this is the last."""


def version_in(headers: Mapping[str, str]) -> str:
    """What stands between the quotes of an answer's ETag, "" without one."""
    return headers.get("etag", "").removeprefix("W/").strip('"')


def info_of(key: str, headers: Mapping[str, str], size: int) -> Info:
    """From the fields of a document's answer."""
    others = {name: headers[name] for name in STORED_HEADERS if name in headers}
    if others.get("cache-control") == "no-cache":
        del others["cache-control"]
    others.update((name, value) for name, value in headers.items() if name.startswith("meta-"))
    return _info(
        key,
        version_in(headers),
        size,
        headers.get("content-type", DEFAULT_MEDIA_TYPE),
        _moment(headers.get("last-modified")),
        _moment(headers.get("sunset")),
        others,
        digest_in(headers),
    )


def digest_in(headers: Mapping[str, str]) -> bytes | None:
    """The SHA-256 of Repr-Digest (RFC 9530); None when there is none."""
    return (structured.byte_sequences(headers.get("repr-digest", "")) or {}).get("sha-256")


def listed(entry: Mapping[str, Any]) -> Info:
    """From a document of a listing in JSON. Raises KeyError, TypeError or ValueError for anything else."""
    return _info(
        str(entry["key"]),
        str(entry["version"]),
        int(entry["size"]),
        str(entry["media_type"]),
        datetime.fromisoformat(entry["modified"]),
        datetime.fromisoformat(entry["expires"]) if "expires" in entry else None,
        {str(name): str(value) for name, value in entry.get("fields", {}).items()},
        bytes.fromhex(entry["sha256"]),
    )


def _moment(date: str | None) -> datetime | None:
    seconds = None if date is None else parse_http_date(date, int(time.time()))
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
