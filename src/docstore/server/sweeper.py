"""The sweeper: frees the space of expired documents in the background.

Expired documents are already invisible to every method, so the sweeper may be late; a store that never starts it only
wastes space.

It removes a bounded number per step and pauses as long as the step took, so requests get at least half of an engine's
time, however many documents expired. It stops between steps, so no engine is closed during one. A timer for each
document was rejected: its cost grows with all documents, not with the expired ones.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from docstore.engines.contract import Sweeping
from docstore.errors import DocstoreError
from docstore.server.mounts import Mount

DEFAULT_SWEEP_INTERVAL_S: Final = 60
SWEEP_LIMIT: Final = 500
"""Documents removed per step."""

log: Final = logging.getLogger("docstore")


class Sweeper:
    """The task that sweeps the engines that keep expired documents."""

    def __init__(self, mounts: Iterable[Mount], interval_s: float, others: Iterable[tuple[str, Sweeping]] = ()) -> None:
        """`others` are swept too, each with its name."""
        engines = ((mount.prefix, mount.engine) for mount in mounts)
        self._swept = [*others, *((prefix, engine) for prefix, engine in engines if isinstance(engine, Sweeping))]
        self._interval_s = interval_s
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Sweep at once and then at each interval, until stopped."""
        self._task = asyncio.create_task(self._run(), name="docstore-sweeper")

    async def stop(self) -> None:
        """Wait for the current step. Do nothing in another event loop: the task ended with its own loop."""
        if self._task is not None and self._task.get_loop() is asyncio.get_running_loop():
            self._stopping.set()
            await self._task

    async def _run(self) -> None:
        while not self._stopping.is_set():
            for prefix, engine in self._swept:
                try:
                    await self._sweep(engine)
                except DocstoreError as error:
                    log.error("sweeping %s failed: %s", prefix, error)
                except Exception:
                    # Otherwise a bug in one engine would silently end the sweeping of all.
                    log.exception("sweeping %s failed", prefix)
            await self._pause(self._interval_s)

    async def _sweep(self, engine: Sweeping) -> None:
        """Sweep step by step until no expired document is left."""
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            started_s = loop.time()
            if await engine.sweep(limit=SWEEP_LIMIT) < SWEEP_LIMIT:
                return
            await self._pause(loop.time() - started_s)

    async def _pause(self, seconds: float) -> None:
        """Wait, or return at once when stopped."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
