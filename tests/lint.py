"""Every answer of the suite goes through httplint; what it complains of fails the test that asked.

A note counts when its level is above "info" and it is not argued for in ARGUED, the one place for that. An answer that
differs in nothing that is looked at is looked at once.
"""

import hashlib
import re
import time
from collections.abc import Sequence

from httplint import HttpRequestLinter, HttpResponseLinter, Note, levels

Pairs = Sequence[tuple[bytes, bytes]]

_WRITERS_OWN = "it is about a field as its writer stored it, which is given back as it came"

ARGUED: dict[str, str] = {
    **dict.fromkeys(("CC_BAD_VALUE_TYPE", "CC_MAX_AGE_TOO_LARGE", "CC_MISCAP", "CC_QUOTED_VALUE"), _WRITERS_OWN),
    **dict.fromkeys(("FRESHNESS_HEURISTIC", "STORE_PUBLIC_UNNECESSARY"), _WRITERS_OWN),
    "PARTIAL_WITHOUT_RANGE": "beside multipart/byteranges, where RFC 9110 §15.3.7.2 forbids Content-Range",
    "REQUEST_HDR_IN_RESPONSE": "Accept-Encoding beside 415, which RFC 9110 §12.5.3 has for just that",
    "BAD_GZIP": "part of a document in a coding is no whole of it",
    "FIELD_DEPRECATED": "Digest, which goes only to clients that ask for it by Want-Digest",
    **dict.fromkeys(
        ("STATUS_BAD_REQUEST", "STATUS_URI_TOO_LONG", "STATUS_VERSION_NOT_SUPPORTED"),
        "tests send such requests on purpose",
    ),
    "FRESHNESS_NO_CACHE_NO_VALIDATOR": "a listing has no validator, for it would have to be read whole to have one",
}
"""The class of a note, and why the answers that it is about are right as they are."""

_seen: set[tuple[object, ...]] = set()
_BOUNDARY = re.compile(rb"[0-9a-f]{32}")


def lint(
    method: str, target: str, asked: Pairs, status: int, fields: Pairs, content: bytes, now_s: float | None = None
) -> None:
    """Raises AssertionError for an answer, to a request with the fields `asked`, that httplint finds fault with.

    `now_s` is the time by the clock that made the answer's Date, None for the real one.
    """
    shape = _shape(method, asked, status, fields, content)
    if shape in _seen:
        return
    faults = [note for note in _notes(method, target, asked, status, fields, content, now_s) if _is_fault(note)]
    told = "; ".join(f"{type(note).__name__}: {note.summary}" for note in faults)
    assert not faults, f"{method} {target} is answered {status} {list(fields)}, httplint says {told}"
    _seen.add(shape)


def lint_one_of_many(method: str, target: str, asked: Pairs, status: int, fields: Pairs, content: bytes) -> None:
    """As `lint`, for clients that ask thousands of times: of answers with the same fields, the first is looked at."""
    shape = (method, status, tuple(name for name, _ in fields), tuple(name for name, _ in asked))
    if shape not in _seen:
        lint(method, target, asked, status, fields, content)
        _seen.add(shape)


def _shape(method: str, asked: Pairs, status: int, fields: Pairs, content: bytes) -> tuple[object, ...]:
    """What an answer has in common with those that httplint says the same of: the boundaries of parts are random."""
    same = tuple((name, _BOUNDARY.sub(b"", value)) for name, value in fields if name.lower() != b"date")
    names = frozenset(name.lower() for name, _ in asked)
    content = _BOUNDARY.sub(b"", content) if status == 206 else content
    return method, status, same, names, hashlib.sha256(content).digest()


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
    return note.level in (levels.WARN, levels.BAD) and type(note).__name__ not in ARGUED
