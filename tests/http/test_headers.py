"""The grammar of fields: tables from RFC 9110, then arbitrary text."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docstore.http.headers import (
    MEDIA_TYPE_LIMIT,
    MediaType,
    is_field_value,
    is_token,
    parse_media_type,
    parse_natural,
    parse_parameters,
    parse_quality,
    split_list,
)

TCHARS = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
QUOTED_TEXT = "".join(map(chr, [9, *range(0x20, 0x7F), *range(0x80, 0x100)]))

tokens = st.text(TCHARS, min_size=1)
wire_text = st.text(st.characters(max_codepoint=0xFF))
grammar_text = st.text('",;=\\ \t*/W-0159.abq')
any_text = st.text() | wire_text | grammar_text


def quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


@pytest.mark.parametrize(
    ("value", "members"),
    [
        pytest.param("", [], id="5.6.1.2 nothing is the empty list"),
        pytest.param("foo ,bar,", ["foo", "bar"], id="5.6.1.2 example, first"),
        pytest.param("foo , ,bar,charlie", ["foo", "bar", "charlie"], id="5.6.1.2 example, second"),
        pytest.param(",   ,", [], id="5.6.1.2 example, only empty members"),
        pytest.param("\ta \t,\t b", ["a", "b"], id="5.6.3 whitespace is spaces and tabs"),
        pytest.param("a\xa0,\xa0b", ["a\xa0", "\xa0b"], id="5.6.3 no other whitespace"),
        pytest.param('a;q="x,y", b', ['a;q="x,y"', "b"], id="5.6.4 a comma inside a quoted string"),
        pytest.param(r'"x\",y", b', [r'"x\",y"', "b"], id="5.6.4 an escaped quote ends nothing"),
        pytest.param(r'"x\\",y', [r'"x\\"', "y"], id="5.6.4 an escaped backslash escapes nothing"),
        pytest.param('a"b,c"d,e', ['a"b,c"d', "e"], id="5.6.4 a quoted string in the middle of a member"),
        pytest.param('a, "b, c', ["a", '"b, c'], id="an open quote takes the rest"),
        pytest.param('a, "b, c\\', ["a", '"b, c\\'], id="an open quote takes the rest, and a last backslash"),
        pytest.param('"\\\n",b', ['"\\\n"', "b"], id="a line break is a character as any other"),
    ],
)
def test_a_list_is_split_at_the_commas_between_members(value: str, members: list[str]) -> None:
    assert split_list(value) == members


@given(any_text)
def test_any_text_splits_into_members_without_losing_other_characters(value: str) -> None:
    members = split_list(value)
    assert all(member and member == member.strip(" \t") for member in members)
    kept = value.translate({ord(char): None for char in ", \t"})
    assert "".join(members).translate({ord(char): None for char in ", \t"}) == kept


@given(st.lists(tokens | st.text(QUOTED_TEXT).map(quoted), max_size=5), st.sampled_from([",", ", ", " ,\t,"]))
def test_a_joined_list_is_split_into_its_members(members: list[str], comma: str) -> None:
    assert split_list(comma.join(members)) == members


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        pytest.param(TCHARS, True, id="5.6.2 every tchar"),
        pytest.param("", False, id="5.6.2 at least one"),
        *(pytest.param(f"a{char}", False, id=f"5.6.2 not {char!r}") for char in '"(),/:;<=>?@[\\]{} \t\n\x00\x7f\xe9'),
    ],
)
def test_a_token_is_made_of_tchars(text: str, is_one: bool) -> None:
    assert is_token(text) is is_one


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        pytest.param("", {}, id="none"),
        pytest.param(";charset=utf-8", {"charset": "utf-8"}, id="5.6.6 one"),
        pytest.param(" \t; \tCharset=UTF-8 ; Q=1", {"charset": "UTF-8", "q": "1"}, id="5.6.6 names in any case, OWS"),
        pytest.param(';a="b;c=d, e"', {"a": "b;c=d, e"}, id="5.6.4 a quoted value"),
        pytest.param(r';a="\"\\\x"', {"a": '"\\x'}, id="5.6.4 quoted pairs"),
        pytest.param(';a=""', {"a": ""}, id="5.6.4 an empty quoted value"),
        pytest.param(';a="\xe9"', {"a": "\xe9"}, id="5.6.4 obs-text in quotes"),
        pytest.param(";;a=b; ;", {"a": "b"}, id="5.6.6 empty parameters"),
        pytest.param("; ", {}, id="5.6.6 only an empty one"),
        pytest.param("a=b", None, id="5.6.6 no semicolon"),
        pytest.param(";a", None, id="5.6.6 no value"),
        pytest.param(";a=", None, id="5.6.6 an empty token"),
        pytest.param(";=b", None, id="5.6.6 no name"),
        pytest.param(";a =b", None, id="5.6.6 whitespace before ="),
        pytest.param(";a= b", None, id="5.6.6 whitespace after ="),
        pytest.param(";a=b ", None, id="5.6.6 trailing whitespace"),
        pytest.param(";a=b c", None, id="5.6.6 a space in a token"),
        pytest.param(";a=\xe9", None, id="5.6.2 obs-text in a token"),
        pytest.param(';a="b', None, id="5.6.4 an open quote"),
        pytest.param(';a="b"c', None, id="5.6.4 text after a quote"),
        pytest.param(';a="\x00"', None, id="5.6.4 a control character"),
        pytest.param(';a="\\\n"', None, id="5.6.4 an escaped control character"),
        pytest.param(";a=b;A=b", None, id="6838 4.3 a name twice"),
    ],
)
def test_parameters_are_names_and_values(text: str, parameters: dict[str, str] | None) -> None:
    assert parse_parameters(text) == parameters


@given(st.dictionaries(tokens.map(str.lower), st.text(QUOTED_TEXT), max_size=4))
def test_formatted_parameters_can_be_parsed(parameters: dict[str, str]) -> None:
    text = "".join(f"; {name}={value if is_token(value) else quoted(value)}" for name, value in parameters.items())
    assert parse_parameters(text) == parameters


@given(any_text)
def test_any_text_gives_no_parameters_or_well_formed_ones(text: str) -> None:
    for name, value in (parse_parameters(text) or {}).items():
        assert is_token(name)
        assert name == name.lower()
        assert all(char in QUOTED_TEXT for char in value)


@pytest.mark.parametrize(
    ("value", "media_type"),
    [
        pytest.param("text/html", MediaType("text", "html"), id="8.3.1 bare"),
        pytest.param('Text/HTML;Charset="utf-8"', MediaType("text", "html", {"charset": "utf-8"}), id="8.3.1 example"),
        pytest.param("a/b; charset=utf-8", MediaType("a", "b", {"charset": "utf-8"}), id="8.3.1 whitespace"),
        pytest.param("application/vnd.a+json", MediaType("application", "vnd.a+json"), id="8.3.1 tree and suffix"),
        pytest.param("*/*", MediaType("*", "*"), id="8.3.1 stars are tokens"),
        pytest.param("", None, id="8.3.1 empty"),
        pytest.param("text", None, id="8.3.1 no subtype"),
        pytest.param("text/", None, id="8.3.1 an empty subtype"),
        pytest.param("/html", None, id="8.3.1 an empty type"),
        pytest.param("text /html", None, id="8.3.1 whitespace before the slash"),
        pytest.param("text/ html", None, id="8.3.1 whitespace after the slash"),
        pytest.param("text/html/x", None, id="8.3.1 two slashes"),
        pytest.param(" text/html", None, id="8.3.1 leading whitespace"),
        pytest.param("text/html ", None, id="8.3.1 trailing whitespace"),
        pytest.param("text/html; ", None, id="8.3.1 trailing whitespace after a semicolon"),
        pytest.param("text/html, text/plain", None, id="8.3 two of them"),
        pytest.param("text/html\r\nSet-Cookie: a=b", None, id="5.5 line breaks"),
        pytest.param('text/html; a="\xe9"', None, id="5.5 other than ASCII"),
        pytest.param("text/html; charset", None, id="5.6.6 a parameter without a value"),
    ],
)
def test_a_media_type_is_strict(value: str, media_type: MediaType | None) -> None:
    assert parse_media_type(value) == media_type


def test_the_length_of_a_media_type_is_limited() -> None:
    longest = "text/".ljust(MEDIA_TYPE_LIMIT, "x")
    assert parse_media_type(longest) == MediaType("text", "x" * (MEDIA_TYPE_LIMIT - 5))
    assert parse_media_type(longest + "x") is None


def test_a_media_type_names_its_essence_and_can_be_a_key() -> None:
    media_type = parse_media_type("Text/HTML; charset=utf-8")
    assert media_type is not None
    assert media_type.essence == "text/html"
    assert {media_type: 1}[MediaType("text", "html", {"charset": "utf-8"})] == 1


@given(any_text | st.builds("{}/{}{}".format, tokens, tokens, any_text))
def test_every_valid_media_type_can_be_stored(value: str) -> None:
    if parse_media_type(value) is not None:
        assert is_field_value(value)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        pytest.param("", True, id="5.5 empty"),
        pytest.param("!", True, id="5.5 one character"),
        pytest.param("a b\tc", True, id="5.5 whitespace inside"),
        pytest.param(" a", False, id="5.5 leading space"),
        pytest.param("a\t", False, id="5.5 trailing tab"),
        pytest.param(" ", False, id="5.5 only a space"),
        pytest.param("a\nb", False, id="5.5 LF"),
        pytest.param("a\n", False, id="5.5 LF at the end"),
        pytest.param("a\rb", False, id="5.5 CR"),
        pytest.param("a\x00b", False, id="5.5 NUL"),
        pytest.param("a\x7fb", False, id="5.5 DEL"),
        pytest.param("caf\xe9", False, id="5.5 obs-text"),
        pytest.param("\u0661", False, id="no byte at all"),
    ],
)
def test_a_field_value_is_visible_ascii(text: str, is_one: bool) -> None:
    assert is_field_value(text) is is_one


@pytest.mark.parametrize(
    ("text", "thousandths"),
    [
        pytest.param("0", 0, id="12.4.2 0"),
        pytest.param("0.", 0, id="12.4.2 0."),
        pytest.param("0.5", 500, id="12.4.2 one decimal"),
        pytest.param("0.05", 50, id="12.4.2 two decimals"),
        pytest.param("0.123", 123, id="12.4.2 three decimals"),
        pytest.param("1", 1000, id="12.4.2 1"),
        pytest.param("1.", 1000, id="12.4.2 1."),
        pytest.param("1.000", 1000, id="12.4.2 1.000"),
        *(
            pytest.param(text, None, id=f"12.4.2 not {text!r}")
            for text in ["", "0.1234", "1.001", "1.0000", "2", ".5", "00.5", "-0.5", "+1", "0,5", " 1", "1\n", "1e0"]
        ),
        pytest.param("0.\u0665", None, id="12.4.2 no other script's digits"),
    ],
)
def test_a_weight_is_parsed_in_thousandths(text: str, thousandths: int | None) -> None:
    assert parse_quality(text) == thousandths


@given(st.integers(0, 1000))
def test_a_formatted_weight_can_be_parsed(thousandths: int) -> None:
    assert parse_quality(f"{thousandths / 1000:.3f}") == thousandths


@pytest.mark.parametrize(
    ("text", "limit", "number"),
    [
        pytest.param("0", 0, 0, id="zero"),
        pytest.param("10", 10, 10, id="at the limit"),
        pytest.param("11", 10, None, id="one past the limit"),
        pytest.param("007", 10, 7, id="leading zeros"),
        pytest.param("0" * 100_000 + "7", 10, 7, id="a hundred thousand leading zeros"),
        pytest.param("9" * 100_000, 2**64, None, id="a hundred thousand digits"),
        *(
            pytest.param(text, 10, None, id=f"not {text!r}")
            for text in ["", "+1", "-1", " 1", "1 ", "1_0", "1.0", "0x1"]
        ),
        pytest.param("\u0661", 10, None, id="not Arabic-Indic"),
        pytest.param("\xb2", 10, None, id="not a superscript"),
    ],
)
def test_a_natural_number_is_digits_up_to_a_limit(text: str, limit: int, number: int | None) -> None:
    assert parse_natural(text, limit) == number


@given(st.text() | st.text("0123456789", max_size=40), st.integers(0, 10**30))
def test_any_text_is_no_natural_number_or_one_within_the_limit(text: str, limit: int) -> None:
    number = parse_natural(text, limit)
    if number is not None:
        assert 0 <= number <= limit
        assert text.lstrip("0") == str(number).lstrip("0")


@pytest.mark.parametrize(
    "unit", ['"', "\\", '\\"', '"\\', ",", '",', " ", ";", '; a="', ";a=b", "a", "W/", '"a" ', "a/"]
)
def test_a_hundred_kilobytes_of_anything_are_parsed_in_time(unit: str) -> None:
    for hostile in (unit * (100_000 // len(unit)), '"' + unit * (100_000 // len(unit)) + "\x00"):
        assert sum(map(len, split_list(hostile))) <= len(hostile)
        assert parse_parameters(";a=" + hostile + "\n") is None
        assert parse_media_type("a/b;" + hostile) is None
        assert is_field_value(hostile + "\n") is False
        assert is_token(hostile + "\n") is False
        assert parse_quality("0." + hostile) is None
        assert parse_natural(hostile, sys.maxsize) is None
