"""A store as one file: `tar` for any store, `ndjson` for small ones. The modules of that name define the formats.

An export of a snapshot is one state of the whole store. Without a snapshot, each document is exported in one complete
version, and documents written meanwhile may be missing. An import of a file that was cut off keeps every complete
document; importing the complete file later skips those. All or nothing was rejected: no engine has transactions of any
size.

An import does not trust the file: it rejects a document whose fields no write over HTTP would have stored, because
each of them is a header of later responses.
"""

import codecs
import gzip
import io
import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from functools import partial
from typing import IO, TYPE_CHECKING, Final

from docstore.content import BytesContent, Upload
from docstore.engines.contract import Readable
from docstore.errors import ArchiveError, CorruptData, IncompleteUpload, InvalidKey
from docstore.export.copy import (
    ImportTarget,
    OnBytes,
    Step,
    StepOutcome,
    Task,
    ignore_bytes,
    list_all,
    run_tasks,
    store_document,
)
from docstore.export.ndjson import LineWriter, read_lines
from docstore.export.tar import TarWriter, read_tar
from docstore.http.message import Headers
from docstore.http.stored_headers import InvalidStoredField, parse_stored_fields, request_header_pairs
from docstore.keys import check_path
from docstore.model import Clock, Meta

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

ARCHIVE_FORMATS: Final[dict[str, type[TarWriter] | type[LineWriter]]] = {"tar": TarWriter, "ndjson": LineWriter}


async def export_store(
    source: Readable, file: IO[bytes], *, format: str = "tar", prefix: str = "", on_bytes: OnBytes = ignore_bytes
) -> AsyncGenerator[Step, None]:
    """Write all documents whose keys begin with `prefix` to `file`; leave out one that can't be read.

    Raises CorruptData when a content ends early, and TooLargeForLines. The file then has no end mark, and no import
    takes it for complete.
    """
    writer = ARCHIVE_FORMATS[format](file, on_bytes)
    async for meta in list_all(source, prefix):
        try:
            document = await source.get(meta.key)
        except CorruptData as error:
            yield Step.broken(meta.key, error)
            continue
        if document is not None:
            yield await writer.add(document)
    writer.end()


_COMPRESSED: Final = {b"B": "bzip2", b"\xfd": "xz", b"(": "zstd", b"P": "zip"}
"""The first byte of files that are often taken for an export."""


class _Decompressed(io.RawIOBase):
    """The content of a gzip file. Raise ArchiveError if it is damaged or ends early."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = gzip.GzipFile(fileobj=file)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        try:
            return self._file.readinto(buffer)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ArchiveError(f"the gzip file is damaged or ends early: {error}") from error


async def read_archive(file: io.BufferedReader) -> AsyncIterator[tuple[Meta, Upload] | Step]:
    """Return the documents of `file`, a tar or ndjson, perhaps compressed with gzip; the first has been read.

    Raise ArchiveError if it is not an export, or ends before its first document; the iterator raises it later.
    """
    if file.peek(3).startswith(codecs.BOM_UTF8):
        file.read(3)  # editors write a byte order mark before the first line of ndjson
    first = file.peek(1)[:1]
    if first == b"\x1f":
        file = io.BufferedReader(_Decompressed(file))
        first = file.peek(1)[:1]
    if first in _COMPRESSED:
        raise ArchiveError(f"the file is compressed with {_COMPRESSED[first]}: decompress it first")
    # A tar of ours begins with a PAX header, whose name begins with a dot.
    documents = read_lines(file) if first == b"{" else read_tar(file)
    first_document = await anext(documents, None)

    async def all_documents() -> AsyncIterator[tuple[Meta, Upload] | Step]:
        if first_document is not None:
            yield first_document
        async for document in documents:
            yield document

    return all_documents()


def import_store(
    engine: ImportTarget,
    documents: AsyncIterator[tuple[Meta, Upload] | Step],
    clock: Clock,
    *,
    replace: bool,
    on_bytes: OnBytes = ignore_bytes,
) -> AsyncGenerator[Step, None]:
    """Store all documents of an archive. Raise ArchiveError if it ends early."""

    async def tasks() -> AsyncIterator[Task]:
        async for document in documents:
            yield await _task(engine, document, clock, replace, on_bytes)

    return run_tasks(tasks())


async def _task(
    engine: ImportTarget, document: tuple[Meta, Upload] | Step, clock: Clock, replace: bool, on_bytes: OnBytes
) -> Task:
    """Return the task that stores a document. A large one is stored now, before anything after it is read."""
    if isinstance(document, Step):
        return _finished(document)
    meta, upload = document
    fault = _fault(meta)
    if fault is not None:
        return _finished(Step.broken(meta.key, fault))
    if meta.expired(clock()):
        return _finished(Step(meta.key, StepOutcome.EXPIRED))
    store = partial(store_document, engine, meta, upload, replace=replace, on_bytes=on_bytes)
    if isinstance(upload, BytesContent):
        return Task(meta.key, meta.size, store)
    try:
        return _finished(await store())
    except IncompleteUpload as error:
        raise ArchiveError(f"the file ends early, within {meta.key!r}") from error


def _finished(step: Step) -> Task:
    async def run() -> Step:
        return step

    return Task(step.key, 0, run)


def _fault(meta: Meta) -> str | None:
    """Why no write over HTTP could have stored this, or None."""
    try:
        check_path(meta.key)
    except InvalidKey as error:
        return str(error)
    with suppress(InvalidStoredField, UnicodeEncodeError):
        if parse_stored_fields(Headers(request_header_pairs(meta.fields))) == meta.fields:
            return None
    return "its fields are not what a write would have stored"
