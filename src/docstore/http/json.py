"""Strict JSON (RFC 8259), parsed and written without loss.

A patched document keeps every number that the patch does not touch, digit by digit: floats would turn
0.1000000000000000055 into 0.1 and 1E400 into infinity, and `decimal` would write 1E+400. So a number that is not a
short integer stays text (`Number`), which also avoids the digit limit of `int()`.

Rejected, although Python's parser accepts them: NaN and Infinity, duplicate names in an object, half of a surrogate
pair, and nesting deeper than DEPTH_LIMIT. Accepted, as §8.1 allows: a byte order mark. All walks are loops, so no depth
is a RecursionError. The writer keeps the order of members, writes no blanks, and escapes only what it must.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NoReturn, TypeAlias, cast

DEPTH_LIMIT: Final = 200
"""The deepest nesting of arrays and objects, in input and output."""

_SHORT_INTEGER: Final = 18
_NUMBER: Final = re.compile(r"(-?)(0|[1-9][0-9]*+)(?:\.([0-9]++))?(?:[eE]([+-]?[0-9]{1,18}))?")
_STRUCTURE: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


class InvalidJSON(ValueError):
    """The text is not JSON, or not the strict JSON that is accepted; the message says where or why."""


class JSONTooLarge(ValueError):
    """The value is nested too deep, or its text is over the limit."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number that is not a short integer, as text. `==` compares the text; `equal` compares the value."""

    text: str


JSON: TypeAlias = "bool | int | Number | str | list[JSON] | dict[str, JSON] | None"


def parse_json(data: bytes) -> JSON:
    """Raise InvalidJSON for anything but strict JSON in UTF-8."""
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise InvalidJSON(f"not UTF-8 at byte {error.start}") from None
    _check_depth(text)
    try:
        value = cast(JSON, _DECODER.decode(text))
    except json.JSONDecodeError as error:
        raise InvalidJSON(str(error)) from None
    if _SURROGATE.search(text):
        _check_surrogates(value)
    return value


def _check_depth(text: str) -> None:
    """Run before the recursive parser, which finds unbalanced brackets itself."""
    if text.count("[") + text.count("{") <= DEPTH_LIMIT:
        return
    depth = 0
    for found in _STRUCTURE.finditer(text):
        sign = found[0]
        if sign in ("[", "{"):
            depth += 1
            if depth > DEPTH_LIMIT:
                raise InvalidJSON(f"nested deeper than {DEPTH_LIMIT} levels")
        elif sign in ("]", "}"):
            depth -= 1


def _check_surrogates(value: JSON) -> None:
    """Pairs are characters by now; a lone surrogate can't be encoded in UTF-8."""
    try:
        format_json(value)
    except UnicodeEncodeError:
        raise InvalidJSON("a string contains half of a surrogate pair") from None


def _object(members: list[tuple[str, JSON]]) -> dict[str, JSON]:
    found = dict(members)
    if len(found) != len(members):
        raise InvalidJSON("an object has a duplicate name")
    return found


def _number(text: str) -> int | Number:
    if _NUMBER.fullmatch(text) is None:
        raise InvalidJSON("an exponent has at most 18 digits")
    short = len(text) <= _SHORT_INTEGER and text.removeprefix("-").isdigit() and text != "-0"
    return int(text) if short else Number(text)


def _reject_constant(name: str) -> NoReturn:
    raise InvalidJSON(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_number, parse_int=_number, parse_constant=_reject_constant
)
_encode_string: Final = json.JSONEncoder(ensure_ascii=False).encode


def format_json(value: JSON, *, size_limit: int | None = None) -> bytes:
    """Return the text of `value`. Raise JSONTooLarge as soon as it exceeds `size_limit` bytes or DEPTH_LIMIT levels."""
    pieces: list[str] = []
    size = 0
    for piece in _pieces(value):
        pieces.append(piece)
        size += len(piece)
        if size_limit is not None and size > size_limit:
            raise _size_error(size_limit)
    data = "".join(pieces).encode("utf-8")
    if size_limit is not None and len(data) > size_limit:
        raise _size_error(size_limit)
    return data


def _size_error(size_limit: int) -> JSONTooLarge:
    return JSONTooLarge(f"the JSON is over {size_limit} bytes")


def _pieces(value: JSON) -> Iterator[str]:
    """Yield the text piece by piece; the stack holds the rest of each open container and its closing bracket."""
    stack: list[tuple[Iterator[tuple[str, JSON]], str]] = [(iter([("", value)]), "")]
    while stack:
        rest, end = stack[-1]
        step = next(rest, None)
        if step is None:
            stack.pop()
            yield end
            continue
        before, value = step
        if not isinstance(value, dict | list):
            yield before + _scalar(value)
            continue
        if len(stack) > DEPTH_LIMIT:
            raise JSONTooLarge(f"the JSON is over {DEPTH_LIMIT} levels deep")
        yield before + ("{" if isinstance(value, dict) else "[")
        stack.append((_members(value), "}") if isinstance(value, dict) else (_elements(value), "]"))


def _members(members: dict[str, JSON]) -> Iterator[tuple[str, JSON]]:
    comma = ""
    for name, value in members.items():
        yield f"{comma}{_encode_string(name)}:", value
        comma = ","


def _elements(elements: list[JSON]) -> Iterator[tuple[str, JSON]]:
    comma = ""
    for value in elements:
        yield comma, value
        comma = ","


def _scalar(value: bool | int | Number | str | None) -> str:
    if isinstance(value, str):
        return _encode_string(value)
    if isinstance(value, Number):
        return value.text
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def equal(one: JSON, other: JSON) -> bool:
    """Whether two values are the same JSON (RFC 6902 §4.6): numbers by value, objects whatever their order."""
    pairs = [(one, other)]
    while pairs:
        a, b = pairs.pop()
        if isinstance(a, dict) and isinstance(b, dict):
            if a.keys() != b.keys():
                return False
            pairs.extend((value, b[name]) for name, value in a.items())
        elif isinstance(a, list) and isinstance(b, list):
            if len(a) != len(b):
                return False
            pairs.extend(zip(a, b, strict=True))
        elif _is_number(a) and _is_number(b):
            if _decimal(a) != _decimal(b):
                return False
        elif type(a) is not type(b) or a != b:
            return False
    return True


def _is_number(value: JSON) -> bool:
    """A bool is an int in Python, but not a number in JSON."""
    return isinstance(value, int | Number) and not isinstance(value, bool)


def _decimal(value: JSON) -> tuple[str, str, int]:
    """Return sign, digits without leading and trailing zeros, and exponent: equal for equal numbers."""
    parts = _NUMBER.fullmatch(value.text if isinstance(value, Number) else str(value))
    if parts is None:
        raise ValueError(f"{value!r} is not a JSON number")
    sign, whole, fraction, exponent = parts.groups(default="")
    digits = (whole + fraction).rstrip("0")
    if not digits:
        return "", "", 0
    trailing = len(whole) + len(fraction) - len(digits)
    return sign, digits.lstrip("0"), int(exponent or "0") - len(fraction) + trailing
