"""Blobs: when one is written, who can still read it, and when it is removed."""

import asyncio
import secrets
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from docstore.content import BytesContent, FileContent, read_all
from docstore.engines.contract import PutRequest
from docstore.engines.sqlite import INLINE_LIMIT, blobs
from docstore.errors import Conflict, CorruptData, IncompleteUpload
from docstore.model import ABSENT
from docstore.testing.clock import SetClock
from tests.engines.sqlite.stores import LARGE, PYTHON, TEXT, opened, put, read, sealed_files

ORPHAN = "0123456789abcdef" * 2


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "docs.db"


def folder_of(path: Path) -> Path:
    return Path(f"{path}.sealed")


@pytest.mark.parametrize(("size", "files"), [(0, 0), (INLINE_LIMIT, 0), (INLINE_LIMIT + 1, 1)])
def test_content_over_the_limit_is_a_blob(path: Path, size: int, files: int) -> None:
    async def run() -> None:
        async with opened(path) as engine:
            await put(engine, "key", LARGE[:size])
            document = await engine.get("key")
            assert document is not None
            assert isinstance(document.content, FileContent if files else BytesContent)
            assert await read_all(document.content) == LARGE[:size]
            assert len(sealed_files(path)) == files
        async with opened(path) as engine:
            assert await read(engine, "key") == LARGE[:size]

    asyncio.run(run())


@pytest.mark.parametrize("end", ["replaced by a file", "replaced by a row", "deleted", "expired and swept", "expired"])
def test_a_blob_is_removed_with_its_version_and_stays_readable(path: Path, end: str) -> None:
    clock = SetClock()

    async def run() -> None:
        async with opened(path, clock) as engine, opened(path, clock) as other:
            await engine.put(PutRequest("key", BytesContent(LARGE), TEXT, expires_ns=clock() + 1))
            (old,) = sealed_files(path)
            document = await other.get("key")
            assert document is not None
            if end.startswith("expired"):
                clock.advance_s(1)
            if end == "deleted":
                assert await engine.delete("key") == document.meta
            elif end == "expired and swept":
                assert await engine.sweep() == 1
            else:
                await put(engine, "key", LARGE + b"new" if end == "replaced by a file" else b"new")
            assert old not in sealed_files(path)
            assert len(sealed_files(path)) == (end == "replaced by a file")
            assert await read_all(document.content) == LARGE

    asyncio.run(run())


def test_a_refused_upload_leaves_no_blob(path: Path) -> None:
    async def run() -> None:
        async with opened(path) as engine:
            await put(engine, "key", b"old")
            with pytest.raises(Conflict):
                await put(engine, "key", LARGE, ABSENT)
            assert sealed_files(path) == []
            assert await read(engine, "key") == b"old"

    asyncio.run(run())


class Broken:
    """An upload that ends early, after a file has been begun."""

    size = 3 * len(LARGE)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield LARGE
        yield LARGE * 20
        raise IncompleteUpload("the sender went away")


def test_a_truncated_upload_changes_nothing_and_leaves_no_blob(path: Path) -> None:
    async def run() -> None:
        async with opened(path) as engine:
            written = await put(engine, "key", LARGE)
            before = sealed_files(path)
            for key in ("key", "other"):
                with pytest.raises(IncompleteUpload):
                    await engine.put(PutRequest(key, Broken(), TEXT))
            assert sealed_files(path) == before
            assert await engine.list() == [written.meta]

    asyncio.run(run())


def test_orphaned_files_are_removed_when_the_store_is_opened(path: Path) -> None:
    async def run() -> None:
        async with opened(path) as engine:
            await put(engine, "key", LARGE)
        named = sealed_files(path)
        (folder_of(path) / ORPHAN).write_bytes(b"of a process that died")
        (folder_of(path) / "notes.txt").write_bytes(b"not of our making")
        async with opened(path) as engine:
            assert sealed_files(path) == sorted([*named, "notes.txt"])
            assert await read(engine, "key") == LARGE

    asyncio.run(run())


HOLDER = """
import asyncio, sys
from docstore.engines.contract import PutRequest
from docstore.engines.registry import open_engine, EngineURL
engine = open_engine(EngineURL("sqlite", sys.argv[1]))
print("open", flush=True)
sys.stdin.readline()
asyncio.run(engine.close())
"""


