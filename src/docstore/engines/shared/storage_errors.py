"""Errors of the storage in words of the store, for all engines that keep files."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from docstore.errors import EngineError, NoSpace, StorageUnavailable

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_BUSY: Final = {errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOLCK}


def kind_of(number: int | None) -> type[EngineError]:
    """What the errno `number` means to the store: NoSpace, StorageUnavailable, or no more than EngineError."""
    return NoSpace if number in _FULL else StorageUnavailable if number in _BUSY else EngineError


def another(error: EngineError) -> EngineError:
    """The same for one more caller: a raised exception collects the tracebacks of all who raise it."""
    alike = type(error)(*error.args)
    alike.__cause__ = error.__cause__
    return alike


@contextmanager
def mapped(path: Path) -> Iterator[None]:
    """Raises NoSpace, Unavailable or EngineError, naming `path`, for an OSError raised inside."""
    try:
        yield
    except OSError as error:
        raise kind_of(error.errno)(f"{path}: {error.strerror or error}") from error
