"""Responses: the headers of stored documents, and small responses that the server makes itself."""

from collections import OrderedDict
from functools import lru_cache
from typing import Final

from docstore.content import BytesContent, Content
from docstore.http.dates import format_http_date, format_sunset, remaining_s
from docstore.http.headers import parse_natural, split_list
from docstore.http.message import NO_CONTENT, HeaderBlock, HeaderPairs, Response
from docstore.http.stored_headers import stored_header_pairs
from docstore.model import Fields, Meta
from docstore.server.pages import POLICY

SAFETY_HEADERS: Final[HeaderPairs] = [
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
]
"""On every response with content: browsers must not guess types, embed it elsewhere or send referrers."""

SANDBOX: Final = (b"content-security-policy", b"sandbox")
DOCUMENT_SAFETY_HEADERS: Final[HeaderPairs] = [
    SAFETY_HEADERS[0],
    SANDBOX,
    *SAFETY_HEADERS[1:],
]
"""A stored document can't run script against the store either; `security/web_apps.py` has the exception."""

ALWAYS_PRIVATE: Final = ""
"""The `cache_control` of a mount for the client of a signed link: its documents are `private, no-cache`, whatever was
stored with them, because a shared cache would serve them after the link has ended. The settings reject an empty one.
"""

CACHED_BLOCK_COUNT: Final = 16 * 1024
CACHED_BLOCK_SIZE: Final = 1024
"""How many versions' headers are cached, and bytes of the largest: at most 16 MiB, usually half of it.

PERF: as many as the sqlite engine caches of small documents. With 1,024 a GET of one of 10,000 built them each time.
"""

_blocks: Final[OrderedDict[tuple[int, str, int, str], HeaderBlock]] = OrderedDict()
"""PERF: to find the oldest entry, a plain dict walks over all deleted ones first: 8 us at this size."""


def small_response(
    body: str | bytes,
    media_type: str,
    *,
    status: int = 200,
    cache: bytes = b"no-cache",
    more: HeaderPairs | None = None,
) -> Response:
    """A response that the server makes itself; `more` are further headers."""
    data = body.encode("utf-8") if isinstance(body, str) else body
    headers = [*(more or []), (b"content-length", b"%d" % len(data))]
    return Response(status, headers, BytesContent(data), small_block(media_type, cache))


@lru_cache(64)
def small_block(media_type: str, cache: bytes) -> HeaderBlock:
    # PERF: most headers of these responses are the same; built each time they took 1.5 us of a PUT's 15 in process.
    return HeaderBlock([*content_headers(media_type), (b"cache-control", cache)])


def content_headers(media_type: str, policy: bytes = POLICY) -> HeaderPairs:
    """The type of content that the server makes (text is UTF-8) with its safety headers."""
    if not media_type.startswith("text/"):
        return [(b"content-type", media_type.encode("ascii")), *SAFETY_HEADERS]
    headers = [(b"content-type", f"{media_type}; charset=utf-8".encode("ascii")), *SAFETY_HEADERS]
    return [*headers, (b"content-security-policy", policy)] if media_type == "text/html" else headers


def full_response(meta: Meta, content: Content, now_ns: int, cache_control: str) -> Response:
    """200 with the whole document; HEAD passes NO_CONTENT. `cache_control` is for documents that have none."""
    # PERF: cached, these headers take 0.5 us of a GET; built each time 4.4.
    if meta.expires_ns is not None or meta.modified_ns > now_ns:
        length = (b"content-length", b"%d" % meta.size)
        return Response(200, [*document_headers(meta, now_ns, cache_control), length], content)
    cache_key = 200, meta.version, meta.modified_ns, cache_control
    block = _blocks.get(cache_key)
    if block is None:
        shared = _shared_block(meta.fields, cache_control)
        block = HeaderBlock(_version_headers(meta, now_ns), after=shared, size=meta.size)
        _cache_block(cache_key, block)
    return Response(200, [], content, block)


