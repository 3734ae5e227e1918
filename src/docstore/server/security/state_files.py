"""Small files beside the data that commands change while servers run: the tokens, and the read-only switch.

A file is replaced as a whole, so a server reads the state before a change or after it. Servers look at the file twice a
second, and never use a state that they could not read.
"""

import logging
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Generic, TypeVar

from docstore.engines.shared.fs import make_folder, sync_folder, translate_open_errors, write_all
from docstore.errors import SetupError

if sys.platform != "win32":
    import fcntl

log: Final = logging.getLogger("docstore")

T = TypeVar("T")
Identity = tuple[int, ...]
"""What differs when a file was replaced, written or made readable."""

CHECK_INTERVAL_S: Final = 0.5
"""How often a server looks whether a file has changed."""


def read_state(path: Path) -> tuple[bytes, Identity] | None:
    """Return the content of the file and its identity; None if there is no file. Raise SetupError."""
    with translate_open_errors(path):
        try:
            with path.open("rb") as file:
                return file.read(), _identity(os.fstat(file.fileno()))
        except FileNotFoundError:
            return None


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes from changing the file meanwhile; create its folder. Raise SetupError."""
    with translate_open_errors(path):
        make_folder(path.parent)
        lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if sys.platform != "win32":
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def replace_state(path: Path, data: bytes) -> None:
    """Replace the file durably: after a crash it has the old content or the new one. Raise SetupError."""
    temporary = path.with_name(f"{path.stem}-{secrets.token_hex(8)}.partial")
    with translate_open_errors(path):
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            try:
                write_all(descriptor, data)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


class WatchedFile(Generic[T]):
    """The state in a file as a running server knows it.

    `parse` raises SetupError; `empty` is the state without a file.
    """

    def __init__(
        self, path: Path, parse: Callable[[bytes], T], empty: T, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._parse = parse
        self._empty = empty
        self._monotonic = monotonic
        self._next_check_s = float("-inf")
        self._identity: Identity | None = None
        self._state: T | None = empty

    def current(self, *, check: bool = False) -> T | None:
        """Return the state, checked now or not long ago; None while the file can't be read."""
        # The file is read on the event loop: no request may pass with a state that is older than the check.
        if (now_s := self._monotonic()) >= self._next_check_s or check:
            self._next_check_s = now_s + CHECK_INTERVAL_S
            self._check()
        return self._state

    def _check(self) -> None:
        """Read the file if it has changed or could not be read. Whatever goes wrong, there is no state until then."""
        known, self._state = self._state, None
        identity: Identity | None = None
        try:
            identity = _identity(self._path.stat())
            if known is not None and identity == self._identity:
                self._state = known
                return
            read = read_state(self._path)
            self._state, self._identity = (self._empty, None) if read is None else (self._parse(read[0]), read[1])
        except FileNotFoundError:
            self._state, self._identity = self._empty, None
        except (SetupError, OSError) as error:
            if known is not None or identity != self._identity:
                log.error("%s can't be read, and requests that depend on it are rejected: %s", self._path.name, error)
            self._identity = identity
