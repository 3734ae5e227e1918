"""Workloads for recordings: each kind of change alone, then all of them in random order."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

from docstore.content import BytesContent
from docstore.engines.contract import Engine, PutRequest
from docstore.engines.registry import open_engine
from docstore.model import Fields
from docstore.testing.clock import SetClock
from tests.power.expected import ClockSet, State, WriteAnswered, WriteStarted
from tests.power.recorder import Recorder
from tests.power.recovery import url_in

SMALL: Final = 20
LARGE: Final = 66_000
"""A size whose content is a separate file in both engines."""
SOON_S: Final = 10


class Session:
    """An open store during a recording, which also records the operations and their results."""

    def __init__(self, recorder: Recorder, scheme: str, clock: SetClock) -> None:
        self._recorder = recorder
        self._scheme = scheme
        self._clock = clock
        self._asked = 0
        self.engine = self._opened()

    def _opened(self) -> Engine:
        return open_engine(url_in(self._recorder.folder, self._scheme), self._clock)

    async def reopen(self) -> None:
        await self.engine.close()
        self.engine = self._opened()

    async def put(self, key: str, size: int = SMALL, *, expires_s: float | None = None) -> None:
        text = f"{self._asked} {key} ".encode()
        data = (text * (size // len(text) + 1))[:size]
        expires_ns = None if expires_s is None else self._clock() + round(expires_s * 10**9)
        # Every second write has different fields, so that content with the metadata of another version is detected.
        state = State(data, Fields.make(f"text/x-{self._asked % 2}", {"meta-number": f"{self._asked}"}), expires_ns)
        writing = self.engine.put(PutRequest(key, BytesContent(data), state.fields, expires_ns=expires_ns))
        await self._note(key, state, writing)

    async def delete(self, key: str) -> None:
        await self._note(key, None, self.engine.delete(key))

    async def _note(self, key: str, state: State | None, write: Awaitable[object]) -> None:
        number, self._asked = self._asked, self._asked + 1
        self._recorder.note(WriteStarted(number, key, state))
        await write
        self._recorder.note(WriteAnswered(number))

    async def expire(self) -> None:
        """Advance the clock until documents are expired, then sweep."""
        self._clock.advance_s(SOON_S)
        self._recorder.note(ClockSet(self._clock()))
        await self.engine.sweep()


Workload = Callable[[Session], Awaitable[None]]


async def nothing(session: Session) -> None:
    await session.reopen()


async def small(session: Session) -> None:
    for _ in range(2):
        await session.put("a")
    await session.delete("a")
    await session.put("a", 0)


async def large(session: Session) -> None:
    for size in (LARGE, LARGE + 1, SMALL, LARGE):
        await session.put("a", size)
    await session.delete("a")


async def expiring(session: Session) -> None:
    await session.put("a", expires_s=SOON_S)
    await session.put("a", LARGE, expires_s=SOON_S)
    await session.put("b", expires_s=SOON_S * 9)
    await session.expire()
    await session.put("b")


async def folders(session: Session) -> None:
    await session.put("a")
    await session.put("a/b/c")
    await session.put("a")
    await session.delete("a/b/c")
    await session.put("a/d")


async def reopened(session: Session) -> None:
    await session.put("a")
    await session.put("b", LARGE)
    await session.reopen()
    await session.put("a", LARGE)
    await session.delete("b")
    await session.reopen()
    await session.put("b")


async def at_once(session: Session) -> None:
    await asyncio.gather(*(session.put(key) for key in ("a", "a/b", "b/c", "b/d")), session.put("a", LARGE))
    await asyncio.gather(session.delete("a"), session.put("a/b", LARGE), session.delete("b/c"))


async def together(session: Session) -> None:
    """Writes of one group: new and replaced documents, in folders and not, some that expire."""
    for keys in (("a", "b", "c/d", "e"), ("b", "a", "c/d", "f", "c/g", "a/h")):
        await asyncio.gather(*(session.put(key, expires_s=SOON_S if key in "be" else None) for key in keys))


WORKLOADS: Final[dict[str, Workload]] = {
    workload.__name__.replace("_", " "): workload
    for workload in (nothing, small, large, expiring, folders, reopened, at_once, together)
}
KEYS: Final = ("a", "a/b", "a/b/c", "d/e", "x" * 255)


def at_random(chance: Random, count: int) -> Workload:
    async def workload(session: Session) -> None:
        for _ in range(count):
            if chance.random() < 0.1:
                await session.reopen()
            await asyncio.gather(*(_one(session, chance) for _ in range(chance.choice((1, 1, 1, 4)))))

    return workload


async def _one(session: Session, chance: Random) -> None:
    key = chance.choice(KEYS)
    match chance.choices(("put", "delete", "expire"), (10, 4, 1))[0]:
        case "put":
            size = chance.choice((0, SMALL, SMALL, 5000, LARGE))
            await session.put(key, size, expires_s=chance.choice((None, None, SOON_S, SOON_S * 3)))
        case "delete":
            await session.delete(key)
        case "expire":
            await session.expire()
