"""How long each state may last, told by a clock of the test's own."""

import pytest

from docstore.limits import Limits
from docstore.server.http1.timeouts import Patience, Wait, allowed_s, awaited
from tests.server.http1.state_machine import drive

LIMITS = Limits(head_s=1, body_idle_s=2, answer_idle_s=3, keep_alive_s=4, linger_s=5, lowest_rate=10)


@pytest.mark.parametrize("wait", Wait)
def test_each_wait_is_over_when_its_time_is(wait: Wait) -> None:
    patience = Patience()
    assert not patience.is_over(wait, 0, 0, 100.0, LIMITS)
    if wait is Wait.STORE:
        assert not patience.is_over(wait, 0, 0, 1e9, LIMITS)
    else:
        assert not patience.is_over(wait, 0, 0, 100.0 + allowed_s(wait, LIMITS), LIMITS)
        assert patience.is_over(wait, 0, 0, 100.1 + allowed_s(wait, LIMITS), LIMITS)


def test_another_request_or_another_wait_begins_anew() -> None:
    patience = Patience()
    patience.is_over(Wait.HEAD, 1, 0, 0.0, LIMITS)
    assert not patience.is_over(Wait.HEAD, 2, 0, 1.5, LIMITS)
    assert not patience.is_over(Wait.STORE, 2, 0, 2.0, LIMITS)
    assert not patience.is_over(Wait.HEAD, 2, 0, 3.0, LIMITS)
    assert patience.is_over(Wait.HEAD, 2, 0, 4.1, LIMITS)


def test_a_head_gets_no_more_time_by_sending_a_little() -> None:
    patience = Patience()
    patience.is_over(Wait.HEAD, 1, 0, 0.0, LIMITS)
    assert patience.is_over(Wait.HEAD, 1, 10_000, 1.1, LIMITS)


@pytest.mark.parametrize("wait", [Wait.BODY, Wait.READER])
@pytest.mark.parametrize(("rate", "over"), [(0, True), (9, True), (10, False), (11, False)])
def test_bytes_that_move_at_the_lowest_rate_are_waited_for(wait: Wait, rate: int, over: bool) -> None:
    patience = Patience()
    ended = [patience.is_over(wait, 0, rate * second, float(second), LIMITS) for second in range(20)]
    assert any(ended) is over


@pytest.mark.parametrize("rate", [0, 1])
def test_without_a_lowest_rate_anything_that_moves_is_waited_for(rate: int) -> None:
    patience, limits = Patience(), Limits(body_idle_s=2, lowest_rate=0)
    ended = [patience.is_over(Wait.BODY, 0, rate * second, float(second), limits) for second in range(20)]
    assert any(ended) is (rate == 0)


HEAD = b"PUT /docs/k HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"


@pytest.mark.parametrize(
    ("data", "reading", "wait"),
    [
        (b"", True, (Wait.FIRST, 0)),
        (HEAD, True, (Wait.HEAD, 0)),
        (HEAD + b"\r\n", True, (Wait.BODY, 0)),
        (HEAD + b"\r\nhel", True, (Wait.BODY, 3)),
        (HEAD + b"\r\nhel", False, (Wait.STORE, 0)),
        (HEAD + b"Expect: 100-continue\r\n\r\n", True, (Wait.STORE, 0)),
        (HEAD + b"\r\nhello", True, (Wait.NEXT, 0)),
        (HEAD + b"\r\nhello" + HEAD, True, (Wait.HEAD, 0)),
        (b"nonsense\r\n\r\n", True, (Wait.LINGER, 0)),
    ],
)
def test_what_a_connection_waits_for(data: bytes, reading: bool, wait: tuple[Wait, int]) -> None:
    assert awaited(drive(data).connection, reading=reading) == wait
