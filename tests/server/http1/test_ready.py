"""Cached header fields: the same bytes as newly created ones, and not shared between responses that change them."""

from dataclasses import replace

import pytest

from docstore.http.message import NO_CONTENT, HeaderBlock, Headers, InvalidResponse, Response, header_lines
from docstore.model import Fields, Meta
from docstore.server import responses
from docstore.server.responses import CACHED_BLOCK_COUNT, document_headers, full_response

SECOND_NS = 10**9
NOW_NS = 1_000 * SECOND_NS
META = Meta("key", "v" * 32, 5, b"d" * 32, Fields.make("text/plain", {"meta-a": "b"}), NOW_NS - SECOND_NS)


def lines_of(meta: Meta, now_ns: int = NOW_NS) -> bytes:
    return full_response(meta, NO_CONTENT, now_ns).lines()


def made_anew(meta: Meta, now_ns: int = NOW_NS) -> bytes:
    return header_lines([*document_headers(meta, now_ns), (b"content-length", b"%d" % meta.size)])


@pytest.mark.parametrize(
    "meta",
    [
        META,
        replace(META, version="w" * 32, size=6, fields=Fields.make("a/b", {"cache-control": "max-age=9"})),
        replace(META, modified_ns=NOW_NS - 2 * SECOND_NS),
        replace(META, modified_ns=NOW_NS),
        replace(META, modified_ns=NOW_NS + SECOND_NS),
        replace(META, expires_ns=NOW_NS + 60 * SECOND_NS),
        replace(META, version="x" * 32, fields=Fields.make("a/b", {"meta-long": "x" * 5000})),
    ],
    ids=["plain", "other version", "written before", "written now", "from the future", "expires", "large"],
)
def test_cached_fields_equal_newly_created_ones(meta: Meta) -> None:
    assert lines_of(META) == made_anew(META)
    for _ in range(2):
        assert lines_of(meta) == made_anew(meta)
        assert full_response(meta, NO_CONTENT, NOW_NS).headers == [
            *document_headers(meta, NOW_NS),
            (b"content-length", b"%d" % meta.size),
        ]


def test_fields_that_depend_on_the_time_are_not_cached() -> None:
    expiring = replace(
        META, expires_ns=NOW_NS + 60 * SECOND_NS, fields=Fields.make("a/b", {"cache-control": "max-age=99"})
    )
    assert [b"max-age=%d" % left in lines_of(expiring, NOW_NS + (60 - left) * SECOND_NS) for left in (60, 9)] == [
        True,
        True,
    ]
    future = replace(META, version="f" * 32, modified_ns=NOW_NS + 5 * SECOND_NS)
    assert lines_of(future) != lines_of(future, NOW_NS + 5 * SECOND_NS) == made_anew(future, NOW_NS + 5 * SECOND_NS)


def test_the_number_of_cached_versions_is_limited() -> None:
    for number in range(CACHED_BLOCK_COUNT + 10):
        full_response(replace(META, version=f"{number:032}"), NO_CONTENT, NOW_NS)
    assert len(responses._blocks) == CACHED_BLOCK_COUNT
    assert (f"{CACHED_BLOCK_COUNT + 9:032}", META.modified_ns) in responses._blocks


def test_large_fields_are_not_cached() -> None:
    large = replace(META, version="l" * 32, fields=Fields.make("a/b", {"meta-long": "x" * 5000}))
    assert lines_of(large) == made_anew(large)
    assert (large.version, large.modified_ns) not in responses._blocks


def test_a_field_added_to_one_response_is_on_no_other() -> None:
    block = HeaderBlock([(b"a", b"b")])
    first, second = Response(200, [], block=block), Response(200, [], block=block)
    first.headers.append((b"c", b"d"))
    assert (first.lines(), second.lines()) == (b"a: b\r\nc: d\r\n", b"a: b\r\n")
    second.headers += [(b"e", b"f")]
    assert (second.lines(), Response(200, [], block=block).headers) == (b"a: b\r\ne: f\r\n", [(b"a", b"b")])
    third = Response(200, [], block=block)
    third.headers = []
    assert third.lines() == b""


def test_a_response_adds_its_own_fields_to_those_it_shares() -> None:
    block = HeaderBlock([(b"a", b"b: c"), (b"d", b"")])
    response = Response(200, [(b"e", b"f")], block=block)
    assert response.lines() == b"a: b: c\r\nd: \r\ne: f\r\n"
    assert response.headers == [(b"a", b"b: c"), (b"d", b""), (b"e", b"f")]
    assert response.lines() == b"a: b: c\r\nd: \r\ne: f\r\n"


def test_a_block_knows_the_size_of_its_content() -> None:
    block = HeaderBlock([(b"e", b"f")], after=HeaderBlock([(b"a", b"b")]), size=5)
    whole = b"a: b\r\ne: f\r\ncontent-length: 5\r\n"
    assert (block.lines, block.pairs[-1]) == (whole, (b"content-length", b"5"))
    assert [Response(200, [], block=block).lines(size) for size in (5, None)] == [whole, whole]
    assert Response(200, [(b"g", b"h")], block=block).lines(5) == whole + b"g: h\r\n"
    assert Response(200, [], block=HeaderBlock([(b"a", b"b")])).lines(5) == b"a: b\r\ncontent-length: 5\r\n"
    for size in (0, 4, 55):
        for response in (Response(200, [], block=block), Response(200, [(b"content-length", b"5")])):
            with pytest.raises(InvalidResponse, match=f"has {size} bytes"):
                response.lines(size)


def test_the_result_for_equal_fields_is_cached_unless_they_are_rejected() -> None:
    asked: list[str] = []

    def first(headers: Headers) -> str:
        asked.append(headers.get("a") or "")
        if not asked[-1]:
            raise ValueError("no a")
        return asked[-1]

    headers = Headers([(b"a", b"b")])
    assert [headers.cached(first), headers.cached(first), asked] == ["b", "b", ["b"]]
    assert [Headers([(b"a", b"c")]).cached(first), asked] == ["c", ["b", "c"]]
    none = Headers()
    for _ in range(2):
        with pytest.raises(ValueError, match="no a"):
            none.cached(first)
    assert asked == ["b", "c", "", ""]


def test_a_block_contains_only_complete_lines() -> None:
    with pytest.raises(InvalidResponse):
        HeaderBlock([(b"a", b"b\r\nc: d")])


def test_fields_of_a_request_can_be_looked_up_repeatedly() -> None:
    headers = Headers([(b"a", b" 1"), (b"b", b""), (b"a", b"2\xff ")])
    for _ in range(2):
        assert [headers.get(name) for name in ("a", "b", "c")] == ["1, 2\xff", "", None]
        assert [headers.lines(name) for name in ("a", "b", "c")] == [["1", "2\xff"], [""], []]
        assert ["a" in headers, "c" in headers, headers.names] == [True, False, {b"a", b"b"}]
    assert (Headers().get("a"), Headers().names) == (None, frozenset())
