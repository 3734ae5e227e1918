"""Sizes, durations and counts, as people write and read them."""

import pytest

from docstore.errors import SetupError
from docstore.units import format_count, format_duration, format_rfc3339, format_size, parse_duration_s, parse_size


@pytest.mark.parametrize(("text", "size"), [("1000", 1000), ("0B", 0), ("64 KiB", 65536), ("5GiB", 5 * 1024**3)])
def test_sizes_are_parsed(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "5GB", "5  GiB", "-1", "1.5GiB", "\N{ARABIC-INDIC DIGIT ONE}", "1" * 16])
def test_other_texts_are_not_sizes(text: str) -> None:
    with pytest.raises(SetupError, match="not a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        *((0, "0 bytes"), (1, "1 byte"), (1023.9, "1023 bytes"), (1024, "1.0 KiB"), (10 * 1024 - 1, "9.9 KiB")),
        *((10 * 1024, "10 KiB"), (1024**2 - 1, "1023 KiB"), (3 * 1024**4, "3.0 TiB"), (5000 * 1024**4, "5000 TiB")),
    ],
)
def test_sizes_are_printed_rounded_down(size: float, text: str) -> None:
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("90", 90), ("0", 0), ("10m", 600), ("10 min", 600), ("2h", 7200), ("7d", 604_800), ("1w", 604_800)),
        *(("1y", 31_536_000), ("1h30m", 5400), ("1 h 30 min", 5400)),
    ],
)
def test_durations_are_parsed(text: str, seconds: int) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1.5h", "-1", "1 month", "2mo", "1h 30", "m10", "1" * 11])
def test_other_texts_are_not_durations(text: str) -> None:
    with pytest.raises(SetupError, match="not a duration"):
        parse_duration_s(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((-5, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (86_400, "1 d")),
        *((2_592_000, "1 mo"), (31_536_000, "1 y"), (800 * 86_400, "2 y")),
    ],
)
def test_durations_are_printed_rounded_down(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_counts_and_times_are_printed() -> None:
    assert format_count(1, "document") == "1 document"
    assert format_count(2000, "document") == "2,000 documents"
    assert format_rfc3339(1_000_000_000_123_456_789) == "2001-09-09T01:46:40.123Z"