def not_modified_response(meta: Meta, now_ns: int, cache_control: str) -> Response:
    """304: the client has this version."""
    if meta.expires_ns is not None or meta.modified_ns > now_ns:
        return Response(304, _validator_headers(meta, now_ns, cache_control))
    cache_key = 304, meta.version, meta.modified_ns, cache_control
    block = _blocks.get(cache_key)
    if block is None:
        block = HeaderBlock(_validator_headers(meta, now_ns, cache_control))
        _cache_block(cache_key, block)
    return Response(304, [], NO_CONTENT, block)


def _cache_block(cache_key: tuple[int, str, int, str], block: HeaderBlock) -> None:
    """Keep headers that depend on the version only: the document does not expire, and its time is not in the future."""
    if len(block.lines) <= CACHED_BLOCK_SIZE:
        if len(_blocks) >= CACHED_BLOCK_COUNT:
            _blocks.popitem(last=False)
        _blocks[cache_key] = block


@lru_cache(512)
def _shared_block(fields: Fields, cache_control: str) -> HeaderBlock:
    """PERF: the headers that documents with these fields share: half of the work."""
    return HeaderBlock([*_field_headers(fields), (b"cache-control", _cache_control(fields, None, cache_control))])


def etag(meta: Meta) -> bytes:
    return b'"%s"' % meta.version.encode("ascii")


def document_headers(meta: Meta, now_ns: int, cache_control: str) -> HeaderPairs:
    """All headers of a 200 except Content-Length."""
    return [*_field_headers(meta.fields), *_validator_headers(meta, now_ns, cache_control)]


def _validator_headers(meta: Meta, now_ns: int, cache_control: str) -> HeaderPairs:
    """The headers of a 304."""
    left_s = None if meta.expires_ns is None else remaining_s(meta.expires_ns, now_ns)
    cache = _cache_control(meta.fields, left_s, cache_control)
    headers = [(b"cache-control", cache), *_version_headers(meta, now_ns)]
    if meta.expires_ns is not None:
        headers.append((b"sunset", format_sunset(meta.expires_ns).encode("ascii")))
    return headers


def _version_headers(meta: Meta, now_ns: int) -> HeaderPairs:
    """Last-Modified is never later than Date (RFC 9110 §8.8.2.1)."""
    modified = format_http_date(min(meta.modified_ns, now_ns) // 10**9)
    return [(b"etag", etag(meta)), (b"last-modified", modified.encode("ascii"))]


def _field_headers(fields: Fields) -> HeaderPairs:
    stored = [pair for pair in stored_header_pairs(fields) if pair[0] != b"cache-control"]
    return [*stored, (b"accept-ranges", b"bytes"), *DOCUMENT_SAFETY_HEADERS]


def _cache_control(fields: Fields, left_s: int | None, default: str) -> bytes:
    """The stored Cache-Control, or `default`, limited to `left_s` until the document expires.

    ALWAYS_PRIVATE replaces a stored one, too, all but `no-store`.
    """
    value = next((value for name, value in fields.others if name == "cache-control"), default)
    if default == ALWAYS_PRIVATE:
        kept_out = "no-store" in {directive.lower() for directive in split_list(value)}
        value = "no-store" if kept_out else "private, no-cache"
    return (value if left_s is None else _limit_freshness(value, left_s)).encode("ascii")


def _limit_freshness(cache_control: str, left_s: int) -> str:
    """Return the directives so that no cache serves the document later than `left_s` from now.

    Those that allow stale answers (RFC 5861) are removed: they begin where max-age ends.
    """
    kept: list[str] = []
    for directive in split_list(cache_control):
        name, _, word = directive.partition("=")
        digits = word.strip('"')
        if name.lower() in ("max-age", "s-maxage") and digits.isascii() and digits.isdigit():
            seconds = parse_natural(digits, left_s)
            kept.append(f"{name}={left_s if seconds is None else seconds}")
        elif name.lower() not in ("stale-while-revalidate", "stale-if-error"):
            kept.append(directive)
    if not kept:
        return "no-cache"
    words = {directive.lower() for directive in kept}
    if words.isdisjoint(("no-cache", "no-store")) and not any(word.startswith("max-age=") for word in words):
        # Without a lifetime, caches derive one from Last-Modified (RFC 9111 §4.2.2).
        kept.append(f"max-age={left_s}")
    return ", ".join(kept)
