"""The correct responses to conditional and range requests: a reference written from RFC 9110 §13.2.2 and §14 only.

It imports nothing of Docstore and parses nothing. The matrix is made of a fixed vocabulary of field values, and each
value is in a table beside its meaning in the RFC, so that no parser's mistake can be repeated here.

`cases()` yields the matrix; `case.fields(state)` are the raw fields to send, `expected(case, state)` is the answer.
Some values depend on the document that exists if `case.exists`, so the caller passes its state.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product

METHODS = ("GET", "HEAD", "PUT", "DELETE", "PATCH")


@dataclass(frozen=True)
class State:
    """The document a case is about. `size` is at least 8; `modified` and `now` are POSIX seconds."""

    version: str
    modified: int
    size: int
    now: int


@dataclass(frozen=True)
class Case:
    """Names of rows in the tables below."""

    exists: bool
    method: str
    if_match: str = "none"
    if_none_match: str = "none"
    if_unmodified_since: str = "none"
    if_modified_since: str = "none"
    range: str = "none"
    if_range: str = "none"

    def fields(self, state: State) -> dict[str, str]:
        raw = {
            "if-match": TAGS[self.if_match][0],
            "if-none-match": TAGS[self.if_none_match][0],
            "if-unmodified-since": DATES[self.if_unmodified_since][0],
            "if-modified-since": DATES[self.if_modified_since][0],
            "range": RANGES[self.range][0],
            "if-range": IF_RANGES[self.if_range][0],
        }
        values = {
            "version": state.version,
            "before": _date(state.modified - 1),
            "equal": _date(state.modified),
            "after": _date(state.modified + 1),
            "size": state.size,
        }
        return {name: value.format(**values) for name, value in raw.items() if value is not None}


@dataclass(frozen=True)
class Answer:
    """`content_ranges` are those of the parts of a 206 in order, or the one of a 416."""

    status: int
    content_ranges: tuple[str, ...] = ()


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")


# §13.1.1, §13.1.2: value, matches a document that exists in the strong comparison, in the weak one (§8.8.3.2).
TAGS: dict[str, tuple[str | None, bool, bool]] = {
    "none": (None, False, False),
    "star": ("*", True, True),
    "hit": ('"{version}"', True, True),
    "weak hit": ('W/"{version}"', False, True),
    "miss": ('"other"', False, False),
    "list with hit": ('"other" ,, W/"x, y","{version}"', True, True),
    "list without": ('"other", "x,{version}", W/"{version},y"', False, False),
    "malformed": ("{version}", False, False),
}

# §13.1.3, §13.1.4: value, whether Last-Modified is later than it (None: no valid date).
DATES: dict[str, tuple[str | None, bool | None]] = {
    "none": (None, None),
    "before": ("{before}", True),
    "equal": ("{equal}", False),
    "after": ("{after}", False),
    "invalid": ("{equal}, {equal}", None),
}

# §14.1.2, §14.2: value, and the first and last positions it selects as functions of the size (None: to be ignored).
RANGES: dict[str, tuple[str | None, tuple[tuple[str, str], ...] | None]] = {
    "none": (None, None),
    "single": ("bytes=2-5", (("2", "5"),)),
    "suffix": ("bytes=-3", (("size - 3", "size - 1"),)),
    "open": ("bytes=4-", (("4", "size - 1"),)),
    "beyond the end": ("bytes=1-99999999999999999999999", (("1", "size - 1"),)),
    "unsatisfiable": ("bytes={size}-", ()),
    "multi": ("bytes=-1, {size}-,0-1", (("size - 1", "size - 1"), ("0", "1"))),
    "invalid": ("bytes=5-4", None),
    "unknown unit": ("items=2-5", None),
}

# §13.1.5: value, holds once the second of Last-Modified is over, holds within that second (§8.8.2.2).
IF_RANGES: dict[str, tuple[str | None, bool, bool]] = {
    "none": (None, True, True),
    "hit": ('"{version}"', True, True),
    "weak": ('W/"{version}"', False, False),
    "miss": ('"other"', False, False),
    "date equal": ("{equal}", True, False),
    "date before": ("{before}", False, False),
    "date after": ("{after}", False, False),
}


def expected(case: Case, state: State) -> Answer:
    """The steps of §13.2.2 in their order, then §14.2."""
    reads = case.method in ("GET", "HEAD")
    if not case.exists and case.method != "PUT":
        return Answer(404)  # §13.2.1: without the conditions no 2xx, so they are ignored
    _, strongly, _ = TAGS[case.if_match]
    _, _, weakly = TAGS[case.if_none_match]
    _, unmodified_fails = DATES[case.if_unmodified_since]
    _, modified_holds = DATES[case.if_modified_since]
    if case.if_match != "none":  # step 1
        if not (case.exists and strongly):
            return Answer(412)
    elif case.exists and unmodified_fails is True:  # step 2
        return Answer(412)
    if case.if_none_match != "none":  # step 3
        if case.exists and weakly:
            return Answer(304 if reads else 412)
    elif reads and modified_holds is False:  # step 4
        return Answer(304)
    if case.method == "GET":  # step 5
        return _ranged(case, state)
    return Answer(201 if not case.exists else 200)  # step 6


def _ranged(case: Case, state: State) -> Answer:
    _, holds, holds_at_once = IF_RANGES[case.if_range]
    _, selected = RANGES[case.range]
    if selected is None or not (holds if state.now > state.modified else holds_at_once):
        return Answer(200)
    if not selected:
        return Answer(416, (f"bytes */{state.size}",))
    position = {"size": state.size, "size - 1": state.size - 1, "size - 3": state.size - 3}
    spans = [(position.get(first, first), position.get(last, last)) for first, last in selected]
    return Answer(206, tuple(f"bytes {first}-{last}/{state.size}" for first, last in spans))


def cases() -> Iterator[Case]:
    """Some twenty thousand, each once: all of the conditions, and all of the ranges beside each condition.

    Conditions are not combined with every range, because a range is evaluated after them.
    """
    conditions = list(product(TAGS, TAGS, DATES, DATES))
    for exists, method, combined in product((True, False), METHODS, conditions):
        yield Case(exists, method, *combined)
    for combined in conditions:
        yield Case(True, "GET", *combined, "single")
        yield Case(True, "GET", *combined, "multi", "miss")
    lone = [combined for combined in conditions if sum(name != "none" for name in combined) <= 1]
    told = {("none", "none"), ("single", "none"), ("multi", "miss")}
    for combined, ranged in product(lone, product(RANGES, IF_RANGES)):
        if ranged not in told:
            yield Case(True, "GET", *combined, *ranged)
        if ranged != ("none", "none"):
            yield Case(True, "HEAD", *combined, *ranged)
            yield Case(True, "PUT", *combined, *ranged)
