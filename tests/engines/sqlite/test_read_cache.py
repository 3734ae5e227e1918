"""The read cache: no SELECT for a second read, and never a version that a commit has replaced."""

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from docstore.content import BytesContent
from docstore.engines.contract import PutRequest
from docstore.engines.sqlite import Sqlite
from docstore.engines.sqlite.file_methods import HEADER_SIZE
from docstore.engines.sqlite.read_cache import DOCUMENT_SIZE, ReadCache
from docstore.model import Document, Fields, Meta, version_of
from docstore.testing.clock import SetClock
from tests.engines.sqlite.stores import LARGE, PYTHON, TEXT, opened, put, read, seen_connections

UPDATE: Final = "UPDATE documents SET size = 3, data = CAST('new' AS BLOB)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "docs.db"


def statements_of(connection: apsw.Connection) -> list[str]:
    """Every statement that it runs from now on."""
    seen: list[str] = []

    def note(cursor: apsw.Cursor, statement: str, bindings: object) -> bool:
        seen.append(statement)
        return True

    connection.exec_trace = note
    return seen


def test_a_second_read_runs_no_statement(path: Path) -> None:
    async def run() -> None:
        with seen_connections() as connections:
            async with opened(path) as engine:
                await put(engine, "key", b"old")
                written = statements_of(connections[1])
                first = await engine.get("key")
                assert len(written) == 1
                assert await engine.get("key") == first
                assert first is not None
                assert await engine.head("key") == first.meta
                assert len(written) == 1
                await put(engine, "other")
                await engine.delete("other")
                assert await engine.get("key") == first
                assert len(written) == 1
                await put(engine, "key", b"new")
                assert await read(engine, "key") == b"new"
                assert len(written) == 2

    asyncio.run(run())


def by_another_connection(path: Path, *statements: str) -> None:
    connection = apsw.Connection(str(path))
    try:
        for statement in statements:
            connection.execute(statement).fetchall()
    finally:
        connection.close()


def run_python(code: str, *arguments: str) -> bytes:
    """What it said. A process of its own: to close the log's files in this one would drop SQLite's locks on them."""
    return subprocess.run([*PYTHON, code, *arguments], stdout=subprocess.PIPE, timeout=60).stdout


def by_another_process(path: Path, statement: str, end: str = "") -> None:
    code = f"import apsw, os, sys; c = apsw.Connection(sys.argv[1]); c.execute(sys.argv[2]).fetchall(); {end}"
    run_python(code, str(path), statement)


COMMITS: Final[dict[str, Callable[[Path], None]]] = {
    "another connection": lambda path: by_another_connection(path, UPDATE),
    "another process": lambda path: by_another_process(path, UPDATE),
    "a process that is killed after it": lambda path: by_another_process(path, UPDATE, "os.kill(os.getpid(), 9)"),
    "one before a checkpoint": lambda path: by_another_connection(path, UPDATE, "PRAGMA wal_checkpoint"),
    "one that begins the log anew": lambda path: by_another_connection(path, "PRAGMA wal_checkpoint(RESTART)", UPDATE),
    "one before the log is cut": lambda path: by_another_connection(path, UPDATE, "PRAGMA wal_checkpoint(TRUNCATE)"),
    "one after the log is cut": lambda path: by_another_connection(path, "PRAGMA wal_checkpoint(TRUNCATE)", UPDATE),
    "one after a rollback": lambda path: by_another_connection(
        path, "BEGIN IMMEDIATE", "DELETE FROM documents", "ROLLBACK", UPDATE
    ),
    "one that moves all pages": lambda path: by_another_connection(path, UPDATE, "VACUUM"),
}


@pytest.mark.parametrize("commit", COMMITS.values(), ids=COMMITS)
def test_the_next_read_sees_a_commit_of(path: Path, commit: Callable[[Path], None]) -> None:
    async def run() -> None:
        async with opened(path) as engine:
            await put(engine, "key", b"old")
            assert await read(engine, "key") == await read(engine, "key") == b"old"
            commit(path)
            assert await read(engine, "key") == await read(engine, "key") == b"new"

    asyncio.run(run())


