"""docs/engines.md is correct: its code is that of the example, and the tests that it names exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "engines.md").read_text()
EXAMPLE = ROOT / "tests" / "example_engine"


@pytest.mark.parametrize("language", ["toml", "python"])
def test_the_code_in_the_guide_is_that_of_the_example(language: str) -> None:
    files = [path for ending in ("toml", "py") for path in EXAMPLE.rglob(f"*.{ending}")]
    example = "\n".join(path.read_text() for path in files)
    shown = re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    assert shown
    assert [code for code in shown if code not in example] == []


def test_every_test_named_in_the_guide_exists() -> None:
    sources = [*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "src" / "docstore" / "testing").rglob("*.py")]
    there = set(re.findall(r"def (test_\w+)\(", "".join(path.read_text() for path in sources)))
    named = re.findall(r"`(test_\w+)`", GUIDE)
    assert len(named) >= 15
    assert [name for name in named if name not in there] == []


def test_every_note_of_the_tables_is_explained_and_every_explanation_is_used() -> None:
    explained = re.findall(r"^(\d+)\. ", GUIDE, re.MULTILINE)
    assert explained == [str(number + 1) for number in range(len(explained))]
    assert set(re.findall(r"\[(\d+)\]", GUIDE)) == set(explained)
