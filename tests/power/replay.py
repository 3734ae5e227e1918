"""An engine's work is recorded; then the power is cut after every step, and every state of the disk is looked at.

How much is done is told by three variables of the environment: DOCSTORE_POWER_STATES is how many states are looked at
for each recording, chosen at random among all that were found, or 0 for all; DOCSTORE_POWER_ROUNDS is how many random
workloads there are for each engine; DOCSTORE_POWER_SEED repeats the choices of a run. What threads do at once is not
repeated by it: such a failure may take several runs of its seed.
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
from tests.power.promise import Answered, Asked, Note, Promise, Told
from tests.power.recorder import Recorder, Step
from tests.power.recovery import faults_of
from tests.power.workloads import Session, Workload

STATES: Final = int(os.environ.get("DOCSTORE_POWER_STATES") or 12)
ROUNDS: Final = int(os.environ.get("DOCSTORE_POWER_ROUNDS") or 1)
MEMORY: Final = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""A folder in memory, where there is one: the states are small, and looking at thousands would wear out a disk."""
LIMIT: Final = 12 if STATES else 400
"""States after one step: all, when there are no more, else the extremes and samples."""


def random_numbers(what: str) -> Random:
    """Of the seed that was given, or of a new one; the seed is printed, and pytest shows it with a failure."""
    seed = os.environ.get("DOCSTORE_POWER_SEED") or secrets.token_hex(4)
    print(f"{what}: DOCSTORE_POWER_SEED={seed}")
    return Random(f"{seed} {what}")


def recorded(
    folder: Path,
    patch: pytest.MonkeyPatch,
    scheme: str,
    workload: Workload,
    now_ns: int = START_NS,
    known: Sequence[Note] = (),
) -> Recorder:
    """The workload, with the opening and the closing of the store in the folder.

    `known` is what is promised of a store that stands there already.
    """

    async def work() -> None:
        session = Session(recorder, scheme, SetClock(now_ns))
        try:
            await workload(session)
        finally:
            await session.engine.close()

    folder.mkdir(exist_ok=True)
    recorder = Recorder(folder)
    recorder.stood += [Told(now_ns), *known]
    with recorder.running(patch), databases_noted(recorder):
        asyncio.run(work())
    return recorder


@dataclass(frozen=True, slots=True)
class Found:
    """What may be on the disk after a cut, and what must be in the store then."""

    after: str
    image: Image
    promise: Promise


def cuts(recorder: Recorder, chance: Random, limit: int) -> Iterator[Found]:
    """Each state once that a cut may leave; at most `limit` for each step."""
    disk, promise = Disk(), Promise(START_NS)
    known: set[object] = set()
    for number, step in enumerate((*recorder.stood, *recorder.steps)):
        if isinstance(step, Asked | Answered | Told):
            promise.note(step)
        else:
            disk.apply(step)
        if number < len(recorder.stood) - 1:
            continue
        now = copy.deepcopy(promise)
        for image in disk.left(chance, limit):
            state = frozenset(image.items()), now.mark()
            if state not in known:
                known.add(state)
                yield Found(f"step {number}, {_short(step)}", image, now)


def _short(step: Step) -> str:
    text = str(step)
    return text if len(text) < 200 else f"{text[:140]} ... {text[-40:]}"


def first_loss(recorder: Recorder, scheme: str, chance: Random, *, states: int = STATES) -> str | None:
    """The first state that is not as promised; looks at so many, or at all when that is 0."""

    async def look(folder: Path) -> str | None:
        for cut in wanted:
            make(folder, cut.image)
            if faults := await faults_of(scheme, folder, cut.promise):
                return "\n".join([f"power cut after {cut.after}:", *faults])
        return None

    found = list(cuts(recorder, chance, LIMIT))
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
    """Makes the folder hold exactly this."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path, content in sorted(image.items()):
        place = folder / os.fsdecode(path)
        if content is None:
            place.mkdir()
        else:
            place.write_bytes(content[0])
            os.utime(place, ns=(content[1], content[1]))
