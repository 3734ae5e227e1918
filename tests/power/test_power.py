"""Acknowledged writes survive a power cut at any step."""

import asyncio
import os
from pathlib import Path
from random import Random
from threading import Event
from typing import Any

import pytest

from docstore.engines.sqlite import writer
from tests.power.expected import WriteAnswered, WriteStarted
from tests.power.recovery import read_store
from tests.power.replay import ROUNDS, find_first_fault, make, power_cuts, record, seeded_random
from tests.power.workloads import WORKLOADS, Session, at_random

SCHEMES = ("file", "sqlite")
EACH = pytest.mark.parametrize("scheme", SCHEMES)


@EACH
@pytest.mark.parametrize("name", WORKLOADS)
def test_a_power_cut_at_any_step_loses_no_acknowledged_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, name: str
) -> None:
    recording = record(tmp_path / "disk", monkeypatch, scheme, WORKLOADS[name])
    assert find_first_fault(recording, scheme, seeded_random(f"{scheme} {name}")) is None


@EACH
@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_power_cut_during_random_work_loses_no_acknowledged_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, number: int
) -> None:
    chance = seeded_random(f"{scheme} {number}")
    # So that the log of a database is sometimes written back during the workload.
    monkeypatch.setattr(writer, "CHECKPOINT_PAGES", 20)
    recording = record(tmp_path / "disk", monkeypatch, scheme, at_random(Random(chance.random()), 12))
    assert find_first_fault(recording, scheme, chance) is None


@EACH
@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_second_power_cut_during_recovery_loses_no_acknowledged_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, number: int
) -> None:
    async def go_on(session: Session) -> None:
        await session.engine.sweep()
        await session.put("a", expires_s=5)
        await session.delete("b")

    chance = seeded_random(f"{scheme} again {number}")
    recording = record(tmp_path / "disk", monkeypatch, scheme, at_random(Random(chance.random()), 8))
    first = chance.choice(list(power_cuts(recording, chance, 12)))
    make(tmp_path / "look", first.image)
    found = asyncio.run(read_store(scheme, tmp_path / "look", first.expected.now_ns))
    make(tmp_path / "disk", first.image)
    # What was found after the first cut is on the disk: it must be found after the second one.
    known = [
        event for n, key in enumerate(found) for event in (WriteStarted(-2 - n, key, found[key]), WriteAnswered(-2 - n))
    ]
    again = record(tmp_path / "disk", monkeypatch, scheme, go_on, first.expected.now_ns, known)
    assert find_first_fault(again, scheme, chance) is None


def test_a_folder_that_another_writer_is_creating_is_durable_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, answered = Event(), Event()

    def make_slowly(path: Any, *args: Any, **kwargs: Any) -> None:
        mkdir(path, *args, **kwargs)
        made.set()
        answered.wait(10)

    async def write_beside(session: Session) -> None:
        await asyncio.to_thread(made.wait, 10)
        await session.put("f/b")
        answered.set()

    async def workload(session: Session) -> None:
        nonlocal mkdir
        mkdir = os.mkdir  # that of the recorder
        with monkeypatch.context() as patch:
            patch.setattr(os, "mkdir", make_slowly)
            await asyncio.gather(session.put("f/a"), write_beside(session))

    mkdir = os.mkdir
    recording = record(tmp_path / "disk", monkeypatch, "file", workload)
    assert find_first_fault(recording, "file", Random(1), states=0) is None
