"""The head of a request: its line (RFC 9112 §3), its target (§3.2), its fields (§5), and the body's length (§6).

One expression matches a whole header section, instead of one line at a time, and values that don't concern the message
are not decoded. A target stays as it was sent, except for the absolute form, which becomes path, query and Host.
"""

import re
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from docstore.content import BytesContent
from docstore.frozen import frozen_dataclass
from docstore.http.headers import LIST_LIMIT
from docstore.http.message import HeaderPairs, Headers, Request, Response
from docstore.http.url import is_host
from docstore.server.errors import PROBLEM_TYPES

CHUNKED: Final = -1
"""The length of a body in chunks."""
LENGTH_DIGITS: Final = 18
"""Digits of a Content-Length; one with more is larger than any disk."""
CACHED_HEAD_SIZE: Final = 512
CACHED_HEAD_LINES: Final = 16
CACHED_HEAD_COUNT: Final = 4096
"""Bytes and lines up to which a whole head is cached, and how many: at most some 20 MiB, usually a fifth of it.

A field takes ten times the memory of its shortest line, so without a limit on lines it would be 80 MiB.
"""
CACHED_SECTION_SIZE: Final = 2048
"""Bytes up to which a header section is cached: 512 of them are at most some 12 MiB."""

ERROR_TITLES: Final = {
    400: "malformed request",
    408: "the request came too slowly",
    411: "length required",
    413: "content too large",
    414: "request target too long",
    431: "header fields too large",
    500: "internal error",
    501: "not implemented",
    503: "too many connections",
    505: "HTTP version not supported",
}

_NAME: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
"""A token (RFC 9110 §5.6.2): a method or the name of a field."""
_REQUEST_LINE: Final = re.compile(rf"({_NAME}) ([!-~]+) HTTP/([0-9])\.([0-9])")
_ORIGIN_FORM: Final = re.compile(rf"(?!CONNECT )({_NAME}) (/[!-\"$->@-~]*)(?:\?([!-\"$-~]*))? HTTP/1\.([0-9])")
"""The line of nearly all requests: its target is a path, with or without a query."""
_ABSOLUTE_FORM: Final = re.compile(r"(?i:https?)://([^/?]+)([^?]*)(?:\?(.*))?")
_WITH_PORT: Final = re.compile(r".*[^:]:[0-9]+")
# Possessive (*+): if blanks could also match as part of the value, a line of them would take quadratic time.
_FIELD_LINE: Final = re.compile(rb"(?m)^(" + _NAME.encode() + rb"):[ \t]*+([^\x00-\x08\x0a-\x1f\x7f]*)\r\n")
_NUMBER: Final = re.compile(rb"[0-9]+")
_CODINGS: Final = frozenset({b"chunked", b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress", b"identity"})
_MESSAGE_FIELDS: Final = (b"host", b"content-length", b"transfer-encoding", b"connection", b"expect")


class ProtocolError(Exception):
    """The client broke HTTP/1.1 or a limit. The server answers with one line of text and closes the connection.

    The response is the one that `server/errors.py` makes for a client without Accept: the headers of this client
    are not used.
    """

    def __init__(self, status: int, detail: str = "") -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail

    @property
    def line(self) -> bytes:
        title = ERROR_TITLES[self.status]
        return (f"{title}: {self.detail}\n" if self.detail else f"{title}\n").encode("latin-1")

    @property
    def response(self) -> Response:
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(self.line)),
            (b"cache-control", b"no-store"),
        ]
        if self.status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers.append((b"retry-after", b"%d" % PROBLEM_TYPES["unavailable"].retry_after_s))
        return Response(self.status, headers, BytesContent(self.line))


@frozen_dataclass(frozen=True, slots=True)
class HeaderSection:
    """A header section and its information about the message."""

    headers: Headers
    minor: int
    """The request's version is HTTP/1.minor; any minor version but 0 counts as 1."""
    length: int
    """Bytes of the body, or CHUNKED."""
    persistent: bool
    """Whether the client lets the server keep the connection (RFC 9112 §9.3)."""
    expects_continue: bool
    """Whether the client waits for 100 (Continue)."""


