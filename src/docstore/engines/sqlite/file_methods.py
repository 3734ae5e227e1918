"""What SQLite's own functions on the file of an open database offer (sqlite.org/c3ref/io_methods.html).

apsw does not have them. They use the locks that SQLite already has in this process; opening the file a second time
would drop those when it is closed (fcntl).
"""

import ctypes
from collections.abc import Callable
from typing import Any, Final

import apsw

HEADER_SIZE: Final = 96
REGION_SIZE: Final = 32 * 1024
"""SQLite maps the index of the log in regions of this size; the first begins with the header."""


class _Methods(ctypes.Structure):
    """The start of `sqlite3_io_methods`."""

    _fields_ = (
        ("version", ctypes.c_int),
        ("before_lock", ctypes.c_void_p * 6),
        ("lock", ctypes.c_void_p),
        ("after_lock", ctypes.c_void_p * 5),
        ("shm_map", ctypes.c_void_p),
    )


_FilePointer: Final = ctypes.POINTER(ctypes.POINTER(_Methods))
"""A `sqlite3_file` begins with a pointer to its methods."""

_Lock: Final[Callable[[int], Callable[..., int]]] = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_ShmMap: Final[Callable[[int], Callable[..., int]]] = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.c_void_p)
)


def _find_methods(connection: apsw.Connection) -> tuple[int, Any] | None:
    """Return the address of the file, and its _Methods."""
    file = ctypes.c_void_p()
    if not connection.file_control("main", apsw.SQLITE_FCNTL_FILE_POINTER, ctypes.addressof(file)) or not file.value:
        return None
    pointer = ctypes.cast(file, _FilePointer).contents
    return (file.value, pointer.contents) if pointer else None


def take_shared_lock(connection: apsw.Connection) -> int:
    """Take the shared lock on the database; return SQLite's status.

    `connection` keeps the lock until it is closed, and must not be used for anything else.
    """
    found = _find_methods(connection)
    return apsw.SQLITE_ERROR if found is None else _Lock(found[1].lock)(found[0], apsw.SQLITE_LOCK_SHARED)


def map_log_header(connection: apsw.Connection) -> "ctypes.Array[ctypes.c_char] | None":
    """Return the mapped header of the log's index, valid while the connection is open.

    None for a file without shared memory.
    """
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # Opens the log.
    found = _find_methods(connection)
    if found is None or found[1].version < 2 or not found[1].shm_map:
        return None
    region = ctypes.c_void_p()
    status = _ShmMap(found[1].shm_map)(found[0], 0, REGION_SIZE, 0, ctypes.byref(region))
    if status != apsw.SQLITE_OK or not region.value:
        return None
    return (ctypes.c_char * HEADER_SIZE).from_address(region.value)
