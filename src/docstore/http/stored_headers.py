"""Which fields of a request are stored with a document, and their way back into an answer.

Stored is what describes the representation, and the writer's own `Meta-*`. What belongs to the message (framing,
connection, conditions, credentials, digests) never is, nor is any field that nobody here knows (RFC 9110 §9.3.4).

What is stored is checked first: other clients will be sent it for years, and a proxy that finds it broken may drop the
answer. A value of one line stays as it was sent; the lines of a list become one. Nothing is corrected, with one
exception: the coding `identity` says that there is none (RFC 9110 §8.4) and is left out.
"""

import re
from collections.abc import Callable
from typing import Final

from docstore.http.headers import is_field_value, is_token, parse_media_type, parse_parameters, split_list
from docstore.http.message import HeaderPairs, Headers
from docstore.model import DEFAULT_MEDIA_TYPE, Fields

SIZE_LIMIT: Final = 8 * 1024
"""Bytes of all stored names and values of one document."""

META_LIMIT: Final = 64
"""`Meta-*` fields of one document: some clients give up on an answer with more than a hundred lines."""

_LANGUAGE: Final = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*+")


class FieldRefused(ValueError):
    """A field that would be stored is not fit for it: 400. `field` names it, in lower case."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class FieldsTooLarge(FieldRefused):
    """The fields are too long or too many: 431, whose answer names the field (RFC 6585 §5)."""


def stored(headers: Headers) -> Fields:
    """The fields of a write that are stored with its content. Raises FieldRefused."""
    media_type = DEFAULT_MEDIA_TYPE
    others: dict[str, str] = {}
    for name in sorted(field.decode("latin-1") for field in headers.names):
        if name == "content-type":
            media_type = _media_type(headers)
        elif name == "content-disposition":
            others[name] = _disposition(headers)
        elif name in _MEMBER_RULES:
            value = _list(name, headers)
            if value:
                others[name] = value
        elif name.startswith("meta-"):
            others[name] = _meta(name, headers)
    _check_limits(media_type, others)
    return Fields.make(media_type, others)


def answer(fields: Fields) -> HeaderPairs:
    """The fields of an answer that carries the document: Content-Type first, then the others by name."""
    pairs = [(b"content-type", fields.media_type.encode("ascii"))]
    pairs.extend((name.encode("ascii"), value.encode("ascii")) for name, value in fields.others)
    return pairs


def _media_type(headers: Headers) -> str:
    value = _only_line("content-type", headers)
    parsed = parse_media_type(value)
    if parsed is None or "*" in (parsed.type, parsed.subtype):
        raise FieldRefused("content-type", "it is not a media type, such as text/plain; charset=utf-8")
    return _fit("content-type", value)


def _disposition(headers: Headers) -> str:
    """RFC 6266 §4.1."""
    value = _only_line("content-disposition", headers)
    kind, semicolon, rest = value.partition(";")
    if not is_token(kind.rstrip(" \t")) or parse_parameters(semicolon + rest) is None:
        raise FieldRefused("content-disposition", 'it is not a disposition, such as attachment; filename="a.txt"')
    return _fit("content-disposition", value)


def _list(name: str, headers: Headers) -> str:
    """The members that say something, on one line; "" when none does."""
    expected, rule = _MEMBER_RULES[name]
    members = split_list(headers.get(name) or "")
    for member in members:
        if not rule(member):
            raise FieldRefused(name, f"it is not a list of {expected}")
    if name == "content-encoding":
        members = [member for member in members if member.lower() != "identity"]
    return _fit(name, ", ".join(members))


def _meta(name: str, headers: Headers) -> str:
    if not is_token(name):
        raise FieldRefused(name.encode("ascii", "backslashreplace").decode("ascii"), "it is not the name of a field")
    return _fit(name, headers.get(name) or "")


def _is_language(member: str) -> bool:
    """The shape that all language tags have (RFC 5646 §2.1); which of them are registered is not asked."""
    return _LANGUAGE.fullmatch(member) is not None


def _is_directive(member: str) -> bool:
    """RFC 9111 §5.2: a token, alone or with one value. Directives nobody knows are directives."""
    name, _, word = member.partition("=")
    if not word:
        return is_token(member)
    quoted = word.endswith('"') and len(parse_parameters(f";{name}={word}") or ()) == 1
    return is_token(name) and (is_token(word) or quoted)


_MEMBER_RULES: Final[dict[str, tuple[str, Callable[[str], bool]]]] = {
    "cache-control": ("cache directives", _is_directive),
    "content-encoding": ("content codings", is_token),
    "content-language": ("language tags", _is_language),
}


def _only_line(name: str, headers: Headers) -> str:
    lines = headers.lines(name)
    if len(lines) != 1:
        raise FieldRefused(name, f"it came {len(lines)} times and is no list")
    return lines[0]


def _fit(name: str, value: str) -> str:
    if not is_field_value(value):
        raise FieldRefused(name, "its value may have visible ASCII characters, and blanks between them, only")
    return value


def _check_limits(media_type: str, others: dict[str, str]) -> None:
    sizes = {name: len(name) + len(value) for name, value in (("content-type", media_type), *others.items())}
    if sum(sizes.values()) > SIZE_LIMIT:
        largest = max(sizes, key=lambda name: sizes[name])
        raise FieldsTooLarge(largest, f"names and values of all stored fields are at most {SIZE_LIMIT} bytes")
    own = [name for name in others if name.startswith("meta-")]
    if len(own) > META_LIMIT:
        raise FieldsTooLarge(own[META_LIMIT], f"a document has at most {META_LIMIT} Meta-* fields")
