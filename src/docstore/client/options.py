"""What the operations can be told by keyword, and how it stands in the fields of a request."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TypedDict

from docstore.client.body import Body
from docstore.client.transport import Pairs

Condition = str | Iterable[str]
"""What `if_match` and `if_none_match` name: a version or an ETag, several of them, or `*` for any document at all."""

Life = int | timedelta
"""Seconds that a document has."""


class Part(TypedDict, total=False):
    """What may be asked of a document besides its key."""

    start: int | None
    stop: int | None
    if_match: Condition | None


class Described(TypedDict, total=False):
    """What may be stored with content."""

    type: str | None
    ttl: Life | None
    fields: Mapping[str, str] | None
    meta: Mapping[str, str] | None


class Writing(Described, total=False):
    """What a write may be told."""

    if_match: Condition | None
    if_none_match: Condition | None


def check(given: Mapping[str, object], known: type) -> None:
    """Raises TypeError for a keyword that the TypedDict `known` has not: nothing that was asked for is passed over."""
    options = sorted(known.__annotations__)
    for name in given:
        if name not in options:
            raise TypeError(f"there is no option {name!r}; there are {', '.join(options)}")


def described(asked: Described, body: Body) -> Pairs:
    """The fields that are stored with a body, and its life."""
    named = {name.lower(): value for name, value in (asked.get("fields") or {}).items()}
    named.update((f"meta-{name.lower()}", value) for name, value in (asked.get("meta") or {}).items())
    kind = asked.get("type") or body.type
    if kind is not None:
        named["content-type"] = kind
    return (*named.items(), *lifetime(asked.get("ttl")))


def lifetime(life: Life | None) -> Pairs:
    """Raises ValueError for a life that is no whole number of seconds: it would be another than was asked for."""
    if life is None:
        return ()
    seconds = life.total_seconds() if isinstance(life, timedelta) else life
    if seconds != int(seconds) or seconds < 0:
        raise ValueError("a life is a whole number of seconds")
    return (("ttl", str(int(seconds))),)


def conditions(if_match: Condition | None, if_none_match: Condition | None) -> Pairs:
    named = (("if-match", if_match), ("if-none-match", if_none_match))
    return tuple((name, _tags(condition)) for name, condition in named if condition is not None)


def _tags(condition: Condition) -> str:
    return ", ".join(map(_tag, (condition,) if isinstance(condition, str) else condition))


def _tag(text: str) -> str:
    return text if text == "*" or text.endswith('"') else f'"{text}"'


def part(wished: Part) -> Pairs:
    """The Range of a slice (RFC 9110 §14.1.2). Raises ValueError for one that no range can say."""
    start, stop = wished.get("start"), wished.get("stop")
    if start is None and stop is None:
        return ()
    if start is not None and start < 0 and stop is None:
        return (("range", f"bytes={start}"),)
    first = start or 0
    if first < 0 or (stop is not None and stop <= first):
        raise ValueError("a part has 0 <= start < stop, or a negative start and no stop")
    return (("range", f"bytes={first}-{'' if stop is None else stop - 1}"),)
