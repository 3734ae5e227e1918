"""How long each state may last, by a clock that the test sets."""

import pytest

from docstore.limits import Limits
from docstore.server.http1.timeouts import IdleTimer, Wait, current_wait
from tests.server.http1.state_machine import drive

LIMITS = Limits(head_s=1, body_idle_s=2, answer_idle_s=3, keep_alive_s=4, linger_s=5, lowest_rate=10)


@pytest.mark.parametrize("wait", Wait)
def test_each_wait_expires_after_its_limit(wait: Wait) -> None:
    timer = IdleTimer()
    assert not timer.has_expired(wait, 0, 0, 100.0, LIMITS)
    if wait is Wait.STORE:
        assert not timer.has_expired(wait, 0, 0, 1e9, LIMITS)
    else:
        assert not timer.has_expired(wait, 0, 0, 100.0 + wait.limit_s(LIMITS), LIMITS)
        assert timer.has_expired(wait, 0, 0, 100.1 + wait.limit_s(LIMITS), LIMITS)


def test_another_request_or_another_wait_restarts_the_timer() -> None:
    timer = IdleTimer()
    timer.has_expired(Wait.HEAD, 1, 0, 0.0, LIMITS)
    assert not timer.has_expired(Wait.HEAD, 2, 0, 1.5, LIMITS)
    assert not timer.has_expired(Wait.STORE, 2, 0, 2.0, LIMITS)
    assert not timer.has_expired(Wait.HEAD, 2, 0, 3.0, LIMITS)
    assert timer.has_expired(Wait.HEAD, 2, 0, 4.1, LIMITS)


def test_slow_bytes_do_not_extend_the_time_for_a_head() -> None:
    timer = IdleTimer()
    timer.has_expired(Wait.HEAD, 1, 0, 0.0, LIMITS)
    assert timer.has_expired(Wait.HEAD, 1, 10_000, 1.1, LIMITS)


@pytest.mark.parametrize("wait", [Wait.BODY, Wait.READER])
@pytest.mark.parametrize(("rate", "over"), [(0, True), (9, True), (10, False), (11, False)])
def test_a_transfer_at_the_lowest_rate_may_continue(wait: Wait, rate: int, over: bool) -> None:
    timer = IdleTimer()
    ended = [timer.has_expired(wait, 0, rate * second, float(second), LIMITS) for second in range(20)]
    assert any(ended) is over


@pytest.mark.parametrize("rate", [0, 1])
def test_without_a_lowest_rate_any_transfer_may_continue(rate: int) -> None:
    timer, limits = IdleTimer(), Limits(body_idle_s=2, lowest_rate=0)
    ended = [timer.has_expired(Wait.BODY, 0, rate * second, float(second), limits) for second in range(20)]
    assert any(ended) is (rate == 0)


HEAD = b"PUT /docs/k HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"


@pytest.mark.parametrize(
    ("data", "reading", "wait"),
    [
        (b"", True, (Wait.FIRST_BYTE, 0)),
        (HEAD, True, (Wait.HEAD, 0)),
        (HEAD + b"\r\n", True, (Wait.BODY, 0)),
        (HEAD + b"\r\nhel", True, (Wait.BODY, 3)),
        (HEAD + b"\r\nhel", False, (Wait.STORE, 0)),
        (HEAD + b"Expect: 100-continue\r\n\r\n", True, (Wait.STORE, 0)),
        (HEAD + b"\r\nhello", True, (Wait.NEXT_REQUEST, 0)),
        (HEAD + b"\r\nhello" + HEAD, True, (Wait.HEAD, 0)),
        (b"nonsense\r\n\r\n", True, (Wait.LINGER, 0)),
    ],
)
def test_each_state_waits_for_one_thing(data: bytes, reading: bool, wait: tuple[Wait, int]) -> None:
    assert current_wait(drive(data).connection, reading=reading) == wait
