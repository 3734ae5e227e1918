"""Patterns of keys."""

import pytest

from docstore.cli.globs import key_filter, matcher


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("*.txt", ["a.txt", "d/a.txt", ".txt"], ["a.txt.gz", "txt"]),
        ("node_modules", ["node_modules", "node_modules/a", "x/node_modules/a/b"], ["node_modules2/a"]),
        ("a/*", ["a/b"], ["a/b/c", "x/a/b", "a"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "ab/c"]),
        ("a/", ["a/b", "a/b/c"], ["a", "x/a/b"]),
        ("/a*", ["ab", "a"], ["b/a"]),
        ("**/x", ["x", "a/x", "a/b/x"], ["ax"]),
        ("a/**/x", ["a/x", "a/b/c/x"], ["ax"]),
        ("a?c", ["abc", "aéc"], ["ac", "a/c"]),
        ("[ab].md", ["a.md", "b.md"], ["c.md"]),
        ("[!ab]", ["c"], ["a", "/"]),
        ("[]x]", ["]", "x"], ["a"]),
        ("a[", ["a["], ["a"]),
        ("a.c", ["a.c"], ["abc"]),
        ("[\\^&~]", ["\\", "^", "&"], ["x"]),
        ("é*", ["é/x", "éa"], ["e"]),
    ],
)
def test_a_pattern_matches(pattern: str, matching: list[str], others: list[str]) -> None:
    matches = matcher(pattern)
    assert [key for key in matching if not matches(key)] == []
    assert [key for key in others if matches(key)] == []


def test_exclusion_is_stronger_than_inclusion() -> None:
    selects = key_filter(["*.md", "*.txt"], ["drafts/"])
    assert [key for key in ["a.md", "b.py", "drafts/a.md", "x/a.txt"] if selects(key)] == ["a.md", "x/a.txt"]
    assert key_filter([], [])("anything")
