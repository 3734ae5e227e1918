"""What was answered outlives a power cut at any step, whatever of the unfinished the disk then has."""

import asyncio
import os
from pathlib import Path
from random import Random
from threading import Event
from typing import Any

import pytest

from docstore.engines.sqlite import writer
from tests.power.promise import Answered, Asked
from tests.power.recovery import stands
from tests.power.replay import ROUNDS, cuts, first_loss, make, random_numbers, recorded
from tests.power.workloads import WORKLOADS, Session, at_random

SCHEMES = ("file", "sqlite")
EACH = pytest.mark.parametrize("scheme", SCHEMES)


@EACH
@pytest.mark.parametrize("name", WORKLOADS)
def test_a_power_cut_at_any_step_loses_nothing_that_was_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, name: str
) -> None:
    recording = recorded(tmp_path / "disk", monkeypatch, scheme, WORKLOADS[name])
    assert first_loss(recording, scheme, random_numbers(f"{scheme} {name}")) is None


@EACH
@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_power_cut_in_the_middle_of_anything_loses_nothing_that_was_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, number: int
) -> None:
    chance = random_numbers(f"{scheme} {number}")
    # So that the log of a database is written back now and then, in the midst of it.
    monkeypatch.setattr(writer, "CHECKPOINT_PAGES", 20)
    recording = recorded(tmp_path / "disk", monkeypatch, scheme, at_random(Random(chance.random()), 12))
    assert first_loss(recording, scheme, chance) is None


@EACH
@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_second_power_cut_while_the_store_recovers_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, number: int
) -> None:
    async def go_on(session: Session) -> None:
        await session.engine.sweep()
        await session.put("a", expires_s=5)
        await session.delete("b")

    chance = random_numbers(f"{scheme} again {number}")
    recording = recorded(tmp_path / "disk", monkeypatch, scheme, at_random(Random(chance.random()), 8))
    first = chance.choice(list(cuts(recording, chance, 12)))
    make(tmp_path / "look", first.image)
    found = asyncio.run(stands(scheme, tmp_path / "look", first.promise.now_ns))
    make(tmp_path / "disk", first.image)
    # What was found after the first cut is on the disk: it must be found after the second one.
    known = [note for n, key in enumerate(found) for note in (Asked(-2 - n, key, found[key]), Answered(-2 - n))]
    again = recorded(tmp_path / "disk", monkeypatch, scheme, go_on, first.promise.now_ns, known)
    assert first_loss(again, scheme, chance) is None


def test_a_folder_that_another_writer_is_just_making_is_on_the_disk_too(
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
    recording = recorded(tmp_path / "disk", monkeypatch, "file", workload)
    assert first_loss(recording, "file", Random(1), states=0) is None
