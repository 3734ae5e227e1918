"""asyncpg's errors as engine errors, and whether a write that failed can have been applied.

An error that the server sends ends the transaction, so nothing was applied, unless it also ends the session: a session
that is terminated while its COMMIT waits for a standby has committed already. A lost connection says nothing at all.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg

from docstore.errors import CorruptData, EngineError, NoSpace, StorageUnavailable

ASYNCPG_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""TimeoutError is an OSError."""

_READ_ONLY: Final = "25006"
_RETRIED: Final = ("40001", "40P01", _READ_ONLY)
"""Serialization failure, deadlock, and a session on a server that is a replica now."""
_UNCERTAIN: Final = ("08", "57P", "40003")
"""Connection lost, session terminated by the server, and "statement completion unknown"."""
_UNAVAILABLE: Final = ("08", _READ_ONLY, "28", "3D", "40", "42P01", "53", "55", "57", "58")


def _state(error: Exception) -> str:
    return getattr(error, "sqlstate", None) or ""


def is_rolled_back(error: Exception) -> bool:
    """Return whether the transaction that raised `error` certainly has no effect."""
    return isinstance(error, asyncpg.PostgresError) and not _state(error).startswith(_UNCERTAIN)


def is_retried(error: Exception) -> bool:
    """Return whether the same transaction may succeed at once, perhaps with another session."""
    return _state(error).startswith(_RETRIED)


def is_read_only(error: BaseException) -> bool:
    """Return whether the session is on a server that accepts no writes, such as a former primary."""
    return isinstance(error, asyncpg.PostgresError) and _state(error) == _READ_ONLY


def asyncpg_error(error: Exception, place: str) -> EngineError:
    """Translate one of ASYNCPG_ERRORS; `place` names the database."""
    state = _state(error)
    if state == "53100":
        return NoSpace(f"{place}: no space left")
    if state.startswith("XX00"):
        return CorruptData(f"{place}: {one_line(error)}")
    if not isinstance(error, asyncpg.PostgresError) or state.startswith(_UNAVAILABLE):
        return StorageUnavailable(f"{place}: {one_line(error)}")
    return EngineError(f"{place}: {one_line(error)}")


def one_line(error: Exception) -> str:
    """Return the first line of an error's message, or its name when it has none."""
    if isinstance(error, asyncpg.exceptions.TargetServerAttributeNotMatched):
        return "no host accepts writes"
    lines = str(error).splitlines()
    return lines[0] if lines else "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__


@contextmanager
def translate_asyncpg_errors(place: str) -> Iterator[None]:
    """Raise an EngineError for an error of asyncpg raised inside."""
    try:
        yield
    except ASYNCPG_ERRORS as error:
        raise asyncpg_error(error, place) from error
