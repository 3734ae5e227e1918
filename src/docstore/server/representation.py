"""The header fields of a document's answers: how meta looks in HTTP."""

from collections import OrderedDict
from functools import lru_cache
from typing import Final

from docstore.content import Content
from docstore.http.dates import format_http_date
from docstore.http.headers import parse_natural, split_list
from docstore.http.message import Block, HeaderPairs, Response
from docstore.http.stored_headers import stored_header_pairs
from docstore.http.ttl import fresh_s, sunset
from docstore.model import Fields, Meta

DOCUMENT_SAFETY: Final[HeaderPairs] = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"sandbox"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
]
"""A stored document can't run script against the store, nor be taken for another type."""

BLOCK_COUNT: Final = 16 * 1024
BLOCK_SIZE: Final = 1024
"""How many versions' fields are kept ready, and bytes of the largest: 16 MiB at most, usually half of it.

PERF: as many as the sqlite engine keeps of small documents. With 1,024 of them a GET of one of 10,000 made them anew.
"""

_blocks: Final[OrderedDict[tuple[str, int], Block]] = OrderedDict()
"""PERF: a plain dict that is asked for its first steps over all that was taken before it: 8 us at this size."""


def etag(meta: Meta) -> bytes:
    return b'"%s"' % meta.version.encode("ascii")


def validators(meta: Meta, now_ns: int) -> HeaderPairs:
    """What a 304 carries too."""
    left_s = None if meta.expires_ns is None else fresh_s(meta.expires_ns, now_ns)
    fields = [(b"cache-control", _cache_control(meta.fields, left_s)), *_of_version(meta, now_ns)]
    if meta.expires_ns is not None:
        fields.append((b"sunset", sunset(meta.expires_ns).encode("ascii")))
    return fields


def headers_of(meta: Meta, now_ns: int) -> HeaderPairs:
    """All fields of a 200 but Content-Length."""
    return [*_of_fields(meta.fields), *validators(meta, now_ns)]


def _of_version(meta: Meta, now_ns: int) -> HeaderPairs:
    """Last-Modified is never later than Date (RFC 9110 §8.8.2.1)."""
    modified = format_http_date(min(meta.modified_ns, now_ns) // 10**9)
    return [(b"etag", etag(meta)), (b"last-modified", modified.encode("ascii"))]


def _of_fields(fields: Fields) -> HeaderPairs:
    stored = [pair for pair in stored_header_pairs(fields) if pair[0] != b"cache-control"]
    return [*stored, (b"accept-ranges", b"bytes"), *DOCUMENT_SAFETY]


def whole(meta: Meta, content: Content, now_ns: int) -> Response:
    """200 with all of a document, or with NOTHING of it for HEAD."""
    # PERF: these fields and their lines depend on the version and on Last-Modified alone, but for a document that
    # expires or comes from the future. Kept, they take 0.5 us of a GET, and made anew 4.4.
    if meta.expires_ns is not None or meta.modified_ns > now_ns:
        return Response(200, [*headers_of(meta, now_ns), _length(meta)], content)
    named = meta.version, meta.modified_ns
    block = _blocks.get(named)
    if block is None:
        block = Block(_of_version(meta, now_ns), after=_shared(meta.fields), size=meta.size)
        if len(block.lines) <= BLOCK_SIZE:
            if len(_blocks) >= BLOCK_COUNT:
                _blocks.popitem(last=False)
            _blocks[named] = block
    return Response(200, [], content, block)


@lru_cache(512)
def _shared(fields: Fields) -> Block:
    """What is the same for all documents of these fields that don't expire: PERF: half of what has to be made."""
    return Block([*_of_fields(fields), (b"cache-control", _cache_control(fields, None))])


def _length(meta: Meta) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % meta.size


def _cache_control(fields: Fields, left_s: int | None) -> bytes:
    """The writer's own, or: keep it, and ask each time whether it is still the same. `left_s` until it expires."""
    for name, value in fields.others:
        if name == "cache-control":
            return (value if left_s is None else _within(value, left_s)).encode("ascii")
    return b"no-cache"


def _within(cache_control: str, left_s: int) -> str:
    """The same directives, none of which lets a cache give the document away after its end, `left_s` from now.

    Those that allow an answer to be stale (RFC 5861) go: they begin where max-age ends.
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
        # A cache that is told no lifetime makes one up, from Last-Modified (RFC 9111 §4.2.2).
        kept.append(f"max-age={left_s}")
    return ", ".join(kept)
