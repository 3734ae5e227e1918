"""Conditions and ranges against the oracle, over its full matrix."""

from hashlib import sha256

import pytest

from docstore.http.conditions import ConditionOutcome, Conditions, if_range_holds
from docstore.http.message import Headers
from docstore.http.ranges import content_range, select, unsatisfied_range
from docstore.model import Fields, Meta, version_of
from tests.http.oracle import Answer, Case, State, cases, expected

DIGEST = sha256(b"ten bytes.").digest()
VERSION = version_of(DIGEST, Fields())
MODIFIED = 1_700_000_000

SETTLED = State(VERSION, MODIFIED, 10, MODIFIED + 3600)
FRESH = State(VERSION, MODIFIED, 10, MODIFIED)


def answer(case: Case, state: State) -> Answer:
    """The status that a resource gets from the pure functions."""
    headers = Headers((name.encode(), value.encode()) for name, value in case.fields(state).items())
    meta = Meta("key", state.version, state.size, DIGEST, Fields(), state.modified * 10**9 + 999_999_999)
    current = meta if case.exists else None
    conditions = Conditions.of(headers)
    outcome = ConditionOutcome.PROCEED if conditions is None else conditions.evaluate(case.method, current, state.now)
    if outcome is not ConditionOutcome.PROCEED:
        return Answer(304 if outcome is ConditionOutcome.NOT_MODIFIED else 412)
    if current is None:
        return Answer(201 if case.method == "PUT" else 404)
    return ranged(headers, current, state.now) if case.method == "GET" else Answer(200)


def ranged(headers: Headers, current: Meta, now: int) -> Answer:
    if_range = headers.get("if-range")
    counts = if_range is None or if_range_holds(if_range, current, now)
    selection = select(headers.get("range") if counts else None, current.size)
    if selection is None:
        return Answer(200)
    if selection == ():
        return Answer(416, (unsatisfied_range(current.size),))
    return Answer(206, tuple(content_range(start, stop, current.size) for start, stop in selection))


@pytest.mark.parametrize("state", [SETTLED, FRESH], ids=["settled", "in the second of its last change"])
def test_every_case_of_the_matrix_agrees_with_the_oracle(state: State) -> None:
    answers = ((case, answer(case, state), expected(case, state)) for case in cases())
    wrong = [(case, got, wanted) for case, got, wanted in answers if got != wanted]
    assert wrong[:5] == []


def test_the_matrix_is_large_has_distinct_cases_and_covers_every_status() -> None:
    matrix = list(cases())
    assert len(matrix) == len(set(matrix)) >= 10_000
    statuses = {expected(case, SETTLED).status for case in matrix}
    assert statuses == {200, 201, 206, 304, 404, 412, 416}