@pytest.mark.parametrize("first", ["own", "other"])
@pytest.mark.parametrize("commit", COMMITS.values(), ids=COMMITS)
def test_a_commit_of_another_process_beside_own_ones_is_seen(
    path: Path, commit: Callable[[Path], None], first: str
) -> None:
    async def run() -> None:
        async with opened(path) as engine:
            await put(engine, "key", b"old")
            assert await read(engine, "key") == b"old"
            if first == "own":
                await put(engine, "another", b"1")
            commit(path)
            await put(engine, "another", b"2")
            assert await read(engine, "key") == await read(engine, "key") == b"new"
            assert await read(engine, "another") == b"2"

    asyncio.run(run())


def test_a_commit_of_another_process_right_after_an_own_one_is_not_taken_for_it(path: Path) -> None:
    """It commits after COMMIT has returned, and before the writer looks at the header."""

    async def run() -> None:
        async with opened(path) as engine:
            await put(engine, "key", b"old")
            assert await read(engine, "key") == b"old"
            cache, note = engine._read_cache, engine._read_cache.note_commit

            def note_late(before: bytes, frames: int, keys: list[str]) -> None:
                by_another_process(path, UPDATE)
                note(before, frames, keys)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(cache, "note_commit", note_late)
                await put(engine, "other")
            assert not cache._own_commits
            assert await read(engine, "key") == b"new"

    asyncio.run(run())


def test_sweeps_and_foreign_changes_of_rows_clear_the_cache(path: Path) -> None:
    async def run() -> None:
        async with opened(path) as engine:
            await put(engine, "key", b"old")
            assert await read(engine, "key") == b"old"
            await engine._writer.run(lambda transaction: transaction.connection.execute(UPDATE).fetchall())
            assert not engine._read_cache._own_commits
            assert await read(engine, "key") == b"new"

    asyncio.run(run())


def test_uncommitted_writes_are_not_read(path: Path) -> None:
    async def run() -> None:
        async with opened(path) as engine:
            await put(engine, "key", b"old")
            other = apsw.Connection(str(path))
            try:
                other.execute("BEGIN IMMEDIATE")
                other.execute(UPDATE)
                assert await read(engine, "key") == await read(engine, "key") == b"old"
                other.execute("COMMIT")
                assert await read(engine, "key") == b"new"
            finally:
                other.close()

    asyncio.run(run())


SPOIL: Final = """
import os, sys
file = os.open(sys.argv[1] + "-shm", os.O_RDWR)
os.pwrite(file, b"\\xff" * 8, 8 + int(sys.argv[2]))
print("done")
"""


@pytest.mark.parametrize("copy", [0, 48], ids=["the first copy", "the second copy"])
def test_a_header_torn_by_a_crash_is_recovered(path: Path, copy: int) -> None:
    async def run() -> None:
        async with opened(path) as engine:
            await put(engine, "key", b"old")
            assert await read(engine, "key") == b"old"
            assert run_python(SPOIL, str(path), str(copy)) == b"done\n"
            assert await read(engine, "key") == await read(engine, "key") == b"old"
            await put(engine, "key", b"new")
            assert await read(engine, "key") == await read(engine, "key") == b"new"

    asyncio.run(run())


@given(st.lists(st.tuples(st.sampled_from(["put", "delete", "get"]), st.booleans(), st.sampled_from("abc"))))
def test_two_engines_on_one_database_read_the_latest_write(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, bool, str]]
) -> None:
    async def run() -> None:
        path = tmp_path_factory.mktemp("store") / "docs.db"
        model: dict[str, bytes] = {}
        async with opened(path) as one, opened(path) as other:
            for number, (step, first, key) in enumerate(steps):
                engine = one if first else other
                if step == "put":
                    model[key] = b"%d" % number
                    await put(engine, key, model[key])
                elif step == "delete":
                    model.pop(key, None)
                    await engine.delete(key)
                for reader in (one, other):
                    assert await read(reader, key) == model.get(key)

    asyncio.run(run())


