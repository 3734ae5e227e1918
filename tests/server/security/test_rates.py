"""Rates of tokens and addresses, with a clock that the test sets."""

from pathlib import Path

import pytest

from docstore import SetupError, Tokens
from docstore.server.errors import HTTPProblem
from docstore.server.security.rates import ADDRESS_COUNT, AddressRates, RateLimiter
from docstore.units import Rate, parse_rate
from tests.http_client import Client
from tests.server_process import RunningServer


class Monotonic:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def taken(limiter: RateLimiter, most: int = 1000) -> int:
    """How many requests are allowed in a row."""
    for count in range(most):
        try:
            limiter.take()
        except HTTPProblem:
            return count
    return most


@pytest.mark.parametrize("text", ["1/s", "3/s", "50/s", "7/min", "600/h", "999/d"])
def test_a_window_is_used_at_once_and_becomes_free_one_by_one(text: str) -> None:
    clock, rate = Monotonic(), parse_rate(text)
    limiter = RateLimiter("token", rate, clock)
    assert taken(limiter) == rate.count
    with pytest.raises(HTTPProblem) as rejected:
        limiter.take()
    fields = dict(rejected.value.headers)
    assert rejected.value.type.status == 429
    assert fields[b"ratelimit"].startswith(b'"token";r=0;t=')
    assert fields[b"ratelimit-policy"] == f'"token";q={rate.count};w={rate.window_s}'.encode()
    wait_s = int(fields[b"retry-after"])
    assert 1 <= wait_s <= rate.window_s / rate.count + 1
    clock.now_s += rate.window_s / rate.count
    assert taken(limiter) == 1
    clock.now_s += rate.window_s
    assert taken(limiter) == rate.count
    clock.now_s += 1000 * rate.window_s  # nothing is saved up
    assert taken(limiter) == rate.count


def test_the_fields_say_what_is_left() -> None:
    clock = Monotonic()
    limiter = RateLimiter("token", Rate(10, 60), clock)
    limiter.take()
    assert dict(limiter.fields())[b"ratelimit"] == b'"token";r=9;t=6'
    clock.now_s += 3600
    assert dict(limiter.fields())[b"ratelimit"] == b'"token";r=10;t=0'


@pytest.mark.parametrize(
    "text", ["", "5", "0/s", "/s", "5/", "5/y", "-1/s", "1.5/s", "5 per s", "5/s/s", "1" * 10 + "/s"]
)
def test_text_that_is_no_rate_is_rejected(text: str) -> None:
    with pytest.raises(SetupError, match="rate"):
        parse_rate(text)


def test_addresses_are_counted_apart_networks_of_ipv6_as_one_and_memory_is_bounded() -> None:
    rates = AddressRates(Rate(1, 3600), Monotonic())
    for address in ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1", ""):
        assert taken(rates.limiter(address)) == 1
    for address in ("192.0.2.1", "::ffff:192.0.2.2", "2001:db8::ffff:1", "2001:db8:0:1:2:3:4:5"):
        assert taken(rates.limiter(address)) == 0
    for number in range(ADDRESS_COUNT):
        taken(rates.limiter(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"))
    assert len(rates._limiters) == ADDRESS_COUNT


@pytest.mark.parametrize("http", ["wire", "uvicorn"])
def test_a_server_answers_429_to_a_token_and_to_an_address(tmp_path: Path, http: str) -> None:
    tokens = Tokens(tmp_path)
    slow, free = (tokens.create(rights=["all"], rate=rate).text for rate in ("3/h", None))
    words = ("--auth", "tokens", "--http", http, "--address-rate", "10/h", "--mount=docs=memory:")
    with RunningServer(tmp_path, *words) as server, Client(server) as client:
        headers = {"Authorization": f"Bearer {slow}"}
        answers = [client.ask("PUT", "/docs/a", b"1", headers) for _ in range(4)]
        assert [answer.status for answer in answers] == [201, 200, 200, 429]
        assert answers[0]["RateLimit"] == '"token";r=2;t=1200'
        assert answers[3]["RateLimit"].startswith('"token";r=0;t=')
        assert 1100 < int(answers[3]["Retry-After"]) <= 1200
        others = [client.ask("GET", "/docs/a", None, {"Authorization": f"Bearer {free}"}) for _ in range(5)]
        assert [answer.status for answer in others] == [200] * 5
        assert others[4]["RateLimit"].startswith('"address";r=1;')
        # Attempts without a valid token count too.
        assert [client.ask("GET", "/docs/a").status for _ in range(3)] == [401, 429, 429]
        assert client.ask("GET", "/-/health").status == 200
