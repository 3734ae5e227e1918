"""The sweeper: gives back the room of expired documents, beside the requests.

Nobody waits for it. An expired document is absent from its instant on, for every method, and the sweeper only removes
what nobody can see any more; so it may be late, and a store whose server gives it no start merely keeps the room.

It takes a bounded step at a time and rests between two as long as the last one took: requests have at least half of an
engine to themselves, however much has expired at once. It stops between steps and is not cancelled in one, so no engine
is closed under it. A timer for each document was rejected: its cost grows with the documents, not with the expired.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from docstore.engines.contract import Sweeping
from docstore.errors import DocstoreError
from docstore.server.mounts import Mount

DEFAULT_SWEEP_INTERVAL_S: Final = 60
STEP_LIMIT: Final = 500
"""Documents that one step removes."""

log: Final = logging.getLogger("docstore")


class Sweeper:
    """The task that sweeps all engines of a store that take room for what has expired."""

    def __init__(self, mounts: Iterable[Mount], interval_s: float) -> None:
        self._swept = [(mount.prefix, mount.engine) for mount in mounts if isinstance(mount.engine, Sweeping)]
        self._interval_s = interval_s
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Sweeps at once and then at each interval, until it is stopped."""
        self._task = asyncio.create_task(self._run(), name="docstore-sweeper")

    async def stop(self) -> None:
        """Returns when the step that is being taken is over. A loop that was left took its task with it."""
        if self._task is not None and self._task.get_loop() is asyncio.get_running_loop():
            self._stopping.set()
            await self._task

    async def _run(self) -> None:
        while not self._stopping.is_set():
            for prefix, engine in self._swept:
                try:
                    await self._sweep(engine)
                except DocstoreError as error:
                    log.error("sweeping %s: %s", prefix, error)
                except Exception:
                    # Else one fault in one engine would end the sweeping of all, and nobody would know.
                    log.exception("sweeping %s failed", prefix)
            await self._rest(self._interval_s)

    async def _sweep(self, engine: Sweeping) -> None:
        """Step by step, until nothing is left that has expired."""
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            begun_s = loop.time()
            if await engine.sweep(limit=STEP_LIMIT) < STEP_LIMIT:
                return
            await self._rest(loop.time() - begun_s)

    async def _rest(self, seconds: float) -> None:
        """Waits, but not beyond the stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
