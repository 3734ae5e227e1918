"""Which header fields are stored with a document. STORED_HEADERS is the one table of them.

Parsing, responses, CORS, the OpenAPI document, the client and the command read the table, so a new stored header is one
row, its test and its line of documentation. Besides the rows, Content-Type and the writer's own `Meta-*` are stored.
Headers of the message (framing, conditions, credentials, digests) and unknown ones never are (RFC 9110 §9.3.4).

Values are validated, because other clients receive them for years and a proxy may drop a response with an invalid one.
A single value is stored as it was sent; list lines are joined. Nothing is corrected, with one exception: the coding
`identity` means "no coding" (RFC 9110 §8.4) and is left out.

A Cache-Control is stored from the request's Docstore-Cache-Control. The request's own Cache-Control is a directive to
the caches on its way (RFC 9111 §5.2.1), and proxies and browsers add one to the writes of others.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final

from docstore.http.headers import (
    TooManyMembers,
    is_field_value,
    is_token,
    parse_media_type,
    parse_parameters,
    split_list,
)
from docstore.model import DEFAULT_MEDIA_TYPE, Fields

if TYPE_CHECKING:
    from docstore.http.message import HeaderPairs, Headers

STORED_SIZE_LIMIT: Final = 8 * 1024
"""Bytes of all stored names and values of one document."""

META_LIMIT: Final = 64
"""`Meta-*` fields of one document: some clients reject responses with more than a hundred lines."""

_TOKEN: Final = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105  a grammar's token, not a secret
_QUOTED: Final = '"(?:[\\t !#-\\[\\]-~]|\\\\[\\t -~])*"'
_LANGUAGE: Final = "[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*"
"""The syntax of language tags (RFC 5646 §2.1); the registry is not consulted."""
_DIRECTIVE: Final = f"{_TOKEN}(?:=(?:{_TOKEN}|{_QUOTED}))?"
"""RFC 9111 §5.2: a token, alone or with one value. Unknown directives are valid."""


class InvalidStoredField(ValueError):
    """A field that can't be stored: 400. `field` is its lower-case name."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class StoredFieldsTooLarge(InvalidStoredField):
    """The fields are too long or too many: 431; the response names the field (RFC 6585 §5)."""


@dataclass(frozen=True, slots=True)
class StoredHeader:
    """A header that is stored with content and sent back with it."""

    name: str
    """The canonical spelling, as in `Content-Language`; in lower case it is the stored name."""
    request_name: str
    """The header of a write: the same name for all but Cache-Control."""
    parse: "Callable[[str, Headers], str]"
    """Return the value to store from the request's header of this name, "" for nothing. Raise InvalidStoredField."""
    pattern: str
    """What a valid value looks like, as JSON Schema writes a regular expression."""
    summary: str
    """One line for the OpenAPI document and the command's help."""


def parse_stored_fields(headers: "Headers") -> Fields:
    """Return the fields of a write that are stored with its content. Raise InvalidStoredField.

    Without Content-Type the media type is the default, and the limit leaves space for a guessed one.
    """
    pairs = [pair for pair in headers.pairs() if pair[0] in _REQUEST_NAMES or pair[0].startswith(b"meta-")]
    return _parse_pairs(tuple(pairs))


def stored_header_pairs(fields: Fields) -> "HeaderPairs":
    """Return the stored fields for a response with the document: Content-Type, then the others by name."""
    pairs = [(b"content-type", fields.media_type.encode("ascii"))]
    pairs.extend((name.encode("ascii"), value.encode("ascii")) for name, value in fields.others)
    return pairs


def request_name(name: str) -> str:
    """Return the header of a write that stores the field `name`, both in lower case."""
    return STORED_HEADERS[name].request_name.lower() if name in STORED_HEADERS else name


def request_header_pairs(fields: Fields) -> "HeaderPairs":
    """Return the headers of a write that stores these fields."""
    return [(request_name(name.decode("ascii")).encode("ascii"), value) for name, value in stored_header_pairs(fields)]


@lru_cache(128)
def _parse_pairs(pairs: tuple[tuple[bytes, bytes], ...]) -> Fields:
    # PERF: clients store many documents with the same few fields. Errors are not cached.
    from docstore.http.message import Headers  # PERF: not for reading
    from docstore.media_types import LONGEST_GUESS  # PERF: not for reading

    headers = Headers(pairs)
    media_type = DEFAULT_MEDIA_TYPE
    others: dict[str, str] = {}
    for name in sorted(field.decode("latin-1") for field in headers.names):
        if name == "content-type":
            media_type = _parse_content_type(headers)
        elif name.startswith("meta-"):
            others[name] = _parse_meta(name, headers)
        elif value := _BY_REQUEST_NAME[name].parse(name, headers):
            others[_BY_REQUEST_NAME[name].name.lower()] = value
    _check_limits(len(media_type) if b"content-type" in headers.names else LONGEST_GUESS, others)
    return Fields.make(media_type, others)


