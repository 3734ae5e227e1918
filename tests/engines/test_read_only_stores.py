"""Reading stores that can't be written, by every engine with files and every command that reads."""

import asyncio
import errno
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from docstore.content import BytesContent, read_all
from docstore.engines.contract import PutRequest
from docstore.engines.file import opening
from docstore.engines.registry import EngineURL, open_engine, open_read_only, open_readable
from docstore.engines.shared.read_only import ReadOnlyEngine
from docstore.errors import EngineError, NotWritable, OpenError
from docstore.model import Fields
from tests.engines.test_bad_stores import nobody
from tests.read_only_disk import read_only
from tests.stores import DOCUMENTS, LARGE, kept, opened, run, state, store

ENGINES = ("file", "sqlite", "shelve", "shelve?dbm=dumb")
EACH_ENGINE = pytest.mark.parametrize("engine", ENGINES)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users can enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        folder = Path(name, "data")
        folder.mkdir()
        yield folder


def url_of(engine: str, folder: Path) -> str:
    scheme, question, query = engine.partition("?")
    return f"{scheme}:{folder / 'store'}{question}{query}"


def with_option(url: str, option: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{option}"


def everything_in(folder: Path) -> dict[str, tuple[object, ...]]:
    """All names below `folder`, with what a change of any kind changes."""
    return {
        str(path): (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, path.read_bytes() if path.is_file() else b"")
        for path in (folder, *folder.rglob("*"))
        if (status := path.stat())
    }


def content_of(url: str) -> dict[str, tuple[object, ...]]:
    """What `get` and `list` of a store that is opened for reading return."""

    async def read() -> dict[str, tuple[object, ...]]:
        engine = open_read_only(EngineURL.parse(url))
        found = {}
        for meta in await engine.list():
            document = await engine.get(meta.key)
            assert document is not None
            assert await engine.head(meta.key) == document.meta == meta
            found[meta.key] = state(meta, await read_all(document.content))
        await engine.close()
        return found

    return asyncio.run(read())


def stored(engine: str, folder: Path) -> tuple[str, dict[str, tuple[object, ...]], dict[str, tuple[object, ...]]]:
    """Return the URL of a store with DOCUMENTS, what it keeps, and its files."""
    url = url_of(engine, folder)
    store(url)
    return url, kept(url), everything_in(folder)


@EACH_ENGINE
def test_every_command_that_reads_works_on_a_read_only_file_system(engine: str, folder: Path) -> None:
    url, expected, before = stored(engine, folder)
    with read_only(folder) as python:

        def command(*arguments: str, status: int = 0) -> bytes:
            ended = subprocess.run([*python, "-m", "docstore", *arguments], capture_output=True, check=False)
            assert ended.returncode == status, ended.stderr
            assert b"Traceback" not in ended.stderr
            return ended.stdout + (ended.stderr if status else b"")

        assert sorted(command("ls", "-R", url).decode().split()) == sorted(DOCUMENTS)
        assert command("get", f"{url}#large") == LARGE
        assert b"small" in command("info", f"{url}#small")
        assert len(command("export", "--format", "ndjson", url).splitlines()) >= len(DOCUMENTS)
        copied = f"sqlite:{folder.parent / 'copied'}"
        command("cp", "-r", url, copied)
        assert kept(copied) == expected
        command("cp", f"{url}#large", f"{copied}#larger")
        command("check", url)
        assert b"read-only" in command("put", f"{url}#new", str(Path(__file__)), status=2)
        assert str(folder).encode() in command("cp", "-r", copied, url, status=2)
    assert everything_in(folder) == before


@EACH_ENGINE
def test_a_store_in_a_folder_of_another_user_is_opened_for_reading(engine: str, folder: Path) -> None:
    url, expected, before = stored(engine, folder)
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    with nobody():
        if not os.access(folder, os.X_OK, effective_ids=True):
            pytest.skip(f"another user can't come as far as {folder}")
        if os.geteuid() != 65534:
            for path in folders:
                path.chmod(0o555)
        try:
            with pytest.raises(NotWritable):
                open_engine(EngineURL.parse(url))
            opened_engine = open_readable(EngineURL.parse(url))
            assert isinstance(opened_engine, ReadOnlyEngine)
            asyncio.run(opened_engine.close())
            assert content_of(url) == expected
        finally:
            if os.geteuid() != 65534:
                for path in folders:
                    path.chmod(0o755)
    if os.geteuid() == 0:
        assert everything_in(folder) == before


@EACH_ENGINE
def test_opening_for_reading_changes_and_creates_nothing(engine: str, folder: Path) -> None:
    url, expected, before = stored(engine, folder)
    assert content_of(url) == expected
    assert run("check", url).status == 0
    assert everything_in(folder) == before


@EACH_ENGINE
def test_a_store_that_does_not_exist_is_not_created(engine: str, folder: Path) -> None:
    url = url_of(engine, folder)
    with pytest.raises(OpenError, match="there is no such"):
        open_read_only(EngineURL.parse(url))
    assert list(folder.iterdir()) == []


@EACH_ENGINE
def test_a_store_that_is_open_for_reading_refuses_writes(engine: str, folder: Path) -> None:
    url = url_of(engine, folder)
    store(url)

    async def write() -> None:
        engine = open_read_only(EngineURL.parse(url))
        with pytest.raises(EngineError, match="reading only"):
            await engine.put(PutRequest("new", BytesContent(b""), Fields("text/plain")))
        with pytest.raises(EngineError, match="reading only"):
            await engine.delete("small")
        await engine.probe()
        await engine.close()

    asyncio.run(write())


def test_files_that_docstore_never_saw_are_read(folder: Path) -> None:
    (folder / "below").mkdir()
    (folder / "below" / "page.html").write_text("<p>")
    before = everything_in(folder)
    assert run("ls", "-R", f"file:{folder}?readonly=yes").out == "below/page.html\n"
    assert run("get", f"file:{folder}?readonly=yes#below/page.html").data == b"<p>"
    assert everything_in(folder) == before


@pytest.mark.parametrize(("flags", "number"), [(os.ST_RDONLY, errno.EROFS), (0, errno.EACCES)])
def test_a_folder_that_cant_be_written_is_refused_with_the_reason(
    folder: Path, monkeypatch: pytest.MonkeyPatch, flags: int, number: int
) -> None:
    store(f"file:{folder}")
    real = os.statvfs

    def statvfs(path: Path) -> os.statvfs_result:
        values = list(real(path))
        values[8] = flags
        return os.statvfs_result(values)

    monkeypatch.setattr(opening.os, "access", lambda path, mode: False)
    monkeypatch.setattr(opening.os, "statvfs", statvfs)
    with pytest.raises(NotWritable, match=os.strerror(number)):
        open_engine(EngineURL.parse(f"file:{folder}"))


WRITER = """
import asyncio, sys
from docstore.content import BytesContent
from docstore.engines.contract import PutRequest
from docstore.engines.registry import EngineURL, open_engine
from docstore.model import Fields

async def main():
    engine = open_engine(EngineURL.parse(sys.argv[1]))
    for line in sys.stdin:
        key, _, size = line.strip().partition(" ")
        if key == "close":
            await engine.close()
        elif key == "open":
            engine = open_engine(EngineURL.parse(sys.argv[1]))
        else:
            await engine.put(PutRequest(key, BytesContent(b"x" * int(size)), Fields("text/plain")))
        print("done", flush=True)

asyncio.run(main())
"""


class Writer:
    """Another process that writes the store at `url`."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, "-c", WRITER, url]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def do(self, line: str) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


READER = """
import asyncio, sys
from docstore.engines.registry import EngineURL, open_read_only

async def main():
    engine = open_read_only(EngineURL.parse(sys.argv[1]))
    print("open", flush=True)
    for line in sys.stdin:
        listed = {meta.key: meta.size for meta in await engine.list()}
        for key, size in listed.items():
            document = await engine.get(key)
            assert document is not None and document.meta.size == size, key
            assert b"".join([piece async for piece in document.content]) == b"x" * size
        print(sorted(listed), flush=True)

asyncio.run(main())
"""


def test_every_acknowledged_write_of_another_process_is_read(folder: Path) -> None:
    """The writer opens, closes, and is killed in every state of the reader, whose mount is read-only."""
    url = f"sqlite:{folder / 'store'}"
    store(url, {"a": b"x"})
    with read_only(folder) as python:
        command = [*python, "-c", READER, url]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin
            assert process.stdout

            def seen() -> list[str]:
                assert process.stdin
                assert process.stdout
                process.stdin.write("\n")
                process.stdin.flush()
                found: list[str] = json.loads(process.stdout.readline().replace("'", '"'))
                return found

            assert process.stdout.readline() == "open\n"
            assert seen() == ["a"]
            with Writer(url) as writer:
                writer.do("b 10")
                assert seen() == ["a", "b"]
                writer.do("c 100000")
                assert seen() == ["a", "b", "c"]
                writer.do("close")
                assert seen() == ["a", "b", "c"]
                writer.do("open")
                writer.do("d 5")
                assert seen() == ["a", "b", "c", "d"]
            assert seen() == ["a", "b", "c", "d"]
            with Writer(url) as writer:
                writer.do("e 70000")
                assert seen() == ["a", "b", "c", "d", "e"]
            process.stdin.close()
            process.wait()
            assert process.returncode == 0
        # The next reader finds what a kill left: a log and its index.
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            output, _ = process.communicate("\n")
            assert output == "open\n['a', 'b', 'c', 'd', 'e']\n"
    assert run("check", url).status == 0


def test_a_log_without_its_index_is_refused_and_kept(folder: Path) -> None:
    url = f"sqlite:{folder / 'store'}"
    store(url, {"a": b"x"})
    with Writer(url) as writer:
        writer.do("b 10")
    (folder / "store-shm").unlink()
    before = everything_in(folder)
    with pytest.raises(OpenError, match="can't be read without store-shm"):
        open_read_only(EngineURL.parse(url))
    assert everything_in(folder) == before
    assert kept(url).keys() == {"a", "b"}


def test_an_unfinished_write_of_another_program_is_refused(folder: Path) -> None:
    url = f"sqlite:{folder / 'store'}"
    store(url, {"a": b"x"})
    (folder / "store-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(504))
    with pytest.raises(OpenError, match="store-journal"):
        open_read_only(EngineURL.parse(url))


def test_a_database_that_is_being_closed_is_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:{folder / 'store'}"
    store(url, {"a": b"x"})
    monkeypatch.setattr("docstore.engines.sqlite.read_only.LOCK_PAUSE_S", 0)
    blocker = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import apsw,sys; c=apsw.Connection(sys.argv[1]); c.execute('PRAGMA locking_mode=EXCLUSIVE');"
            "c.execute('BEGIN EXCLUSIVE'); print(flush=True); sys.stdin.read()",
            str(folder / "store"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert blocker.stdout
    blocker.stdout.readline()
    with pytest.raises(OpenError, match="can't be locked"):
        open_read_only(EngineURL.parse(url))
    blocker.communicate()
    assert content_of(url).keys() == {"a"}


def test_a_shelve_that_is_open_for_reading_cant_be_opened_for_writing(folder: Path) -> None:
    url = f"shelve:{folder / 'store'}"
    store(url, {"a": b"x"})
    engine = open_read_only(EngineURL.parse(url))
    with pytest.raises(OpenError, match="open already"):
        open_engine(EngineURL.parse(url))
    asyncio.run(engine.close())
    asyncio.run(open_engine(EngineURL.parse(url)).close())

    async def read() -> None:
        async with opened(url):
            with pytest.raises(OpenError, match="open in another process"):
                open_read_only(EngineURL.parse(url))

    asyncio.run(read())


def test_one_database_is_open_for_writing_and_reading_in_one_process(folder: Path) -> None:
    url = EngineURL.parse(f"sqlite:{folder / 'store'}")

    async def both() -> None:
        writer = open_engine(url)
        reader = open_read_only(url)
        for number in range(3):
            await writer.put(PutRequest(f"{number}", BytesContent(b"x"), Fields("text/plain")))
            assert await reader.head(f"{number}") is not None
        await reader.close()
        await writer.put(PutRequest("last", BytesContent(b"x"), Fields("text/plain")))
        await writer.close()

    asyncio.run(both())
    connection = apsw.Connection(str(folder / "store"))
    assert connection.execute("SELECT count(*) FROM documents").get == 4
    connection.close()
