"""A store as one tar: written and read as a stream, a document at a time, in constant memory.

Each document is a plain file named by its key, with all of its meta in the PAX header `DOCSTORE.meta`, as `Meta.pack`
writes it: any tar lists and unpacks the documents, and only the meta is believed on the way back in. The last member is
the folder `.` with the number of documents in `DOCSTORE.documents`. No key is `.`, and no tar minds it; a tar
without it was cut off, also where the cut lies between two members and tarfile sees nothing amiss.

What an export shows of each document is one whole version; documents written while it runs are in it or not. An import
of a tar that was cut off keeps every document that came whole: running it again with a whole tar completes it.
All or nothing was rejected: no engine holds a transaction of any size.
"""

import hashlib
import tarfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import IO, Final

from docstore.content import CHUNK_SIZE
from docstore.engines import Engine
from docstore.errors import Corrupt, DocstoreError, Incomplete, InvalidKey
from docstore.keys import check_path
from docstore.model import Clock, Document, Meta
from docstore.transfer import PAGE_SIZE, Outcome, Step, put

META: Final = "DOCSTORE.meta"
DOCUMENTS: Final = "DOCSTORE.documents"


class BrokenArchive(DocstoreError):
    """What was read is no export, or not all of one."""


async def export_store(engine: Engine, file: IO[bytes]) -> AsyncIterator[Step]:
    """Writes all documents to `file`; one that can't be read is left out and is a Step that says so.

    Raises Corrupt when a content ends early: the tar has no end then, and no import takes it for whole.
    """
    after, count = "", 0
    while page := await engine.list(after=after, limit=PAGE_SIZE):
        for listed in page:
            after = listed.key
            try:
                document = await engine.get(listed.key)
            except Corrupt as error:
                yield Step(listed.key, Outcome.BROKEN, why=str(error))
                continue
            if document is None:
                continue
            count += 1
            yield await _write(document, file)
    end = tarfile.TarInfo(".")
    end.type, end.mode = tarfile.DIRTYPE, 0o755
    end.pax_headers = {DOCUMENTS: str(count)}
    file.write(_header(end))
    file.write(bytes(2 * tarfile.BLOCKSIZE))


async def _write(document: Document, file: IO[bytes]) -> Step:
    meta = document.meta
    member = tarfile.TarInfo(meta.key)
    member.size = meta.size
    member.mtime = meta.modified_ns // 1_000_000_000
    member.pax_headers = {META: meta.pack()}
    file.write(_header(member))
    state = hashlib.sha256()
    async for chunk in document.content:
        state.update(chunk)
        file.write(chunk)
    file.write(bytes(-meta.size % tarfile.BLOCKSIZE))
    if state.digest() != meta.digest:
        why = "its content is not what was written: the digest differs; no import will take it"
        return Step(meta.key, Outcome.BROKEN, why=why)
    return Step(meta.key, Outcome.STORED, meta.size)


def _header(member: tarfile.TarInfo) -> bytes:
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


async def import_store(engine: Engine, file: IO[bytes], clock: Clock, *, replace: bool) -> AsyncIterator[Step]:
    """Stores all documents that `file` holds. Raises BrokenArchive at what is no export, or ends too early."""
    count = 0
    with _opened(file) as tar:
        while (member := _next(tar)) is not None:
            # A tarfile remembers every member that it has seen; the stubs do not tell of the list.
            tar.members.clear()  # type: ignore[attr-defined]
            if DOCUMENTS in member.pax_headers:
                if member.pax_headers[DOCUMENTS] != str(count):
                    raise BrokenArchive(f"it holds {count} documents of {member.pax_headers[DOCUMENTS]}")
                return
            count += 1
            yield await _store(engine, tar, member, clock, replace=replace)
    raise BrokenArchive(f"it ends early, after {count} documents")


def _opened(file: IO[bytes]) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=file, mode="r|")
    except (tarfile.TarError, EOFError) as error:
        raise BrokenArchive(f"it is no tar: {error}") from error


def _next(tar: tarfile.TarFile) -> tarfile.TarInfo | None:
    try:
        return tar.next()
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise BrokenArchive(f"it ends early or is damaged: {error}") from error


async def _store(engine: Engine, tar: tarfile.TarFile, member: tarfile.TarInfo, clock: Clock, *, replace: bool) -> Step:
    if META not in member.pax_headers or not member.isreg():
        raise BrokenArchive(f"it is no export of a store: {member.name!r} has no {META}")
    try:
        meta = Meta.unpack(member.pax_headers[META])
        check_path(meta.key)
    except (Corrupt, InvalidKey) as error:
        return Step(member.name, Outcome.BROKEN, why=str(error))
    if member.size != meta.size:
        return Step(meta.key, Outcome.BROKEN, why=f"its content has {member.size} bytes of {meta.size}")
    if meta.expired(clock()):
        return Step(meta.key, Outcome.EXPIRED)
    try:
        return await put(engine, meta, _Member(tar, member), replace=replace)
    except Incomplete as error:
        raise BrokenArchive(f"it ends early, within {meta.key!r}") from error


@dataclass(frozen=True, slots=True)
class _Member:
    """The content of a member, to be read before the next one is."""

    tar: tarfile.TarFile
    member: tarfile.TarInfo

    @property
    def size(self) -> int:
        return self.member.size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks():
            yield chunk

    def _chunks(self) -> Iterator[bytes]:
        file = self.tar.extractfile(self.member)
        try:
            while file is not None and (chunk := file.read(CHUNK_SIZE)):
                yield chunk
        except (tarfile.TarError, EOFError) as error:
            raise Incomplete(str(error)) from error
