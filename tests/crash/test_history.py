"""The checker of histories, tested by hand, against all possible orders, and with planted faults."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from docstore.model import ABSENT, ANY, Expectation
from tests.crash.history import FOREVER, Action, Answer, Operation, State, allowed, result
from tests.crash.linear import contradiction


def read(called: int, returned: int, version: State) -> Operation:
    return Operation(Action.READ, called, returned, version=version)


def write(called: int, returned: int, version: str, expect: Expectation = ANY) -> Operation:
    return Operation(Action.WRITE, called, returned, version=version, expect=expect)


def refused(called: int, returned: int, expect: Expectation) -> Operation:
    return Operation(Action.WRITE, called, returned, Answer.REFUSED, "refused", expect)


def lost(called: int, version: str, end: int = FOREVER, expect: Expectation = ANY) -> Operation:
    return Operation(Action.WRITE, called, end, Answer.NONE, version, expect)


def delete(called: int, returned: int, answer: Answer = Answer.DONE) -> Operation:
    return Operation(Action.DELETE, called, returned, answer)


def told(created: bool, operation: Operation) -> Operation:
    return replace(operation, created=created)


HISTORIES = {
    "nothing": (True, []),
    "one after another": (True, [write(0, 1, "a"), read(2, 3, "a"), delete(4, 5), read(6, 7, None)]),
    "nothing is there at first": (True, [read(0, 1, None), delete(2, 3, Answer.REFUSED)]),
    "read of what nobody wrote": (False, [read(0, 1, "a")]),
    "stale read": (False, [write(0, 1, "a"), write(2, 3, "b"), read(4, 5, "a")]),
    "read before the write began": (False, [read(0, 1, "a"), write(2, 3, "a")]),
    "read while it is written, new": (True, [write(0, 1, "a"), write(2, 9, "b"), read(3, 4, "b")]),
    "read while it is written, old": (True, [write(0, 1, "a"), write(2, 9, "b"), read(3, 4, "a")]),
    "new, then old": (False, [write(0, 1, "a"), write(2, 9, "b"), read(3, 4, "b"), read(5, 6, "a")]),
    "new and old at once": (True, [write(0, 1, "a"), write(2, 9, "b"), read(3, 6, "b"), read(4, 5, "a")]),
    "two readers disagree on the order": (
        False,
        [write(0, 9, "a"), write(0, 9, "b"), read(10, 11, "a"), read(12, 13, "b")],
    ),
    "touching times are at once": (True, [write(0, 5, "a"), read(5, 6, None)]),
    "lost update": (
        False,
        [write(0, 1, "a"), read(2, 3, "a"), read(2, 3, "a"), write(4, 5, "b", "a"), write(4, 5, "c", "a")],
    ),
    "one of two updates is refused": (True, [write(0, 1, "a"), write(4, 6, "b", "a"), refused(4, 6, "a")]),
    "both updates are refused": (False, [write(0, 1, "a"), refused(4, 6, "a"), refused(4, 6, "a")]),
    "two creators": (False, [write(0, 5, "a", ABSENT), write(0, 5, "b", ABSENT)]),
    "two creators, a delete between": (True, [write(0, 5, "a", ABSENT), delete(0, 5), write(0, 5, "b", ABSENT)]),
    "refused for what was there": (True, [write(0, 1, "a"), refused(2, 3, ABSENT)]),
    "refused for no reason": (False, [refused(2, 3, ABSENT)]),
    "deleted twice": (False, [write(0, 1, "a"), delete(2, 5), delete(2, 5)]),
    "back from the dead": (False, [write(0, 1, "a"), delete(2, 3), read(4, 5, "a")]),
    "created, and said so": (True, [told(True, write(0, 1, "a")), told(False, write(2, 3, "b"))]),
    "replaced, and said created": (False, [write(0, 1, "a"), told(True, write(2, 3, "b"))]),
    "created, and said replaced": (False, [told(False, write(0, 1, "a"))]),
    "no answer, never done": (True, [lost(0, "a"), read(5, 6, None)]),
    "no answer, done late": (True, [lost(0, "a"), read(5, 6, None), read(7, 8, "a")]),
    "no answer, done and undone": (False, [lost(0, "a"), read(1, 2, "a"), read(3, 4, None)]),
    "no answer, over a later write": (True, [lost(0, "a"), write(1, 2, "b"), read(3, 4, "a")]),
    "no answer, after its end": (False, [lost(0, "a", 4), read(5, 6, None), read(7, 8, "a")]),
    "no answer, before its end": (True, [lost(0, "a", 4), read(5, 6, "a"), read(7, 8, "a")]),
    "no answer, its end came too early": (False, [lost(0, "a", 4), write(5, 6, "b"), read(7, 8, "a")]),
    "no answer, expectation never met": (False, [lost(0, "a", expect="z"), read(1, 2, "a")]),
    "delete without an answer": (True, [write(0, 1, "a"), delete(2, FOREVER, Answer.NONE), read(4, 5, None)]),
    "read without an answer": (True, [Operation(Action.READ, 0, 9, Answer.NONE, "z")]),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_hand_written_histories_are_judged_correctly(name: str) -> None:
    linearizable, history = HISTORIES[name]
    assert (contradiction(history) == []) is linearizable


def test_the_operations_that_do_not_fit_are_returned() -> None:
    stale = read(4, 5, "a")
    assert contradiction([write(0, 1, "a"), write(2, 3, "b"), stale, read(6, 7, "b")]) == [stale]


def test_a_history_may_start_with_a_document() -> None:
    assert contradiction([read(0, 1, "a")], "a") == []
    assert contradiction([read(0, 1, None)], "a") != []


def test_unanswered_operations_do_not_make_the_search_slow() -> None:
    history: list[Operation] = []
    for kill in range(0, 4_000, 100):
        history += [lost(kill, f"{kill} {client}", kill + 10) for client in range(8)]
        history += [write(kill + 20, kill + 30, f"{kill}"), read(kill + 40, kill + 50, f"{kill}")]
    assert contradiction(history) == []
    assert contradiction([*history, read(20_000, 20_001, "0")]) != []


def every_order_fails(history: Sequence[Operation]) -> bool:
    """By definition: no order of the operations with a response, with or without others, fits times and register."""
    answered = [each for each in history if each.answered]
    unanswered = [each for each in history if not each.answered]
    for kept in range(1 << len(unanswered)):
        chosen = answered + [each for index, each in enumerate(unanswered) if kept >> index & 1]
        if any(_fits(order) for order in permutations(chosen)):
            return False
    return True


def _fits(order: Sequence[Operation]) -> bool:
    state: State = None
    for place, operation in enumerate(order):
        if any(later.returned < operation.called for later in order[place:]) or not allowed(operation, state):
            return False
        state = result(operation, state)
    return True


VERSIONS = st.sampled_from(["a", "b", "c"])


@st.composite
def any_operation(draw: st.DrawFn) -> Operation:
    act, called = draw(st.sampled_from(Action)), draw(st.integers(0, 9))
    return Operation(
        act,
        called,
        draw(st.integers(called, 12)),
        draw(st.sampled_from([Answer.DONE, Answer.NONE] if act is Action.READ else list(Answer))),
        draw(VERSIONS | st.none() if act is Action.READ else VERSIONS),
        draw(st.just(ANY) | st.just(ABSENT) | VERSIONS),
    )


@given(st.lists(any_operation(), max_size=5))
def test_the_search_agrees_with_trying_every_order(history: list[Operation]) -> None:
    assert (contradiction(history) != []) is every_order_fails(history)


@st.composite
def real_history(draw: st.DrawFn) -> list[Operation]:
    """A history of sequential operations on a register, recorded by clients with longer intervals than necessary."""
    state: State = None
    history: list[Operation] = []
    for number in range(draw(st.integers(1, 40))):
        instant = number * 10
        called, returned = instant - draw(st.integers(0, 45)), instant + draw(st.integers(0, 45))
        act = draw(st.sampled_from(Action))
        expectations: list[Expectation] = [ANY, ABSENT, state or "none", "other"]
        expect = draw(st.sampled_from(expectations))
        asked = Operation(act, called, returned, version=state if act is Action.READ else f"v{number}", expect=expect)
        fate = draw(st.sampled_from(["answered"] * 6 + ["done in silence", "never done"]))
        met = allowed(asked, state)
        if fate == "never done":
            history.append(replace(asked, answer=Answer.NONE))
            continue
        if met:
            state = result(asked, state)
        answer = Answer.DONE if met else Answer.REFUSED
        history.append(replace(asked, answer=answer if fate == "answered" else Answer.NONE))
    return draw(st.permutations(history))


@given(real_history())
def test_the_history_of_a_real_register_is_accepted(history: list[Operation]) -> None:
    assert contradiction(history) == []


def impossible(history: list[Operation], reading: Operation) -> list[State]:
    """Versions that no order lets `reading` find: not yet written, or surely replaced before it was called."""
    answered = [each for each in history if each.answer is Answer.DONE and each.act is not Action.READ]
    found: list[State] = ["never written"]
    for written in history:
        if written.act is not Action.WRITE or written.answer is Answer.REFUSED:
            continue
        gone = any(written.returned < each.called and each.returned < reading.called for each in answered)
        if written.called > reading.returned or gone:
            found.append(written.version)
    return found


@given(real_history(), st.data())
def test_an_impossible_read_is_refused(history: list[Operation], data: st.DataObject) -> None:
    readings = [each for each in history if each.act is Action.READ and each.answered]
    assume(readings)
    reading = data.draw(st.sampled_from(readings))
    planted = replace(reading, version=data.draw(st.sampled_from(impossible(history, reading))))
    history[history.index(reading)] = planted
    assert contradiction(history) != []


@given(real_history())
def test_a_lost_update_is_refused(history: list[Operation]) -> None:
    last = max(each.returned for each in history) + 1
    update = [write(last, last + 1, "base"), write(last + 2, last + 9, "one", "base")]
    assert contradiction([*history, *update, refused(last + 2, last + 9, "base")]) == []
    assert contradiction([*history, *update, write(last + 2, last + 9, "two", "base")]) != []
