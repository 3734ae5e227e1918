"""Documents that were read and not replaced since, in memory.

Of a SELECT of 6 µs, 5 go to the begin and the end of its read transaction: locks, and a comparison of the header of the
log's index with the one before, which shows whether any process has committed since. This cache compares the same bytes
for whole documents (sqlite.org/walformat.html §2.1): 48 of the header, and a second copy; both are written before
COMMIT returns. No header comes twice, because a checksum covers all of the log and each log has new salts; torn copies
equal no known header. So a comparison after a request has arrived can't miss a commit that was answered before it.

A commit of this process's own writer only removes what it wrote. The writer notes each of its commits as a pair of
headers: the one that it saw while it held SQLite's write lock, and the one after COMMIT, if exactly one commit lies
between them by the counter of commits, and the length of the log is the one that COMMIT told. Any other header clears
the cache.

The header is read where SQLite has mapped it (file_methods.py). Rejected: mapping the `-shm` file a second time,
because closing any descriptor of a file drops all locks of its process on it (fcntl); and `PRAGMA data_version`, which
takes the very locks.

PERF: `get` of a small document takes 0.7 µs from here, 6.7 by SELECT. A miss and adding the document cost 0.6.
"""

import struct
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Final

import apsw

from docstore.content import BytesContent
from docstore.engines.sqlite.file_methods import HEADER_SIZE, map_log_header
from docstore.model import Document

READ_CACHE_SIZE: Final = 16 * 1024 * 1024
"""Bytes of content and of DOCUMENT_SIZE for each document."""
DOCUMENT_SIZE: Final = 1024
NOTED_COMMITS: Final = 256
"""Own commits that are remembered until the next read; after more the cache is cleared."""

_COPY_SIZE: Final = 48
_COUNTS: Final = struct.Struct("=8xI4xI12x8s")
"""Of a copy of the header: the counter of commits, the frames in the log, and the salts of the log."""


class ReadCache:
    """The documents that one connection has read. Only its thread may use it, except for `header` and `note_commit`."""

    def __init__(self, connection: apsw.Connection, limit: int = READ_CACHE_SIZE) -> None:
        self._header = map_log_header(connection)
        self._limit = limit
        self._seen = b""
        self._own_commits: deque[tuple[bytes, bytes, Sequence[str]]] = deque(maxlen=NOTED_COMMITS)
        self._documents: OrderedDict[str, Document] = OrderedDict()
        self._size = 0

    def get(self, key: str) -> Document | None:
        """Return the document as of the latest commit, expired or not; None when it must be read."""
        if self._header is None:
            return None
        header: bytes = self._header.raw
        if header != self._seen and not self._follow_to(header):
            self._clear()
            self._seen = header
            return None
        document = self._documents.get(key)
        if document is not None:
            self._documents.move_to_end(key)
        return document

    def add(self, document: Document) -> None:
        """Add a document read after the last `get`. If a commit came between, the next `get` clears the cache."""
        size = _size_of(document)
        if self._header is None or size > self._limit:
            return
        self._remove(document.meta.key)
        self._documents[document.meta.key] = document
        self._size += size
        while self._size > self._limit:
            self._size -= _size_of(self._documents.popitem(last=False)[1])

    def header(self) -> bytes:
        """Return the current header; empty if there is none."""
        header = self._header
        return b"" if header is None else bytes(header.raw)

    def note_commit(self, before: bytes, frames: int, keys: Sequence[str]) -> None:
        """Note a commit of this process that changed only `keys`, from the header `before` on; `frames` are in the log.

        Another process may have committed since. Then the counter says so, and nothing is noted.
        """
        after = self.header()
        if len(after) != HEADER_SIZE or after[:_COPY_SIZE] != after[_COPY_SIZE:] or len(before) != HEADER_SIZE:
            return
        count, _, salts = _COUNTS.unpack_from(before)
        if _COUNTS.unpack_from(after) == ((count + 1) % 2**32, frames, salts):
            self._own_commits.append((before, after, keys))

    def _follow_to(self, header: bytes) -> bool:
        """Remove what the noted commits wrote. Return whether they lead from the header seen last to `header`."""
        while self._own_commits and self._seen != header:
            before, after, keys = self._own_commits.popleft()
            if before == self._seen:
                self._seen = after
                for key in keys:
                    self._remove(key)
        return self._seen == header

    def _remove(self, key: str) -> None:
        removed = self._documents.pop(key, None)
        if removed is not None:
            self._size -= _size_of(removed)

    def close(self) -> None:
        """To be called before the connection is closed, which unmaps the header."""
        self._header = None
        self._clear()

    def _clear(self) -> None:
        self._documents.clear()
        self._size = 0


def _size_of(document: Document) -> int:
    """Return the size that counts. A blob holds an open descriptor and is never cached: its size exceeds any limit."""
    content = document.content
    return DOCUMENT_SIZE + (content.size if isinstance(content, BytesContent) else READ_CACHE_SIZE)
