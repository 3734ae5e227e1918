"""Stores with damaged bytes: every wrong or lost document is detected.

Each document is as it was written, or there is an error that names a file, or `docstore check` has a finding. How many
bytes are damaged, and which, depends on DOCSTORE_DAMAGE_ROUNDS and DOCSTORE_DAMAGE_SEED.
"""

import asyncio
import os
import shutil
from pathlib import Path
from random import Random
from typing import Any

import apsw
import pytest

from docstore.content import BytesContent, read_all
from docstore.engines.contract import Engine, PutRequest
from docstore.engines.registry import EngineURL, open_engine
from docstore.engines.sqlite.read_only import ReadOnlyDatabase
from docstore.errors import CorruptData, EngineError, SetupError
from docstore.testing.clock import SetClock
from tests.stores import DOCUMENTS, FIELDS, files_in, run, store

ROUNDS = int(os.environ.get("DOCSTORE_DAMAGE_ROUNDS") or 25)


@pytest.fixture
def url(scheme: str, tmp_path: Path) -> str:
    url = f"{scheme}:{tmp_path / 'store'}" + ("?dbm=dumb" if scheme == "shelve" else "")
    store(url)
    return url


def test_a_record_truncated_at_any_byte_is_named_or_unchanged(tmp_path: Path) -> None:
    async def look() -> None:
        engine = open_engine(EngineURL("file", str(tmp_path / "store")), SetClock())
        try:
            whole = await engine.head("small")
            for size in range(len(record)):
                os.truncate(path, size)
                try:
                    assert await engine.head("small") == whole
                    assert size == len(record) - 1, "but for the newline"
                except EngineError as error:
                    names(error, path)
                path.write_bytes(record)
        finally:
            await engine.close()

    store(f"file:{tmp_path / 'store'}")
    (path,) = (
        path for path in (tmp_path / "store" / ".docstore" / "meta").iterdir() if b'"key":"small"' in path.read_bytes()
    )
    record = path.read_bytes()
    asyncio.run(look())


