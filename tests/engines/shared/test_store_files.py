"""No engine opens a file of another engine's store, and no mount lies in another."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from docstore.content import BytesContent, read_all
from docstore.engines.contract import PutRequest
from docstore.engines.registry import EngineURL, open_engine
from docstore.engines.shared.store_files import is_inside
from docstore.errors import PathConflict
from docstore.model import Fields

OTHER_PROCESS = """
import sys, apsw
connection = apsw.Connection(sys.argv[1])
connection.execute("SELECT count(*) FROM documents").get
connection.close()
"""


def use_from_another_process(database: Path) -> None:
    subprocess.run([sys.executable, "-c", OTHER_PROCESS, str(database)], check=True)


def test_a_folder_around_a_database_leaves_the_locks_of_the_database_alone(tmp_path: Path) -> None:
    database, log = tmp_path / "docs.db", tmp_path / "docs.db-wal"

    async def run() -> None:
        docs = open_engine(EngineURL("sqlite", str(database)))
        folder = open_engine(EngineURL("file", str(tmp_path)))
        await docs.put(PutRequest("key", BytesContent(b"first"), Fields()))
        listed = await folder.list()
        assert {meta.key for meta in listed}.isdisjoint({"docs.db", "docs.db-wal", "docs.db-shm"})
        for key in ("docs.db", "docs.db-wal", "docs.db-shm"):
            with pytest.raises(PathConflict):
                await folder.get(key)
            with pytest.raises(PathConflict):
                await folder.put(PutRequest(key, BytesContent(b"x"), Fields()))
            with pytest.raises(PathConflict):
                await folder.delete(key)
        # A process that believes itself the last one to use the database removes its log when it ends.
        await asyncio.to_thread(use_from_another_process, database)
        assert await asyncio.to_thread(log.exists)
        await docs.put(PutRequest("key", BytesContent(b"second"), Fields()))
        document = await docs.get("key")
        assert document is not None
        assert await read_all(document.content) == b"second"
        await docs.close()
        document = await folder.get("docs.db")
        assert document is not None, "a closed database is a file like any other"
        await folder.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "folder", "inside"),
    [
        ("a", "a", True),
        ("a/b", "a", True),
        ("a/missing/c", "a", True),
        ("a", "a/b", False),
        ("ab", "a", False),
        ("link/b", "a", True),
        ("a/b", "link", True),
        ("missing/b", "missing", True),
        ("a/../c", "a", False),
    ],
)
def test_links_are_resolved_before_paths_are_compared(path: str, folder: str, inside: bool, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a")
    assert is_inside(tmp_path / path, tmp_path / folder) is inside