def take_head(head: bytes, field_count: int) -> tuple[Request, HeaderSection]:
    """Parse a request line and a header section, each line with its CRLF. Raises ProtocolError."""
    # PERF: what clients ask for again is read once: 3,000 instructions instead of 12,000. The rules are the same.
    parsed = _parse_cached_head(head, field_count) if len(head) <= CACHED_HEAD_SIZE else None
    method, path, query, headers, section = parsed or _parse_whole_head(head, field_count)
    return Request(method, path, query, headers), section


@lru_cache(maxsize=CACHED_HEAD_COUNT)
def _parse_cached_head(head: bytes, field_count: int) -> tuple[str, str, str, Headers, HeaderSection] | None:
    """As `_parse_whole_head`, but None for a head that would take much memory."""
    return _parse_whole_head(head, field_count) if head.count(b"\n") <= CACHED_HEAD_LINES else None


def _parse_whole_head(head: bytes, field_count: int) -> tuple[str, str, str, Headers, HeaderSection]:
    line, _, fields = head.partition(b"\r\n")
    request, section = parse_head(line.decode("latin-1"), fields, field_count)
    return request.method, request.path, request.query, request.headers, section


def parse_head(line: str, section: bytes, field_count: int) -> tuple[Request, HeaderSection]:
    """Parse a request line without its CRLF and a header section. Raises ProtocolError.

    The request has no body yet. Its headers are those of the section, unless its target has the absolute form.
    """
    match = _ORIGIN_FORM.fullmatch(line)
    if match is None:
        return _parse_other_form(line, section, field_count)
    method, path, query, minor = match.groups("")
    parsed = _parse_section(section, 0 if minor == "0" else 1, field_count)
    if minor == "0":
        _check_announced(method, parsed)
    return Request(method, path, query, parsed.headers), parsed


def _check_announced(method: str, section: HeaderSection) -> None:
    """Raise ProtocolError for content without a length in HTTP/1.0, where it may end anywhere (RFC 1945 §7.2.2)."""
    if method in ("PUT", "POST", "PATCH") and "content-length" not in section.headers:
        raise ProtocolError(411, "a request of HTTP/1.0 with content needs Content-Length")


def _parse_other_form(line: str, section: bytes, field_count: int) -> tuple[Request, HeaderSection]:
    """Parse a line whose target has the absolute, asterisk or authority form, or is invalid."""
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise ProtocolError(400, "the request line is not a method, a target and a version")
    method, target, major, minor = match.groups()
    if major != "1":
        raise ProtocolError(505, "this server speaks HTTP/1.1")
    parsed = _parse_section(section, 0 if minor == "0" else 1, field_count)
    if minor == "0":
        _check_announced(method, parsed)
    if method == "CONNECT":
        if not is_host(target.encode("ascii")) or _WITH_PORT.fullmatch(target) is None:
            raise ProtocolError(400, "the target of CONNECT is a host and a port")
        return Request(method, "*", "", parsed.headers), parsed
    if target == "*":
        if method != "OPTIONS":
            raise ProtocolError(400, "the target * is for OPTIONS only")
        return Request(method, "*", "", parsed.headers), parsed
    if "#" in target:
        raise ProtocolError(400, "the target has a fragment")
    return _parse_absolute_form(method, target, parsed), parsed


def _parse_absolute_form(method: str, target: str, section: HeaderSection) -> Request:
    match = _ABSOLUTE_FORM.fullmatch(target)
    if match is None or not is_host(match[1].encode("ascii")):
        raise ProtocolError(400, "the target is neither a path nor an http URL")
    whole_server = method == "OPTIONS" and not match[2] and match[3] is None
    path = "*" if whole_server else match[2] or "/"
    # RFC 9112 §3.2.2: the target's authority replaces the Host field.
    others = [(name, value) for name, value in section.headers.pairs() if name != b"host"]
    return Request(method, path, match[3] or "", Headers([(b"host", match[1].encode("ascii")), *others]))


