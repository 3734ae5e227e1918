"""Listings skip files that the server may not read; reading one of them is an error.

The superuser may read anything, so the tests simulate the system's refusal.
"""

import asyncio
import errno
import logging
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from docstore.engines.file import File
from docstore.engines.file.metadata import fingerprint
from docstore.errors import CorruptData, EngineError, StorageUnavailable
from tests.engines.file.stores import opened, put

KEYS = ["a", "by hand", "private/b", "private/c", "z"]


def refuse(monkeypatch: pytest.MonkeyPatch, name: bytes, number: int) -> None:
    """Make every opening of a file or folder of this name fail."""

    def refusing(path: str | bytes | Path, *args: Any, **kwargs: Any) -> int:
        if os.fsencode(path) == name:
            raise OSError(number, os.strerror(number), path)
        return opening(path, *args, **kwargs)

    opening = os.open
    monkeypatch.setattr(os, "open", refusing)


async def fill(engine: File, folder: Path) -> None:
    for key in KEYS:
        if key != "by hand":
            await put(engine, key, b"x")
    (folder / "by hand").write_bytes(b"x")


async def listed(engine: File, **asked: Any) -> list[str]:
    return [meta.key for meta in await engine.list(**asked)]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
@pytest.mark.parametrize(
    ("refused", "path", "unread"),
    [
        pytest.param(b"by hand", "by hand", ["by hand"], id="by hand"),
        pytest.param(b"a", "a", ["a"], id="written by the service"),
        pytest.param(fingerprint("a").encode(), f".docstore/meta/{fingerprint('a')}", ["a"], id="sidecar"),
        pytest.param(b"b", "private/b", ["private/b"], id="in a folder"),
        pytest.param(b"private", "private", ["private/b", "private/c"], id="folder"),
    ],
)
def test_a_listing_skips_unreadable_files_with_a_warning(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    refused: bytes,
    path: str,
    unread: list[str],
    number: int,
) -> None:
    async def look() -> None:
        async with opened(tmp_path) as engine:
            await fill(engine, tmp_path)
            refuse(monkeypatch, refused, number)
            assert await listed(engine) == [key for key in KEYS if key not in unread]
            assert caplog.messages == [
                f"a listing skipped 1 files or folders, the first: {tmp_path / path}: {os.strerror(number)}"
            ]
            for key in unread:
                for method in (engine.get, engine.head, engine.delete):
                    with pytest.raises(EngineError, match=f"{tmp_path / path}"):
                        await method(key)

    caplog.set_level(logging.WARNING)
    asyncio.run(look())


def test_a_listing_skips_a_corrupt_sidecar_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def look() -> None:
        async with opened(tmp_path) as engine:
            await fill(engine, tmp_path)
            for key in ("a", "z"):
                (tmp_path / ".docstore" / "meta" / fingerprint(key)).write_text("spoiled")
            assert await listed(engine, limit=2) == ["by hand", "private/b"]
            assert await listed(engine, after="private/b", limit=2) == ["private/c"]
            for key, message in zip(("a", "z"), caplog.messages, strict=True):
                sidecar = tmp_path / ".docstore" / "meta" / fingerprint(key)
                assert message.startswith(f"a listing skipped 1 files or folders, the first: {sidecar}: ")
            with pytest.raises(CorruptData, match=fingerprint("a")):
                await engine.get("a")

    caplog.set_level(logging.WARNING)
    asyncio.run(look())


ASK: list[Callable[[File], Coroutine[Any, Any, object]]] = [
    lambda engine: engine.get("by hand"),
    lambda engine: engine.head("by hand"),
    lambda engine: engine.list(),
]


@pytest.mark.parametrize("ask", ASK, ids=["get", "head", "list"])
@pytest.mark.parametrize(("number", "error"), [(errno.EMFILE, StorageUnavailable), (errno.EIO, EngineError)])
def test_any_other_error_fails_the_listing_and_names_the_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[File], Coroutine[Any, Any, object]],
    number: int,
    error: type[EngineError],
) -> None:
    async def look() -> None:
        async with opened(tmp_path) as engine:
            await fill(engine, tmp_path)
            refuse(monkeypatch, b"by hand", number)
            with pytest.raises(error, match=f"{tmp_path / 'by hand'}: {os.strerror(number)}") as caught:
                await ask(engine)
            assert caught.type is error

    asyncio.run(look())
