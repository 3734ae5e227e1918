"""Documents read since the last commit, in memory.

Of a SELECT of 6 µs, 5 go to the begin and the end of its read transaction: locks, and a comparison of the header of the
log's index with the one before, which shows whether any process has committed since. This cache compares the same bytes
for whole documents (sqlite.org/walformat.html §2.1): 48 of the header, and a second copy; both are written before
COMMIT returns. No header comes twice, because a checksum covers all of the log and each log has new salts; torn copies
equal no known header. So a comparison after a request has arrived can't miss a commit that was answered before it.

The header is read where SQLite has mapped it (file_methods.py). Rejected: mapping the `-shm` file a second time,
because closing any descriptor of a file drops all locks of its process on it (fcntl); and `PRAGMA data_version`, which
takes the very locks.

PERF: `get` of a small document takes 0.7 µs from here, 6.7 by SELECT. A miss and adding the document cost 0.6.
"""

from collections import OrderedDict
from typing import Final

import apsw

from docstore.content import BytesContent
from docstore.engines.sqlite.file_methods import map_log_header
from docstore.model import Document

READ_CACHE_SIZE: Final = 16 * 1024 * 1024
"""Bytes of content and of DOCUMENT_SIZE for each document."""
DOCUMENT_SIZE: Final = 1024


class ReadCache:
    """The documents that one connection has read. Only the thread of the connection may use it."""

    def __init__(self, connection: apsw.Connection, limit: int = READ_CACHE_SIZE) -> None:
        self._header = map_log_header(connection)
        self._limit = limit
        self._seen = b""
        self._documents: OrderedDict[str, Document] = OrderedDict()
        self._size = 0

    def get(self, key: str) -> Document | None:
        """Return the document as of the latest commit, expired or not; None when it must be read."""
        if self._header is None:
            return None
        header: bytes = self._header.raw
        if header != self._seen:
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
        replaced = self._documents.pop(document.meta.key, None)
        self._documents[document.meta.key] = document
        self._size += size - (0 if replaced is None else _size_of(replaced))
        while self._size > self._limit:
            self._size -= _size_of(self._documents.popitem(last=False)[1])

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
