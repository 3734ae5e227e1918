"""Stores of every engine on disk for the tests of the commands: filled, read, and the command run on them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from docstore.cli.main import main
from docstore.content import BytesContent, read_all
from docstore.engines.contract import Engine, PutRequest
from docstore.engines.registry import EngineURL, open_engine
from docstore.model import Fields, Meta

FIELDS = Fields.make("text/plain", {"content-language": "de", "meta-name": '"snowman"'})
LARGE = bytes(range(256)) * 1000
"""Content that every engine with separate files keeps in one."""
LATE_NS = 9_000_000_000_000_000_000
"""An expiry in the year 2255."""
DOCUMENTS = {
    "empty": b"",
    "small": b"the small one",
    "large": LARGE,
    "a": b"beside a folder",
    "a/b": b"in it",
    "é": b"x",
}
ON_DISK = ("file", "shelve", "sqlite")


@dataclass(frozen=True)
class CommandResult:
    """The result of a command."""

    status: int
    out: str
    err: str
    data: bytes


def run(*arguments: object, data: bytes = b"") -> CommandResult:
    """Run `docstore` with these arguments. An unexpected exception is raised."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], input=data)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return CommandResult(
        result.exit_code, result.stdout_bytes.decode(errors="replace"), result.stderr, result.stdout_bytes
    )


def prepare(*arguments: object, data: bytes = b"") -> CommandResult:
    """As `run`, for a command that must succeed."""
    result = run(*arguments, data=data)
    assert result.status == 0, f"{arguments}: {result}"
    return result


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Engine]:
    engine = open_engine(EngineURL.parse(url))
    try:
        yield engine
    finally:
        await engine.close()


def store(url: str, documents: Mapping[str, bytes] = DOCUMENTS) -> None:
    """Store `documents`; the one called `small` has an expiry."""

    async def put_all() -> None:
        async with opened(url) as engine:
            for key, data in documents.items():
                await engine.put(
                    PutRequest(key, BytesContent(data), FIELDS, expires_ns=LATE_NS if key == "small" else None)
                )

    asyncio.run(put_all())


def stored(url: str) -> dict[str, tuple[Meta, bytes]]:
    async def look() -> dict[str, tuple[Meta, bytes]]:
        found = {}
        async with opened(url) as engine:
            for meta in await engine.list():
                document = await engine.get(meta.key)
                assert document is not None
                found[meta.key] = meta, await read_all(document.content)
        return found

    return asyncio.run(look())


def on_the_disk(folder: Path) -> dict[str, bytes]:
    """All files in `folder` except the index of SQLite's log, which is not part of the database."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith("-shm")
    }


def files_in(folder: Path) -> dict[Path, bytes]:
    """All files of a store except empty ones, locks and the index of SQLite's log."""
    return {
        path: path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-shm", "lock")) and path.stat().st_size
    }


def state(meta: Meta, data: bytes) -> tuple[object, ...]:
    """Everything that a copy keeps."""
    return meta.version, meta.size, meta.digest, meta.fields, meta.expires_ns, meta.modified_ns, data


def kept(url: str) -> dict[str, tuple[object, ...]]:
    return {key: state(*document) for key, document in stored(url).items()}
