"""One call until it is answered: which answers are waited out, how long, and what may be sent a second time.

    answer or none                      GET, HEAD, OPTIONS   PUT, DELETE, PATCH with a condition   POST, PATCH without
    no connection                       again                again                                 again
    connection lost, no answer in time  again                again, then "unsure"                  OutcomeUnknown
    502, 504                            again                again, then "unsure"                  OutcomeUnknown
    408, 429, 503                       again                again                                 StorageUnavailable
    any other status                    the answer           the answer                            the answer

A PUT or DELETE without a condition is repeated too: twice is the same as once (RFC 9110 §9.2.2). A body is sent again
only when all of it can be read again. What an answer to a repeated write means when an earlier attempt may have been
carried out (`unsure`) is for the operation to judge.

Between attempts lies a random part of a time that doubles (full jitter), or what Retry-After says; attempts are
counted and all of them together end after `patience_s`.
"""

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from docstore.client.errors import error_of
from docstore.client.transport import Answer, Call, Lost, Reply, Wire
from docstore.errors import DocstoreError, OutcomeUnknown, StorageUnavailable
from docstore.http.dates import parse_http_date
from docstore.http.headers import parse_natural

REFUSED_FOR_NOW: Final = frozenset({408, 429, 503})
"""Statuses by which a server says that it did not carry the call out and may do so later."""
LOST_BEHIND: Final = frozenset({502, 504})
"""Statuses by which a proxy says that no answer came to it."""

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
_RETRY_AFTER_LIMIT_S: Final = 10**6
_WORDS_LIMIT: Final = 1024 * 1024
"""Bytes of an answer to a write, or of a problem."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often one call is tried."""

    tries: int = 8
    patience_s: float = 60.0
    """Seconds after which no further attempt is begun. One that goes on, such as a long upload, goes on."""
    timeout_s: float = 30.0
    """Seconds that connecting, or any pause of the other side, may take."""


DEFAULTS: Final = Patience()


class Attempts:
    """The attempts at one call: asked after each whether there is to be another."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._end = time.monotonic() + patience.patience_s
        self._made = 0

    def timeout_s(self) -> float:
        """What the next attempt may wait for each of its steps."""
        return max(0.001, min(self._patience.timeout_s, self.left_s()))

    def left_s(self) -> float:
        return self._end - time.monotonic()

    def pause_s(self, after_s: float | None = None) -> float | None:
        """How long to wait before the next attempt; None when there is to be none."""
        self._made += 1
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (self._made - 1))
        pause = random.uniform(0, longest) if after_s is None else after_s  # noqa: S311 - it keeps nothing secret
        return None if self._made >= self._patience.tries or pause >= self.left_s() else pause


async def head(wire: Wire, call: Call, attempts: Attempts, what: str) -> tuple[Reply, bool]:
    """The head of an answer, its content still to be read, and whether it is `unsure`.

    Raises Unavailable or OutcomeUnknown when no answer came; what the answer says is not looked at further.
    """
    unsure = False
    while True:
        reply = await wire.send(call, attempts.timeout_s())
        if not isinstance(reply, Lost) and reply.status not in REFUSED_FOR_NOW | LOST_BEHIND:
            return reply, unsure
        carried_out = reply.sent if isinstance(reply, Lost) else reply.status in LOST_BEHIND
        unsure = unsure or (carried_out and not call.safe)
        again = not call.once or (isinstance(reply, Lost) and not reply.sent)
        pause = None
        if again and (call.body is None or call.body.can_be_sent):
            pause = attempts.pause_s(None if isinstance(reply, Lost) else retry_after_s(reply.headers))
        if pause is None:
            raise await _given_up(reply, unsure, what)
        if not isinstance(reply, Lost):
            await reply.close()
        await wire.pause(pause)


async def exchange(wire: Wire, call: Call, patience: Patience, what: str) -> Answer:
    """The whole answer to a call; an answer that breaks off in the middle counts as lost."""
    attempts, unsure = Attempts(patience), False
    while True:
        reply, unsure_now = await head(wire, call, attempts, what)
        unsure = unsure or unsure_now
        content = await whole(reply, None if call.safe and reply.status < 300 else Attempts(patience))
        if not isinstance(content, Lost):
            return Answer(reply.status, reply.headers, content, unsure)
        unsure = unsure or not call.safe
        pause = None
        if not call.once and (call.body is None or call.body.can_be_sent):
            pause = attempts.pause_s()
        if pause is None:
            raise await _given_up(content, unsure, what)
        await wire.pause(pause)


async def whole(reply: Reply, attempts: Attempts | None) -> bytes | Lost:
    """All content of an answer, which is closed then. Of what is no document little is taken, while `attempts` last."""
    pieces: list[bytes] = []
    size = 0
    try:
        while True:
            piece = await reply.read()
            if isinstance(piece, Lost):
                return piece
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)
            size += len(piece)
            if attempts is not None and (attempts.left_s() < 0 or size > _WORDS_LIMIT):
                return Lost("the answer does not come to an end")
    finally:
        await reply.close()


async def _given_up(reply: Reply | Lost, unsure: bool, what: str) -> DocstoreError:
    """The error when there are to be no more attempts."""
    if isinstance(reply, Lost):
        said = f"{what}: {reply.reason}"
        error: DocstoreError = (
            OutcomeUnknown(f"{said}; it may have been carried out") if unsure else StorageUnavailable(said)
        )
        return error
    content = await whole(reply, Attempts(Patience()))
    answer = Answer(reply.status, reply.headers, b"" if isinstance(content, Lost) else content)
    error = error_of(answer, what)
    if unsure:
        problem, error = error.problem, OutcomeUnknown(f"{error}; it may have been carried out before")
        error.problem = problem
    return error


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """RFC 9110 §10.2.3; None when the server said nothing that can be read."""
    text = headers.get("retry-after", "")
    seconds = parse_natural(text, _RETRY_AFTER_LIMIT_S)
    if seconds is None and text:
        now = time.time()
        moment = parse_http_date(text, int(now))
        return None if moment is None else max(0.0, moment - now)
    return seconds
