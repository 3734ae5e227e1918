"""Byte ranges: RFC 9110 §14."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from docstore.http.ranges import (
    RANGES_LIMIT,
    Selection,
    Span,
    byteranges,
    content_range,
    multipart,
    select,
    unsatisfied_range,
)

HUGE = "9" * 100_000


@pytest.mark.parametrize(
    ("value", "size", "selection"),
    [
        pytest.param("bytes=0-499", 10_000, ((0, 500),), id="14.1.2 example, the first 500 bytes"),
        pytest.param("bytes=500-999", 10_000, ((500, 1000),), id="14.1.2 example, the second 500 bytes"),
        pytest.param("bytes=-500", 10_000, ((9500, 10_000),), id="14.1.2 example, the final 500 bytes"),
        pytest.param("bytes=9500-", 10_000, ((9500, 10_000),), id="14.1.2 example, the same"),
        pytest.param("bytes=0-0,-1", 10_000, ((0, 1), (9999, 10_000)), id="14.1.2 example, first and last byte"),
        pytest.param(
            "bytes= 0-999, 4500-5499, -1000",
            10_000,
            ((0, 1000), (4500, 5500), (9000, 10_000)),
            id="14.1.2 example, first, middle and last 1000 bytes",
        ),
        pytest.param("bytes=0-500", 500, ((0, 500),), id="14.1.2 a last position at the end is clamped"),
        pytest.param("bytes=0-9", 10, ((0, 10),), id="14.1.2 the whole as a range"),
        pytest.param("bytes=9-9", 10, ((9, 10),), id="14.1.2 the last byte"),
        pytest.param("bytes=3-999", 10, ((3, 10),), id="14.1.2 a last position beyond the end is clamped"),
        pytest.param("bytes=-999", 10, ((0, 10),), id="14.1.2 a suffix longer than the document"),
        pytest.param("bytes=0-", 1, ((0, 1),), id="14.1.2 open, of one byte"),
        pytest.param("bytes=007-008", 10, ((7, 9),), id="14.1.1 leading zeros"),
        pytest.param("bytes=0001-2", 10, ((1, 3),), id="14.1.1 leading zeros of the first position alone"),
        pytest.param("BYTES=0-1", 10, ((0, 2),), id="14.1 units in any case"),
        pytest.param("bytes=,0-1,, 3-4 ,", 10, ((0, 2), (3, 5)), id="5.6.1 empty members"),
        pytest.param("bytes=8-9,0-1", 10, ((8, 10), (0, 2)), id="15.3.7.2 the order of the request"),
        pytest.param("bytes=0-1,2-3", 10, ((0, 2), (2, 4)), id="15.3.7.2 neighbours are not coalesced"),
        pytest.param("bytes=0-1,1-2", 10, ((0, 2), (1, 3)), id="15.3.7.2 overlaps are not coalesced"),
        pytest.param("bytes=20-,0-1", 10, ((0, 2),), id="14.1.2 what can be met of several"),
        pytest.param("bytes=-0,-1", 10, ((9, 10),), id="14.1.2 what can be met of several suffixes"),
        pytest.param(f"bytes=2-{HUGE}", 10, ((2, 10),), id="14.1.1 a huge last position"),
        pytest.param(f"bytes=-{HUGE}", 10, ((0, 10),), id="14.1.1 a huge suffix"),
    ],
)
def test_ranges_select_spans(value: str, size: int, selection: Selection) -> None:
    assert select(value, size) == selection


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("bytes=10-", id="14.1.2 from the end on"),
        pytest.param("bytes=10-10", id="14.1.2 the byte after the last"),
        pytest.param("bytes=-0", id="14.1.2 a suffix of nothing"),
        pytest.param("bytes=10-,20-30,-0", id="14.1.2 several, none of which can be met"),
        pytest.param(f"bytes={HUGE}-", id="14.1.1 a huge first position"),
        pytest.param(f"bytes={HUGE}-{HUGE}", id="14.1.1 huge positions"),
        pytest.param(f"bytes={HUGE[1:]}8-{HUGE}", id="14.1.1 huge positions in order"),
    ],
)
def test_valid_ranges_that_cannot_be_met_are_unsatisfiable(value: str) -> None:
    assert select(value, 10) == ()


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="14.2 no Range"),
        pytest.param("items=0-1", id="14.2 an unknown unit"),
        pytest.param("items=whatever", id="14.2 an unknown unit with a set of its own"),
        pytest.param("bytes=5-4", id="14.1.1 the last position before the first"),
        pytest.param("bytes=5-0004", id="14.1.1 the last position before the first, with leading zeros"),
        pytest.param("bytes=20-19", id="14.1.1 the last position before the first, beyond the end"),
        pytest.param(f"bytes={HUGE}-{HUGE[1:]}8", id="14.1.1 the last position before the first, huge"),
        pytest.param("bytes=0-1,5-4", id="14.1.1 one invalid range spoils the set"),
        pytest.param("", id="14.2 nothing"),
        pytest.param("bytes", id="14.2 no set"),
        pytest.param("bytes=", id="14.2 an empty set"),
        pytest.param("bytes=, ,", id="14.2 a set of empty members"),
        pytest.param("=0-1", id="14.2 no unit"),
        pytest.param("bytes 0-1", id="14.2 no equals sign"),
        pytest.param("bytes =0-1", id="14.2 whitespace before the equals sign"),
        pytest.param("bytes=-", id="14.1.1 only a dash"),
        pytest.param("bytes=5", id="14.1.1 no dash"),
        pytest.param("bytes=0 - 1", id="14.1.1 whitespace in a range"),
        pytest.param("bytes=0--1", id="14.1.1 two dashes"),
        pytest.param("bytes=+0-1", id="14.1.1 a sign"),
        pytest.param("bytes=0x0-0x1", id="14.1.1 hexadecimal digits"),
        pytest.param("bytes=a-b", id="14.1.1 letters"),
        pytest.param("bytes=\u0660-\u0661", id="14.1.1 another script's digits"),
        pytest.param("bytes=\xb2-\xb3", id="14.1.1 superscripts"),
        pytest.param("bytes=0-1\n", id="14.1.1 a line break"),
        pytest.param("bytes=0-1, bytes=3-4", id="5.3 two fields"),
        pytest.param('bytes="0-1"', id="14.1.1 quotes"),
        pytest.param("bytes=0-9,0-0", id="17.15 more bytes than there are"),
        pytest.param("bytes=0-,0-", id="17.15 the whole twice"),
    ],
)
def test_ignored_ranges_select_the_whole_document(value: str | None) -> None:
    assert select(value, 10) is None


@pytest.mark.parametrize("value", ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0", "bytes=5-", "bytes=x", None])
def test_every_range_of_an_empty_document_selects_the_whole(value: str | None) -> None:
    assert select(value, 0) is None


def test_there_are_at_most_sixteen_ranges() -> None:
    at_the_limit = ",".join(f"{n}-{n}" for n in range(RANGES_LIMIT))
    assert select(f"bytes={at_the_limit}", 100) == tuple((n, n + 1) for n in range(RANGES_LIMIT))
    assert select(f"bytes={at_the_limit},50-50", 100) is None
    assert select(f"bytes={at_the_limit},200-", 100) is None


specs = st.builds("{}-{}".format, st.integers(0, 30), st.integers(0, 30) | st.just(""))
sets = st.lists(specs | st.integers(0, 30).map("-{}".format), max_size=20).map(
    lambda members: f"bytes={','.join(members)}"
)


@given(st.text() | st.text("bytes=0123456789-, ") | sets, st.integers(0, 30))
@example("bytes=0-0,1-1", 2)
def test_any_text_selects_something_that_can_be_sent(value: str, size: int) -> None:
    selection = select(value, size)
    if not selection:
        return
    assert 1 <= len(selection) <= RANGES_LIMIT
    assert all(0 <= start < stop <= size for start, stop in selection)
    assert sum(stop - start for start, stop in selection) <= size


spans = st.integers(1, 10**20).flatmap(
    lambda size: st.tuples(st.integers(0, size - 1), st.just(size)).flatmap(
        lambda pair: st.tuples(st.just(pair[0]), st.integers(pair[0] + 1, pair[1]), st.just(pair[1]))
    )
)


@given(spans)
def test_a_span_is_selected_however_the_range_is_written(chosen: tuple[int, int, int]) -> None:
    start, stop, size = chosen
    assert select(f"bytes={start}-{stop - 1}", size) == ((start, stop),)
    assert select(f"bytes={start}-", size) == ((start, size),)
    assert select(f"bytes=-{size - start}", size) == ((start, size),)


@pytest.mark.parametrize("unit", ["0-,", "0-0,", "9999-,", "-", ",", "0", '"', "\\", " ", "-1,", "0-1 "])
def test_a_hundred_kilobytes_of_anything_come_to_an_end(unit: str) -> None:
    assert select("bytes=" + unit * (100_000 // len(unit)), 10) is None


def test_content_range_has_inclusive_positions() -> None:
    assert content_range(42, 1234, 1234) == "bytes 42-1233/1234"
    assert content_range(0, 1, 1) == "bytes 0-0/1"
    assert unsatisfied_range(1234) == "bytes */1234"


def test_several_parts_look_as_in_the_rfc() -> None:
    document = b"0123456789"
    answer = multipart([(0, 2), (7, 10)], "application/pdf", 10, "THIS_STRING_SEPARATES")
    assert sent(document, answer) == (
        b"--THIS_STRING_SEPARATES\r\n"
        b"Content-Type: application/pdf\r\n"
        b"Content-Range: bytes 0-1/10\r\n"
        b"\r\n"
        b"01\r\n"
        b"--THIS_STRING_SEPARATES\r\n"
        b"Content-Type: application/pdf\r\n"
        b"Content-Range: bytes 7-9/10\r\n"
        b"\r\n"
        b"789\r\n"
        b"--THIS_STRING_SEPARATES--\r\n"
    )
    assert byteranges("THIS_STRING_SEPARATES") == "multipart/byteranges; boundary=THIS_STRING_SEPARATES"


def sent(document: bytes, pieces: list[bytes | Span]) -> bytes:
    return b"".join(piece if isinstance(piece, bytes) else document[piece[0] : piece[1]] for piece in pieces)


@given(
    st.binary(min_size=1, max_size=50).flatmap(
        lambda document: st.tuples(
            st.just(document),
            st.lists(
                st.tuples(st.integers(0, len(document) - 1), st.integers(1, len(document))).filter(
                    lambda s: s[0] < s[1]
                ),
                min_size=1,
                max_size=RANGES_LIMIT,
            ),
        )
    )
)
def test_multipart_content_can_be_parsed_into_its_parts(made: tuple[bytes, list[Span]]) -> None:
    document, parts = made
    answer = multipart(parts, "text/x; a=b", len(document), "boundary-of-its-own")
    content = sent(document, answer)
    preamble, *sections, end = (b"\r\n" + content).split(b"\r\n--boundary-of-its-own")
    assert (preamble, end) == (b"", b"--\r\n")
    assert len(sections) == len(parts)
    for section, (start, stop) in zip(sections, parts, strict=True):
        head, _, body = section.partition(b"\r\n\r\n")
        described = content_range(start, stop, len(document))
        assert head == f"\r\nContent-Type: text/x; a=b\r\nContent-Range: {described}".encode()
        assert body == document[start:stop]
