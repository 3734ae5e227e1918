"""Which fields of a write are stored, and how they are sent back (RFC 9110 §8, §9.3.4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docstore.http.message import Headers
from docstore.http.stored_headers import (
    META_LIMIT,
    STORED_SIZE_LIMIT,
    InvalidStoredField,
    StoredFieldsTooLarge,
    parse_stored_fields,
    request_header_pairs,
    stored_header_pairs,
)
from docstore.media_types import LONGEST_GUESS
from docstore.model import Fields

TEXT = "text/plain"


def headers(*lines: tuple[str, str]) -> Headers:
    return Headers((name.encode("latin-1"), value.encode("latin-1")) for name, value in lines)


OF_THE_MESSAGE = """
    accept authorization cache-control connection content-digest content-length content-location content-md5
    content-range cookie date etag expect expires host if-match keep-alive last-modified location prefer
    proxy-authorization range server te trailer transfer-encoding ttl upgrade user-agent vary x-meta-a
"""

STORED = {
    "nothing was sent": ([], Fields()),
    "a media type as it was written": (
        [("content-type", 'Text/Plain; Charset="utf-8"')],
        Fields('Text/Plain; Charset="utf-8"'),
    ),
    "a coding": ([("content-encoding", "gzip")], Fields.make(others={"content-encoding": "gzip"})),
    "codings in the order of their lines": (
        [("content-encoding", "gzip ,"), ("content-encoding", " br")],
        Fields.make(others={"content-encoding": "gzip, br"}),
    ),
    "identity is no coding": ([("content-encoding", "identity")], Fields()),
    "identity among others": (
        [("content-encoding", "Identity, gzip")],
        Fields.make(others={"content-encoding": "gzip"}),
    ),
    "an empty list": ([("content-language", ""), ("docstore-cache-control", ",")], Fields()),
    "languages": (
        [("content-language", "de-CH-1996,en")],
        Fields.make(others={"content-language": "de-CH-1996, en"}),
    ),
    "a disposition": (
        [("content-disposition", "attachment; filename=\"a, b.txt\"; filename*=UTF-8''%c3%a4")],
        Fields.make(others={"content-disposition": "attachment; filename=\"a, b.txt\"; filename*=UTF-8''%c3%a4"}),
    ),
    "cache directives": (
        [("docstore-cache-control", 'max-age=60,private="set-cookie, x"'), ("docstore-cache-control", "Foo")],
        Fields.make(others={"cache-control": 'max-age=60, private="set-cookie, x", Foo'}),
    ),
    "the writer's own": (
        [("meta-b", "2"), ("meta-a", "  1 \t one "), ("meta-b", "3"), ("meta-empty", "")],
        Fields.make(others={"meta-a": "1 \t one", "meta-b": "2, 3", "meta-empty": ""}),
    ),
    "what belongs to the message": (
        [(name, "x") for name in OF_THE_MESSAGE.split()],
        Fields(),
    ),
}

REFUSED = {
    "content-type": [
        "",
        "text",
        "text/",
        "/plain",
        "text/plain/x",
        "text/plain charset=utf-8",
        "text/plain; charset",
        "text/plain; charset=utf-8; charset=utf-8",
        "text/plain, text/html",
        *("text/*", "*/*", "*/plain"),
        "text/plain;a=\xe4",
        'text/plain;a="\xe4"',
        "text/plain\r\nx: y",
        'text/plain;a="\x00"',
        "a/" + "b" * 300,
    ],
    "content-disposition": ["", "attachment filename=x", "; filename=x", 'attachment; filename="\xe4"', "a, b"],
    "content-encoding": ["gz ip", "gzip;q=1", '"gzip"', "*/*"],
    "content-language": ["de_CH", "de-", "toolonglanguage", "*", "\xe4"],
    "docstore-cache-control": ["max age=1", "=1", "max-age=", "a=1;b=2", 'a="x', 'a="x";b="y"', '"a"', 'a="\xe4"'],
    "meta-note": ["a\x00b", "a\nb", "\xe4", "a\x7fb"],
    "meta-b\xe4d": ["x"],
    "meta-b d": ["x"],
}


@pytest.mark.parametrize(("lines", "fields"), STORED.values(), ids=STORED.keys())
def test_headers_that_describe_the_document_are_stored(lines: list[tuple[str, str]], fields: Fields) -> None:
    assert parse_stored_fields(headers(*lines)) == fields


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in REFUSED.items() for value in values])
def test_values_that_could_not_be_sent_back_are_rejected(name: str, value: str) -> None:
    with pytest.raises(InvalidStoredField) as caught:
        parse_stored_fields(headers((name, value)))
    assert not isinstance(caught.value, StoredFieldsTooLarge)
    assert caught.value.field == name.encode("ascii", "backslashreplace").decode("ascii")
    assert str(caught.value) == f"{caught.value.field}: {caught.value.reason}"


@pytest.mark.parametrize("name", ["content-type", "content-disposition"])
def test_a_field_that_is_not_a_list_may_be_sent_once(name: str) -> None:
    value = "text/plain" if name == "content-type" else "inline"
    with pytest.raises(InvalidStoredField, match="2 times"):
        parse_stored_fields(headers((name, value), (name, value)))


def test_all_names_and_values_together_have_a_limit() -> None:
    room = STORED_SIZE_LIMIT - len("content-type") - len(TEXT) - len("meta-a") - len("meta-b") - 1
    most = headers(("content-type", TEXT), ("meta-a", "x" * room), ("meta-b", "y"))
    assert (
        sum(len(name) + len(value) for name, value in stored_header_pairs(parse_stored_fields(most)))
        == STORED_SIZE_LIMIT
    )
    with pytest.raises(StoredFieldsTooLarge, match=str(STORED_SIZE_LIMIT)) as caught:
        parse_stored_fields(headers(("content-type", TEXT), ("meta-a", "x" * room), ("meta-b", "yy")))
    assert caught.value.field == "meta-a"


def test_the_longest_guess_of_a_media_type_counts_towards_the_limit() -> None:
    room = STORED_SIZE_LIMIT - len("content-type") - LONGEST_GUESS - len("meta-a")
    parse_stored_fields(headers(("meta-a", "x" * room)))
    with pytest.raises(StoredFieldsTooLarge):
        parse_stored_fields(headers(("meta-a", "x" * (room + 1))))


def test_meta_fields_have_a_limit_in_number() -> None:
    own = [(f"meta-{number:03}", "") for number in range(META_LIMIT + 1)]
    assert len(parse_stored_fields(headers(*own[:META_LIMIT])).others) == META_LIMIT
    with pytest.raises(StoredFieldsTooLarge, match=str(META_LIMIT)) as caught:
        parse_stored_fields(headers(*own))
    assert caught.value.field == own[META_LIMIT][0]


def test_stored_fields_are_sent_with_the_media_type_first_and_the_rest_sorted() -> None:
    fields = parse_stored_fields(
        headers(("meta-b", "2"), ("content-language", "en"), ("meta-a", "1"), ("content-type", TEXT))
    )
    assert stored_header_pairs(fields) == [
        (b"content-type", b"text/plain"),
        (b"content-language", b"en"),
        (b"meta-a", b"1"),
        (b"meta-b", b"2"),
    ]


NAMES = st.sampled_from(
    ["content-type", "content-disposition", "content-encoding", "content-language", "docstore-cache-control", "meta-a"]
)
VALUES = st.one_of(
    st.sampled_from(["text/plain", "attachment", "gzip, br", "identity", "en", "no-cache", 'a="b, c"']),
    st.text(st.characters(max_codepoint=255), max_size=12),
)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=5))
def test_stored_headers_are_sent_back_and_stored_again_equally(lines: list[tuple[str, str]]) -> None:
    try:
        fields = parse_stored_fields(headers(*lines))
    except InvalidStoredField:
        return
    assert parse_stored_fields(Headers(request_header_pairs(fields))) == fields
    assert Fields.unpack(fields.pack()) == fields