@pytest.mark.parametrize("holder", ["this process", "another process"])
def test_orphaned_files_stay_while_another_process_has_the_store_open(path: Path, holder: str) -> None:
    async def run() -> None:
        async with opened(path):
            (folder_of(path) / ORPHAN).write_bytes(b"an upload on its way")
            async with opened(path):
                assert sealed_files(path) == [ORPHAN]

    def run_beside() -> None:
        command = [*PYTHON, HOLDER, str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            assert process.stdout.readline() == "open\n"
            (folder_of(path) / ORPHAN).write_bytes(b"an upload on its way")
            asyncio.run(open_and_close())
            assert sealed_files(path) == [ORPHAN]
            process.communicate("go\n")

    async def open_and_close() -> None:
        async with opened(path):
            pass

    if holder == "this process":
        asyncio.run(run())
    else:
        run_beside()
    asyncio.run(open_and_close())
    assert sealed_files(path) == []


def test_a_missing_file_is_corruption_that_names_it(path: Path) -> None:
    async def run() -> None:
        async with opened(path) as engine:
            await put(engine, "key", LARGE)
            (name,) = sealed_files(path)
            (folder_of(path) / name).unlink()
            with pytest.raises(CorruptData, match=name):
                await engine.get("key")
            assert (await engine.list())[0].size == len(LARGE)
            await put(engine, "key", b"mended")
            assert await read(engine, "key") == b"mended"

    asyncio.run(run())


@pytest.mark.parametrize("size", [0, len(LARGE) - 1, len(LARGE) + 1])
def test_a_blob_of_another_size_is_corruption_that_names_it(path: Path, size: int) -> None:
    async def run() -> None:
        async with opened(path) as engine:
            await put(engine, "key", LARGE)
            (name,) = sealed_files(path)
            (folder_of(path) / name).write_bytes((LARGE + b"x")[:size])
            with pytest.raises(CorruptData, match=name):
                await engine.get("key")

    asyncio.run(run())


def test_a_reader_whose_blob_was_removed_reads_the_next_version(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late = iter([True, True, False])
    open_file = blobs.BlobFolder.open

    def replaced_just_before(folder: blobs.BlobFolder, name: str, size: int) -> FileContent | None:
        if next(late):
            other = secrets.token_hex(16)
            (folder.path / name).rename(folder.path / other)
            connection = apsw.Connection(str(path))
            connection.execute("UPDATE documents SET file = ? WHERE file = ?", (other, name))
            connection.close()
        return open_file(folder, name, size)

    async def run() -> None:
        async with opened(path) as engine:
            await put(engine, "key", LARGE)
            monkeypatch.setattr(blobs.BlobFolder, "open", replaced_just_before)
            assert await read(engine, "key") == LARGE
            assert next(late, None) is None

    asyncio.run(run())


def test_a_symbolic_link_to_a_database_uses_the_same_blob_folder(path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)

    async def run() -> None:
        async with opened(path) as engine:
            await put(engine, "key", LARGE)
        async with opened(link) as engine:
            assert await read(engine, "key") == LARGE

    asyncio.run(run())
    assert not folder_of(link).exists()


WRITER = """
import asyncio, sys
from docstore.engines.contract import PutRequest
from docstore.content import BytesContent
from docstore.engines.registry import open_engine, EngineURL
from docstore.model import Fields

async def run():
    engine = open_engine(EngineURL("sqlite", sys.argv[1]))
    async def write(name):
        n = 0
        while True:
            size = 70_000 if n % 3 == 0 else 100
            content = BytesContent(f"{n:09}".encode() * (size // 9))
            await engine.put(PutRequest(f"{name}/{n % 50}", content, Fields.make()))
            print(name, n, flush=True)
            n += 1
    await asyncio.gather(*(write(name) for name in "abcdefgh"))

asyncio.run(run())
"""


def test_every_acknowledged_write_survives_kill_9(path: Path) -> None:
    answered: dict[str, int] = {}
    for _ in range(2):
        process = subprocess.Popen([*PYTHON, WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        with process:
            assert process.stdout
            answered = {}
            for count, line in enumerate(process.stdout):
                # The last line may be incomplete.
                if line.endswith("\n"):
                    name, n = line.split()
                    answered[name] = int(n)
                if count == 400:
                    process.kill()
    assert sum(answered.values()) > 300

    async def run() -> None:
        async with opened(path) as engine:
            for name, last in answered.items():
                for n in range(max(0, last - 40), last + 1):
                    assert await read(engine, f"{name}/{n % 50}") == version(n)
            sealed_rows = [meta for meta in await engine.list() if meta.size > INLINE_LIMIT]
            assert len(sealed_files(path)) == len(sealed_rows) > 0

    def version(n: int) -> bytes:
        return f"{n:09}".encode() * ((70_000 if n % 3 == 0 else 100) // 9)

    asyncio.run(run())
