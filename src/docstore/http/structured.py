"""Structured fields (RFC 9651): dictionaries, of which Docstore uses byte sequences and integers.

The patterns match the whole dictionary grammar, strings, inner lists and parameters too: one malformed member makes the
field count as not sent (§4.2), while a well-formed member of another type may be replaced by a later one with the same
key. Values of other types become None. All patterns are possessive, so matching takes linear time.

The RFC leaves padding of byte sequences to the parser: this one accepts complete padding or none.
"""

import base64
import re
from functools import cache
from typing import Final

_KEY: Final = r"[a-z*][a-z0-9_\-.*]*+"
_BYTES: Final = r":(?:[A-Za-z0-9+/]{4})*+(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?:"
_UTF8_TAIL: Final = "%[89ab][0-9a-f]"
_UTF8: Final = rf"""(?:
      [\ !\#$&-~] | %[0-7][0-9a-f] | %(?:c[2-9a-f]|d[0-9a-f]){_UTF8_TAIL}
    | (?:%e0%[ab][0-9a-f]|%e[1-9abcef]{_UTF8_TAIL}|%ed%[89][0-9a-f]){_UTF8_TAIL}
    | (?:%f0%[9ab][0-9a-f]|%f[1-3]{_UTF8_TAIL}|%f4%8[0-9a-f]){_UTF8_TAIL}{_UTF8_TAIL}
    )"""
_BARE_ITEM: Final = rf"""(?>
      -?[0-9]{{1,12}}\.[0-9]{{1,3}} | -?[0-9]{{1,15}}
    | "(?:[\ !\#-\[\]-~]|\\["\\])*+"
    | [A-Za-z*][!\#$%&'*+\-.^_`|~0-9A-Za-z:/]*+
    | {_BYTES}
    | \?[01]
    | @-?[0-9]{{1,15}}
    | %"{_UTF8}*+"
    )"""
_PARAMETERS: Final = rf"(?:;\ *+{_KEY}(?:={_BARE_ITEM})?+)*+"
_INNER_LIST: Final = rf"\(\ *+(?:{_BARE_ITEM}{_PARAMETERS}(?:\ ++|(?=\))))*+\)"
_MEMBERS_LIMIT: Final = 1024
"""Members of a dictionary; the RFC requires as many (§3.2)."""
_INTEGER: Final = re.compile(r"-?[0-9]++")
_BYTE_SEQUENCE: Final = re.compile(_BYTES)
_ONE_BYTE_SEQUENCE: Final = re.compile(f"({_KEY})=({_BYTES})")

Value = bytes | int | None
"""The value of a member; None for the types that are not used."""


@cache
def _member_pattern() -> re.Pattern[str]:
    # PERF: compiled on first use, because it takes 2 ms and a client seldom needs it.
    return re.compile(
        rf"({_KEY})(?:=({_INNER_LIST}|{_BARE_ITEM}))?+{_PARAMETERS}[ \t]*+(,[ \t]*+(?!\Z)|\Z)", re.VERBOSE
    )


def parse_dictionary(text: str) -> dict[str, Value] | None:
    """Return the members of a dictionary (§4.2.2) without their parameters; None when the text is malformed.

    More than _MEMBERS_LIMIT members count as malformed. The last of several members with one key counts.
    """
    members: dict[str, Value] = {}
    text = text.lstrip(" ")
    position = 0
    match_member = _member_pattern().match
    for _ in range(_MEMBERS_LIMIT):
        if position == len(text):
            break
        match = match_member(text, position)
        if match is None:
            return None
        members[match[1]] = _value(match[2] or "")
        position = match.end()
    return members if position == len(text) else None


def byte_sequences(text: str) -> dict[str, bytes] | None:
    """Return a dictionary of byte sequences; None when it is malformed or has a member of another type."""
    if one := _ONE_BYTE_SEQUENCE.fullmatch(text):
        return {one[1]: _decode_bytes(one[2])}
    members = parse_dictionary(text)
    if members is None:
        return None
    sequences = {key: value for key, value in members.items() if isinstance(value, bytes)}
    return sequences if len(sequences) == len(members) else None


def _value(item: str) -> Value:
    if _INTEGER.fullmatch(item):
        return int(item)
    if _BYTE_SEQUENCE.fullmatch(item):
        return _decode_bytes(item)
    return None


def _decode_bytes(item: str) -> bytes:
    unpadded = item.strip(":").rstrip("=")
    return base64.b64decode(unpadded + "=" * (-len(unpadded) % 4))
