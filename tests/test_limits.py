"""The rows of Limits: values that can be set, and README's table of them."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from docstore.errors import SetupError
from docstore.limits import LIMIT_NAMES, Limits

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_readme_lists_every_limit_with_its_default() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| ([0-9,]+) \|", README, re.MULTILINE)
    assert [row for row in rows if row[0] in LIMIT_NAMES] == [(row.name, f"{row.default:,}") for row in fields(Limits)]


@pytest.mark.parametrize("row", fields(Limits), ids=lambda row: row.name)
def test_every_limit_says_what_it_bounds_and_what_happens_past_it(row) -> None:
    assert row.metadata["help"].endswith(".")
    assert row.metadata["past"]
    assert isinstance(row.default, int)


@pytest.mark.parametrize("values", [{}, {"head_s": 0.5}, {"head_s": 1, "line_size": 8000}], ids=str)
def test_values_replace_the_defaults(values: dict[str, object]) -> None:
    limits = Limits.of(values)
    assert all(getattr(limits, row.name) == values.get(row.name, row.default) for row in fields(Limits))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"line_length": 1}, "unknown limit 'line_length'; did you mean 'line_size'"),
        ({"line_size": 1.5}, "line_size must be a whole number, not 1.5"),
        ({"line_size": True}, "line_size must be a whole number"),
        ({"head_s": "15"}, "head_s must be a number, not '15'"),
        ({"head_s": 0}, "head_s must be more than 0"),
        ({"head_s": float("nan")}, "head_s must be more than 0"),
        ({"field_count": -1}, "field_count must be more than 0"),
    ],
    ids=str,
)
def test_an_invalid_value_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(SetupError, match=message):
        Limits.of(values)


def test_a_limit_is_parsed_from_the_command_line() -> None:
    assert [Limits.parse(text) for text in ("head_s=1", "head_s=0.5")] == [("head_s", 1), ("head_s", 0.5)]
    for text in ("head_s", "head_s=", "head_s=x", ""):
        with pytest.raises(SetupError, match="write it like head_s=15"):
            Limits.parse(text)
