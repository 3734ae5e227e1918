"""Shelve stores for tests: opened, filled, inspected and damaged.

Tests run on each dbm that this Python has, where they can; dbm.dumb is always there.
"""

import asyncio
import importlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from docstore.content import BytesContent, read_all
from docstore.engines.contract import Engine, PutRequest
from docstore.engines.registry import EngineURL
from docstore.engines.shelve.engine import Shelve, open_shelve
from docstore.engines.shelve.records import DBM_MODULES
from docstore.errors import OpenError
from docstore.model import Fields
from docstore.testing.clock import SetClock


def _importable(kind: str) -> bool:
    try:
        importlib.import_module(kind)
    except ImportError:
        return False
    return True


INSTALLED = [kind.removeprefix("dbm.") for kind in DBM_MODULES if _importable(kind)]
EACH_DBM = pytest.mark.parametrize("name", INSTALLED)

OLD, NEW = b"the old document " * 50, b"the new document " * 70


@asynccontextmanager
async def opened(path: Path, name: str = "dumb") -> AsyncIterator[Shelve]:
    engine = open_shelve(EngineURL("shelve", str(path), {"dbm": name}), SetClock())
    try:
        yield engine
    finally:
        await engine.close()


async def put(engine: Engine, key: str, data: bytes) -> None:
    await engine.put(PutRequest(key, BytesContent(data), Fields()))


async def read(engine: Engine, key: str) -> bytes | None:
    document = await engine.get(key)
    return None if document is None else await read_all(document.content)


def store(path: Path, name: str = "dumb", **documents: bytes) -> None:
    """Put `documents` into the store, opening and closing it."""

    async def run() -> None:
        async with opened(path, name) as engine:
            for key, data in documents.items():
                await put(engine, key, data)

    asyncio.run(run())


def stored(path: Path, name: str = "dumb") -> dict[str, bytes | None]:
    async def run() -> dict[str, bytes | None]:
        async with opened(path, name) as engine:
            return {meta.key: await read(engine, meta.key) for meta in await engine.list()}

    return asyncio.run(run())


def open_error(path: Path, name: str | None = None) -> str:
    """Return the one line with which opening `path` fails."""
    with pytest.raises(OpenError) as refused:
        open_shelve(EngineURL("shelve", str(path), {"dbm": name} if name else {}), SetClock())
    line = str(refused.value)
    assert str(path) in line
    assert "\n" not in line
    return line


def mark_unclean(path: Path) -> None:
    """Make the store look as if it was not closed."""
    path.with_name(path.name + ".lock").write_bytes(b"open\n")


def contents_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.suffix != ".lock"}


def damage(folder: Path, what: bytes) -> None:
    """Change one byte of `what`, in whichever file of the folder holds it."""
    (found,) = (file for file in folder.iterdir() if what in file.read_bytes())
    found.write_bytes(found.read_bytes().replace(what, what[:-1] + b"\xff"))


WRITER = """
import asyncio, sys
from docstore.engines.contract import PutRequest
from docstore.content import BytesContent
from docstore.engines.registry import EngineURL
from docstore.engines.shelve.engine import open_shelve
from docstore.model import Fields

async def run():
    engine = open_shelve(EngineURL("shelve", sys.argv[1], {"dbm": sys.argv[2]}), lambda: 1)
    async def write(task):
        for turn in range(100_000):
            for key in (f"{task} new {turn}", f"{task} replaced"):
                content = BytesContent(f"{key} {turn} ".encode() * (turn * 37 % 400 + 1))
                await engine.put(PutRequest(key, content, Fields()))
                print(key, turn, sep="\\t", flush=True)
            if turn % 5 == 4:
                await engine.delete(f"{task} new {turn - 2}")
                print(f"{task} new {turn - 2}", "deleted", sep="\\t", flush=True)
    await asyncio.gather(*(write(task) for task in range(4)))

asyncio.run(run())
"""


@contextmanager
def writing_process(path: Path, name: str) -> Iterator[subprocess.Popen[str]]:
    """Start a process that writes to the store and prints each answered write, until it is killed."""
    command = [sys.executable, "-c", WRITER, str(path), name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)
