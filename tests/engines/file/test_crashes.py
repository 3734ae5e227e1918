"""A killed writer: every step of every kind of change, and what the next process finds.

An exception simulates the kill: it is raised in place of a step to the disk, and of all steps after it, so that no
cleanup runs. The last write before the kill is torn. Data that was not fsynced is not lost here; another test checks
that everything is fsynced in the order that the engine documents.
"""

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from docstore.engines.file import File
from docstore.engines.file.metadata import fingerprint
from docstore.errors import NoSpace
from docstore.model import Fields
from docstore.testing.clock import SetClock
from tests.engines.file.stores import (
    LARGE,
    TEXT,
    everything,
    opened,
    own_files,
    put,
    seen,
    without_waiting_for_the_disk,
)

STEPS = ("open", "write", "utime", "fsync", "rename", "replace", "link", "unlink", "mkdir", "rmdir", "truncate")
FAILING = ("open", "write", "utime", "fsync", "rename", "mkdir")
OTHER = Fields.make("text/html")

State = dict[str, tuple[bytes, Fields]]


class Killed(BaseException):
    """Simulates the end of the process."""


@contextmanager
def stopped(
    patch: pytest.MonkeyPatch, *, before: int, steps: Sequence[str] = STEPS, error: BaseException | None = None
) -> Iterator[None]:
    """End the process before its step to the disk of this number, from 0; with `error` only that step fails."""
    done = 0

    def stepping(name: str, step: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        nonlocal done
        if name == "open" and not args[1] & os.O_CREAT:
            return step(*args, **kwargs)
        done += 1
        if done == before + 1 and name == "write":
            step(args[0], bytes(args[1])[: len(args[1]) // 2])
        if done > before and error is None:
            raise Killed
        if done == before + 1 and error is not None:
            raise error
        return step(*args, **kwargs)

    with patch.context() as patched:
        for name in steps:
            patched.setattr(os, name, partial(stepping, name, getattr(os, name)))
        yield


async def by_hand(engine: File, folder: Path) -> None:
    (folder / "a").write_bytes(b"by hand")


async def expiring(engine: File, folder: Path) -> None:
    await put(engine, "a", b"old", TEXT, expires_ns=2 * 10**18)


def writes(*keys: str, size: int = 3, fields: Fields = TEXT, expires_ns: int | None = None) -> Callable[..., Any]:
    async def write(engine: File, folder: Path) -> None:
        for key in keys:
            await put(engine, key, bytes([len(fields.media_type)]) * size, fields, expires_ns=expires_ns)

    return write


def deletes(key: str) -> Callable[..., Any]:
    async def delete(engine: File, folder: Path) -> None:
        await engine.delete(key)

    return delete


@pytest.mark.parametrize(
    ("before", "change"),
    [
        pytest.param(writes(), writes("a"), id="create"),
        pytest.param(writes(), writes("a", size=LARGE), id="create large"),
        pytest.param(writes("a"), writes("a", fields=OTHER), id="replace by the same size at the same instant"),
        pytest.param(writes("a"), writes("a", size=LARGE, fields=OTHER), id="replace by large"),
        pytest.param(writes("a", size=LARGE), writes("a", fields=OTHER), id="replace large"),
        pytest.param(writes("a"), writes("a", fields=OTHER, expires_ns=2 * 10**18), id="replace by expiring"),
        pytest.param(expiring, writes("a", fields=OTHER), id="replace expiring"),
        pytest.param(by_hand, writes("a", fields=OTHER), id="replace untracked"),
        pytest.param(by_hand, deletes("a"), id="delete untracked"),
        pytest.param(writes("a"), deletes("a"), id="delete"),
        pytest.param(expiring, deletes("a"), id="delete expiring"),
        pytest.param(writes(), writes("a/b/c"), id="create folders"),
        pytest.param(writes("a"), writes("a/b/c"), id="move aside"),
        pytest.param(writes("a", "a/b"), writes("a", fields=OTHER), id="replace aside"),
        pytest.param(writes("a", "a/b"), deletes("a"), id="delete aside"),
        pytest.param(writes("a", "a/b/c"), deletes("a/b/c"), id="delete folders"),
        pytest.param(writes("x" * 255), writes("x" * 255 + "/y"), id="move a long name aside"),
        pytest.param(writes("%" * 255), deletes("%" * 255), id="delete a long name"),
    ],
)
def test_after_a_kill_a_document_is_the_old_or_the_new_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: Callable[..., Any], change: Callable[..., Any]
) -> None:
    async def run(folder: Path, *, kill_before: int) -> tuple[State, State]:
        async with opened(folder, clock) as engine:
            await before(engine, folder)
            old = await everything(engine)
            with stopped(monkeypatch, before=kill_before):
                await change(engine, folder)
            return old, await everything(engine)

    clock = SetClock()
    without_waiting_for_the_disk(monkeypatch)
    old, new = asyncio.run(run(tmp_path / "whole", kill_before=1_000_000))
    outcomes: list[bool] = []
    for number in range(1_000):
        folder = tmp_path / f"{number}"
        try:
            asyncio.run(run(folder, kill_before=number))
        except Killed:
            outcomes.append(asyncio.run(after(folder, clock, old, new)))
        else:
            break
    assert len(outcomes) > 2
    assert outcomes == sorted(outcomes), "a committed change was lost"


async def after(folder: Path, clock: SetClock, old: State, new: State) -> bool:
    """Return whether the change happened; check that it is complete, and that the store works as if never killed."""
    async with opened(folder, clock) as engine:
        found = await everything(engine)
        assert found in (old, new)
        assert own_files(folder, "tmp") == []
        for key in {**old, **new}:
            await put(engine, key, b"later", OTHER)
            assert (await everything(engine))[key] == (b"later", OTHER)
        for key in {**old, **new}:
            assert await engine.delete(key) is not None
        assert await everything(engine) == {}
        assert seen(folder) == {folder / ".docstore"}
        assert own_files(folder, "meta") == []
        clock.set_ns(3 * 10**18)
        await engine.sweep()
        assert own_files(folder, "expiring") == []
        clock.set_ns(SetClock()())
        return found == new


@pytest.mark.parametrize(
    ("before", "change"),
    [
        pytest.param(writes("a"), writes("a", fields=OTHER), id="replace"),
        pytest.param(writes("a"), writes("a/b/c", size=LARGE), id="move aside"),
        pytest.param(writes("b"), writes("a/b/c", expires_ns=2 * 10**18), id="create folders"),
    ],
)
def test_a_write_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: Callable[..., Any], change: Callable[..., Any]
) -> None:
    async def run(folder: Path, *, fail_before: int) -> tuple[bool, State, State]:
        async with opened(folder, clock) as engine:
            await before(engine, folder)
            old = await everything(engine)
            try:
                with stopped(monkeypatch, before=fail_before, steps=FAILING, error=full):
                    await change(engine, folder)
            except NoSpace:
                return True, old, await everything(engine)
            return False, old, await everything(engine)

    clock, full = SetClock(), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    without_waiting_for_the_disk(monkeypatch)
    _, _, new = asyncio.run(run(tmp_path / "whole", fail_before=1_000_000))
    failures = 0
    for number in range(40):
        folder = tmp_path / f"{number}"
        failed, old, found = asyncio.run(run(folder, fail_before=number))
        failures += failed
        assert found in ((old, new) if failed else (new,))  # a write needs no lock file
        assert own_files(folder, "tmp") == []
        assert found == new or not (folder / "a").is_dir()
        assert set(own_files(folder, "meta")) == {fingerprint(key) for key in found}
        assert len(own_files(folder, "expiring")) == (found == new and "a/b/c" in new and "b" in new)
    assert failures > 5


@pytest.mark.parametrize(
    ("change", "steps"),
    [
        (
            writes("a", expires_ns=2 * 10**18),
            ["fsync expiring", "fsync TMP", "fsync TMP", "rename META", "fsync meta", "rename a", "fsync ."],
        ),
        (
            writes("a", size=LARGE),
            ["fsync TMP", "fsync TMP", "fsync TMP", "rename META", "fsync meta", "rename a", "fsync ."],
        ),
        (
            writes("a/b"),
            [
                *("rename a%", "fsync .", "mkdir a", "fsync ."),
                *("fsync TMP", "fsync TMP", "rename META", "fsync meta", "rename b", "fsync a"),
            ],
        ),
        (deletes("a"), ["unlink a", "fsync .", "unlink META"]),
    ],
    ids=["put", "put large", "put below", "delete"],
)
def test_each_step_is_fsynced_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[..., Awaitable[None]], steps: list[str]
) -> None:
    def tracing(name: str, step: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        target = args[1] if name == "rename" else args[0]
        trace.append(f"{name} {shown(target)}")
        return step(*args, **kwargs)

    def shown(target: int | str | bytes) -> str:
        if isinstance(target, int):
            inode = os.fstat(target).st_ino
            target = next(path for path in [tmp_path, *tmp_path.rglob("*")] if path.stat().st_ino == inode).name
        text = os.fsdecode(target)
        names = {tmp_path.name: ".", fingerprint("a"): "META", fingerprint("a/b"): "META"}
        return names.get(text, "TMP" if len(text) == 32 else text)

    async def run() -> None:
        async with opened(tmp_path) as engine:
            await put(engine, "a", b"old")
            with monkeypatch.context() as patched:
                for name in ("fsync", "rename", "unlink", "mkdir"):
                    patched.setattr(os, name, partial(tracing, name, getattr(os, name)))
                await change(engine, tmp_path)

    trace: list[str] = []
    asyncio.run(run())
    assert trace == steps
