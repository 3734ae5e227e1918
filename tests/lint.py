"""httplint checks every response of the suite; a warning fails the test that sent the request.

A note counts when its level is above "info" and ACCEPTED has no reason against it. Equal responses are checked once.
"""

import hashlib
import re
import time
from collections.abc import Sequence

from httplint import HttpRequestLinter, HttpResponseLinter, Note, levels

Pairs = Sequence[tuple[bytes, bytes]]

_STORED_FIELD = "a field that the writer of the document chose, returned unchanged"

ACCEPTED: dict[str, str] = {
    **dict.fromkeys(("CC_BAD_VALUE_TYPE", "CC_MAX_AGE_TOO_LARGE", "CC_MISCAP", "CC_QUOTED_VALUE"), _STORED_FIELD),
    **dict.fromkeys(("FRESHNESS_HEURISTIC", "STORE_PUBLIC_UNNECESSARY"), _STORED_FIELD),
    "PARTIAL_WITHOUT_RANGE": "beside multipart/byteranges, where RFC 9110 §15.3.7.2 forbids Content-Range",
    "REQUEST_HDR_IN_RESPONSE": "Accept-Encoding beside 415, which RFC 9110 §12.5.3 has for just that",
    "BAD_GZIP": "a range of encoded content is not complete",
    "FIELD_DEPRECATED": "Digest, sent only to clients that ask for it with Want-Digest",
    **dict.fromkeys(
        ("STATUS_BAD_REQUEST", "STATUS_URI_TOO_LONG", "STATUS_VERSION_NOT_SUPPORTED"),
        "tests send such requests on purpose",
    ),
    "FRESHNESS_NO_CACHE_NO_VALIDATOR": "a listing has no validator, because that would require reading all of it",
}
"""The class of a note, and why the response is right."""

_seen: set[tuple[object, ...]] = set()
_BOUNDARY = re.compile(rb"[0-9a-f]{32}")
_WORD = re.compile(rb"[0-9A-Za-z_-]+")
_ABOUT_CONTENT = {b"content-encoding", b"content-digest", b"repr-digest", b"digest", b"content-md5"}


def lint(
    method: str, target: str, asked: Pairs, status: int, fields: Pairs, content: bytes, now_s: float | None = None
) -> None:
    """Raise AssertionError for a response with faults, to a request with the fields `asked`.

    `now_s` is the time of the clock that made the Date field, or None for the real one.
    """
    shape = _shape(method, asked, status, fields, content)
    if shape in _seen:
        return
    faults = [note for note in _notes(method, target, asked, status, fields, content, now_s) if _is_fault(note)]
    notes = "; ".join(f"{type(note).__name__}: {note.summary}" for note in faults)
    assert not faults, f"{method} {target}: {status} {list(fields)}: {notes}"
    _seen.add(shape)


def lint_one_of_many(method: str, target: str, asked: Pairs, status: int, fields: Pairs, content: bytes) -> None:
    """Like `lint`, for thousands of requests: of the responses with the same field names, only the first is checked."""
    shape = (method, status, tuple(name for name, _ in fields), tuple(name for name, _ in asked))
    if shape not in _seen:
        lint(method, target, asked, status, fields, content)
        _seen.add(shape)


def _shape(method: str, asked: Pairs, status: int, fields: Pairs, content: bytes) -> tuple[object, ...]:
    """Return what httplint judges: not Date, the characters of ETags and keys, and content that no field describes."""
    same = tuple((name, _judged(name.lower(), value, content)) for name, value in fields if name.lower() != b"date")
    names = frozenset(name.lower() for name, _ in asked)
    if status != 206 and _ABOUT_CONTENT.isdisjoint(name.lower() for name, _ in fields):
        return method, status, same, names
    content = _BOUNDARY.sub(b"", content) if status == 206 else content
    return method, status, same, names, hashlib.sha256(content).digest()


def _judged(name: bytes, value: bytes, content: bytes) -> bytes:
    if name in (b"etag", b"location"):
        return _WORD.sub(b"", value)
    if name == b"content-length":
        return b"" if value == b"%d" % len(content) else value
    return _BOUNDARY.sub(b"", value)


def _notes(
    method: str, target: str, asked: Pairs, status: int, fields: Pairs, content: bytes, now_s: float | None
) -> list[Note]:
    request = HttpRequestLinter()
    request.process_request_topline(method.encode(), target.encode(), b"HTTP/1.1")
    request.process_headers(list(asked))
    response = HttpResponseLinter(start_time=time.time() if now_s is None else now_s, _related=request)
    response.base_uri = f"http://localhost{target}"
    response.is_head_response = method == "HEAD"
    response.process_response_topline(b"HTTP/1.1", b"%d" % status)
    response.process_headers(list(fields))
    response.feed_content(content)
    response.finish_content(complete=True)
    return list(response.notes)


def _is_fault(note: Note) -> bool:
    return note.level in (levels.WARN, levels.BAD) and type(note).__name__ not in ACCEPTED