def _parse_content_type(headers: "Headers") -> str:
    value = _single_line("content-type", headers)
    parsed = parse_media_type(value)
    if parsed is None or "*" in (parsed.type, parsed.subtype):
        raise InvalidStoredField("content-type", "not a media type such as text/plain; charset=utf-8")
    return _check_value("content-type", value)


def _parse_disposition(name: str, headers: "Headers") -> str:
    """RFC 6266 §4.1."""
    value = _single_line(name, headers)
    kind, semicolon, rest = value.partition(";")
    if not is_token(kind.rstrip(" \t")) or parse_parameters(semicolon + rest) is None:
        raise InvalidStoredField(name, 'not a disposition such as attachment; filename="a.txt"')
    return _check_value(name, value)


def _parse_meta(name: str, headers: "Headers") -> str:
    if not is_token(name):
        raise InvalidStoredField(name.encode("ascii", "backslashreplace").decode("ascii"), "not a header name")
    return _check_value(name, headers.get(name) or "")


def _list_header(
    name: str, member: str, kind: str, summary: str, *, default: str = "", request_name: str = ""
) -> StoredHeader:
    """Return a header that is a list of members with the pattern `member`; those equal to `default` are left out."""
    # Empty members are ignored (RFC 9110 §5.6.1). Members contain no blanks, so that matching takes linear time.
    pattern = f"^[\\t ,]*(?:{member}(?:[\\t ]*,[\\t ,]*{member})*[\\t ,]*)?$"
    compiled = cache(lambda: re.compile(pattern))  # PERF: on first use; reading needs only the names

    def parse(name: str, headers: "Headers") -> str:
        value = headers.get(name) or ""
        try:
            members = split_list(value, complete=True)
        except TooManyMembers as error:
            raise StoredFieldsTooLarge(name, str(error)) from None
        if not compiled().fullmatch(value):
            raise InvalidStoredField(name, f"not a list of {kind}")
        return _check_value(name, ", ".join(found for found in members if found.lower() != default))

    return StoredHeader(name, request_name or name, parse, pattern, summary)


STORED_HEADERS: Final[Mapping[str, StoredHeader]] = {
    header.name.lower(): header
    for header in (
        _list_header("Content-Language", _LANGUAGE, "language tags", "Content-Language, such as de."),
        _list_header(
            "Content-Encoding",
            _TOKEN,
            "content codings",
            "Content-Encoding that the content has, such as gzip.",
            default="identity",
        ),
        StoredHeader(
            "Content-Disposition",
            "Content-Disposition",
            _parse_disposition,
            f"^{_TOKEN}[\\t ]*(?:;[\\t ]*(?:{_TOKEN}=(?:{_TOKEN}|{_QUOTED}))?[\\t ]*)*$",
            "Content-Disposition, such as 'attachment; filename=\"a.txt\"'.",
        ),
        _list_header(
            "Cache-Control",
            _DIRECTIVE,
            "cache directives",
            "Cache-Control of responses, such as max-age=60.",
            request_name="Docstore-Cache-Control",
        ),
    )
}
"""By lower-case name."""

_BY_REQUEST_NAME: Final = {header.request_name.lower(): header for header in STORED_HEADERS.values()}
_REQUEST_NAMES: Final = frozenset({b"content-type", *(name.encode("ascii") for name in _BY_REQUEST_NAME)})


def _single_line(name: str, headers: "Headers") -> str:
    lines = headers.lines(name)
    if len(lines) != 1:
        raise InvalidStoredField(name, f"sent {len(lines)} times; only lists may be repeated")
    return lines[0]


def _check_value(name: str, value: str) -> str:
    if not is_field_value(value):
        raise InvalidStoredField(name, "a value consists of visible ASCII characters, with blanks between them")
    return value


def _check_limits(type_size: int, others: dict[str, str]) -> None:
    sizes = {"content-type": len("content-type") + type_size}
    sizes |= {name: len(name) + len(value) for name, value in others.items()}
    if sum(sizes.values()) > STORED_SIZE_LIMIT:
        largest = max(sizes, key=lambda name: sizes[name])
        raise StoredFieldsTooLarge(largest, f"stored names and values together are at most {STORED_SIZE_LIMIT} bytes")
    own = [name for name in others if name.startswith("meta-")]
    if len(own) > META_LIMIT:
        raise StoredFieldsTooLarge(own[META_LIMIT], f"a document has at most {META_LIMIT} Meta-* fields")
