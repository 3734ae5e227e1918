"""Downloads that resume: a broken connection is replaced by another one that continues the same version, and the
digest of the whole content is verified at the end.

A download to a file collects the content in a partial file beside the target and renames it when it is complete, so
the target is never incomplete. The partial file is `.NAME.docstore-HASH.part`, and the ETag of its version is in
`.NAME.docstore-HASH.etag`; HASH is one of the collection's URL, the key and NAME. So an interrupted download is resumed
only with the same version of the same document, and a file of the user's is never taken for one. The version in the
name instead of a second file was rejected: to remove the partial files of older versions, every download would have to
list the folder.
"""

import errno
import hashlib
import os
import re
import stat
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Unpack

from docstore.client.content_hash import ContentHash
from docstore.client.errors import error_for
from docstore.client.operations import WANT_DIGEST, Operations, describe_call
from docstore.client.options import PartOptions, check_options, condition_headers, range_headers
from docstore.client.results import Info, document_size, info_from_headers, version_in
from docstore.client.retry import RetryState, pause_or_raise, read_problem, send_with_retries
from docstore.client.transport import ClientRequest, RequestHeaders, ResponseStream, SyncTransport, TransportError
from docstore.errors import Conflict, DigestMismatch, DocstoreError, EngineError, NotFound, StorageUnavailable

if sys.platform != "win32":
    import fcntl

PROGRESS_SIZE: Final = 256 * 1024
"""Bytes that have to arrive before the count of attempts starts again."""
RESUMED_SIZE: Final = 64 * 1024
"""Smaller documents are not resumed, which saves writing the file with the ETag."""
_BLOCK_SIZE: Final = 1024 * 1024
_ETAG_LIMIT: Final = 1024
_NAME_LIMIT: Final = 40
"""Characters of the target's name in that of the partial file, whose length is limited to 255 bytes."""

_SPAN: Final = re.compile(r"bytes ([0-9]{1,19})-[0-9]{1,19}/[0-9]{1,19}")


class _Changed(Conflict):
    """The document is no longer of the version that the download started with."""


