"""Documents that are read again without a SELECT: never one that a commit has replaced, whoever committed it."""

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
from docstore.engines.sqlite.read_cache import DOCUMENT_SIZE, HEADER_SIZE, Recent
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


def test_what_was_read_is_read_again_without_a_statement(path: Path) -> None:
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
                assert await engine.get("key") == first
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


def test_what_was_not_committed_is_not_seen(path: Path) -> None:
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
def test_a_header_that_a_crash_left_torn_is_recovered_not_believed(path: Path, copy: int) -> None:
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
def test_two_engines_over_one_database_read_what_was_written_last(
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


def test_what_is_kept_expires_by_the_clock(path: Path) -> None:
    async def run() -> None:
        clock = SetClock()
        async with opened(path, clock) as engine:
            await engine.put(PutRequest("key", BytesContent(b"short"), TEXT, expires_ns=clock() + 10**9))
            assert await read(engine, "key") == b"short"
            clock.advance_s(1)
            assert await engine.get("key") is None
            assert await engine.head("key") is None

    asyncio.run(run())


def test_a_sealed_file_is_not_held_open(path: Path) -> None:
    async def run() -> None:
        async with opened(path) as engine:
            await put(engine, "key", LARGE)
            assert await engine.get("key") is not await engine.get("key")

    asyncio.run(run())


def document(key: str, size: int) -> Document:
    digest = bytes(32)
    return Document(Meta(key, version_of(digest, Fields()), size, digest, Fields(), 0), BytesContent(b"x" * size))


@pytest.fixture
def recent(path: Path) -> Iterator[Recent]:
    """For 1,000 bytes of content in two documents."""
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "WAL")
    connection.execute("CREATE TABLE documents (key)")
    recent = Recent(connection, 2 * DOCUMENT_SIZE + 1000)
    assert recent.find("key") is None
    yield recent
    recent.close()
    connection.close()


def keys(recent: Recent) -> list[str]:
    return [key for key in ("a", "b", "c") if recent.find(key) is not None]


def test_as_much_is_kept_as_the_limit_says(recent: Recent) -> None:
    recent.keep(document("a", 500))
    recent.keep(document("b", 500))
    assert keys(recent) == ["a", "b"]


def test_one_byte_more_drops_what_was_used_least_recently(recent: Recent) -> None:
    recent.keep(document("a", 500))
    recent.keep(document("b", 500))
    assert recent.find("a") is not None
    recent.keep(document("c", 500))
    assert keys(recent) == ["a", "c"]
    recent.keep(document("c", 501))
    assert keys(recent) == ["c"]


def test_a_document_that_is_kept_again_counts_once(recent: Recent) -> None:
    for _ in range(5):
        recent.keep(document("a", 500))
    recent.keep(document("b", 500))
    assert keys(recent) == ["a", "b"]


@pytest.mark.parametrize(("more", "kept"), [(0, ["a"]), (1, [])], ids=["at the limit", "one past it"])
def test_a_document_is_kept_up_to_the_limit(recent: Recent, more: int, kept: list[str]) -> None:
    recent.keep(document("a", DOCUMENT_SIZE + 1000 + more))
    assert keys(recent) == kept


def test_nothing_is_looked_at_or_kept_once_it_is_closed(recent: Recent) -> None:
    recent.keep(document("a", 1))
    recent.close()
    assert recent.find("a") is None
    recent.keep(document("a", 1))
    assert recent.find("a") is None


def test_without_shared_memory_nothing_is_kept() -> None:
    connection = apsw.Connection(":memory:")
    try:
        recent = Recent(connection)
        recent.keep(document("a", 1))
        assert recent.find("a") is None
    finally:
        connection.close()


def test_the_header_is_where_the_format_says(path: Path) -> None:
    """The first 96 bytes of the `-shm` file hold two equal copies, and differ after every commit."""

    async def run(engine: Sqlite) -> bytes:
        await put(engine, "key")
        code = f"import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read({HEADER_SIZE}))"
        told = run_python(code, f"{path}-shm")
        await engine.get("key")
        assert engine._recent._seen == told
        return told

    async def both() -> None:
        async with opened(path) as engine:
            one, other = await run(engine), await run(engine)
        assert one != other
        assert one[:48] == one[48:]

    asyncio.run(both())
