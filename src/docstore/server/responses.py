"""Answers that are made here, whole and small: their type, their length, and what keeps a browser safe from them."""

from functools import lru_cache
from typing import Final

from docstore.content import BytesContent
from docstore.http.message import Block, HeaderPairs, Response
from docstore.server.pages import POLICY

SAFETY_HEADERS: Final[HeaderPairs] = [
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
]
"""On every answer made here that has content: it is what it says, is for this store alone, and tells others nothing."""


def content_headers(media_type: str, policy: bytes = POLICY) -> HeaderPairs:
    """The type of content that is made here, with what keeps it safe; text of every kind is UTF-8.

    `policy` is the Content-Security-Policy of HTML.
    """
    if not media_type.startswith("text/"):
        return [(b"content-type", media_type.encode("ascii")), *SAFETY_HEADERS]
    headers = [(b"content-type", f"{media_type}; charset=utf-8".encode("ascii")), *SAFETY_HEADERS]
    return [*headers, (b"content-security-policy", policy)] if media_type == "text/html" else headers


def answer(
    body: str | bytes,
    media_type: str,
    *,
    status: int = 200,
    cache: bytes = b"no-cache",
    policy: bytes = POLICY,
    more: HeaderPairs | None = None,
) -> Response:
    """An answer made here, whole and small."""
    data = body.encode("utf-8") if isinstance(body, str) else body
    headers = [*(more or []), (b"content-length", b"%d" % len(data))]
    block = _block(media_type, cache) if policy is POLICY else _block.__wrapped__(media_type, cache, policy)
    return Response(status, headers, BytesContent(data), block)


@lru_cache(64)
def _block(media_type: str, cache: bytes, policy: bytes = POLICY) -> Block:
    # PERF: what all these answers share is most of them; made anew, it was 1.5 us of a PUT's 15 in process.
    return Block([*content_headers(media_type, policy), (b"cache-control", cache)])
