"""The grammar that HTTP's fields share: lists, tokens, parameters, media types, weights, numbers, entity tags.

Every parser here is total: for any text it returns what it declares and raises nothing, in time linear in the text.
The patterns take possessively (`*+`, `++`) and scan a text once, so there is no way back to try again. Digits are
`[0-9]`: `\\d` and `int()` know the digits of other scripts, and `int()` of a long text is slow.

What no field's own rules say is kept out: each returns None for "this is not one", and what follows from that (400,
ignore the field, match nothing) is for who knows the field. Values are text whose characters stand for the bytes of
the wire (latin-1), without the whitespace around them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

MEDIA_TYPE_LIMIT: Final = 255
"""The longest media type that is taken for one, with its parameters."""

_TCHAR: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]"
_QUOTED: Final = r'"((?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*+)"'

_TOKEN: Final = re.compile(rf"{_TCHAR}++")
_LIST_MEMBER: Final = re.compile(r'(?:[^",]++|"(?:[^"\\]++|\\.)*+(?:"|\\?\Z))++', re.DOTALL)
_PARAMETER: Final = re.compile(rf"[ \t]*+;[ \t]*+(?:({_TCHAR}++)=(?:({_TCHAR}++)|{_QUOTED}))?")
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
_ESSENCE: Final = re.compile(rf"({_TCHAR}++)/({_TCHAR}++)")
_FIELD_VALUE: Final = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")
_QUALITY: Final = re.compile(r"0(?:\.([0-9]{0,3}))?|1(?:\.0{0,3})?")
_TAG_MEMBER: Final = re.compile(r'(?:[^",]++|"[^"]*+(?:"|\Z))++')
_ENTITY_TAG: Final = re.compile(r'(W/)?"([!#-~\x80-\xff]*+)"')


def split_list(value: str) -> list[str]:
    """The members of a list (RFC 9110 §5.6.1), without empty ones and the whitespace around them.

    A comma inside a quoted string is no separator; a quoted string that never ends takes all the rest. Entity tags
    are not quoted strings (a backslash in one escapes nothing): `parse_entity_tags` splits its own lists.
    """
    members = (member.strip(" \t") for member in _LIST_MEMBER.findall(value))
    return [member for member in members if member]


def is_token(text: str) -> bool:
    """RFC 9110 §5.6.2."""
    return _TOKEN.fullmatch(text) is not None


def parse_parameters(text: str) -> dict[str, str] | None:
    """What follows a value: `; name=value; name="quoted value"` (RFC 9110 §5.6.6), names in lower case.

    `text` is empty or starts at the first semicolon. Empty parameters are allowed, as the grammar has them. None for
    anything else, and for a name that comes twice (RFC 6838 §4.3 calls it an error; to choose one would be a guess).
    """
    parameters: dict[str, str] = {}
    position = 0
    while position < len(text):
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
    return parameters


@dataclass(frozen=True, slots=True)
class MediaType:
    """RFC 9110 §8.3.1. Type, subtype and the names of parameters are in lower case; values are as they were."""

    type: str
    subtype: str
    parameters: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def essence(self) -> str:
        """`type/subtype`, without the parameters."""
        return f"{self.type}/{self.subtype}"


def parse_media_type(value: str) -> MediaType | None:
    """RFC 9110 §8.3.1, strictly: None for anything else, for other than ASCII, and over MEDIA_TYPE_LIMIT.

    What passes can be stored and sent back as it is. A media range such as `text/*` passes, for `*` is a token.
    """
    if len(value) > MEDIA_TYPE_LIMIT or not value.isascii():
        return None
    essence = _ESSENCE.match(value)
    parameters = None if essence is None else parse_parameters(value[essence.end() :])
    if essence is None or parameters is None:
        return None
    return MediaType(essence[1].lower(), essence[2].lower(), parameters)


def is_field_value(text: str) -> bool:
    """Whether `text` may be stored and sent back as a field's value (RFC 9110 §5.5): the empty text may.

    Visible ASCII, with spaces and tabs inside. Bytes over 0x7F (obs-text) may not: a value is shown in JSON and HTML
    too, and nobody has said what characters they are.
    """
    return _FIELD_VALUE.fullmatch(text) is not None


def parse_quality(text: str) -> int | None:
    """A weight in thousandths: `0.5` is 500 (RFC 9110 §12.4.2). At most three decimals and at most 1."""
    found = _QUALITY.fullmatch(text)
    if found is None:
        return None
    return 1000 if text[0] == "1" else int((found[1] or "").ljust(3, "0"))


def parse_natural(text: str, limit: int) -> int | None:
    """A number of `[0-9]` alone, from 0 to `limit`; leading zeros are allowed. None for anything else."""
    if not (text.isascii() and text.isdigit()):
        return None
    digits = text.lstrip("0")
    if len(digits) > len(str(limit)):
        return None
    number = int(digits or "0")
    return number if number <= limit else None


@dataclass(frozen=True, slots=True)
class EntityTag:
    """RFC 9110 §8.8.3: `opaque` is what stands between the quotes."""

    weak: bool
    opaque: str


@dataclass(frozen=True, slots=True)
class Tags:
    """The value of If-Match or If-None-Match: `*` (then there are no members) or a list of entity tags."""

    star: bool
    members: tuple[EntityTag, ...] = ()

    def match_strongly(self, opaque: str) -> bool:
        """Whether a member is strong and has this opaque part (§8.8.3.2); the other side is strong."""
        return any(tag.opaque == opaque and not tag.weak for tag in self.members)

    def match_weakly(self, opaque: str) -> bool:
        """Whether a member has this opaque part, weak or not (§8.8.3.2)."""
        return any(tag.opaque == opaque for tag in self.members)


def parse_entity_tag(text: str) -> EntityTag | None:
    """One entity tag (RFC 9110 §8.8.3): the `W` is a capital, the quotes are there, a backslash is a character."""
    found = _ENTITY_TAG.fullmatch(text)
    return None if found is None else EntityTag(found[1] is not None, found[2])


def parse_entity_tags(value: str) -> Tags:
    """The value of If-Match or If-None-Match (RFC 9110 §13.1.1, §13.1.2); commas inside a tag belong to it.

    A member that is no entity tag is left out, so that it matches nothing; `*` is special only when it stands alone.
    """
    if value.strip(" \t") == "*":
        return Tags(star=True)
    members = (parse_entity_tag(member.strip(" \t")) for member in _TAG_MEMBER.findall(value))
    return Tags(star=False, members=tuple(tag for tag in members if tag is not None))
