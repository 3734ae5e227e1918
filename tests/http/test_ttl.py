"""TTL (RFC 8030 §5.2), Sunset (RFC 8594) and the bound on max-age."""

import pytest

from docstore.http.message import Headers
from docstore.http.ttl import TTL_LIMIT_S, InvalidTTL, fresh_s, sunset, ttl_s

SECOND_NS = 10**9


def ttl(*lines: str) -> Headers:
    return Headers((b"ttl", line.encode("latin-1")) for line in lines)


@pytest.mark.parametrize(
    ("line", "seconds"),
    [("0", 0), ("1", 1), ("0060", 60), ("86400", 86400), (" 5 ", 5), (str(TTL_LIMIT_S), TTL_LIMIT_S)],
)
def test_a_life_is_a_number_of_seconds(line: str, seconds: int) -> None:
    assert ttl_s(ttl(line)) == seconds


def test_a_write_without_the_field_asks_for_no_end() -> None:
    assert ttl_s(Headers([(b"content-type", b"text/plain")])) is None


@pytest.mark.parametrize(
    "line",
    ["", "-1", "+1", "1.0", "1e3", "0x10", "1 2", "1, 1", "1_000", "ten", "\xb2", str(TTL_LIMIT_S + 1), "9" * 5000],
)
def test_anything_else_is_refused_and_is_not_for_ever(line: str) -> None:
    with pytest.raises(InvalidTTL, match=str(TTL_LIMIT_S)):
        ttl_s(ttl(line))


def test_two_lines_are_refused_even_when_they_agree() -> None:
    with pytest.raises(InvalidTTL):
        ttl_s(ttl("60", "60"))


@pytest.mark.parametrize(
    ("expires_ns", "date"),
    [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (784111777 * SECOND_NS, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (784111778 * SECOND_NS - 1, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (10**21, "Fri, 31 Dec 9999 23:59:59 GMT"),
    ],
)
def test_sunset_is_the_last_whole_second_of_a_document(expires_ns: int, date: str) -> None:
    assert sunset(expires_ns) == date


@pytest.mark.parametrize(
    ("expires_ns", "now_ns", "seconds"),
    [
        (10 * SECOND_NS, 0, 10),
        (10 * SECOND_NS, 1, 9),
        (SECOND_NS, 1, 0),
        (SECOND_NS, SECOND_NS, 0),
        (0, 10 * SECOND_NS, 0),
    ],
)
def test_nobody_is_promised_more_than_is_left(expires_ns: int, now_ns: int, seconds: int) -> None:
    assert fresh_s(expires_ns, now_ns) == seconds
