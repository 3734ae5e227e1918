"""Patterns of keys: `*` is any part of a segment, `**` any part of a key, `?` one character, `[ab]` one of several.

A pattern without a slash matches the last segment of a key or the name of a folder above it; a pattern with a slash the
whole key, and one that ends with a slash all keys below. Written here because `fnmatch` lets `*` match a slash, and
pathlib's `match` changed between versions of Python.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

STARS: Final = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*"}
"""The regular expressions of what addresses can have too."""
_PART: Final = r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|[^*?\[]+|\["


def translate(pattern: str) -> str:
    """Return the regular expression of a pattern."""
    return "".join(map(_translate_token, re.findall(_PART, pattern)))


def _translate_token(token: str) -> str:
    fixed = {**STARS, "?": "[^/]"}
    if token in fixed:
        return fixed[token]
    if token.startswith("[") and len(token) > 1:
        negated, characters = token[1] == "!", token[1:-1].removeprefix("!")
        escaped = re.sub(r"([\\\]^\[&~|])", r"\\\1", characters)
        return f"(?!/)[{'^' if negated else ''}{escaped}]"
    return re.escape(token)


def matcher(pattern: str) -> Callable[[str], bool]:
    """Return a function that tells whether a key matches."""
    if pattern.endswith("/"):
        pattern += "**"
    expression = translate(pattern.removeprefix("/"))
    if "/" not in pattern:
        expression = f"(?:.*/)?{expression}(?:/.*)?"
    compiled = re.compile(expression, re.DOTALL)
    return lambda key: compiled.fullmatch(key) is not None


def key_filter(include: Iterable[str], exclude: Iterable[str]) -> Callable[[str], bool]:
    """Return a function that tells whether a key matches one of `include`, if there are any, and none of `exclude`."""
    wanted, unwanted = [*map(matcher, include)], [*map(matcher, exclude)]
    return lambda key: (
        (not wanted or any(matches(key) for matches in wanted)) and not any(matches(key) for matches in unwanted)
    )
