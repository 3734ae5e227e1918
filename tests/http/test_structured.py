"""Structured fields, by tables from RFC 9651 and against http-sf as an oracle."""

import re

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from docstore.http import structured

MALFORMED = {
    "trailing comma": "a=:aGk=:,",
    "empty member": "a=:aGk=:,,b=:aGk=:",
    "upper-case key": "A=:aGk=:",
    "leading tab": "\ta=:aGk=:",
    "space around =": "a =:aGk=:",
    "bad character": "a=:aG_=:",
    "blank in base64": "a=:aG k:",
    "one character": "a=:a:",
    "padding inside": "a=:aG=k:",
    "padding too long": "a=:aGk==:",
    "padding too short": "a=:aA=:",
    "padding alone": "a=:=:",
    "no end": "a=:aGk=",
    "not ASCII": "a=:aGk=:, b=:ä:",
    "a broken parameter": "a=:aGk=:;b=:",
    "no separator": "a=:aGk=: b=:aGk=:",
    "an open inner list": "b=(1 2, a=:aGk=:",
    "a display string that is not UTF-8": 'a=:aGk=:;b=%"%ff"',
    "an integer": "a=:aGk=:, b=1",
    "a flag": "a=:aGk=:, b",
}

WELL_FORMED = {
    "none": ("", {}),
    "one": ("a=:aGk=:", {"a": b"hi"}),
    "two": ("a=:aGk=:,b=::", {"a": b"hi", "b": b""}),
    "no padding": ("a=:aGk:", {"a": b"hi"}),
    "bits that padding hides": ("a=:aGl=:", {"a": b"hi"}),
    "tabs around the comma": ("a=:aGk=:\t,\tb=:aGk=:", {"a": b"hi", "b": b"hi"}),
    "spaces around all": ("  a=:aGk=:  ", {"a": b"hi"}),
    "parameters": ('a=:aGk=:;b;c="x;,\\"";  d=?0;e=1.5;f=@1;g=%"%c3%bc"', {"a": b"hi"}),
    "the last of a key": ("a=1, a=(1 2);x, a=:aGk=:", {"a": b"hi"}),
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_field_with_one_bad_member_counts_as_not_sent(text: str) -> None:
    assert structured.byte_sequences(text) is None


@pytest.mark.parametrize(("text", "members"), WELL_FORMED.values(), ids=WELL_FORMED.keys())
def test_byte_sequences_are_parsed(text: str, members: dict[str, bytes]) -> None:
    assert structured.byte_sequences(text) == members


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("sha-512=3, sha-256=10, unixsum=0", {"sha-512": 3, "sha-256": 10, "unixsum": 0}),
        ("a=-999999999999999", {"a": -999_999_999_999_999}),
        ("a=1000000000000000", None),
        ("a=1.0", None),
        ("a=1.", None),
        ("a=--1", None),
        ("a=?1", None),
        ("a=\u0661", None),
        ("a", None),
    ],
)
def test_integers_have_at_most_fifteen_digits(text: str, members: dict[str, int] | None) -> None:
    assert integers(text) == members


def integers(text: str) -> dict[str, bytes | int | None] | None:
    """A dictionary of integers alone, or None."""
    members = structured.parse_dictionary(text)
    return members if members is not None and all(isinstance(value, int) for value in members.values()) else None


KEYS = st.from_regex(r"[a-z*][a-z0-9_\-.*]{0,4}", fullmatch=True)
BYTES = st.dictionaries(KEYS, st.binary(max_size=8), min_size=1, max_size=4)
INTEGERS = st.dictionaries(KEYS, st.integers(-(10**15) + 1, 10**15 - 1), min_size=1, max_size=4)
ITEMS = st.one_of(
    st.booleans(),
    st.integers(-(10**15) + 1, 10**15 - 1),
    st.binary(max_size=4),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=4),
    st.text(max_size=4).map(http_sf.DisplayString),
    st.from_regex(r"[A-Za-z*][!#a-z:/]{0,4}", fullmatch=True).map(http_sf.Token),
)
MEMBERS = st.tuples(st.one_of(ITEMS, st.lists(st.tuples(ITEMS, st.just({})), max_size=3)), st.dictionaries(KEYS, ITEMS))


def oracle(text: str) -> dict[str, bytes | int | None] | None:
    """The result of http-sf for a dictionary, in the types of this module."""
    try:
        members = http_sf.parse(text.encode("latin-1"), tltype="dictionary")
    except (ValueError, OverflowError):
        return None
    values = {key: value for key, (value, _) in members.items()}
    return {key: value if type(value) in (bytes, int) else None for key, value in values.items()}


def padded_wrongly(text: str) -> bool:
    """http-sf accepts any padding that is long enough; this parser does not."""
    return any(len(found) % 4 for found in re.findall(r":([A-Za-z0-9+/]*=+):", text))


@given(BYTES)
def test_formatted_byte_sequences_can_be_parsed(members: dict[str, bytes]) -> None:
    text = http_sf.ser(members)
    assert structured.byte_sequences(text) == oracle(text) == members


@given(INTEGERS)
def test_formatted_integers_can_be_parsed(members: dict[str, int]) -> None:
    text = http_sf.ser(members)
    assert structured.parse_dictionary(text) == oracle(text) == members


@given(st.dictionaries(KEYS, MEMBERS, min_size=1, max_size=3), st.data())
def test_any_dictionary_is_parsed_as_the_oracle_parses_it(members: dict[str, object], data: st.DataObject) -> None:
    text = http_sf.ser(members)
    at = data.draw(st.integers(0, len(text)))
    change = data.draw(st.sampled_from(["", *' \t,;=:()"?@%*aA1.-\\~\x7fä']))
    changed = text[:at] + change + text[at + data.draw(st.integers(0, 1)) :]
    if not padded_wrongly(changed) and "@" not in changed:
        assert structured.parse_dictionary(changed) == oracle(changed)


@given(st.text(st.sampled_from(' \t,;=:()"?@%*aZ19.-\\/+_'), max_size=12))
def test_any_text_is_handled_without_an_error(text: str) -> None:
    if not padded_wrongly(text) and "@" not in text:
        assert structured.parse_dictionary(text) == oracle(text)


def test_a_hostile_field_is_parsed_in_linear_time() -> None:
    for text in ("a=(" * 20_000, 'a="' + "\\" * 60_000, "a=:" + "A" * 60_000, "a;" * 30_000, "a=(" + " " * 60_000):
        assert structured.byte_sequences(text) is None
