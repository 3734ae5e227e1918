"""A store as one file, and back: `tar` for any store, `ndjson` for small ones. Their modules say how each is written.

What an export shows is what it reads from: of a snapshot one state of the whole store; of a store that others write
each document in one whole version, and those written meanwhile or not. An import of a file that was cut off keeps
every document that came whole; running it again with a whole one passes over them. All or nothing was rejected: no
engine holds a transaction of any size.

Whoever wrote the file may have written anything. A document whose fields no write over HTTP would have stored is
refused, because each of them is a header of answers to others.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import IO, Final, Protocol

from docstore.content import BytesContent, Upload
from docstore.engines.contract import Engine, Readable
from docstore.errors import ArchiveError, CorruptData, IncompleteUpload, InvalidKey
from docstore.export.copy import Moved, Outcome, Step, Work, in_flight, listed, put, to_nobody
from docstore.export.ndjson import LineWriter, read_lines
from docstore.export.tar import TarWriter, read_tar
from docstore.http.message import Headers
from docstore.http.stored_headers import InvalidStoredField, parse_stored_fields, stored_header_pairs
from docstore.keys import check_path
from docstore.model import Clock, Document, Fields, Meta


class Writer(Protocol):
    """One way to write a store down."""

    async def add(self, document: Document) -> Step: ...

    def end(self, count: int) -> None: ...


FORMATS: Final[dict[str, Callable[[IO[bytes], Moved], Writer]]] = {"tar": TarWriter, "ndjson": LineWriter}


async def export_store(
    source: Readable, file: IO[bytes], *, format: str = "tar", moved: Moved = to_nobody
) -> AsyncGenerator[Step, None]:
    """Writes all documents to `file`; one that can't be read is left out and is a Step that says so.

    Raises CorruptData when a content ends early, and TooLargeForLines: the file has no end then, and no import
    takes it for
    whole.
    """
    writer, count = FORMATS[format](file, moved), 0
    async for meta in listed(source):
        try:
            document = await source.get(meta.key)
        except CorruptData as error:
            yield Step(meta.key, Outcome.BROKEN, why=str(error))
            continue
        if document is not None:
            yield await writer.add(document)
            count += 1
    writer.end(count)


async def import_store(
    engine: Engine, file: IO[bytes], clock: Clock, *, replace: bool, moved: Moved = to_nobody
) -> AsyncGenerator[Step, None]:
    """Stores all documents that `file` holds, a tar or ndjson by its first byte; `moved` is told of what is read.

    Raises ArchiveError at what is no export, or ends too early.
    """
    source = _Told(file, moved)
    # Every member of our tar begins with a header in PAX format, and so with a dot.
    first = source.read(1)
    found = read_lines(source, first) if first == b"{" else read_tar(_After(first, source))

    async def works() -> AsyncIterator[Work]:
        async for each in found:
            yield await _work(engine, each, clock, replace=replace)

    async with aclosing(in_flight(works())) as steps:
        async for step in steps:
            yield step


async def _work(engine: Engine, found: tuple[Meta, Upload] | Step, clock: Clock, *, replace: bool) -> Work:
    """What is to be done; a large document is stored now, before anything behind it is read."""
    if isinstance(found, Step):
        return _done(found)
    meta, upload = found
    why = _fault_of(meta)
    if why:
        return _done(Step(meta.key, Outcome.BROKEN, why=why))
    if meta.expired(clock()):
        return _done(Step(meta.key, Outcome.EXPIRED))
    store: Callable[[], Awaitable[Step]] = partial(put, engine, meta, upload, replace=replace)
    if isinstance(upload, BytesContent):
        return Work(meta.key, meta.size, store)
    try:
        return _done(await store())
    except IncompleteUpload as error:
        raise ArchiveError(f"it ends early, within {meta.key!r}") from error


def _done(step: Step) -> Work:
    async def run() -> Step:
        return step

    return Work(step.key, 0, run)


def _fault_of(meta: Meta) -> str | None:
    try:
        check_path(meta.key)
    except InvalidKey as error:
        return str(error)
    return None if _servable(meta.fields) else "its fields are not what a write would have stored"


def _servable(fields: Fields) -> bool:
    try:
        return parse_stored_fields(Headers(stored_header_pairs(fields))) == fields
    except (InvalidStoredField, UnicodeEncodeError):
        return False


@dataclass(frozen=True, slots=True)
class _Told:
    """A file that tells of what is read of it."""

    file: IO[bytes]
    moved: Moved

    def read(self, size: int) -> bytes:
        return self._told(self.file.read(size))

    def readline(self, limit: int) -> bytes:
        return self._told(self.file.readline(limit))

    def _told(self, data: bytes) -> bytes:
        self.moved(len(data))
        return data


class _After:
    """A stream of which `first` was read already."""

    def __init__(self, first: bytes, rest: _Told) -> None:
        self._first = first
        self._rest = rest

    def read(self, size: int) -> bytes:
        first, self._first = self._first[:size], self._first[size:]
        return first + self._rest.read(size - len(first))