def test_a_check_ends_if_rows_are_out_of_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a damaged tree: SQLite finds the same rows after the last one."""
    read = ReadOnlyDatabase.rows

    def rows(self: ReadOnlyDatabase, statement: str, arguments: tuple[object, ...] = ()) -> list[Any]:
        first = (-(2**63), *arguments[1:]) if "WHERE id > ?" in statement else arguments
        return read(self, statement, first)

    url = f"sqlite:{tmp_path / 'store'}"
    store(url)
    assert run("check", url).status == 0
    monkeypatch.setattr(ReadOnlyDatabase, "rows", rows)
    ended = run("check", url)
    assert (ended.status != 0, "out of order" in ended.out + ended.err) == (True, True)


def flipped(data: bytearray, chance: Random) -> None:
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def overwritten(data: bytearray, chance: Random) -> None:
    start = chance.randrange(len(data))
    stop = min(len(data), start + chance.choice((1, 16, 512, 4096)))
    data[start:stop] = chance.choice((bytes(stop - start), chance.randbytes(stop - start)))


def shortened(data: bytearray, chance: Random) -> None:
    del data[chance.choice((0, 1, chance.randrange(len(data)))) :]


def lengthened(data: bytearray, chance: Random) -> None:
    data += chance.randbytes(chance.choice((1, 100, 5000)))


def other(data: bytearray, chance: Random) -> None:
    data[:] = chance.randbytes(len(data))


SPOILS = (flipped, overwritten, shortened, lengthened, other)


@pytest.mark.parametrize("scheme", ["file", "shelve", "sqlite"])
def test_no_damage_makes_a_document_wrong_or_lost_without_an_error(tmp_path: Path, url: str, scheme: str) -> None:
    seed = os.environ.get("DOCSTORE_DAMAGE_SEED") or os.urandom(4).hex()
    print(f"DOCSTORE_DAMAGE_SEED={seed}")
    chance = Random(f"{seed} {scheme}")
    sound = tmp_path.with_name(f"{tmp_path.name}-sound")
    shutil.copytree(tmp_path, sound)
    for _ in range(ROUNDS):
        path = chance.choice(list(files_in(tmp_path)))
        status, before, spoil = path.stat(), path.read_bytes(), chance.choice(SPOILS)
        data = bytearray(before)
        spoil(data, chance)
        path.write_bytes(data)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        # An index of dbm.dumb that is truncated at the end of a line looks complete.
        unseen = path.suffix == ".dir" and before.startswith(data) and data.rstrip().endswith(b")")
        if not unseen:
            ended = run("check", url)
            seen = asyncio.run(as_written(EngineURL.parse(url), tmp_path))
            assert seen or ended.status != 0, f"{path} {spoil.__name__}: check finds nothing"
        shutil.rmtree(tmp_path)
        shutil.copytree(sound, tmp_path)


def names(error: Exception, path: Path) -> bool:
    assert str(path) in str(error)
    assert "\n" not in str(error)
    return True


async def as_written(url: EngineURL, folder: Path) -> bool:
    """Whether all documents are as they were written, or an error says that they are not."""
    try:
        engine = open_engine(url, SetClock())
    except SetupError as error:
        return names(error, folder)
    try:
        return all([await answers(engine, key, folder) for key in DOCUMENTS]) and await lists(engine, folder)
    finally:
        await engine.close()


async def answers(engine: Engine, key: str, folder: Path) -> bool:
    try:
        document = await engine.get(key)
        assert (await engine.head(key)) == (document and document.meta)
        if document is None:
            return False
        return (await read_all(document.content), document.meta.fields) == (DOCUMENTS[key], FIELDS)
    except EngineError as error:
        return names(error, folder)


async def lists(engine: Engine, folder: Path) -> bool:
    try:
        return {meta.key for meta in await engine.list()} == {*DOCUMENTS}
    except EngineError as error:
        return names(error, folder)


def test_the_log_of_another_database_is_found_by_a_check(tmp_path: Path) -> None:
    # SQLite can't distinguish it from the database's own log: it verifies only checksums within the log.
    for name in ("ours", "other"):
        store(f"sqlite:{tmp_path / name}", {f"{name} {number}": bytes(3000) for number in range(20)})
    connection = apsw.Connection(str(tmp_path / "other"))
    connection.execute("UPDATE documents SET modified_ns = 5")
    shutil.copyfile(tmp_path / "other-wal", tmp_path / "ours-wal")
    connection.close()
    ended = run("check", f"sqlite:{tmp_path / 'ours'}")
    assert ended.status == 1
    assert str(tmp_path / "ours") in ended.out.splitlines()[0]


@pytest.mark.parametrize(
    "setting",
    [
        *("version = x'ff'", "size = 'x'", "digest = 'x'", "fields = 5", "modified_ns = 'x'", "expires_ns = 'x'"),
        *("data = 'the small one'", "data = NULL, file = 5", "data = NULL, file = '../store'"),
    ],
)
def test_a_column_of_another_type_is_an_error_that_names_the_database(tmp_path: Path, setting: str) -> None:
    async def look() -> None:
        engine = open_engine(EngineURL("sqlite", str(tmp_path / "store")), SetClock())
        try:
            with pytest.raises(CorruptData, match="store"):
                await engine.get("small")
            try:
                await engine.put(PutRequest("small", BytesContent(b"new"), FIELDS))
                await engine.delete("small")
            except CorruptData as error:
                names(error, tmp_path)
            assert (tmp_path / "store").exists()
        finally:
            await engine.close()

    store(f"sqlite:{tmp_path / 'store'}")
    connection = apsw.Connection(str(tmp_path / "store"))
    # A strict table would reject the value; damage is not checked.
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 0)
    connection.pragma("writable_schema", 1)
    connection.execute("UPDATE sqlite_schema SET sql = replace(sql, ') STRICT', ')') WHERE name = 'documents'")
    connection.pragma("writable_schema", "RESET")
    connection.pragma("ignore_check_constraints", 1)
    connection.execute(f"UPDATE documents SET {setting} WHERE key = 'small'")
    connection.close()
    ended = run("check", f"sqlite:{tmp_path / 'store'}")
    assert ended.status == 1
    assert "'small'" in ended.out
    asyncio.run(look())
