"""The keyword options of the operations, and the request headers they become.

Each option is defined once, in one of these TypedDicts: the methods of the clients take them as keywords
(`**options: Unpack[PutOptions]`), and the layers below pass the dict itself.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Final, Literal, TypedDict

from docstore.client.body import ClientBody
from docstore.client.transport import RequestHeaders
from docstore.errors import SetupError
from docstore.http.stored_headers import request_name
from docstore.units import parse_duration_s

Condition = str | Iterable[str]
"""A version or an ETag, several of them, or `*` for any existing document."""

TTL = float | timedelta | str
"""A number of seconds, or text such as `90`, `10m`, `2h`, `7d` or `1h30m`."""


class ClientOptions(TypedDict, total=False):
    """Options of a client."""

    create: bool
    """Whether an engine's store is created if it does not exist; False by default. A server creates its own stores."""
    headers: Mapping[str, str]
    """Headers of every request, such as an Authorization for a proxy. They are never shown."""
    timeout_s: float
    """Seconds for connecting and for each pause of the other side; 30 by default."""
    retry_timeout_s: float
    """Seconds after which a request is not tried again; 60 by default."""
    tries: int
    """Attempts at one request, at most; 8 by default."""


class PartOptions(TypedDict, total=False):
    """Options of reading content."""

    start: int | None
    stop: int | None
    if_match: Condition | None


class StoreOptions(TypedDict, total=False):
    """Options of every write of content."""

    type: str | None
    """Media type; by default the store guesses it from key and content. `application/octet-stream` prevents that."""
    ttl: TTL | None
    fields: Mapping[str, str] | None
    """Other header fields that are stored, such as Content-Language and Cache-Control."""
    meta: Mapping[str, str] | None
    """The user's own header fields: `author` is sent as Meta-Author."""
    digest: bool | bytes | Literal["after"] | None
    """Whether the SHA-256 of the content is compared with what the store received; bytes are the digest itself. With
    `after` it is compared when the document is stored, so that a file is read only once."""
    progress: Callable[[int], object] | None
    """Called with the number of bytes after each block is sent, and with 0 after each block that is only hashed. An
    exception raised by it ends the upload. AsyncClient may call it in a worker thread."""


class PutOptions(StoreOptions, total=False):
    """Options of `put`."""

    if_match: Condition | None
    if_none_match: Condition | None
    keep: bool
    """Whether type, fields, meta and remaining TTL of the present document stay unless they are given."""


def check_options(given: Mapping[str, object], known: type) -> None:
    """Raise TypeError for a keyword that the TypedDict `known` does not define."""
    names = sorted(known.__annotations__)
    for name in given:
        if name not in names:
            raise TypeError(f"unknown option {name!r}; the options are {', '.join(names)}")


def store_headers(options: StoreOptions, body: ClientBody) -> RequestHeaders:
    """Headers of a write: the fields to store, the TTL and the digest, which `body.hash` has to compute before."""
    named = {request_name(name.lower()): value for name, value in (options.get("fields") or {}).items()}
    named.update((f"meta-{name.lower()}", value) for name, value in (options.get("meta") or {}).items())
    if (media_type := options.get("type")) is not None:
        named["content-type"] = media_type
    digest = options.get("digest")
    if digest is True and body.replayable:
        digest = body.digest
    if isinstance(digest, bytes):
        from docstore.http.digests import structured_digest  # PERF: not for reading

        named["repr-digest"] = structured_digest("sha-256", digest)
    return (*named.items(), *ttl_headers(options.get("ttl")))


def ttl_headers(ttl: TTL | None) -> RequestHeaders:
    """Raise ValueError for a TTL that is not a whole number of seconds."""
    return () if ttl is None else (("ttl", str(seconds_of(ttl))),)


def seconds_of(ttl: TTL) -> int:
    """Raise ValueError for a TTL that is not a whole number of seconds."""
    if isinstance(ttl, str):
        try:
            ttl = parse_duration_s(ttl)
        except SetupError as error:
            raise ValueError(f"ttl: {error}") from None
    if not isinstance(ttl, int | float | timedelta):
        raise TypeError(f"a ttl is a number of seconds, a timedelta or text such as '1h', not {type(ttl).__name__}")
    seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    if seconds != int(seconds) or seconds < 0:
        raise ValueError("a ttl is a whole number of seconds, 0 or more")
    return int(seconds)


_ETAG: Final = re.compile(r'(?:W/)?"[!#-~]*"')
"""An entity tag (RFC 9110 §8.8.3) in ASCII."""


def condition_headers(if_match: Condition | None, if_none_match: Condition | None = None) -> RequestHeaders:
    named = (("if-match", if_match), ("if-none-match", if_none_match))
    return tuple((name, ", ".join(etags(condition))) for name, condition in named if condition is not None)


def etags(condition: Condition) -> list[str]:
    return [*map(format_etag, (condition,) if isinstance(condition, str) else condition)]


def format_etag(text: str) -> str:
    """The entity tag of a version or an ETag. Raise ValueError for text that cannot be one."""
    tag = text if text == "*" or text.endswith('"') else f'"{text}"'
    if tag != "*" and not _ETAG.fullmatch(tag):
        raise ValueError(f"{text[:100]!r} is not an ETag or a version")
    return tag


def range_headers(options: PartOptions) -> RequestHeaders:
    """The Range of a slice (RFC 9110 §14.1.2). Raise ValueError for a slice that a Range cannot express."""
    start, stop = options.get("start"), options.get("stop")
    if start is None and stop is None:
        return ()
    if start is not None and start < 0 and stop is None:
        return (("range", f"bytes={start}"),)
    first = start or 0
    if first < 0 or (stop is not None and stop <= first):
        raise ValueError("a part needs 0 <= start < stop, or a negative start and no stop")
    return (("range", f"bytes={first}-{'' if stop is None else stop - 1}"),)
