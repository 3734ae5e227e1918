"""Stores for the tests of the file engine, and functions that inspect their folders."""

import hashlib
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from docstore.content import BytesContent, read_all
from docstore.engines.contract import PutRequest
from docstore.engines.file import File, open_file
from docstore.engines.registry import EngineURL
from docstore.model import ANY, Clock, Expectation, Fields, WriteResult

TEXT: Final = Fields.make("text/plain", {"content-language": "de"})
UTF8_TEXT: Final = Fields("text/plain; charset=utf-8")
"""The fields of an untracked file of text."""
LARGE: Final = 100_000
"""A size of content that is not read into memory."""
PYTHON: Final = [sys.executable, "-c"]
ROOT: Final = Path(__file__).parents[3]
"""The folder in which a child process can import these modules."""


@asynccontextmanager
async def opened(folder: Path, clock: Clock = time.time_ns) -> AsyncIterator[File]:
    engine = open_file(EngineURL("file", str(folder)), clock)
    try:
        yield engine
    finally:
        await engine.close()


async def put(
    engine: File,
    key: str,
    data: bytes,
    fields: Fields = TEXT,
    *,
    expires_ns: int | None = None,
    expect: Expectation = ANY,
) -> WriteResult:
    return await engine.put(PutRequest(key, BytesContent(data), fields, expires_ns=expires_ns, expect=expect))


async def read(engine: File, key: str) -> tuple[bytes, Fields] | None:
    """Read a document, and check that its meta matches its content."""
    document = await engine.get(key)
    if document is None:
        return None
    data = await read_all(document.content)
    assert (document.meta.digest, document.meta.size) == (hashlib.sha256(data).digest(), len(data))
    return data, document.meta.fields


async def everything(engine: File) -> dict[str, tuple[bytes, Fields]]:
    """Read all documents, and check that `list`, `head` and `get` agree."""
    page = await engine.list()
    assert [meta.key for meta in page] == sorted(meta.key for meta in page)
    found: dict[str, tuple[bytes, Fields]] = {}
    for meta in page:
        assert await engine.head(meta.key) == meta
        state = await read(engine, meta.key)
        assert state is not None
        found[meta.key] = state
    assert len(found) == len(page)
    return found


def files(folder: Path) -> dict[str, bytes]:
    """The path and the bytes of each file outside .docstore."""
    own = folder / ".docstore"
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and own not in path.parents
    }


def own_files(folder: Path, kind: str) -> list[str]:
    """The names of the files of this kind in .docstore."""
    return sorted(path.name for path in (folder / ".docstore" / kind).iterdir())


def seen(folder: Path) -> set[Path]:
    """The files and folders at the top of the folder."""
    return set(folder.iterdir())


def fold(folder: Path) -> None:
    """Make a store with the scheme for file systems that fold names."""
    (folder / ".docstore").mkdir(parents=True)
    (folder / ".docstore" / "format").write_text("docstore file 1 folded\n")


def without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
