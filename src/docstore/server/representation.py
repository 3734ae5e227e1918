"""The header fields of a document's answers: how meta looks in HTTP."""

from typing import Final

from docstore.http import stored_fields
from docstore.http.dates import format_http_date
from docstore.http.fields import parse_natural, split_list
from docstore.http.lifetimes import fresh_s, sunset
from docstore.http.message import HeaderPairs
from docstore.model import Meta

DOCUMENT_SAFETY: Final[HeaderPairs] = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"sandbox"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
]
"""A stored document can't run script against the store, nor be taken for another type."""


def etag(meta: Meta) -> bytes:
    return b'"%s"' % meta.version.encode("ascii")


def validators(meta: Meta, now_ns: int) -> HeaderPairs:
    """What a 304 carries too. Last-Modified is never later than Date (RFC 9110 §8.8.2.1)."""
    fields: HeaderPairs = [
        (b"etag", etag(meta)),
        (b"last-modified", format_http_date(min(meta.modified_ns, now_ns) // 10**9).encode("ascii")),
        (b"cache-control", _cache_control(meta, now_ns)),
    ]
    if meta.expires_ns is not None:
        fields.append((b"sunset", sunset(meta.expires_ns).encode("ascii")))
    return fields


def headers_of(meta: Meta, now_ns: int) -> HeaderPairs:
    """All fields of a 200 but Content-Length."""
    return [
        *(pair for pair in stored_fields.answer(meta.fields) if pair[0] != b"cache-control"),
        *validators(meta, now_ns),
        (b"accept-ranges", b"bytes"),
        *DOCUMENT_SAFETY,
    ]


def _cache_control(meta: Meta, now_ns: int) -> bytes:
    """The writer's own, or: keep it, and ask each time whether it is still the same."""
    for name, value in meta.fields.others:
        if name == "cache-control":
            if meta.expires_ns is not None:
                value = _within(value, fresh_s(meta.expires_ns, now_ns))
            return value.encode("ascii")
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
    return ", ".join(kept) or "no-cache"
