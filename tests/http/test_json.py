"""JSON read strictly and written without loss (RFC 8259)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docstore.http.json import DEPTH_LIMIT, JSON, InvalidJSON, JSONTooLarge, Number, equal, format_json, parse_json

KEPT = [
    "null",
    "true",
    "0",
    "-0",
    "-1",
    "999999999999999999",
    "1000000000000000000",
    "1" + "0" * 5000,
    "1.0",
    "1.10",
    "-0.0",
    "0.1000000000000000055",
    "1E400",
    "1e-400",
    "1e5",
    "1E+05",
    '""',
    '"\\"\\\\\\n\\u0000"',
    '"\u00e4\u2028\U0001f600/"',
    "[]",
    "{}",
    '[1,[2,{"b":[],"a":{}}]]',
    '{"b":1,"a":2,"":3}',
    '{"__proto__":{"toString":null}}',
]

REFUSED = {
    "nothing": b"",
    "blanks only": b" \n",
    "NaN": b"[NaN]",
    "Infinity": b"Infinity",
    "minus Infinity": b"-Infinity",
    "a name twice": b'{"a":1,"a":1}',
    "a name twice when unescaped": b'[{"a":1,"\\u0061":2}]',
    "half a pair": b'"\\ud800"',
    "the other half": b'["\\uDC00"]',
    "two halves in the wrong order": b'"\\udc00\\ud800"',
    "half a pair in a name": b'{"\\uD83D":1}',
    "a surrogate in UTF-8": b'"\xed\xa0\x80"',
    "an overlong form": b'"\xc0\xaf"',
    "latin-1": b'"\xe4"',
    "UTF-16": '"a"'.encode("utf-16"),
    "two byte order marks": b"\xef\xbb\xbf\xef\xbb\xbf1",
    "a line feed in a string": b'"a\nb"',
    "a NUL": b"[\x00]",
    "an unknown escape": b'"\\x41"',
    "a string that does not end": b'["a',
    "an escape that does not end": b'"\\',
    "single quotes": b"['a']",
    "a trailing comma": b"[1,]",
    "a comment": b"[1] // one",
    "two values": b"1 2",
    "a leading zero": b"01",
    "a plus": b"+1",
    "no digits before the point": b".5",
    "no digits after the point": b"1.",
    "a minus alone": b"-",
    "digits of another script": "\u0661".encode(),
    "another kind of blank": b"\xc2\xa01",
    "an exponent of 19 digits": b"1e1000000000000000000",
    "brackets that do not match": b"[}",
    "one level too many": b"[" * (DEPTH_LIMIT + 1) + b"]" * (DEPTH_LIMIT + 1),
    "far too many levels": b'{"a":' * 100_000,
    "levels that never close": b"[" * 1_000_000,
}


@pytest.mark.parametrize("text", KEPT, ids=lambda text: text[:30])
def test_parsed_numbers_are_written_digit_by_digit(text: str) -> None:
    assert format_json(parse_json(text.encode())) == text.encode()


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_anything_but_strict_json_is_rejected(data: bytes) -> None:
    with pytest.raises(InvalidJSON):
        parse_json(data)


def test_a_byte_order_mark_and_blanks_are_skipped() -> None:
    assert parse_json(b'\xef\xbb\xbf \t\r\n{ "a" : [ 1 , 2 ] }\n') == {"a": [1, 2]}


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert parse_json(b'"\\ud83d\\ude00 \\\\ud800"') == "\U0001f600 \\ud800"


def test_brackets_in_strings_are_not_counted_as_levels() -> None:
    text = json.dumps(["[{" * 1000, '"[', "\\", "]" * 1000] * 3, separators=(",", ":"))
    assert format_json(parse_json(text.encode())) == text.encode()


def test_json_at_the_depth_limit_is_parsed_and_written_and_one_level_more_is_rejected() -> None:
    deepest = b"[" * DEPTH_LIMIT + b"]" * DEPTH_LIMIT
    value = parse_json(deepest)
    assert format_json(value) == deepest
    with pytest.raises(JSONTooLarge, match=str(DEPTH_LIMIT)):
        format_json([value])


@pytest.mark.parametrize("text", ['["\u00e4\u00e4"]', '{"a":1}', "true"])
def test_text_at_the_size_limit_is_parsed_and_one_byte_more_is_rejected(text: str) -> None:
    value, size = parse_json(text.encode()), len(text.encode())
    assert len(format_json(value, size_limit=size)) == size
    with pytest.raises(JSONTooLarge, match=str(size - 1)):
        format_json(value, size_limit=size - 1)


EQUAL = [
    ("1", "1.0"),
    ("1", "1e0"),
    ("100", "1E+2"),
    ("0.1", "1e-1"),
    ("0.10", "0.1"),
    ("-0", "0"),
    ("0.0", "-0e5"),
    ("1E400", "10E399"),
    ("10000000000000000000000", "1e22"),
    ('{"a":1,"b":[2]}', '{"b":[2.0],"a":1}'),
    ('"\\u00e4"', '"ä"'),
    ("[]", "[]"),
]
DIFFERENT = [
    ("1", "true"),
    ("0", "false"),
    ("1", '"1"'),
    ("1", "-1"),
    ("0", "null"),
    ("null", "false"),
    ("0.1", "0.1000000000000000055"),
    ("1E400", "1E401"),
    ("9007199254740993", "9007199254740992"),
    ("10", "1"),
    ("[1,2]", "[2,1]"),
    ("[1]", "[1,1]"),
    ("[]", "{}"),
    ('""', "[]"),
    ('{"a":1}', '{"a":1,"b":null}'),
    ('{"a":1}', '{"A":1}'),
    ('"\\u00e4"', '"a\\u0308"'),
]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_values_that_mean_the_same_are_equal(one: str, other: str) -> None:
    a, b = parse_json(one.encode()), parse_json(other.encode())
    assert equal(a, b)
    assert equal([{"x": b}], [{"x": a}])


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_values_that_mean_different_things_are_different(one: str, other: str) -> None:
    a, b = parse_json(one.encode()), parse_json(other.encode())
    assert not equal(a, b)
    assert not equal([b], [a])


def test_the_deepest_values_are_compared() -> None:
    one: JSON = 1
    other: JSON = Number("1.0")
    for _ in range(DEPTH_LIMIT):
        one, other = [one], [other]
    assert equal(one, other)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=3), values, max_size=4),
    max_leaves=10,
)


@given(VALUES)
def test_any_json_is_the_same_after_writing_and_parsing(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    parsed = parse_json(text)
    assert format_json(parsed) == text
    assert equal(parsed, parse_json(json.dumps(value, indent=1).encode()))


@given(st.binary(max_size=20) | st.text(st.sampled_from('{}[]",:\\u0d8a1-.eE+ ntf'), max_size=30).map(str.encode))
def test_any_bytes_are_json_or_the_documented_error(data: bytes) -> None:
    try:
        value = parse_json(data)
    except InvalidJSON:
        return
    assert equal(parse_json(format_json(value)), value)
