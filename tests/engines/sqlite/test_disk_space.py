"""What a writer does when the room or the path that it counts on is somebody else's meanwhile."""

import asyncio
from pathlib import Path

import pytest

from docstore.engines.sqlite.disk_space import Headroom
from docstore.errors import NoSpace, StorageUnavailable
from tests.engines.sqlite.stores import opened, put, read


def test_a_removal_tries_again_when_others_take_the_room_that_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def taken(self: Headroom, *, pressed: bool) -> None:
        asked.append(pressed)
        if len(asked) < 4:
            raise NoSpace("another process was faster")

    async def run() -> None:
        async with opened(tmp_path / "docs.db") as engine:
            await put(engine, "key")
            with monkeypatch.context() as patched:
                patched.setattr(Headroom, "admit", taken)
                assert await engine.delete("key") is not None
            assert asked == [False, True, True, True]
            assert await read(engine, "key") is None

    asyncio.run(run())


def test_what_makes_a_database_grow_is_refused_at_its_first_try_under_pressure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def none_left(self: Headroom, *, pressed: bool) -> None:
        asked.append(pressed)
        self.grew = True
        raise NoSpace("full")

    async def run() -> None:
        async with opened(tmp_path / "docs.db") as engine:
            with monkeypatch.context() as patched:
                patched.setattr(Headroom, "admit", none_left)
                with pytest.raises(NoSpace):
                    await put(engine, "key")
            assert asked == [False, True]
            assert await read(engine, "key") is None

    asyncio.run(run())


def test_an_engine_whose_path_has_become_a_loop_says_so_and_closes(tmp_path: Path) -> None:
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
