"""Spooled uploads: small ones in memory, large ones in a file that is complete or removed."""

import asyncio
import errno
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from docstore.engines.shared.fs import translate_os_errors
from docstore.engines.shared.spool import PIECE_SIZE, SpooledUpload, spool
from docstore.errors import EngineError, IncompleteUpload, NoSpace, StorageUnavailable
from tests.leaks import no_leaks

LIMIT = 1000


@dataclass
class Pieces:
    """An upload of these pieces, which then ends, raises or hangs."""

    pieces: list[bytes]
    error: Exception | None = None
    hang: bool = False
    size: int | None = None
    at_end: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece
        self.at_end.set()
        if self.hang:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error


async def take(upload: Pieces, folder: Path) -> SpooledUpload:
    return await spool(upload, inline_limit=LIMIT, new_path=lambda: folder / "new")


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [b""],
        [b"a" * LIMIT],
        [b"a" * LIMIT, b""],
        [b"a"] * LIMIT,
        [b"a" * LIMIT, b"b"],
        [b"a" * (LIMIT + 1)],
        [b"a"] * (LIMIT + 1),
        [b"a" * PIECE_SIZE],
        [bytes([n]) * (PIECE_SIZE - 1) for n in range(5)],
        [b"a" * 3 * PIECE_SIZE, b"", b"b"],
    ],
    ids=lambda pieces: f"{len(pieces)} of {len(pieces[0]) if pieces else 0}",
)
def test_an_upload_is_complete_and_in_memory_up_to_the_limit(tmp_path: Path, pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    received = asyncio.run(take(Pieces(pieces), tmp_path))
    assert (received.size, received.digest) == (len(whole), hashlib.sha256(whole).digest())
    if len(whole) <= LIMIT:
        assert (received.data, received.path) == (whole, None)
        assert names_in(tmp_path) == []
    else:
        assert (received.data, received.path) == (None, tmp_path / "new")
        assert (tmp_path / "new").read_bytes() == whole


@pytest.mark.parametrize("sizes", [[], [LIMIT], [LIMIT + 1], [PIECE_SIZE], [PIECE_SIZE] * 3, [PIECE_SIZE * 2, 5]])
@pytest.mark.parametrize("end", ["raises", "is cancelled", "is cancelled twice"])
def test_an_interrupted_upload_leaves_no_file_and_no_descriptor(tmp_path: Path, sizes: list[int], end: str) -> None:
    async def run() -> None:
        hang = end != "raises"
        upload = Pieces([bytes(size) for size in sizes], error=IncompleteUpload("gone"), hang=hang)
        task = asyncio.create_task(take(upload, tmp_path))
        await upload.at_end.wait()
        if hang:
            task.cancel()
            if end.endswith("twice"):
                await asyncio.sleep(0)
                task.cancel()
        with pytest.raises(asyncio.CancelledError if hang else IncompleteUpload):
            await task
        assert names_in(tmp_path) == []

    asyncio.run(take(Pieces([bytes(PIECE_SIZE)]), tmp_path))
    (tmp_path / "new").unlink()
    with no_leaks():
        asyncio.run(run())


def slow(monkeypatch: pytest.MonkeyPatch, name: str) -> tuple[threading.Event, threading.Event]:
    """Makes a call of `os` wait for the second event, after it has set the first."""
    begun, go = threading.Event(), threading.Event()
    call: Callable[..., int | None] = getattr(os, name)

    def waiting(*arguments: object) -> int | None:
        begun.set()
        assert go.wait(20)
        return call(*arguments)

    monkeypatch.setattr(os, name, waiting)
    return begun, go


@pytest.mark.parametrize("call", ["open", "write", "fsync"])
def test_a_cancelled_upload_waits_for_its_thread_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    asyncio.run(take(Pieces([bytes(PIECE_SIZE)]), tmp_path))
    (tmp_path / "new").unlink()

    async def run() -> None:
        begun, go = slow(monkeypatch, call)
        task = asyncio.create_task(take(Pieces([bytes(PIECE_SIZE)] * 2), tmp_path))
        await asyncio.to_thread(begun.wait, 20)
        task.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
            task.cancel()
        assert not task.done()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert names_in(tmp_path) == []

    with no_leaks():
        asyncio.run(run())
        monkeypatch.undo()


def test_the_next_piece_is_gathered_while_one_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        begun, go = slow(monkeypatch, "write")
        upload = Pieces([bytes(PIECE_SIZE), bytes(PIECE_SIZE - 1)])
        task = asyncio.create_task(take(upload, tmp_path))
        await asyncio.to_thread(begun.wait, 20)
        await upload.at_end.wait()
        go.set()
        assert (await task).size == 2 * PIECE_SIZE - 1

    asyncio.run(run())


@pytest.mark.parametrize("call", ["open", "write", "fsync"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_failing_disk_is_an_engine_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, count: int
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(NoSpace, match="new: No space left"):
        asyncio.run(take(Pieces([bytes(PIECE_SIZE)] * count), tmp_path))
    monkeypatch.undo()
    assert names_in(tmp_path) == []


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"somebody's")
    with pytest.raises(EngineError, match="File exists"):
        asyncio.run(take(Pieces([bytes(PIECE_SIZE)]), tmp_path))
    assert (tmp_path / "new").read_bytes() == b"somebody's"


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, NoSpace),
        (errno.EDQUOT, NoSpace),
        (errno.EFBIG, NoSpace),
        (errno.EMFILE, StorageUnavailable),
        (errno.EIO, EngineError),
        (errno.EACCES, EngineError),
    ],
)
def test_os_errors_become_engine_errors(number: int, kind: type[EngineError]) -> None:
    with pytest.raises(EngineError) as raised, translate_os_errors(Path("docs/file")):
        raise OSError(number, os.strerror(number))
    assert type(raised.value) is kind
    assert str(raised.value) == f"docs/file: {os.strerror(number)}"
