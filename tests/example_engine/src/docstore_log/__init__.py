"""log: a complete small engine of another package. Documents are in memory, and every write is in one log file.

A record is a line of meta, as `Meta.pack` writes it, and the content; or `-` and the key that was deleted, as JSON. A
write appends its record and waits for the disk, so it survives kill -9 and power loss; an incomplete record at the end,
which a crash leaves, was not acknowledged and is removed. One process at a time: the file is locked.

It is an example. It waits for the disk on the event loop, where a real engine uses a thread, and never frees
space. It passes the contract suite.
"""

import fcntl
import hashlib
import json
import os
from pathlib import Path
from typing import BinaryIO

from docstore.content import BytesContent, read_all
from docstore.engines.contract import PutRequest, check_expectation
from docstore.engines.registry import EngineKind, EngineURL, Processes
from docstore.engines.shared.fs import translate_os_errors
from docstore.engines.shared.verify import Checked, Finding, fault_of
from docstore.errors import CorruptData, OpenError
from docstore.model import ANY, Clock, Document, Expectation, Meta, WriteResult


def open_log(url: EngineURL, clock: Clock) -> "Log":
    """`log:PATH`, the file made when it is absent. Raises OpenError."""
    path = Path(url.location)
    try:
        file = path.open("r+b" if path.exists() else "x+b", buffering=0)
    except OSError as error:
        raise OpenError(f"{path}: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return Log(path, file, clock)
    except (OSError, CorruptData) as error:
        file.close()
        why = "it is open already" if isinstance(error, BlockingIOError) else error
        raise OpenError(f"can't open {path}: {why}") from error


def check_log(url: EngineURL, repair: bool) -> Checked:
    """Every document of the log against its digest; there are no orphans to remove."""
    path = Path(url.location)
    try:
        with path.open("rb") as file:
            documents, _ = _replay(file)
    except OSError as error:
        raise OpenError(f"{path}: {error.strerror}") from error
    except CorruptData as error:
        raise OpenError(f"{path}: {error}") from error
    for key, document in documents.items():
        data = document.content.data if isinstance(document.content, BytesContent) else b""
        fault = fault_of(document.meta, hashlib.sha256(data).digest(), len(data))
        yield Finding(f"{path}: {key!r}", fault) if fault else document.meta


def _replay(file: BinaryIO) -> tuple[dict[str, Document], int]:
    """Return the documents of all complete records, and the end of the last one. Raises CorruptData."""
    documents: dict[str, Document] = {}
    end = 0
    while (line := file.readline()).endswith(b"\n"):
        if line.startswith(b"-"):
            documents.pop(_key_of(line), None)
        else:
            meta = Meta.unpack(line)
            data = file.read(meta.size)
            if len(data) < meta.size:
                break
            documents[meta.key] = Document(meta, BytesContent(data))
        end = file.tell()
    return documents, end


def _key_of(line: bytes) -> str:
    try:
        return str(json.loads(line[1:]))
    except ValueError as error:
        raise CorruptData(f"a record is unreadable: {line[:80]!r}") from error


class Log:
    """The engine of `log:` URLs. Nothing waits between a check and the write it guards, so every method is atomic."""

    def __init__(self, path: Path, file: BinaryIO, clock: Clock) -> None:
        """Raises Corrupt or OSError; then `file` is still the caller's to close."""
        self._path = path
        self._clock = clock
        self._file = file
        with path.open("rb") as reading:
            self._documents, self._end = _replay(reading)
        os.ftruncate(file.fileno(), self._end)
        _sync_folder(path.parent)

    async def get(self, key: str) -> Document | None:
        document = self._documents.get(key)
        return None if document is None or document.meta.expired(self._clock()) else document

    async def head(self, key: str) -> Meta | None:
        document = await self.get(key)
        return document.meta if document else None

    async def put(self, request: PutRequest) -> WriteResult:
        data = await read_all(request.upload)
        digest = hashlib.sha256(data).digest()
        # From here to the end nothing waits for another task: `head` only looks at a dict.
        current = await self.head(request.key)
        check_expectation(request.expect, current)
        meta = request.meta(digest, len(data), self._clock())
        self._append(meta.pack().encode() + b"\n" + data)
        self._documents[request.key] = Document(meta, BytesContent(data))
        return WriteResult(meta, created=current is None)

    async def delete(self, key: str, *, expect: Expectation = ANY) -> Meta | None:
        current = await self.head(key)
        check_expectation(expect, current)
        if key in self._documents:
            self._append(b"-" + json.dumps(key).encode() + b"\n")
            del self._documents[key]
        return current

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        now_ns = self._clock()
        metas = (document.meta for document in self._documents.values())
        found = [meta for meta in metas if meta.key.startswith(prefix) and meta.key > after]
        # Strings sort by code point, which is the bytewise order of UTF-8.
        return sorted((meta for meta in found if not meta.expired(now_ns)), key=lambda meta: meta.key)[:limit]

    async def close(self) -> None:
        self._file.close()

    def _append(self, record: bytes) -> None:
        """Append all of it durably, or nothing if the disk is full."""
        with translate_os_errors(self._path):
            try:
                written = 0
                while written < len(record):
                    written += os.pwrite(self._file.fileno(), record[written:], self._end + written)
                os.fsync(self._file.fileno())
            except OSError:
                os.ftruncate(self._file.fileno(), self._end)
                raise
        self._end += len(record)


def _sync_folder(folder: Path) -> None:
    """Make the name of a new file survive power loss."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


LOG = EngineKind(
    open=open_log,
    check=check_log,
    summary="one log file, to be read as an example",
    example="log:documents.log",
    survives="kill -9 and power loss",
    processes=Processes.ONE,
    streams=False,
    on_disk=True,
)
