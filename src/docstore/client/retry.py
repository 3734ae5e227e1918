"""Sending one request until it gets a response: which failures are retried, how long, and what may be sent twice.

    failure                           GET, HEAD, OPTIONS   PUT, DELETE, conditional PATCH   POST, other PATCH
    no connection                     retry                retry                            retry
    connection lost, timeout          retry                retry, then `maybe_applied`      OutcomeUnknown
    502, 504, `outcome-unknown`       retry                retry, then `maybe_applied`      OutcomeUnknown
    408, 429, any other 503           retry                retry                            StorageUnavailable
    any other status                  final                final                            final

A PUT or DELETE without a condition is retried too, because it is idempotent (RFC 9110 §9.2.2). A body is sent again
only if all of it can be read again. The operation decides what the response to a retried write means when an earlier
attempt may have been applied.

The pause between attempts is random, below a bound that doubles (full jitter), or as long as Retry-After requires. The
number of attempts and their total time are limited.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from docstore.client.errors import error_for
from docstore.client.transport import ClientRequest, ClientResponse, ResponseStream, Transport, TransportError
from docstore.errors import DocstoreError, EngineError, OutcomeUnknown, StorageUnavailable
from docstore.http.dates import parse_http_date
from docstore.http.headers import parse_natural

T = TypeVar("T")

TEMPORARY_STATUSES: Final = frozenset({408, 429, 503})
"""The server did not apply the request and may do so later."""
OUTCOME_UNKNOWN: Final = "outcome-unknown"
"""The problem of a write that the server's storage may have applied."""
GATEWAY_STATUSES: Final = frozenset({502, 504})
"""A proxy got no response from the server, which may have applied the request."""

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
_RETRY_AFTER_LIMIT_S: Final = 10**6
_SMALL_CONTENT: Final = 1024 * 1024
"""Limit, in bytes, of the content of a response to a write, or of a problem."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long one request is tried."""

    tries: int = 8
    retry_timeout_s: float = 60.0
    """Seconds after which no further attempt starts. A running attempt, such as a long upload, continues."""
    timeout_s: float = 30.0
    """Seconds for connecting and for each pause of the other side."""


class RetryState:
    """The attempts at one request so far."""

    def __init__(
        self, policy: RetryPolicy, *, first_pause_s: float | None = None, longest_pause_s: float = LONGEST_PAUSE_S
    ) -> None:
        self.policy: Final = policy
        self._end = time.monotonic() + policy.retry_timeout_s
        self._attempts = 0
        self._first_pause_s = FIRST_PAUSE_S if first_pause_s is None else first_pause_s
        self._longest_pause_s = longest_pause_s

    def timeout_s(self) -> float:
        """The timeout for each step of the next attempt."""
        return max(0.001, min(self.policy.timeout_s, self.left_s()))

    def left_s(self) -> float:
        return self._end - time.monotonic()

    def next_pause_s(self, retry_after_s: float | None = None) -> float | None:
        """Count an attempt, and return the pause before the next one; None if no attempt is left."""
        self._attempts += 1
        import random  # PERF: seldom needed, and a hundredth of the time in which a command starts

        longest = min(self._longest_pause_s, self._first_pause_s * 2 ** min(self._attempts - 1, 16))
        pause = random.uniform(0, longest) if retry_after_s is None else retry_after_s  # noqa: S311 - not a secret
        return None if self._attempts >= self.policy.tries or pause >= self.left_s() else pause


async def pause_or_raise(transport: Transport, state: RetryState, error: Exception) -> None:
    """Wait before the next attempt, or raise `error` if no attempt is left."""
    pause = state.next_pause_s()
    if pause is None:
        raise error
    await transport.pause(pause)


async def exchange(transport: Transport, request: ClientRequest, policy: RetryPolicy, call: str) -> ClientResponse:
    """The response to a request, with its content; content that breaks off counts as a lost response.

    `call` describes the request in messages. Raise StorageUnavailable or OutcomeUnknown if no response arrived.
    """

    async def receive(response: ResponseStream) -> bytes:
        unlimited = request.safe and response.status < 300
        return await read_content(response, None if unlimited else policy)

    state = RetryState(policy)
    response, content, maybe_applied = await send_with_retries(transport, request, state, call, receive)
    return ClientResponse(response.status, response.headers, content, maybe_applied)


async def send_with_retries(
    transport: Transport,
    request: ClientRequest,
    state: RetryState,
    call: str,
    receive: Callable[[ResponseStream], Awaitable[T]],
) -> tuple[ResponseStream, T, bool]:
    """The response to a request, what `receive` makes of it, and whether an earlier attempt may have been applied."""
    maybe_applied = False
    while True:
        failure: DocstoreError
        try:
            response = await transport.send(request, state.timeout_s())
            if response.status not in TEMPORARY_STATUSES | GATEWAY_STATUSES:
                return response, await receive(response), maybe_applied
            failure = error_for(await read_problem(response, state.policy), call)
            unknown = failure.problem is not None and failure.problem.name == OUTCOME_UNKNOWN
            was_applied = unknown or response.status in GATEWAY_STATUSES
            may_retry, retry_after = not request.send_once, retry_after_s(response.headers)
        except TransportError as error:
            failure = StorageUnavailable(f"{call}: {error}" if error.sent or maybe_applied else str(error))
            was_applied, retry_after = error.sent, None
            may_retry = not (request.send_once and error.sent)
        maybe_applied = maybe_applied or (was_applied and not request.safe)
        pause = state.next_pause_s(retry_after) if may_retry and request.can_be_sent else None
        if pause is None:
            raise _uncertain(failure) if maybe_applied else failure
        await transport.pause(pause)


async def read_content(response: ResponseStream, policy: RetryPolicy | None, size_limit: int | None = None) -> bytes:
    """All content of a response, which is then closed. Raise TransportError.

    With a `policy`, also raise it when the content is too large for anything but a document, or takes longer than
    `retry_timeout_s`. Raise EngineError for more than `size_limit` bytes.
    """
    end = None if policy is None else time.monotonic() + policy.retry_timeout_s
    pieces: list[bytes] = []
    size = 0
    try:
        while piece := await response.read():
            pieces.append(piece)
            size += len(piece)
            if end is not None and (time.monotonic() > end or size > _SMALL_CONTENT):
                raise TransportError("the response does not end")
            if size_limit is not None and size > size_limit:
                raise EngineError(f"the response has more than {size_limit:,} bytes")
        return b"".join(pieces)
    finally:
        await response.close()


async def read_problem(response: ResponseStream, policy: RetryPolicy) -> ClientResponse:
    """A response that is an error, without its content if that cannot be read."""
    try:
        content = await read_content(response, policy)
    except TransportError:
        content = b""
    return ClientResponse(response.status, response.headers, content)


def _uncertain(failure: DocstoreError) -> OutcomeUnknown:
    """The error to raise after the last attempt at a write that may have been applied."""
    error = OutcomeUnknown(f"{failure}; the write may have been applied")
    error.problem = failure.problem
    return error


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The seconds of Retry-After (RFC 9110 §10.2.3); None if it is missing or invalid."""
    text = headers.get("retry-after", "")
    seconds = parse_natural(text, _RETRY_AFTER_LIMIT_S)
    if seconds is None and text:
        now = time.time()
        moment = parse_http_date(text, int(now))
        return None if moment is None else max(0.0, moment - now)
    return seconds
