"""The head of a request: its line (RFC 9112 §3), the four forms of its target (§3.2), and its header section.

A target stays as it was sent, but for the absolute form, which becomes path, query and Host: `handle` sees one form.
"""

import re
from typing import Final

from docstore.http.message import Headers, Request
from docstore.server.http1.errors import ProtocolError
from docstore.server.http1.fields import TOKEN, Section, is_host, parse_section

_TOKEN: Final = TOKEN.decode("ascii")
_LINE: Final = re.compile(rf"({_TOKEN}) ([!-~]+) HTTP/([0-9])\.([0-9])")
_ORIGIN_LINE: Final = re.compile(rf"(?!CONNECT )({_TOKEN}) (/[!-\"$->@-~]*)(?:\?([!-\"$-~]*))? HTTP/1\.([0-9])")
"""The line of nearly all requests: its target is a path, with a query or without."""
_ABSOLUTE: Final = re.compile(r"(?i:https?)://([^/?]+)([^?]*)(?:\?(.*))?")
_WITH_PORT: Final = re.compile(r".*[^:]:[0-9]+")


def parse_head(line: str, section: bytes, field_count: int) -> tuple[Request, Section]:
    """The head of a request line, without its CRLF, and a section of at most `field_count` fields. Raises
    ProtocolError.

    The request has no body yet. Its headers are those of the section, but for a target in absolute form.
    """
    match = _ORIGIN_LINE.fullmatch(line)
    if match is None:
        return _with_other_line(line, section, field_count)
    method, path, query, minor = match.groups("")
    parsed = parse_section(section, 0 if minor == "0" else 1, field_count)
    return Request(method, path, query, parsed.headers), parsed


def _with_other_line(line: str, section: bytes, field_count: int) -> tuple[Request, Section]:
    """Absolute form, asterisk form, authority form, and what is none. Raises ProtocolError."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise ProtocolError(400, "the request line is not a method, a target and a version")
    method, target, major, minor = match.groups()
    if major != "1":
        raise ProtocolError(505, "this is HTTP/1.1")
    parsed = parse_section(section, 0 if minor == "0" else 1, field_count)
    if method == "CONNECT":
        if not is_host(target.encode("ascii")) or _WITH_PORT.fullmatch(target) is None:
            raise ProtocolError(400, "CONNECT names a host and a port")
        return Request(method, "*", "", parsed.headers), parsed
    if target == "*":
        if method != "OPTIONS":
            raise ProtocolError(400, "only OPTIONS is about the server as a whole")
        return Request(method, "*", "", parsed.headers), parsed
    if "#" in target:
        raise ProtocolError(400, "a fragment in the target")
    return _with_absolute_form(method, target, parsed), parsed


def _with_absolute_form(method: str, target: str, section: Section) -> Request:
    """Raises ProtocolError."""
    match = _ABSOLUTE.fullmatch(target)
    if match is None or not is_host(match[1].encode("ascii")):
        raise ProtocolError(400, "the target is neither a path nor an http URL")
    whole_server = method == "OPTIONS" and not match[2] and match[3] is None
    path = "*" if whole_server else match[2] or "/"
    # RFC 9112 §3.2.2: what Host says is ignored, the target's authority stands in its place.
    others = [(name, value) for name, value in section.headers.pairs() if name != b"host"]
    return Request(method, path, match[3] or "", Headers([(b"host", match[1].encode("ascii")), *others]))
