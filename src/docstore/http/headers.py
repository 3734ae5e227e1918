"""The grammar that HTTP headers share: lists, tokens, parameters, media types, weights, numbers.

The parsers raise only for a list that is too long. All run in linear time: the patterns are possessive (`*+`, `++`) and
never backtrack. Digits are `[0-9]`: `\\d` and `int()` accept the digits of other scripts, and `int()` of a long text is
slow.

A parser returns None for invalid text; whether that means 400, "ignore the header" or "matches nothing" is up to the
module that knows the header. Values are text whose characters stand for the bytes received (latin-1), stripped.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

MEDIA_TYPE_LIMIT: Final = 255
"""The longest media type that is accepted, with its parameters."""

LIST_LIMIT: Final = 100
"""Members of a list, and parameters of a member, that are parsed; browsers send ten."""

_TCHAR: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]"
_QUOTED: Final = r'"((?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*+)"'

_TOKEN: Final = re.compile(rf"{_TCHAR}++")
_LIST_MEMBER: Final = re.compile(r'(?:[^",]++|"(?:[^"\\]++|\\.)*+(?:"|\\?\Z))++', re.DOTALL)
_PARAMETER: Final = re.compile(rf"[ \t]*+;[ \t]*+(?:({_TCHAR}++)=(?:({_TCHAR}++)|{_QUOTED}))?")
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
_ESSENCE: Final = re.compile(rf"({_TCHAR}++)/({_TCHAR}++)")
_FIELD_VALUE: Final = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")
_QUALITY: Final = re.compile(r"0(?:\.([0-9]{0,3}))?|1(?:\.0{0,3})?")


class TooManyMembers(ValueError):
    """A list has more than LIST_LIMIT members, and to ignore the rest would change what the request asks for: 431."""


def split_list(value: str, *, complete: bool = False) -> list[str]:
    """Return the members of a list (RFC 9110 §5.6.1), stripped, without empty ones.

    Members after the first LIST_LIMIT are ignored; with `complete` they raise TooManyMembers.
    A comma inside a quoted string does not separate; an unterminated quoted string takes all the rest. Entity tags are
    not quoted strings (a backslash escapes nothing), so `http.entity_tags` splits its own lists.
    """
    members = (member.strip(" \t") for member in first_members(_LIST_MEMBER, value, complete=complete))
    return [member for member in members if member]


def first_members(member: re.Pattern[str], value: str, *, complete: bool) -> list[str]:
    """Return the first LIST_LIMIT matches; with `complete` raise TooManyMembers if there are more."""
    members = [found[0] for found in islice(member.finditer(value), LIST_LIMIT + 1)]
    if complete and len(members) > LIST_LIMIT:
        raise TooManyMembers(f"a list has more than {LIST_LIMIT} members")
    return members[:LIST_LIMIT]


def is_token(text: str) -> bool:
    """RFC 9110 §5.6.2."""
    return _TOKEN.fullmatch(text) is not None


def parse_parameters(text: str) -> dict[str, str] | None:
    """Parse `; name=value; name="quoted value"` (RFC 9110 §5.6.6); names become lower case.

    `text` is empty or starts at the first semicolon. Empty parameters are valid, as in the grammar. Return None for
    anything else, for a duplicate name (an error by RFC 6838 §4.3), and for more than LIST_LIMIT parameters.
    """
    parameters: dict[str, str] = {}
    position = 0
    for _ in range(LIST_LIMIT):
        if position == len(text):
            return parameters
        found = _PARAMETER.match(text, position)
        if found is None:
            return None
        position = found.end()
        name, token, quoted = found.groups()
        if name is None:
            continue
        name = name.lower()
        if name in parameters:
            return None
        parameters[name] = token if quoted is None else _QUOTED_PAIR.sub(r"\1", quoted)
    return parameters if position == len(text) else None


@dataclass(frozen=True, slots=True)
class MediaType:
    """RFC 9110 §8.3.1. Type, subtype and parameter names are in lower case; values are unchanged."""

    type: str
    subtype: str
    parameters: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def essence(self) -> str:
        """`type/subtype`, without the parameters."""
        return f"{self.type}/{self.subtype}"


def parse_media_type(value: str) -> MediaType | None:
    """Parse strictly (RFC 9110 §8.3.1): None for invalid, non-ASCII and overlong (MEDIA_TYPE_LIMIT) text.

    A media range such as `text/*` is accepted, because `*` is a token.
    """
    if len(value) > MEDIA_TYPE_LIMIT or not value.isascii() or value.endswith((" ", "\t")):
        return None
    essence = _ESSENCE.match(value)
    parameters = None if essence is None else parse_parameters(value[essence.end() :])
    if essence is None or parameters is None:
        return None
    return MediaType(essence[1].lower(), essence[2].lower(), parameters)


def is_field_value(text: str) -> bool:
    """Whether `text` may be stored and sent back as a header's value (RFC 9110 §5.5), which may be empty.

    Visible ASCII, with spaces and tabs inside. Bytes over 0x7F (obs-text) are not allowed: values appear in JSON and
    HTML too, and their encoding is unknown.
    """
    return _FIELD_VALUE.fullmatch(text) is not None


def parse_quality(text: str) -> int | None:
    """Return a weight in thousandths: `0.5` is 500 (RFC 9110 §12.4.2). At most three decimals and at most 1."""
    found = _QUALITY.fullmatch(text)
    if found is None:
        return None
    return 1000 if text[0] == "1" else int((found[1] or "").ljust(3, "0"))


def parse_natural(text: str, limit: int) -> int | None:
    """Return a number of `[0-9]` from 0 to `limit`; leading zeros are allowed. None for anything else."""
    if not (text.isascii() and text.isdigit()):
        return None
    digits = text.lstrip("0")
    if len(digits) > len(str(limit)):
        return None
    number = int(digits or "0")
    return number if number <= limit else None
