"""Documents as files: one version read at any position, and content that is stored when the file is closed.

Reading requests ranges, with If-Match on the version that the document had when it was opened. Writing collects the
content in a temporary file, because HTTP has no partial writes, and sends it with one PUT. An exception in the
with-block, or a file that is never closed, stores nothing: half a document would look like a whole one.

AsyncClient returns the first two classes. Client wraps them in files as those of `io`.
"""

import io
from typing import TYPE_CHECKING, Any, Final, Self, Unpack, cast

from docstore.client.atomic import put
from docstore.client.body import SPOOL_SIZE, spooled_content
from docstore.client.operations import Operations, describe_call
from docstore.client.options import PutOptions, check_options
from docstore.client.results import Info, PutResult, StoredContent
from docstore.client.transport import run_sync
from docstore.errors import Conflict

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

READ_AHEAD_SIZE: Final = 256 * 1024
"""Bytes that a small read requests at least. A larger read is one request."""
_TEXT_MODES: Final = {"r": "rb", "rt": "rb", "w": "wb", "wt": "wb", "x": "xb", "xt": "xb"}


class AsyncReader:
    """A document opened for reading: `async with docs.open("a") as file: await file.read(10)`."""

    info: Info

    def __init__(self, operations: Operations, key: str) -> None:
        self._operations = operations
        self._key = key
        self._position = 0

    async def __aenter__(self) -> Self:
        """Raise NotFound."""
        self.info = await self._operations.head_info(self._key)
        return self

    async def __aexit__(self, *_: object) -> None:
        """There is nothing to close."""

    async def read(self, size: int = -1) -> bytes:
        """At most `size` bytes from the position, all if it is negative. Raise Conflict if the document has changed."""
        start = self._position
        stop = self.info.size if size < 0 else min(self.info.size, start + size)
        if start >= stop:
            return b""
        part: Any = {} if (start, stop) == (0, self.info.size) else {"start": start, "stop": stop}
        content = await self._operations.get(self._key, None, if_match=self.info.version, **part)
        if not isinstance(content, StoredContent):
            raise Conflict(None, f"{describe_call('GET', self._key)}: the document was removed while it was read")
        self._position += len(content)
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position, and return it. No request is sent."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.info.size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position


class AsyncWriter:
    """A document opened for writing: `async with docs.open("a", "wb") as file: await file.write(b"1")`."""

    result: PutResult | None = None
    """The result of the write, once the file is closed."""

    def __init__(self, operations: Operations, key: str, options: PutOptions) -> None:
        operations.address.target(key)  # raises InvalidKey now and not at the end
        self._operations = operations
        self._key = key
        self._options = options
        from tempfile import SpooledTemporaryFile  # PERF: not for reading

        self.file: Final = SpooledTemporaryFile(SPOOL_SIZE)  # noqa: SIM115 - `close` closes it

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self.close()
        else:
            self.discard()

    async def write(self, data: "ReadableBuffer") -> int:
        return await self._operations.transport.work(lambda: self.file.write(data))

    async def close(self) -> None:
        """Store what was written. Raise what `put` raises; then nothing is stored, and the file is closed."""
        if not self.file.closed:
            with self.file:
                content = await self._operations.transport.work(lambda: spooled_content(self.file))
                self.result = await put(self._operations, self._key, content, **self._options)

    def discard(self) -> None:
        """Close the file and store nothing."""
        self.file.close()


def open_async(
    operations: Operations, key: str, mode: str = "rb", /, **options: Unpack[PutOptions]
) -> AsyncReader | AsyncWriter:
    """Open a document as a file by `async with`: "rb" reads one version of it, "wb" replaces it, "xb" creates it.

    A reader has `read`, `seek`, `tell` and `info`; each read is a request. A writer has `write`, `close`, `discard` and
    then `result`; it stores everything when it is closed, and nothing after an exception. The options are those of
    `put`. Raise NotFound, Conflict if the document changes while it is read or exists ("xb"), and what `put` raises.
    """
    check_options(options, PutOptions)
    if mode == "rb":
        if options:
            raise TypeError("the options of `put` are for writing")
        return AsyncReader(operations, key)
    if mode not in ("wb", "xb"):
        raise ValueError(f"mode {mode!r} is not rb, wb or xb")
    condition: PutOptions = {"if_none_match": "*"} if mode == "xb" else {}
    return AsyncWriter(operations, key, {"digest": True, **options, **condition})


def open_sync(
    operations: Operations,
    key: str,
    mode: str = "rb",
    /,
    *,
    encoding: str = "utf-8",
    newline: str | None = None,
    **options: Unpack[PutOptions],
) -> io.IOBase:
    """Open a document as a file: "rb" reads one version of it, "wb" replaces it, "xb" creates it.

    Without the `b` it is a text file. Reading requests ranges, ahead of small reads. What is written is stored when the
    file is closed, and not after an exception in a with-block or without a close; `discard` closes the file without
    storing it. The options are those of `put`. Raise NotFound, Conflict if the document changes while it is read or
    exists ("xb"), and what `put` raises.
    """
    file = open_async(operations, key, _TEXT_MODES.get(mode, mode), **options)
    if isinstance(file, AsyncReader):
        reader = io.BufferedReader(DocumentReader(run_sync(file.__aenter__())), READ_AHEAD_SIZE)
        return io.TextIOWrapper(reader, encoding, newline=newline) if mode in _TEXT_MODES else reader
    writer = DocumentWriter(file)
    return TextWriter(cast(Any, writer), encoding, newline=newline) if mode in _TEXT_MODES else writer


class DocumentReader(io.RawIOBase):
    """The unbuffered file behind `open(key, "rb")`."""

    mode = "rb"

    def __init__(self, reader: AsyncReader) -> None:
        self._reader = reader
        self.info: Final = reader.info
        self.name: Final = reader.info.key

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._reader.seek(offset, whence)

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        with memoryview(buffer).cast("B") as view:
            content = run_sync(self._reader.read(len(view)))
            view[: len(content)] = content
        return len(content)

    def readall(self) -> bytes:
        return run_sync(self._reader.read())


class DocumentWriter(io.BufferedIOBase):
    """The file of `open(key, "wb")`."""

    mode = "wb"

    def __init__(self, writer: AsyncWriter) -> None:
        self._writer = writer
        self._file: Final = writer.file

    @property
    def result(self) -> PutResult | None:
        """The result of the write, once the file is closed."""
        return self._writer.result

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        return self._file.write(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None, /) -> int:
        return self._file.truncate(size)

    def close(self) -> None:
        try:
            run_sync(self._writer.close())
        finally:
            super().close()

    def discard(self) -> None:
        """Close the file and store nothing."""
        self._writer.discard()
        super().close()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def __del__(self) -> None:
        self.discard()


class TextWriter(io.TextIOWrapper):
    """The file of `open(key, "w")`."""

    def discard(self) -> None:
        """Close the file and store nothing."""
        if self.buffer is not None:  # the encoding was valid
            cast(DocumentWriter, self.buffer).discard()

    __exit__ = cast(Any, DocumentWriter.__exit__)
    __del__ = cast(Any, DocumentWriter.__del__)
