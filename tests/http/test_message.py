"""Responses and their shared headers, and the headers of requests."""

import pytest

from docstore.http.message import HeaderBlock, Headers, InvalidResponse, Response


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
