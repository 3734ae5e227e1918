"""Record an engine's work, cut the power after every step, and check each state that the disk may be in then.

Three environment variables control the amount: DOCSTORE_POWER_STATES is the number of states checked for each
recording, chosen at random, or 0 for all; DOCSTORE_POWER_ROUNDS is the number of random workloads for each engine;
DOCSTORE_POWER_SEED repeats the choices of a run. A seed does not repeat the timing of threads: a failure may take
several runs of its seed.
"""

import asyncio
import copy
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import pytest

from docstore.testing.clock import START_NS, SetClock
from tests.engines.file.stores import without_waiting_for_the_disk
from tests.power.database import databases_noted, databases_unsynced
from tests.power.disk import Disk, Image
from tests.power.expected import ClockSet, Event, ExpectedStates, WriteAnswered, WriteStarted
from tests.power.recorder import Recorder, Step
from tests.power.recovery import find_faults
from tests.power.workloads import Session, Workload

STATES: Final = int(os.environ.get("DOCSTORE_POWER_STATES") or 12)
ROUNDS: Final = int(os.environ.get("DOCSTORE_POWER_ROUNDS") or 1)
MEMORY: Final = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""A folder in memory, where there is one: thousands of states would wear out a disk."""
LIMIT: Final = 12 if STATES else 400
"""States after one step: all, when there are no more, else the extremes and samples."""


def seeded_random(what: str) -> Random:
    """Make a Random from the given seed or a new one, and print the seed; pytest shows it with a failure."""
    seed = os.environ.get("DOCSTORE_POWER_SEED") or secrets.token_hex(4)
    print(f"{what}: DOCSTORE_POWER_SEED={seed}")
    return Random(f"{seed} {what}")


def record(
    folder: Path,
    patch: pytest.MonkeyPatch,
    scheme: str,
    workload: Workload,
    now_ns: int = START_NS,
    known: Sequence[Event] = (),
) -> Recorder:
    """Record the workload, including opening and closing the store in the folder.

    `known` are the events of a store that exists already.
    """

    async def work() -> None:
        session = Session(recorder, scheme, SetClock(now_ns))
        try:
            await workload(session)
        finally:
            await session.engine.close()

    folder.mkdir(exist_ok=True)
    recorder = Recorder(folder)
    recorder.stood += [ClockSet(now_ns), *known]
    with recorder.running(patch), databases_noted(recorder):
        asyncio.run(work())
    return recorder


@dataclass(frozen=True, slots=True)
class CutState:
    """A state of the disk after a power cut, and what the store must contain then."""

    after: str
    image: Image
    expected: ExpectedStates


def power_cuts(recorder: Recorder, chance: Random, limit: int) -> Iterator[CutState]:
    """Yield each state that a cut may leave once, at most `limit` for each step."""
    disk, expected = Disk(), ExpectedStates(START_NS)
    known: set[object] = set()
    for number, step in enumerate((*recorder.stood, *recorder.steps)):
        if isinstance(step, WriteStarted | WriteAnswered | ClockSet):
            expected.note(step)
        else:
            disk.apply(step)
        if number < len(recorder.stood) - 1:
            continue
        now = copy.deepcopy(expected)
        for image in disk.left(chance, limit):
            state = frozenset(image.items()), now.fingerprint()
            if state not in known:
                known.add(state)
                yield CutState(f"step {number}, {_short(step)}", image, now)


def _short(step: Step) -> str:
    text = str(step)
    return text if len(text) < 200 else f"{text[:140]} ... {text[-40:]}"


def find_first_fault(recorder: Recorder, scheme: str, chance: Random, *, states: int = STATES) -> str | None:
    """Check `states` states, or all for 0. Return the faults of the first that has any."""

    async def look(folder: Path) -> str | None:
        for cut in wanted:
            make(folder, cut.image)
            if faults := await find_faults(scheme, folder, cut.expected):
                return "\n".join([f"power cut after {cut.after}:", *faults])
        return None

    found = list(power_cuts(recorder, chance, LIMIT))
    wanted = chance.sample(found, min(states or len(found), len(found)))
    print(f"{len(recorder.steps)} steps, {len(wanted)} of {len(found)} states")
    with (
        tempfile.TemporaryDirectory(dir=MEMORY) as folder,
        pytest.MonkeyPatch.context() as patch,
        databases_unsynced(),
    ):
        without_waiting_for_the_disk(patch)
        return asyncio.run(look(Path(folder, "disk")))


def make(folder: Path, image: Image) -> None:
    """Make the folder contain exactly the image."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path, content in sorted(image.items()):
        place = folder / os.fsdecode(path)
        if content is None:
            place.mkdir()
        else:
            place.write_bytes(content[0])
            os.utime(place, ns=(content[1], content[1]))