def parse_fields(section: bytes, field_count: int) -> HeaderPairs:
    """Parse field lines that each end with CRLF: names in lower case, values without outer whitespace.

    Raises ProtocolError for more than `field_count` lines and for an invalid line: whitespace before the colon,
    folding, control characters, bare CR or LF.
    """
    lines = section.count(b"\n")
    if lines > field_count:
        raise ProtocolError(431, f"at most {field_count} fields are allowed")
    matches = _FIELD_LINE.findall(section)
    # Each match starts at a line's start and holds no line feed but its last: as many matches as line feeds mean that
    # every line is valid.
    if len(matches) != lines:
        raise ProtocolError(400, "a header line is not a name, a colon and a value")
    if b" \r" in section or b"\t\r" in section:
        return [(name.lower(), value.rstrip(b" \t")) for name, value in matches]
    return [(name.lower(), value) for name, value in matches]


def _parse_section(section: bytes, minor: int, field_count: int) -> HeaderSection:
    # PERF: a client repeats its header section from request to request, byte for byte. The cache takes 4.8 us off the
    # 17 us of a GET from memory with three fields. A head with five is read in 1.6 us then, in 4.9 us without;
    # httptools takes 2.3 us, without any of the checks.
    if len(section) <= CACHED_SECTION_SIZE:
        return _parse_cached(section, minor, field_count)
    return _parse_uncached(section, minor, field_count)


def _parse_uncached(section: bytes, minor: int, field_count: int) -> HeaderSection:
    pairs = parse_fields(section, field_count)
    values: dict[bytes, list[bytes]] = {name: [] for name in _MESSAGE_FIELDS}
    for name, value in pairs:
        if name in values:
            values[name].append(value)
    _check_hosts(values[b"host"], minor)
    length = _parse_length(values[b"content-length"], values[b"transfer-encoding"], minor)
    options = _parse_tokens(values[b"connection"])
    persistent = b"close" not in options and (minor >= 1 or b"keep-alive" in options)
    expects_continue = minor >= 1 and length != 0 and b"100-continue" in map(bytes.lower, values[b"expect"])
    return HeaderSection(Headers(pairs), minor, length, persistent, expects_continue)


_parse_cached: Final = lru_cache(maxsize=512)(_parse_uncached)


def _check_hosts(hosts: list[bytes], minor: int) -> None:
    """Raise ProtocolError unless the Host fields are as RFC 9112 §3.2 has them."""
    if len(hosts) > 1:
        raise ProtocolError(400, "more than one Host")
    if not hosts and minor >= 1:
        raise ProtocolError(400, "Host is missing")
    if hosts and not is_host(hosts[0]):
        raise ProtocolError(400, "Host is invalid")


def _parse_length(lengths: list[bytes], codings: list[bytes], minor: int) -> int:
    """Return the body's length by RFC 9112 §6.3. Where that leaves a choice, this is the strict one."""
    if codings:
        if lengths:
            raise ProtocolError(400, "Content-Length and Transfer-Encoding together")
        if minor == 0:
            raise ProtocolError(400, "Transfer-Encoding in HTTP/1.0")
        _check_codings(_parse_tokens(codings))
        return CHUNKED
    if not lengths:
        return 0
    if len(lengths) > 1:
        raise ProtocolError(400, "more than one Content-Length")
    if _NUMBER.fullmatch(lengths[0]) is None:
        raise ProtocolError(400, "Content-Length is not a number")
    digits = lengths[0].lstrip(b"0")
    if len(digits) > LENGTH_DIGITS:
        raise ProtocolError(413)
    return int(digits or b"0")


def _check_codings(codings: list[bytes]) -> None:
    for coding in codings:
        if coding.partition(b";")[0].rstrip(b" \t") not in _CODINGS:
            raise ProtocolError(501, "unknown transfer coding")
    if codings[-1:] != [b"chunked"] or codings.count(b"chunked") > 1:
        raise ProtocolError(400, "chunked must be the last transfer coding, once")
    if len(codings) > 1:
        raise ProtocolError(501, "a transfer coding other than chunked")


def _parse_tokens(values: list[bytes]) -> list[bytes]:
    """Return the members of comma-separated lists, in lower case. Raise ProtocolError."""
    members = b",".join(values).split(b",", LIST_LIMIT)
    if len(members) > LIST_LIMIT:
        raise ProtocolError(431, f"a list has more than {LIST_LIMIT} members")
    return [member for member in (member.strip(b" \t").lower() for member in members) if member]
