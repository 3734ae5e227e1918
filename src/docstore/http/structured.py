"""Structured fields (RFC 9651): dictionaries, of which Docstore reads byte sequences and integers.

All of the dictionary grammar is read, strings, inner lists and parameters too, because one member that breaks it makes
the whole field count as not sent (§4.2), and one that merely has another type must not be taken for such a break when a
later member of the same key replaces it. Values of other types are checked and dropped.

The RFC leaves padding of byte sequences to the parser: here it is whole or not there at all. Numbers need no limit of
their own: the grammar ends them at 15 digits.
"""

import base64
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

_INTEGER_LIMIT: Final = 999_999_999_999_999
_KEY: Final = re.compile(r"[a-z*][a-z0-9_\-.*]*")
_SPACES: Final = re.compile(r" *")
_BLANKS: Final = re.compile(r"[ \t]*")
_ITEM: Final = re.compile(
    r"""
      -?[0-9]{1,12}\.[0-9]{1,3}
    | (?P<integer> -?[0-9]{1,15})
    | "(?:[ !\#-\[\]-~]|\\["\\])*"
    | [A-Za-z*][!\#$%&'*+\-.^_`|~0-9A-Za-z:/]*
    | :(?P<bytes> (?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?):
    | \?[01]
    | @-?[0-9]{1,15}
    | %"(?P<display> (?:[ !\#$&-~]|%[0-9a-f]{2})*)"
    """,
    re.VERBOSE,
)

Value = bytes | int | None
"""A member: None stands for any type but the two that are read."""


def parse_dictionary(text: str) -> dict[str, Value] | None:
    """The members of any dictionary (§4.2.2), without their parameters; None when the text is malformed."""
    try:
        return _dictionary(_Scanner(text))
    except _Malformed:
        return None


def byte_sequences(text: str) -> dict[str, bytes] | None:
    """A dictionary of byte sequences; None when the field counts as not sent, for a member of another type too."""
    members = parse_dictionary(text)
    if members is None:
        return None
    found = {key: value for key, value in members.items() if isinstance(value, bytes)}
    return found if len(found) == len(members) else None


def integers(text: str) -> dict[str, int] | None:
    """A dictionary of integers; None when the field counts as not sent, for a member of another type too."""
    members = parse_dictionary(text)
    if members is None:
        return None
    found = {key: value for key, value in members.items() if isinstance(value, int)}
    return found if len(found) == len(members) else None


def format_dictionary(members: Mapping[str, bytes | int]) -> str:
    """The field of these members, in their order. Raises ValueError for what RFC 9651 can't write."""
    for key in members:
        if _KEY.fullmatch(key) is None:
            raise ValueError(f"{key!r} is not a key of a structured field")
    return ", ".join(f"{key}={_format_value(value)}" for key, value in members.items())


def _format_value(value: bytes | int) -> str:
    if isinstance(value, bytes):
        return f":{base64.b64encode(value).decode('ascii')}:"
    if abs(value) > _INTEGER_LIMIT:
        raise ValueError("an integer of a structured field has at most 15 digits")
    return str(value)


class _Malformed(Exception):
    """The text is not a dictionary."""


class _Scanner:
    """A text and how far it is read."""

    __slots__ = ("position", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def ended(self) -> bool:
        return self.position == len(self.text)

    def took(self, sign: str) -> bool:
        """Whether `sign` is next; reads it when it is."""
        if not self.text.startswith(sign, self.position):
            return False
        self.position += len(sign)
        return True

    def take(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """Reads what `pattern` matches. Raises _Malformed when something else is next."""
        match = pattern.match(self.text, self.position)
        if match is None:
            raise _Malformed
        self.position = match.end()
        return match


def _dictionary(scanner: _Scanner) -> dict[str, Value]:
    """§4.2.2: the last of several members with one key is the one that counts."""
    members: dict[str, Value] = {}
    scanner.take(_SPACES)
    while not scanner.ended():
        key = scanner.take(_KEY)[0]
        members[key] = _member(scanner)
        scanner.take(_BLANKS)
        if scanner.ended():
            return members
        if not scanner.took(","):
            raise _Malformed
        scanner.take(_BLANKS)
        if scanner.ended():
            raise _Malformed
    return members


def _member(scanner: _Scanner) -> Value:
    value: Value = None
    if scanner.took("="):
        if scanner.took("("):
            _skip_inner_list(scanner)
        else:
            value = _item(scanner)
    _skip_parameters(scanner)
    return value


def _skip_inner_list(scanner: _Scanner) -> None:
    """§4.2.1.2: items with a space between them, up to the closing parenthesis."""
    while True:
        scanner.take(_SPACES)
        if scanner.took(")"):
            return
        _item(scanner)
        _skip_parameters(scanner)
        if not scanner.text.startswith((" ", ")"), scanner.position):
            raise _Malformed


def _skip_parameters(scanner: _Scanner) -> None:
    while scanner.took(";"):
        scanner.take(_SPACES)
        scanner.take(_KEY)
        if scanner.took("="):
            _item(scanner)


def _item(scanner: _Scanner) -> Value:
    match = scanner.take(_ITEM)
    kind = match.lastgroup
    if kind == "integer":
        return int(match["integer"])
    if kind == "bytes":
        unpadded = match["bytes"].rstrip("=")
        return base64.b64decode(unpadded + "=" * (-len(unpadded) % 4))
    if kind == "display":
        try:
            unquote_to_bytes(match["display"]).decode("utf-8")
        except UnicodeDecodeError:
            raise _Malformed from None
    return None