def test_cached_documents_expire_by_the_clock(path: Path) -> None:
    async def run() -> None:
        clock = SetClock()
        async with opened(path, clock) as engine:
            await engine.put(PutRequest("key", BytesContent(b"short"), TEXT, expires_ns=clock() + 10**9))
            assert await read(engine, "key") == b"short"
            clock.advance_s(1)
            assert await engine.get("key") is None
            assert await engine.head("key") is None

    asyncio.run(run())


def test_blobs_are_not_cached(path: Path) -> None:
    async def run() -> None:
        async with opened(path) as engine:
            await put(engine, "key", LARGE)
            assert await engine.get("key") is not await engine.get("key")

    asyncio.run(run())


def document(key: str, size: int) -> Document:
    digest = bytes(32)
    return Document(Meta(key, version_of(digest, Fields()), size, digest, Fields(), 0), BytesContent(b"x" * size))


@pytest.fixture
def cache(path: Path) -> Iterator[ReadCache]:
    """For 1,000 bytes of content in two documents."""
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "WAL")
    connection.execute("CREATE TABLE documents (key)")
    cache = ReadCache(connection, 2 * DOCUMENT_SIZE + 1000)
    assert cache.get("key") is None
    yield cache
    cache.close()
    connection.close()


def keys(cache: ReadCache) -> list[str]:
    return [key for key in ("a", "b", "c") if cache.get(key) is not None]


def test_documents_are_cached_up_to_the_limit(cache: ReadCache) -> None:
    cache.add(document("a", 500))
    cache.add(document("b", 500))
    assert keys(cache) == ["a", "b"]


def test_one_byte_over_the_limit_evicts_the_least_recently_used(cache: ReadCache) -> None:
    cache.add(document("a", 500))
    cache.add(document("b", 500))
    assert cache.get("a") is not None
    cache.add(document("c", 500))
    assert keys(cache) == ["a", "c"]
    cache.add(document("c", 501))
    assert keys(cache) == ["c"]


def test_a_document_added_again_counts_once(cache: ReadCache) -> None:
    for _ in range(5):
        cache.add(document("a", 500))
    cache.add(document("b", 500))
    assert keys(cache) == ["a", "b"]


@pytest.mark.parametrize(("more", "kept"), [(0, ["a"]), (1, [])], ids=["at the limit", "one past it"])
def test_a_document_larger_than_the_limit_is_not_cached(cache: ReadCache, more: int, kept: list[str]) -> None:
    cache.add(document("a", DOCUMENT_SIZE + 1000 + more))
    assert keys(cache) == kept


def test_a_closed_cache_is_empty(cache: ReadCache) -> None:
    cache.add(document("a", 1))
    cache.close()
    assert cache.get("a") is None
    cache.add(document("a", 1))
    assert cache.get("a") is None


def test_nothing_is_cached_without_shared_memory() -> None:
    connection = apsw.Connection(":memory:")
    try:
        cache = ReadCache(connection)
        cache.add(document("a", 1))
        assert cache.get("a") is None
    finally:
        connection.close()


def test_the_header_is_at_the_offset_of_the_format(path: Path) -> None:
    """The first 96 bytes of the `-shm` file hold two equal copies, and differ after every commit."""

    async def run(engine: Sqlite) -> bytes:
        await put(engine, "key")
        code = f"import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read({HEADER_SIZE}))"
        told = run_python(code, f"{path}-shm")
        await engine.get("key")
        assert engine._read_cache._seen == told
        return told

    async def both() -> None:
        async with opened(path) as engine:
            one, other = await run(engine), await run(engine)
        assert one != other
        assert one[:48] == one[48:]

    asyncio.run(both())
