"""The table in docs/recipes.md says which recipes are tested."""

import re
from pathlib import Path

import pytest

from tests.recipes.recipe import GUIDE

TESTS = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
ROWS = dict(re.findall(r"^\| ([^|]+) \| [^|]+ \| (yes|no) \|$", GUIDE, re.MULTILINE))


def test_every_recipe_is_in_the_table() -> None:
    assert re.findall(r"^### (.*)$", GUIDE, re.MULTILINE) == list(ROWS)


@pytest.mark.parametrize("title", ROWS)
def test_the_table_says_which_recipes_are_tested(title: str) -> None:
    assert (f'blocks("{title}")' in TESTS or f"blocks('{title}')" in TESTS or f'title = "{title}"' in TESTS) is (
        ROWS[title] == "yes"
    )
