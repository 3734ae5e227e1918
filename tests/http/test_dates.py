"""HTTP's dates: RFC 9110 §5.6.7."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docstore.http.dates import (
    TTL_LIMIT_S,
    InvalidTTL,
    format_http_date,
    format_sunset,
    parse_http_date,
    parse_ttl_s,
    remaining_s,
)
from docstore.http.message import Headers


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())


NOW = at(2026, 7, 1, 12)
NOVEMBER_1994 = 784_111_777
FIRST, LAST = at(1, 1, 1), at(9999, 12, 31, 23, 59, 59)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param("Sun, 06 Nov 1994 08:49:37 GMT", NOVEMBER_1994, id="5.6.7 IMF-fixdate"),
        pytest.param("Sunday, 06-Nov-94 08:49:37 GMT", NOVEMBER_1994, id="5.6.7 rfc850"),
        pytest.param("Sun Nov  6 08:49:37 1994", NOVEMBER_1994, id="5.6.7 asctime"),
        pytest.param("Sun Nov 06 08:49:37 1994", NOVEMBER_1994, id="5.6.7 asctime, two digits"),
        pytest.param("Wed Nov 16 08:49:37 1994", NOVEMBER_1994 + 864_000, id="5.6.7 asctime, a later day"),
        pytest.param("Mon, 06 Nov 1994 08:49:37 GMT", NOVEMBER_1994, id="5.6.7 another day's name"),
        pytest.param("Thu, 01 Jan 1970 00:00:00 GMT", 0, id="the epoch"),
        pytest.param("Wed, 31 Dec 1969 23:59:59 GMT", -1, id="before the epoch"),
        pytest.param("Tue, 29 Feb 2000 00:00:00 GMT", at(2000, 2, 29), id="a leap day"),
        pytest.param("Sat, 31 Dec 2016 23:59:60 GMT", at(2017, 1, 1), id="5.6.7 second 60"),
        pytest.param("Fri, 31 Dec 9999 23:59:59 GMT", LAST, id="the last second"),
        pytest.param("Mon, 01 Jan 0001 00:00:00 GMT", FIRST, id="the first second"),
    ],
)
def test_the_three_date_formats_are_parsed(value: str, seconds: int) -> None:
    assert parse_http_date(value, NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="nothing"),
        pytest.param("Sun, 06 Nov 1994 08:49:37", id="no zone"),
        pytest.param("Sun, 06 Nov 1994 08:49:37 UTC", id="another name of the zone"),
        pytest.param("Sun, 06 Nov 1994 08:49:37 +0000", id="an offset"),
        pytest.param("sun, 06 Nov 1994 08:49:37 GMT", id="5.6.7 the day's name in lower case"),
        pytest.param("Sun, 06 NOV 1994 08:49:37 GMT", id="5.6.7 the month in upper case"),
        pytest.param("Sun, 06 Nov 1994 08:49:37 gmt", id="5.6.7 the zone in lower case"),
        pytest.param("Son, 06 Nov 1994 08:49:37 GMT", id="a day's name in another language"),
        pytest.param("Sunday, 06 Nov 1994 08:49:37 GMT", id="a long name in the first form"),
        pytest.param("Sun, 06-Nov-94 08:49:37 GMT", id="a short name in the second form"),
        pytest.param("Sunday, 06-Nov-1994 08:49:37 GMT", id="four digits in the second form"),
        pytest.param("06 Nov 1994 08:49:37 GMT", id="no day's name"),
        pytest.param("Sun, 6 Nov 1994 08:49:37 GMT", id="one digit for the day"),
        pytest.param("Sun,  06 Nov 1994 08:49:37 GMT", id="two spaces"),
        pytest.param("Sun, 06 Nov 1994 8:49:37 GMT", id="one digit for the hour"),
        pytest.param("Sun, 06 Nov 1994 08:49 GMT", id="no seconds"),
        pytest.param("Sun, 06 Nov 1994 08:49:37 GMT ", id="a space after it"),
        pytest.param("Sun, 06 Nov 1994 08:49:37 GMT\n", id="a line break after it"),
        pytest.param("Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT", id="13.1.3 a list"),
        pytest.param("Sun, 00 Nov 1994 08:49:37 GMT", id="day 0"),
        pytest.param("Sun, 31 Nov 1994 08:49:37 GMT", id="day 31 of 30"),
        pytest.param("Mon, 29 Feb 1900 08:49:37 GMT", id="no leap day"),
        pytest.param("Sun, 06 Nov 0000 08:49:37 GMT", id="year 0"),
        pytest.param("Sun, 06 Nov 1994 24:00:00 GMT", id="hour 24"),
        pytest.param("Sun, 06 Nov 1994 08:60:37 GMT", id="minute 60"),
        pytest.param("Sun, 06 Nov 1994 08:49:61 GMT", id="second 61"),
        pytest.param("Sun, \u0660\u0666 Nov 1994 08:49:37 GMT", id="another script's digits"),
        pytest.param("1994-11-06T08:49:37Z", id="RFC 3339"),
        pytest.param("784111777", id="a number"),
    ],
)
def test_invalid_dates_are_none(value: str) -> None:
    assert parse_http_date(value, NOW) is None


@pytest.mark.parametrize(
    ("value", "year"),
    [
        pytest.param("Wednesday, 01-Jul-26 12:00:00 GMT", 2026, id="now"),
        pytest.param("Wednesday, 01-Jul-76 12:00:00 GMT", 2076, id="50 years ahead"),
        pytest.param("Wednesday, 01-Jul-76 12:00:01 GMT", 1976, id="a second more"),
        pytest.param("Friday, 31-Dec-76 00:00:00 GMT", 1976, id="later in that year"),
        pytest.param("Friday, 01-Jan-76 00:00:00 GMT", 2076, id="earlier in that year"),
        pytest.param("Saturday, 01-Jan-77 00:00:00 GMT", 1977, id="51 years ahead"),
        pytest.param("Friday, 31-Dec-99 23:59:59 GMT", 1999, id="the end of a century"),
        pytest.param("Saturday, 01-Jan-00 00:00:00 GMT", 2000, id="the start of a century"),
    ],
)
def test_a_year_of_two_digits_is_at_most_fifty_years_ahead(value: str, year: int) -> None:
    seconds = parse_http_date(value, NOW)
    assert seconds is not None
    assert datetime.fromtimestamp(seconds, UTC).year == year


def test_a_year_of_two_digits_late_in_a_century_may_be_in_the_next() -> None:
    assert parse_http_date("Monday, 01-Jan-10 00:00:00 GMT", at(2090, 6, 1)) == at(2110, 1, 1)


def test_a_date_is_formatted_as_imf_fixdate() -> None:
    assert format_http_date(NOVEMBER_1994) == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert format_http_date(0) == "Thu, 01 Jan 1970 00:00:00 GMT"


@given(st.integers(FIRST, LAST))
def test_a_formatted_date_can_be_parsed(seconds: int) -> None:
    written = format_http_date(seconds)
    assert written == datetime.fromtimestamp(seconds, UTC).strftime(f"%a, %d %b {written[12:16]} %H:%M:%S GMT")
    assert parse_http_date(written, NOW) == seconds


@given(st.integers(at(1977, 1, 1), at(2076, 1, 1)))
def test_the_obsolete_date_formats_are_parsed(seconds: int) -> None:
    moment = datetime.fromtimestamp(seconds, UTC)
    assert parse_http_date(moment.strftime("%A, %d-%b-%y %H:%M:%S GMT"), NOW) == seconds
    assert parse_http_date(f"{moment:%a %b} {moment.day:2} {moment:%H:%M:%S %Y}", NOW) == seconds


@pytest.mark.parametrize("seconds", [FIRST - 1, LAST + 1, 10**30])
def test_a_date_outside_the_years_1_to_9999_is_not_formatted(seconds: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        format_http_date(seconds)


def mutilated() -> st.SearchStrategy[str]:
    """Dates with one character changed, and any other text."""
    dates = st.sampled_from(
        ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
    )
    changed = st.builds(
        lambda date, at, char: date[:at] + char + date[at + 1 :], dates, st.integers(0, 29), st.characters()
    )
    return changed | st.text()


@given(mutilated(), st.integers(0, LAST))
def test_any_text_is_a_date_or_none(value: str, now: int) -> None:
    seconds = parse_http_date(value, now)
    assert seconds is None or FIRST <= seconds <= LAST + 1


@pytest.mark.parametrize("unit", ["Sun, ", "0", " ", "Sun, 06 Nov 1994 08:49:37 GMT,"])
def test_a_hundred_kilobytes_of_anything_are_not_a_date(unit: str) -> None:
    assert parse_http_date(unit * (100_000 // len(unit)), NOW) is None


SECOND_NS = 10**9


def ttl(*lines: str) -> Headers:
    return Headers((b"ttl", line.encode("latin-1")) for line in lines)


@pytest.mark.parametrize(
    ("line", "seconds"),
    [("0", 0), ("1", 1), ("0060", 60), ("86400", 86400), (" 5 ", 5), (str(TTL_LIMIT_S), TTL_LIMIT_S)],
)
def test_a_ttl_is_a_number_of_seconds(line: str, seconds: int) -> None:
    assert parse_ttl_s(ttl(line)) == seconds


def test_a_write_without_a_ttl_does_not_expire() -> None:
    assert parse_ttl_s(Headers([(b"content-type", b"text/plain")])) is None


@pytest.mark.parametrize(
    "line",
    ["", "-1", "+1", "1.0", "1e3", "0x10", "1 2", "1, 1", "1_000", "ten", "\xb2", str(TTL_LIMIT_S + 1), "9" * 5000],
)
def test_an_invalid_ttl_is_rejected(line: str) -> None:
    with pytest.raises(InvalidTTL, match=str(TTL_LIMIT_S)):
        parse_ttl_s(ttl(line))


def test_two_ttl_lines_are_rejected_even_if_equal() -> None:
    with pytest.raises(InvalidTTL):
        parse_ttl_s(ttl("60", "60"))


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
    assert format_sunset(expires_ns) == date


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
def test_freshness_never_exceeds_the_remaining_time(expires_ns: int, now_ns: int, seconds: int) -> None:
    assert remaining_s(expires_ns, now_ns) == seconds
