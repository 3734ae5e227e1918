"""Opening a database: which engine serves it, and what its errors mean to the user."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import apsw

from docstore.engines.registry import EngineURL
from docstore.engines.shared.fs import error_class, make_folder, translate_open_errors
from docstore.engines.shared.quota import Quota
from docstore.engines.shared.read_only import ReadOnlyEngine
from docstore.engines.sqlite.blobs import refuse_without_database
from docstore.engines.sqlite.bounded import BoundedSqlite
from docstore.engines.sqlite.disk_space import Ballast
from docstore.engines.sqlite.engine import Sqlite
from docstore.engines.sqlite.quota import SQLITE_OVERHEAD
from docstore.engines.sqlite.read_only import SqliteReader
from docstore.errors import EngineError, NoSpace, NotWritable, OpenError
from docstore.model import Clock

_NOT_WRITABLE: Final = (apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError)


def open_sqlite(url: EngineURL, clock: Clock) -> Sqlite:
    """Open `sqlite:PATH`; create the database and its folder when they are absent."""
    quota = Quota.of(url, SQLITE_OVERHEAD)
    with _opening(url) as path:
        make_folder(path.parent)
        return _open(path, clock, quota)


def open_sqlite_read_only(url: EngineURL, clock: Clock) -> ReadOnlyEngine:
    """Open an existing database for reading; a quota has no effect then."""
    Quota.of(url, SQLITE_OVERHEAD)
    with _opening(url) as path:
        if not path.exists():
            raise OpenError(f"{path}: there is no such database")
        return ReadOnlyEngine(SqliteReader(path, clock))


@contextmanager
def _opening(url: EngineURL) -> Iterator[Path]:
    """Yield the path of the database. Raise OpenError for what can't be one, and for what fails inside."""
    if not url.location:
        raise OpenError("sqlite: needs the path of a database, as in sqlite:docs.db")
    path = Path(url.location)
    try:
        with translate_open_errors(path):
            # SQLite puts its log beside the file that a symbolic link leads to, and the blobs belong there too.
            path = path.resolve()
            if path.exists() and not path.is_file():
                raise OpenError(f"{path} is not a file")
            refuse_without_database(path)
            yield path
    except apsw.NotADBError as error:
        raise OpenError(f"{path} is not an SQLite database") from error
    except _NOT_WRITABLE as error:
        raise NotWritable(f"cannot open {path}: {error}") from error
    except (apsw.Error, EngineError) as error:
        raise OpenError(f"cannot open {path}: {error}") from error


def _open(path: Path, clock: Clock, quota: Quota | None) -> Sqlite:
    open_engine = partial(Sqlite, path, clock) if quota is None else partial(BoundedSqlite, path, clock, quota)
    try:
        return open_engine()
    except (apsw.FullError, apsw.IOError, apsw.CantOpenError, OSError) as error:
        if isinstance(error, OSError) and error_class(error.errno) is not NoSpace:
            raise
        # A full disk may have no space for the log's index, which is created at each start.
        reserve = Ballast(path)
        if not reserve.size():
            raise
        reserve.shrink(0)
        return open_engine()
