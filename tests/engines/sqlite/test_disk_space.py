"""The writer when other programs take its disk space or its path."""

import asyncio
from pathlib import Path

import pytest

from docstore.engines.sqlite.disk_space import DiskSpace
from docstore.errors import NoSpace, StorageUnavailable
from tests.engines.sqlite.stores import opened, put, read


def test_a_removal_is_retried_when_others_take_the_freed_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def taken(self: DiskSpace, *, low_space: bool) -> None:
        asked.append(low_space)
        if len(asked) < 4:
            raise NoSpace("another process was faster")

    async def run() -> None:
        async with opened(tmp_path / "docs.db") as engine:
            await put(engine, "key")
            with monkeypatch.context() as patched:
                patched.setattr(DiskSpace, "admit", taken)
                assert await engine.delete("key") is not None
            assert asked == [False, True, True, True]
            assert await read(engine, "key") is None

    asyncio.run(run())


def test_a_growing_write_is_not_retried_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def none_left(self: DiskSpace, *, low_space: bool) -> None:
        asked.append(low_space)
        self.grew = True
        raise NoSpace("full")

    async def run() -> None:
        async with opened(tmp_path / "docs.db") as engine:
            with monkeypatch.context() as patched:
                patched.setattr(DiskSpace, "admit", none_left)
                with pytest.raises(NoSpace):
                    await put(engine, "key")
            assert asked == [False, True]
            assert await read(engine, "key") is None

    asyncio.run(run())


def test_an_engine_whose_path_becomes_a_symlink_loop_raises_and_closes(tmp_path: Path) -> None:
    folder = tmp_path / "folder"

    async def run() -> None:
        async with opened(folder / "docs.db") as engine:
            await put(engine, "key")
            folder.rename(tmp_path / "away")
            folder.symlink_to(folder)
            with pytest.raises(Exception, match=r"docs\.db") as caught:
                await put(engine, "key")
            assert not isinstance(caught.value, StorageUnavailable)
            with pytest.raises(type(caught.value)):
                await engine.get("key")

    asyncio.run(run())
    folder.unlink()
    (tmp_path / "away").rename(folder)

    async def again() -> None:
        async with opened(folder / "docs.db") as engine:
            assert await read(engine, "key") == b"hello"

    asyncio.run(again())
