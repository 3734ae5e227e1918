"""Structured fields (RFC 9651): dictionaries, of which Docstore uses byte sequences and integers.

The whole dictionary grammar is parsed, including strings, inner lists and parameters, because one malformed member
makes the field count as not sent (§4.2), while a well-formed member of another type may be replaced by a later one
with the same key. Values of other types are validated and dropped.

The RFC leaves padding of byte sequences to the parser: this one accepts complete padding or none.
"""

import base64
import re
from typing import Final
from urllib.parse import unquote_to_bytes

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
"""The value of a member; None for the types that are not used."""


def parse_dictionary(text: str) -> dict[str, Value] | None:
    """Return the members of a dictionary (§4.2.2) without their parameters; None when the text is malformed."""
    try:
        return _dictionary(_Scanner(text))
    except _Malformed:
        return None


def byte_sequences(text: str) -> dict[str, bytes] | None:
    """Return a dictionary of byte sequences; None when it is malformed or has a member of another type."""
    members = parse_dictionary(text)
    if members is None:
        return None
    sequences = {key: value for key, value in members.items() if isinstance(value, bytes)}
    return sequences if len(sequences) == len(members) else None


class _Malformed(Exception):
    """The text is not a dictionary."""


class _Scanner:
    """A text and the position up to which it is parsed."""

    __slots__ = ("position", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def at_end(self) -> bool:
        return self.position == len(self.text)

    def accept(self, sign: str) -> bool:
        """Consume `sign` if it is next; return whether it was."""
        if not self.text.startswith(sign, self.position):
            return False
        self.position += len(sign)
        return True

    def expect(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """Consume and return a match of `pattern`. Raise _Malformed when it is not next."""
        match = pattern.match(self.text, self.position)
        if match is None:
            raise _Malformed
        self.position = match.end()
        return match


def _dictionary(scanner: _Scanner) -> dict[str, Value]:
    """§4.2.2: the last of several members with one key counts."""
    members: dict[str, Value] = {}
    scanner.expect(_SPACES)
    while not scanner.at_end():
        key = scanner.expect(_KEY)[0]
        members[key] = _member(scanner)
        scanner.expect(_BLANKS)
        if scanner.at_end():
            return members
        if not scanner.accept(","):
            raise _Malformed
        scanner.expect(_BLANKS)
        if scanner.at_end():
            raise _Malformed
    return members


def _member(scanner: _Scanner) -> Value:
    value: Value = None
    if scanner.accept("="):
        if scanner.accept("("):
            _skip_inner_list(scanner)
        else:
            value = _item(scanner)
    _skip_parameters(scanner)
    return value


def _skip_inner_list(scanner: _Scanner) -> None:
    """§4.2.1.2: items with a space between them, up to the closing parenthesis."""
    while True:
        scanner.expect(_SPACES)
        if scanner.accept(")"):
            return
        _item(scanner)
        _skip_parameters(scanner)
        if not scanner.text.startswith((" ", ")"), scanner.position):
            raise _Malformed


def _skip_parameters(scanner: _Scanner) -> None:
    while scanner.accept(";"):
        scanner.expect(_SPACES)
        scanner.expect(_KEY)
        if scanner.accept("="):
            _item(scanner)


def _item(scanner: _Scanner) -> Value:
    match = scanner.expect(_ITEM)
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
