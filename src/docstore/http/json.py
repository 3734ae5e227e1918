"""Strict JSON (RFC 8259), parsed and written without loss.

A patched document keeps every number that the patch does not touch, digit by digit: floats would turn
0.1000000000000000055 into 0.1 and 1E400 into infinity, and `decimal` would write 1E+400. So a number that is not a
short integer stays text (`Number`), which also avoids the digit limit of `int()`.

Rejected, although Python's parser accepts them: NaN and Infinity, duplicate names in an object, half of a surrogate
pair, and nesting deeper than DEPTH_LIMIT, which also bounds the recursion here. Accepted, as §8.1 allows: a byte order
mark. The writer keeps the order of members, writes no blanks, and escapes only what it must.
"""

import json
import re
from dataclasses import dataclass
from typing import Final, NoReturn, TypeAlias, cast

DEPTH_LIMIT: Final = 200
"""The deepest nesting of arrays and objects, in input and output."""

_SHORT_INTEGER: Final = 18
_NUMBER: Final = re.compile(r"(-?)(0|[1-9][0-9]*+)(?:\.([0-9]++))?(?:[eE]([+-]?[0-9]{1,18}))?")
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
    try:
        value = cast(JSON, _DECODER.decode(text))
        if text.count("[") + text.count("{") > DEPTH_LIMIT or _SURROGATE.search(text):
            format_json(value)
    except json.JSONDecodeError as error:
        raise InvalidJSON(str(error)) from None
    except (JSONTooLarge, RecursionError):
        raise InvalidJSON(f"nested deeper than {DEPTH_LIMIT} levels") from None
    except UnicodeEncodeError:  # pairs of surrogates are one character by now
        raise InvalidJSON("a string contains half of a surrogate pair") from None
    return value


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
_CONSTANTS: Final = {None: "null", True: "true", False: "false"}
_encode_string: Final = json.JSONEncoder(ensure_ascii=False).encode


def format_json(value: JSON, *, size_limit: int | None = None) -> bytes:
    """Return the text of `value`. Raise JSONTooLarge when it is over `size_limit` bytes or DEPTH_LIMIT levels."""
    data = _format(value, DEPTH_LIMIT).encode("utf-8")
    if size_limit is not None and len(data) > size_limit:
        raise JSONTooLarge(f"the JSON is over {size_limit} bytes")
    return data


def _format(value: JSON, levels: int) -> str:
    if isinstance(value, str):
        return _encode_string(value)
    if isinstance(value, Number):
        return value.text
    if not isinstance(value, dict | list):
        return _CONSTANTS[value] if value is None or isinstance(value, bool) else str(value)
    if not levels:
        raise JSONTooLarge(f"the JSON is over {DEPTH_LIMIT} levels deep")
    if isinstance(value, dict):
        members = [f"{_encode_string(name)}:{_format(member, levels - 1)}" for name, member in value.items()]
        return f"{{{','.join(members)}}}"
    return f"[{','.join([_format(element, levels - 1) for element in value])}]"


def equal(one: JSON, other: JSON) -> bool:
    """Whether two values are the same JSON (RFC 6902 §4.6): numbers by value, objects whatever their order."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if _is_number(one) and _is_number(other):
        return _decimal(one) == _decimal(other)
    return type(one) is type(other) and one == other


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