class _ContentStream:
    """Reads a document, or a part of it, over as many connections as necessary."""

    def __init__(self, operations: Operations, key: str, options: PartOptions, info: Info | None = None) -> None:
        self._operations = operations
        self._key = key
        self._options = options
        self._call = describe_call("GET", key)
        self._hash = None if range_headers(options) else ContentHash()
        self._position = options.get("start") or 0
        """Offset of the next byte in the whole content; negative until the first response says the size."""
        self._info = info
        """Of the version to read; None until the first response decides it."""

    def add(self, block: bytes) -> None:
        """Add `block` to what has been received."""
        self._position += len(block)
        if self._hash is not None:
            self._hash.update(block)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Raise NotFound, Conflict when the document changes meanwhile, DigestMismatch, StorageUnavailable."""
        if self._hash is not None and isinstance(self._operations.transport, SyncTransport):
            self._hash.in_thread()
        state, received = RetryState(self._operations.policy), 0
        try:
            while self._info is None or self._position < self._stop():
                response = await self._open(state)
                reason = "the response ended early"
                try:
                    while piece := await response.read():
                        self.add(piece)
                        if self._position > self._stop():
                            raise EngineError(f"{self._call}: the response is larger than the server said")
                        received += len(piece)
                        yield piece
                except TransportError as error:
                    reason = str(error)
                finally:
                    await response.close()
                if self._position >= self._stop():
                    break
                if received >= PROGRESS_SIZE:
                    state, received = RetryState(self._operations.policy), 0
                failure = StorageUnavailable(f"{self._call}: {reason}")
                await pause_or_raise(self._operations.transport, state, failure)
        finally:
            if self._hash is not None:
                self._hash.close()
        digest = None if self._info is None else self._info.digest
        if self._hash is not None and digest is not None and self._hash.digest() != digest:
            raise DigestMismatch(f"{self._call}: the content does not match the digest that the store sent")

    def _stop(self) -> int:
        assert self._info is not None  # noqa: S101 - only called after a response
        return min(self._options.get("stop") or self._info.size, self._info.size)

    async def _open(self, state: RetryState) -> ResponseStream:
        """A response that starts at the position."""
        operations = self._operations
        wanted = {**self._options, "start": self._position} if self._info and self._position else self._options
        conditions = condition_headers(self._options.get("if_match"))
        headers: RequestHeaders = (*operations.headers, WANT_DIGEST, *range_headers(wanted), *conditions)
        if self._info is not None and self._position:
            headers += (("if-range", self._info.etag),)
        request = ClientRequest("GET", operations.address.target(self._key), headers)
        response, _, _ = await send_with_retries(operations.transport, request, state, self._call, self._accept)
        return response

    async def _accept(self, response: ResponseStream) -> None:
        """Close the response and raise its error if it is not what was requested."""
        if response.status not in (200, 206):
            raise error_for(await read_problem(response, self._operations.policy), self._call)
        try:
            self._check_start(response)
        except BaseException:
            await response.close()
            raise

    def _check_start(self, response: ResponseStream) -> None:
        span = _SPAN.fullmatch(response.headers.get("content-range", ""))
        start = 0 if span is None else int(span[1])
        if self._info is None:
            size = document_size(response.headers)
            if response.status == 200 and range_headers(self._options) and size:
                raise EngineError(f"{self._call}: the server sent the whole document instead of a part")
            self._info = info_from_headers(self._key, response.headers, size)
            self._position = start
        elif version_in(response.headers) != self._info.version or start != self._position:
            raise _Changed(None, f"{self._call}: the document changed while it was read")


async def iter_content(
    operations: Operations, key: str, /, **options: Unpack[PartOptions]
) -> AsyncGenerator[bytes, None]:
    """Yield the content in pieces, all of one version even if the connection breaks; `start` and `stop` as in `get`.

    Raise NotFound, Conflict when the document is replaced before a broken connection could be resumed, and, after the
    last piece, DigestMismatch.
    """
    check_options(options, PartOptions)
    async for piece in _ContentStream(operations, key, options).pieces():
        yield piece


async def download(
    operations: Operations,
    key: str,
    path: str | os.PathLike[str],
    /,
    *,
    progress: Callable[[int], object] | None = None,
    info: Info | None = None,
    dir_fd: int | None = None,
    partial_dir_fd: int | None = None,
) -> Info:
    """Store the content in the file `path`, which is replaced when the download is complete and verified.

    The content is collected in a partial file beside `path`. It remains when the network or the disk fails, and the
    next download of the same version to the same path resumes it. It is removed when the document does not exist, the
    digest is wrong, `progress` raises an exception, or the caller interrupts or cancels the download. If the document
    is replaced meanwhile, the download starts again with the new version.

    `info`, which a listing may have returned, saves the request for it. `progress` is called with the number of bytes
    after each block, those of a resumed partial file included. With `dir_fd`, an open folder, `path` is the name of a
    file in it; with `partial_dir_fd` too, that open folder has the partial file. Raise NotFound, Conflict when the
    document changes too often, DigestMismatch, StorageUnavailable, and OSError, with EBUSY while another download
    writes the partial file.
    """
    target, work = Path(path), operations.transport.work
    await work(lambda: _check_target(target, dir_fd))
    partial = _Partial.of(operations.address.shown, key, target, dir_fd if partial_dir_fd is None else partial_dir_fd)
    file = await work(partial.open)
    try:
        info = await _complete(operations, key, info, partial, file, progress or (lambda _: None))
        await work(lambda: partial.move_to(target, dir_fd))  # while it is locked
        return info
    except BaseException as error:
        failed = isinstance(error, OSError | DocstoreError) and not isinstance(error, DigestMismatch | NotFound)
        if not (failed and file.tell()):
            partial.remove()
        raise
    finally:
        await work(file.close)


async def _complete(
    operations: Operations,
    key: str,
    info: Info | None,
    partial: "_Partial",
    file: IO[bytes],
    progress: Callable[[int], object],
) -> Info:
    """Download what `file` does not contain yet, again if the document is replaced meanwhile."""
    state, work = RetryState(operations.policy), operations.transport.work
    while True:
        known = info or await operations.head_info(key)
        await work(lambda: partial.prepare(file, known))  # noqa: B023 - it is called at once
        stream = _ContentStream(operations, key, PartOptions(), known)
        while block := await work(lambda: file.read(_BLOCK_SIZE)):
            stream.add(block)
            progress(len(block))
        try:
            async for piece in stream.pieces():
                await work(lambda: file.write(piece))  # noqa: B023 - it is called at once
                progress(len(piece))
            await work(file.flush)
            return known
        except _Changed as error:
            info = None
            await pause_or_raise(operations.transport, state, error)


def _check_target(target: Path, dir_fd: int | None) -> None:
    """Raise OSError if `target` exists and is not a plain file."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(target, dir_fd=dir_fd).st_mode):
            raise OSError(errno.EINVAL, "not a plain file, and would be replaced by one", str(target))


