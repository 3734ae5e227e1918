"""Documents as they were read last, for as long as nobody has committed anything since.

Of a SELECT of 6 µs, 5 go to the begin and the end of its read transaction: locks, and a look whether the cached pages
still hold. SQLite decides that by one comparison: when the header of the log's index is what it was, nothing has been
committed, by any process, and what was read then is what would be read now. The same comparison is made here, of the
same bytes, for whole documents (sqlite.org/walformat.html §2.1):

    bytes 0 to 47    the header: a count of commits, the log's length, salt and checksum, a checksum of all this
    bytes 48 to 95   the same once more; a commit writes this one first, and both before COMMIT returns

What a commit makes visible has both copies written, and no header comes twice: the checksum runs over all of the log,
the salts are new with each log, and a recovery that finds the same log finds the same documents. So who compares after
a request has come can't miss a commit that was answered before it. Torn copies are like none that is known.

The header is read where SQLite itself has mapped it: its own `xShmMap` says where (sqlite.org/c3ref/io_methods.html).
The place is good while the connection is open. Rejected: to map the `-shm` file once more. Whoever closes a descriptor
of a file drops all locks of its process on it (fcntl), those of SQLite too. `PRAGMA data_version` takes the very locks.

PERF: `get` of a small document takes 0.7 µs here, 6.7 by SELECT. To look in vain and to keep what was read adds 0.6.
"""

import ctypes
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import apsw

from docstore.content import BytesContent
from docstore.model import Document

RECENT_SIZE: Final = 16 * 1024 * 1024
"""Bytes that are kept, each document counted with DOCUMENT_SIZE for what it takes besides its content."""
DOCUMENT_SIZE: Final = 1024

HEADER_SIZE: Final = 96
REGION_SIZE: Final = 32 * 1024
"""SQLite maps the index in regions of this size; the header begins the first."""


class Recent:
    """The documents that were read last, of one connection. No thread but the one that reads may use it."""

    def __init__(self, connection: apsw.Connection, limit: int = RECENT_SIZE) -> None:
        self._header = _header_of(connection)
        self._limit = limit
        self._seen = b""
        self._documents: OrderedDict[str, Document] = OrderedDict()
        self._size = 0

    def find(self, key: str) -> Document | None:
        """The document as the newest commit left it, expired or not; None when that has to be read."""
        if self._header is None:
            return None
        header: bytes = self._header.raw
        if header != self._seen:
            self._forget()
            self._seen = header
            return None
        document = self._documents.get(key)
        if document is not None:
            self._documents.move_to_end(key)
        return document

    def keep(self, document: Document) -> None:
        """Keeps what was read after the last `find`. Were it newer than that, the next `find` would forget it."""
        size = _size_of(document)
        if self._header is None or size > self._limit:
            return
        replaced = self._documents.pop(document.meta.key, None)
        self._documents[document.meta.key] = document
        self._size += size - (0 if replaced is None else _size_of(replaced))
        while self._size > self._limit:
            self._size -= _size_of(self._documents.popitem(last=False)[1])

    def close(self) -> None:
        """To be called before the connection is closed: then there is no header to look at any more."""
        self._header = None
        self._forget()

    def _forget(self) -> None:
        self._documents.clear()
        self._size = 0


def _size_of(document: Document) -> int:
    """Content in a file takes a descriptor, which is not ours to keep: it is larger than any limit."""
    content = document.content
    return DOCUMENT_SIZE + (content.size if isinstance(content, BytesContent) else RECENT_SIZE)


class _Methods(ctypes.Structure):
    """The beginning of `sqlite3_io_methods`."""

    _fields_ = (("version", ctypes.c_int), ("others", ctypes.c_void_p * 12), ("shm_map", ctypes.c_void_p))


_FilePointer = ctypes.POINTER(ctypes.POINTER(_Methods))
"""A `sqlite3_file` begins with a pointer to its methods."""

_ShmMap: Final[Callable[[int], Callable[..., int]]] = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.c_void_p)
)


def _header_of(connection: apsw.Connection) -> "ctypes.Array[ctypes.c_char] | None":
    """The header as it stands in memory; None where a file has no shared memory: then nothing is kept."""
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # Opens the log.
    file = ctypes.c_void_p()
    if not connection.file_control("main", apsw.SQLITE_FCNTL_FILE_POINTER, ctypes.addressof(file)) or not file.value:
        return None
    pointer = ctypes.cast(file, _FilePointer).contents
    if not pointer or pointer.contents.version < 2 or not pointer.contents.shm_map:
        return None
    region = ctypes.c_void_p()
    status = _ShmMap(pointer.contents.shm_map)(file.value, 0, REGION_SIZE, 0, ctypes.byref(region))
    if status != apsw.SQLITE_OK or not region.value:
        return None
    return (ctypes.c_char * HEADER_SIZE).from_address(region.value)
