"""SQLite's errors in words of the store. Nothing of apsw leaves the engine but through here.

Text that is no UTF-8 is one of them: SQLite hands out what a damaged page holds, and apsw can't decode it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw

from docstore.engines.shared.fs import error_class
from docstore.errors import CorruptData, EngineError, NoSpace, StorageUnavailable

DRIVER_ERRORS: Final = (apsw.Error, UnicodeDecodeError)


def engine_error(error: Exception, connection: apsw.Connection, path: Path) -> EngineError:
    """What `error` means, one of DRIVER_ERRORS that `connection` has just raised; it names the database's `path`."""
    kind = _kind(error, connection)
    return kind(f"{path}: there is no room left" if kind is NoSpace else f"{path}: {error}")


def _kind(error: Exception, connection: apsw.Connection) -> type[EngineError]:
    match error:
        case apsw.FullError():
            return NoSpace
        case apsw.BusyError() | apsw.LockedError() | apsw.ProtocolError():
            return StorageUnavailable
        case apsw.CorruptError() | apsw.NotADBError() | UnicodeDecodeError():
            return CorruptData
        case apsw.IOError() | apsw.CantOpenError():
            # SQLite says "full" for ENOSPC alone: a quota or a limit on the file's size is an I/O error to it.
            return error_class(connection.system_errno)
        case _:
            return EngineError


@contextmanager
def driver_errors(connection: apsw.Connection, path: Path) -> Iterator[None]:
    """Raises an EngineError for an error of `connection` raised inside."""
    try:
        yield
    except DRIVER_ERRORS as error:
        raise engine_error(error, connection, path) from error