@dataclass(frozen=True, slots=True)
class _Partial:
    """The partial file of one document for one target, and the file with the ETag of its content."""

    path: Path
    etag_path: Path
    dir_fd: int | None

    @classmethod
    def of(cls, url: str, key: str, target: Path, dir_fd: int | None) -> "_Partial":
        address = f"{url}\n{key}\n{target.name}".encode("utf-8", "surrogateescape")
        name = f".{target.name[:_NAME_LIMIT]}.docstore-{hashlib.sha256(address).hexdigest()[:32]}"
        return cls(target.with_name(f"{name}.part"), target.with_name(f"{name}.etag"), dir_fd)

    def open(self) -> IO[bytes]:
        """Open it for reading and writing, and lock it until it is closed. Raise OSError."""
        file = self._open(self.path, os.O_RDWR | os.O_CREAT)
        try:
            if sys.platform != "win32":
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # The download that held the lock may have moved or removed the file meanwhile.
                named = os.stat(self.path, dir_fd=self.dir_fd, follow_symlinks=False)
                if not os.path.samestat(os.fstat(file.fileno()), named):
                    raise FileNotFoundError
        except (BlockingIOError, FileNotFoundError):
            file.close()
            raise OSError(errno.EBUSY, "another download is writing this file", str(self.path)) from None
        return file

    def prepare(self, file: IO[bytes], info: Info) -> None:
        """Empty `file` unless it is the beginning of the version of `info`."""
        file.flush()
        etag, size = f"{info.etag}\n".encode("latin-1"), os.fstat(file.fileno()).st_size
        if size and (self._etag() != etag or size > info.size):
            size = 0
            file.truncate(0)
        if not size and info.size >= RESUMED_SIZE:
            with self._open(self.etag_path, os.O_RDWR | os.O_CREAT | os.O_TRUNC) as etag_file:
                etag_file.write(etag)
        file.seek(0)

    def _etag(self) -> bytes | None:
        try:
            with self._open(self.etag_path, os.O_RDONLY) as file:
                return file.read(_ETAG_LIMIT)
        except FileNotFoundError:
            return None

    def _open(self, path: Path, flags: int) -> IO[bytes]:
        """Without following links, which might lead to another user's file."""
        flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags, 0o666, dir_fd=self.dir_fd)
        return os.fdopen(descriptor, "r+b" if flags & os.O_RDWR else "rb")

    def move_to(self, target: Path, dir_fd: int | None) -> None:
        # The ETag first: once the partial file has moved, the next download may have written another one.
        self._unlink(self.etag_path)
        os.replace(self.path, target, src_dir_fd=self.dir_fd, dst_dir_fd=dir_fd)

    def remove(self) -> None:
        self._unlink(self.etag_path)
        self._unlink(self.path)

    def _unlink(self, path: Path) -> None:
        with suppress(FileNotFoundError):
            os.unlink(path, dir_fd=self.dir_fd)
