"""The head of a request: its line (RFC 9112 §3), the four forms of its target (§3.2), and its header section.

A target stays as it was sent, but for the absolute form, which becomes path, query and Host: `handle` sees one form.
"""

import re
from dataclasses import dataclass
from typing import Final

from docstore.http.message import Headers
from docstore.limits import Limits
from docstore.server.wire.fields import TOKEN, Section, is_host, parse_section
from docstore.server.wire.refusals import Refused

_LINE: Final = re.compile(rb"(" + TOKEN + rb") ([!-~]+) HTTP/([0-9])\.([0-9])")
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?]+)([^?]*)(?:\?(.*))?")
_WITH_PORT: Final = re.compile(rb".*[^:]:[0-9]+")
SLASH: Final = 0x2F
HASH: Final = 0x23


@dataclass(slots=True)
class Head:
    """What a request says before its body. `path` and `query` are as `Request` has them."""

    method: str
    path: str
    query: str
    headers: Headers
    section: Section
    """As it came; `headers` differ from its own for a target in absolute form."""


def parse_head(data: bytes, start: int, line_end: int, stop: int, limits: Limits) -> Head:
    """The head in `data[start:stop]`: a line that ends at `line_end`, then fields and an empty line. Raises Refused."""
    match = _LINE.fullmatch(data, start, line_end)
    if match is None:
        raise Refused(400, "the request line is not a method, a target and a version")
    method, target, major, minor = match.groups()
    if major != b"1":
        raise Refused(505, "this is HTTP/1.1")
    section = parse_section(data[line_end + 2 : stop - 2], 0 if minor == b"0" else 1, limits.field_count)
    if target[0] != SLASH or method == b"CONNECT":
        return _with_other_form(method.decode("ascii"), target, section)
    # PERF: `in` takes bytes for a number first, and makes an error of it: 0.2 us that the number itself does not take.
    if HASH in target:
        raise Refused(400, "a fragment in the target")
    path, _, query = target.decode("ascii").partition("?")
    return Head(method.decode("ascii"), path, query, section.headers, section)


def _with_other_form(method: str, target: bytes, section: Section) -> Head:
    """Absolute form, asterisk form, authority form. Raises Refused."""
    if method == "CONNECT":
        if not is_host(target) or _WITH_PORT.fullmatch(target) is None:
            raise Refused(400, "CONNECT names a host and a port")
        return Head(method, "*", "", section.headers, section)
    if target == b"*":
        if method != "OPTIONS":
            raise Refused(400, "only OPTIONS is about the server as a whole")
        return Head(method, "*", "", section.headers, section)
    match = _ABSOLUTE.fullmatch(target)
    if match is None or HASH in target or not is_host(match[1]):
        raise Refused(400, "the target is neither a path nor an http URL")
    whole_server = method == "OPTIONS" and not match[2] and match[3] is None
    path = "*" if whole_server else match[2].decode("ascii") or "/"
    # RFC 9112 §3.2.2: what Host says is ignored, the target's authority stands in its place.
    others = [(name, value) for name, value in section.headers.pairs() if name != b"host"]
    return Head(method, path, (match[3] or b"").decode("ascii"), Headers([(b"host", match[1]), *others]), section)
