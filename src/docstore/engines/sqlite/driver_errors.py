"""SQLite's errors in words of the store. Nothing of apsw leaves the engine but through here."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from docstore.engines.storage_errors import kind_of
from docstore.errors import Corrupt, EngineError, NoSpace, Unavailable


def engine_error(error: apsw.Error, connection: apsw.Connection, path: Path) -> EngineError:
    """The EngineError that `error`, just raised by `connection`, means; it names the database's `path`."""
    return _kind(error, connection)(f"{path}: {error}")


def _kind(error: apsw.Error, connection: apsw.Connection) -> type[EngineError]:
    match error:
        case apsw.FullError():
            return NoSpace
        case apsw.BusyError() | apsw.LockedError() | apsw.ProtocolError():
            return Unavailable
        case apsw.CorruptError() | apsw.NotADBError():
            return Corrupt
        case apsw.IOError() | apsw.CantOpenError():
            # SQLite says "full" for ENOSPC alone: a quota or a limit on the file's size is an I/O error to it.
            return kind_of(connection.system_errno)
        case _:
            return EngineError


@contextmanager
def driver_errors(connection: apsw.Connection, path: Path) -> Iterator[None]:
    """Raises an EngineError for an error of `connection` raised inside."""
    try:
        yield
    except apsw.Error as error:
        raise engine_error(error, connection, path) from error
