"""A store as one tar, written and read as a stream, one document at a time, in constant memory.

Each document is a regular file named by its key (`member_name`), with all metadata in the PAX header `DOCSTORE.meta`,
as `Meta.pack` writes it. Any tar program lists and unpacks the documents; an import uses only the metadata. The last
member is an empty file with the number of documents in `DOCSTORE.documents`; an import does not use its name. It is a
file and not the folder `.`, as in older exports, because unpacking that changes the mode and the time of the target
folder. A tar without this member was cut off, even between two members, where tarfile finds nothing wrong.
"""

import hashlib
import tarfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import IO, Final

from docstore.content import CHUNK_SIZE, BytesContent, Upload
from docstore.errors import ArchiveError, CorruptData, IncompleteUpload
from docstore.export.copy import OnBytes, Step
from docstore.export.members import member_name
from docstore.model import Document, Meta
from docstore.units import format_count

META_HEADER: Final = "DOCSTORE.meta"
COUNT_HEADER: Final = "DOCSTORE.documents"
END_NAME: Final = ".docstore-export-end"

BUFFERED_SIZE: Final = 1024 * 1024
"""Content up to this size is read into memory, so the next document can be read while this one is stored."""


TAR_ERRORS: Final = (tarfile.TarError, EOFError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError)
"""What tarfile raises for damaged and hostile files; headers without numbers are a ValueError."""


class TarMembers:
    """Members of a tar. No document is named as the end mark or is below it, so unpacking loses none."""

    def __init__(self) -> None:
        self.end_name = END_NAME
        self._size = self._count = 0

    def begin(self, meta: Meta, name: str) -> bytes:
        if f"{name}/".startswith(f"{self.end_name}/"):
            self.end_name += "_"  # comes after this name and all names below it
        self._size = meta.size
        member = tarfile.TarInfo(name)
        member.size = meta.size
        member.mtime = meta.modified_ns // 1_000_000_000
        member.pax_headers = {META_HEADER: meta.pack()}
        return _header(member)

    def add(self, chunk: bytes) -> None:
        pass

    def finish(self) -> bytes:
        self._count += 1
        return bytes(-self._size % tarfile.BLOCKSIZE)

    def end(self) -> Iterator[bytes]:
        member = tarfile.TarInfo(self.end_name)
        member.pax_headers = {COUNT_HEADER: str(self._count)}
        yield _header(member)
        yield bytes(2 * tarfile.BLOCKSIZE)

    def close(self) -> None:
        pass


@dataclass(slots=True)
class TarWriter:
    """Writes documents in order of key. Raises CorruptData if a content ends early; the tar then has no end mark."""

    file: IO[bytes]
    on_bytes: OnBytes
    members: TarMembers = field(default_factory=TarMembers)

    async def add(self, document: Document) -> Step:
        meta = document.meta
        self.file.write(self.members.begin(meta, member_name(meta.key)))
        state = hashlib.sha256()
        async for chunk in document.content:
            state.update(chunk)
            self.file.write(chunk)
            self.on_bytes(len(chunk))
        self.file.write(self.members.finish())
        return Step.exported(meta, state.digest())

    def end(self) -> None:
        self.file.writelines(self.members.end())


def _header(member: tarfile.TarInfo) -> bytes:
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


async def read_tar(file: IO[bytes]) -> AsyncIterator[tuple[Meta, Upload] | Step]:
    """Yield the documents of a tar, and a Step for each broken one. Raise ArchiveError if the export is not complete.

    The upload of a large document must be read before the next document is requested.
    """
    count = 0
    with _opened(file) as tar:
        while (member := _next(tar)) is not None:
            # A TarFile remembers every member; the stubs do not have the list.
            tar.members.clear()  # type: ignore[attr-defined]
            if COUNT_HEADER in member.pax_headers:
                if member.pax_headers[COUNT_HEADER] != str(count):
                    announced = member.pax_headers[COUNT_HEADER]
                    raise ArchiveError(f"the file has {format_count(count, 'document')} of {announced}")
                return
            yield _document(tar, member)
            count += 1
    raise ArchiveError(f"the file ends early, after {format_count(count, 'document')}")


def _opened(file: IO[bytes]) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=file, mode="r|")
    except TAR_ERRORS as error:
        raise ArchiveError(f"the file is not a tar: {error}") from error


def _next(tar: tarfile.TarFile) -> tarfile.TarInfo | None:
    try:
        return tar.next()
    except TAR_ERRORS as error:
        raise ArchiveError(f"the file ends early or is damaged: {error}") from error


def _document(tar: tarfile.TarFile, member: tarfile.TarInfo) -> tuple[Meta, Upload] | Step:
    if META_HEADER not in member.pax_headers or not member.isreg():
        raise ArchiveError(f"the file is another kind of tar: {member.name!r} has no {META_HEADER}")
    try:
        meta = Meta.unpack(member.pax_headers[META_HEADER])
    except CorruptData as error:
        return Step.broken(member.name, error)
    if member.size != meta.size:
        return Step.broken(meta.key, f"the content has {member.size} bytes of {meta.size}")
    content = _MemberUpload(tar, member)
    if meta.size > BUFFERED_SIZE:
        return meta, content
    try:
        return meta, BytesContent(b"".join(content.chunks()))
    except IncompleteUpload as error:
        raise ArchiveError(f"the file ends early, within {meta.key!r}") from error


@dataclass(frozen=True, slots=True)
class _MemberUpload:
    """The content of a member, which must be read before the next member."""

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
        except TAR_ERRORS as error:
            raise IncompleteUpload(str(error)) from error
