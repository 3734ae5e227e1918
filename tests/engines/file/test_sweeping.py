"""The sweep of the file engine: what it reads and removes, and what it tries again after a failure."""

import asyncio
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from docstore.engines.file.metadata import MetadataFolder, fingerprint
from docstore.errors import CorruptData, EngineError, StorageUnavailable
from docstore.testing.clock import SetClock
from tests.engines.file.stores import files, opened, own_files, put
from tests.leaks import no_leaks


def test_a_corrupt_sidecar_does_not_block_the_sweep_of_others(tmp_path: Path) -> None:
    async def sweep() -> None:
        async with opened(tmp_path, clock) as engine:
            await put(engine, "spoiled", b"x", expires_ns=clock() + 1)
            await put(engine, "due", b"x", expires_ns=clock() + 2)
            (tmp_path / ".docstore" / "meta" / fingerprint("spoiled")).write_text("spoiled")
            clock.advance_s(1)
            with pytest.raises(CorruptData, match=f".docstore/meta/{fingerprint('spoiled')}: "):
                await engine.sweep()
            await engine.sweep()
            assert own_files(tmp_path, "expiring") == []
            assert list(files(tmp_path)) == ["spoiled"]

    clock = SetClock()
    asyncio.run(sweep())


def test_a_sweep_removes_only_due_documents_and_useless_markers(tmp_path: Path) -> None:
    async def sweep() -> None:
        async with opened(tmp_path, clock) as engine:
            for number in range(5):
                await put(engine, f"due/{number}", b"x", expires_ns=clock() + 1_000)
            await put(engine, "renewed", b"x", expires_ns=clock() + 1_000)
            await put(engine, "renewed", b"y", expires_ns=clock() + 10**12)
            await put(engine, "kept", b"x", expires_ns=clock() + 1_000)
            await put(engine, "kept", b"y")
            await put(engine, "deleted", b"x", expires_ns=clock() + 1_000)
            await engine.delete("deleted")
            (tmp_path / ".docstore" / "expiring" / f"{1:020d}-{fingerprint('kept')}").touch()  # as a crash leaves it
            (tmp_path / ".docstore" / "expiring" / f"{1:020d}-{fingerprint('never')}").touch()
            assert len(own_files(tmp_path, "expiring")) == 8
            clock.advance_s(1)
            assert [await engine.sweep(limit=3) for _ in range(3)] == [3, 2, 0]
            assert files(tmp_path) == {"renewed": b"y", "kept": b"y"}
            assert len(own_files(tmp_path, "expiring")) == 1
            assert not (tmp_path / "due").exists()

    clock = SetClock()
    asyncio.run(sweep())


def refusing(step: Callable[..., Any], name: bytes, number: int) -> Callable[..., Any]:
    """Return a function of `os` that fails for the file of this name."""

    def refuse(path: object, *args: Any, **kwargs: Any) -> Any:
        if path == name:
            raise OSError(number, os.strerror(number), name)
        return step(path, *args, **kwargs)

    return refuse


def test_a_document_is_swept_after_a_temporary_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def sweep() -> None:
        async with opened(tmp_path, clock) as engine:
            await put(engine, "due", b"x", expires_ns=clock() + 1)
            clock.advance_s(1)
            with monkeypatch.context() as patched:
                patched.setattr(os, "open", refusing(os.open, b"due", errno.EMFILE))
                with pytest.raises(StorageUnavailable, match="/due: "):
                    await engine.sweep()
            assert await engine.sweep() == 1
            assert (files(tmp_path), own_files(tmp_path, "expiring")) == ({}, [])

    clock = SetClock()
    asyncio.run(sweep())


def test_a_marker_survives_when_the_clock_is_set_back(tmp_path: Path) -> None:
    def clock() -> int:
        return ahead_ns.pop() if ahead_ns else now_ns[-1]

    async def sweep() -> None:
        async with opened(tmp_path, clock) as engine:
            await put(engine, "key", b"x", expires_ns=now_ns[0] + 10)
            ahead_ns.append(now_ns[0] + 10)
            assert await engine.sweep() == 0
            assert ahead_ns == []
            assert files(tmp_path) == {"key": b"x"}
            now_ns.append(now_ns[0] + 10)
            assert await engine.sweep() == 1
            assert (files(tmp_path), own_files(tmp_path, "expiring")) == ({}, [])

    now_ns, ahead_ns = [10**18], list[int]()
    asyncio.run(sweep())


def test_a_document_that_cannot_be_removed_does_not_block_the_sweep_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def sweep() -> None:
        async with opened(tmp_path, clock) as engine:
            for number, key in enumerate(("stuck", "a", "b", "c")):
                await put(engine, key, b"x", expires_ns=clock() + 1 + number)
            clock.advance_s(1)
            with monkeypatch.context() as patched:
                patched.setattr(os, "unlink", refusing(os.unlink, b"stuck", errno.EACCES))
                for _ in range(2):
                    with suppress(EngineError):
                        await engine.sweep()
            assert list(files(tmp_path)) == ["stuck"]
            assert await engine.sweep() == 1
            assert files(tmp_path) == {}

    clock = SetClock()
    asyncio.run(sweep())


def test_many_sweeps_share_one_scan_of_the_markers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def counted(metadata: MetadataFolder, kind: str) -> Iterator[str]:
        looks.append(kind)
        return names(metadata, kind)

    async def sweep() -> None:
        async with opened(tmp_path, clock) as engine:
            for number in range(20):
                await put(engine, f"{number}", b"x", expires_ns=clock() + 1)
            clock.advance_s(1)
            monkeypatch.setattr(MetadataFolder, "names", counted)
            assert [await engine.sweep(limit=5) for _ in range(5)] == [5, 5, 5, 5, 0]
            assert looks == ["expiring"] * 2

    clock, names, looks = SetClock(), MetadataFolder.names, list[str]()
    asyncio.run(sweep())


def test_closing_during_a_scan_of_the_markers_closes_its_descriptor(tmp_path: Path) -> None:
    async def sweep() -> None:
        async with opened(tmp_path, clock) as engine:
            for number in range(3):
                await put(engine, f"{number}", b"x", expires_ns=clock() + 1)
            clock.advance_s(1)
            assert await engine.sweep(limit=1) == 1
            kept.append(engine)

    clock, kept = SetClock(), list[object]()
    with no_leaks():
        asyncio.run(sweep())
