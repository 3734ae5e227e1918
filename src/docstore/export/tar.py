"""A store as one tar: written and read as a stream, a document at a time, in constant memory.

Each document is a plain file named by its key, with all of its meta in the PAX header `DOCSTORE.meta`, as `Meta.pack`
writes it: any tar lists and unpacks the documents, and only the meta is believed on the way back in. The last member is
the folder `.` with the number of documents in `DOCSTORE.documents`. No key is `.`, and no tar minds it; a tar
without it was cut off, also where the cut lies between two members and tarfile sees nothing amiss.
"""

import hashlib
import tarfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import IO, Final, Protocol

from docstore.content import CHUNK_SIZE, BytesContent, Upload
from docstore.errors import ArchiveError, CorruptData, IncompleteUpload
from docstore.export.copy import Moved, Outcome, Step
from docstore.model import Document, Meta

META: Final = "DOCSTORE.meta"
DOCUMENTS: Final = "DOCSTORE.documents"

READ_AT_ONCE: Final = 1024 * 1024
"""Content up to this size is read whole, so that the next document can be read while this one is stored."""


class Source(Protocol):
    """What a tar is read from."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class TarWriter:
    """Writes documents to `file`. Raises Corrupt at a content that ends early: the tar has no end then."""

    file: IO[bytes]
    moved: Moved

    async def add(self, document: Document) -> Step:
        meta = document.meta
        member = tarfile.TarInfo(meta.key)
        member.size = meta.size
        member.mtime = meta.modified_ns // 1_000_000_000
        member.pax_headers = {META: meta.pack()}
        self.file.write(_header(member))
        state = hashlib.sha256()
        async for chunk in document.content:
            state.update(chunk)
            self.file.write(chunk)
            self.moved(len(chunk))
        self.file.write(bytes(-meta.size % tarfile.BLOCKSIZE))
        if state.digest() != meta.digest:
            why = "its content is not what was written: the digest differs; no import will take it"
            return Step(meta.key, Outcome.BROKEN, why=why)
        return Step(meta.key, Outcome.STORED, meta.size)

    def end(self, count: int) -> None:
        member = tarfile.TarInfo(".")
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        member.pax_headers = {DOCUMENTS: str(count)}
        self.file.write(_header(member))
        self.file.write(bytes(2 * tarfile.BLOCKSIZE))


def _header(member: tarfile.TarInfo) -> bytes:
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


async def read_tar(file: Source) -> AsyncIterator[tuple[Meta, Upload] | Step]:
    """The documents of a tar; a Step for one that is broken. Raises ArchiveError at what is no whole export.

    The upload of a large document has to be read before the next document is asked for.
    """
    count = 0
    with _opened(file) as tar:
        while (member := _next(tar)) is not None:
            # A tarfile remembers every member that it has seen; the stubs do not tell of the list.
            tar.members.clear()  # type: ignore[attr-defined]
            if DOCUMENTS in member.pax_headers:
                if member.pax_headers[DOCUMENTS] != str(count):
                    raise ArchiveError(f"it holds {count} documents of {member.pax_headers[DOCUMENTS]}")
                return
            yield _document(tar, member)
            count += 1
    raise ArchiveError(f"it ends early, after {count} documents")


def _opened(file: Source) -> tarfile.TarFile:
    try:
        # Reading a stream, it asks for nothing but `read`.
        return tarfile.open(fileobj=file, mode="r|")  # type: ignore[call-overload, no-any-return]
    except (tarfile.TarError, EOFError) as error:
        raise ArchiveError(f"it is no tar: {error}") from error


def _next(tar: tarfile.TarFile) -> tarfile.TarInfo | None:
    try:
        return tar.next()
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise ArchiveError(f"it ends early or is damaged: {error}") from error


def _document(tar: tarfile.TarFile, member: tarfile.TarInfo) -> tuple[Meta, Upload] | Step:
    if META not in member.pax_headers or not member.isreg():
        raise ArchiveError(f"it is no export of a store: {member.name!r} has no {META}")
    try:
        meta = Meta.unpack(member.pax_headers[META])
    except CorruptData as error:
        return Step(member.name, Outcome.BROKEN, why=str(error))
    if member.size != meta.size:
        return Step(meta.key, Outcome.BROKEN, why=f"its content has {member.size} bytes of {meta.size}")
    content = _Member(tar, member)
    if meta.size > READ_AT_ONCE:
        return meta, content
    try:
        return meta, BytesContent(b"".join(content.chunks()))
    except IncompleteUpload as error:
        raise ArchiveError(f"it ends early, within {meta.key!r}") from error


@dataclass(frozen=True, slots=True)
class _Member:
    """The content of a member, to be read before the next one is."""

    tar: tarfile.TarFile
    member: tarfile.TarInfo

    @property
    def size(self) -> int:
        return self.member.size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks():
            yield chunk

    def chunks(self) -> Iterator[bytes]:
        file = self.tar.extractfile(self.member)
        try:
            while file is not None and (chunk := file.read(CHUNK_SIZE)):
                yield chunk
        except (tarfile.TarError, EOFError) as error:
            raise IncompleteUpload(str(error)) from error
