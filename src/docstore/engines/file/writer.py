"""Changing documents, blocking: a write, a removal, a sweep, each under the lock of its key.

The package's docstring argues the order of the steps. A write that needs folders lets go of its lock to make them, so
no thread ever holds two locks; then it starts again. Folders that a removal left empty go without a lock: the rename
into one that went fails, and the write starts again too. Both are bounded.
"""

import logging
import os
import re
import stat
import threading
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from docstore.content import Descriptor
from docstore.engines.contract import PutRequest
from docstore.engines.file.filenames import aside_of, place_of
from docstore.engines.file.metadata import Control, fingerprint
from docstore.engines.file.reader import Found, Reader
from docstore.engines.file.sidecar import Note, compose, identity, key_of
from docstore.engines.file.tree import Tree, status_in
from docstore.engines.shared.spool import Received
from docstore.errors import Conflict, CorruptData, EngineError, StorageUnavailable
from docstore.model import ANY, Clock, Expectation, Meta, WriteResult, satisfies, version_of

_ATTEMPTS: Final = 100

_STEPS_NS: Final = [sign * step for step in (1, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000) for sign in (1, -1)]
"""How far a modification time is moved to differ: file systems keep it to the nanosecond, or only to two seconds."""

_log: Final = logging.getLogger(__name__)

_MARKER: Final = re.compile(r"([0-9]{20,})-([0-9a-f]{64})")


def _marker(meta: Meta) -> str:
    """The name of the empty file that says when a document is due."""
    return f"{max(meta.expires_ns or 0, 0):020d}-{fingerprint(meta.key)}"


@dataclass(frozen=True, slots=True)
class _Staged:
    """New content in its temporary file, fsynced."""

    path: Path
    file: Descriptor


class Writer:
    """Changes the documents of one mount; safe among threads and processes."""

    def __init__(self, tree: Tree, control: Control, reader: Reader, clock: Clock) -> None:
        self._tree = tree
        self._control = control
        self._reader = reader
        self._clock = clock
        self._sweeping = threading.Lock()
        self._due = self._due_markers()

    def write(self, request: PutRequest, received: Received) -> WriteResult:
        place = place_of(request.key, self._tree.scheme)
        path = received.path or self._control.new_temporary()
        try:
            staged = self._stage(path, request, received)
            for _ in range(_ATTEMPTS):
                # FileNotFoundError: another writer removed an empty folder above.
                with suppress(FileNotFoundError):
                    with self._control.locked(fingerprint(request.key)):
                        found = self._find(request.key, request.expect)
                        current = self._reader.present(found)
                        if not satisfies(request.expect, current):
                            raise Conflict(current)
                        # From here to the rename no other writer changes this key.
                        place = found.place if found else self._tree.place_for(request.key)
                        folder = self._tree.settled(place[:-1])
                        if folder is not None:
                            meta = self._commit(request, received, staged, found, folder, place[-1])
                            return WriteResult(meta, created=current is None)
                    self._tree.make(request.key, place)
            raise StorageUnavailable(f"{self._control.path_of(place)}: the folders above it keep going away")
        except BaseException:
            self._control.discard(path)
            self._tree.prune(place[:-1])
            raise

    def _stage(self, path: Path, request: PutRequest, received: Received) -> _Staged:
        data = received.data
        file = self._control.reopen(path) if data is None else self._control.create(path, data)
        modified_ns = self._modified_ns(request)
        os.utime(file.number, ns=(modified_ns, modified_ns))
        os.fsync(file.number)
        return _Staged(path, file)

    def _commit(
        self,
        request: PutRequest,
        received: Received,
        staged: _Staged,
        found: Found | None,
        folder: Descriptor,
        name: bytes,
    ) -> Meta:
        mtime_ns = _distinct(staged, found)
        fields = request.fields
        version = version_of(received.digest, fields)
        modified_ns = self._modified_ns(request)
        meta = Meta(request.key, version, received.size, received.digest, fields, modified_ns, request.expires_ns)
        before = [found.note] if found and found.note else []
        try:
            if meta.expires_ns is not None:
                self._control.mark("expiring", _marker(meta))
            self._control.write("meta", fingerprint(request.key), compose(*before, Note(mtime_ns, meta)))
            self._control.place(staged.path, folder.number, name)
        except BaseException:
            status = status_in(folder, name)
            if status is None or not os.path.samestat(status, os.fstat(staged.file.number)):
                self._forget(meta, found)
            raise
        if found and found.meta.expires_ns not in (None, meta.expires_ns):
            self._control.remove("expiring", _marker(found.meta))
        return meta

    def _modified_ns(self, request: PutRequest) -> int:
        return self._clock() if request.modified_ns is None else request.modified_ns

    def _forget(self, meta: Meta, found: Found | None) -> None:
        """Removes what a write that failed has left, on a full disk say. A note of its own beside an older one stays:
        it fits no content."""
        with suppress(OSError):  # it takes room and harms nothing; the error that is being raised says more
            if found is None:
                self._control.remove("meta", fingerprint(meta.key))
            if meta.expires_ns is not None and (found is None or found.meta.expires_ns != meta.expires_ns):
                self._control.remove("expiring", _marker(meta))

    def _find(self, key: str, expect: Expectation) -> Found | None:
        """What is to be changed. A change without conditions needs no sidecar that can be read: so it mends one."""
        try:
            return self._reader.find_locked(key)
        except CorruptData as error:
            if expect is not ANY:
                raise
            _log.warning("what is known of %r is given up: %s", key, error)
            return self._reader.find_locked(key, noted=False)

    def remove(self, key: str, expect: Expectation) -> Meta | None:
        with self._control.locked(fingerprint(key)):
            found = self._find(key, expect)
            current = self._reader.present(found)
            if not satisfies(expect, current):
                raise Conflict(current)
            if found:
                self._unlink(found)
        if found:
            self._tree.prune(found.place[:-1])
        return current

    def _unlink(self, found: Found) -> None:
        key = found.meta.key
        # Somebody may have put a file both in the place and aside: one that stayed would be the document now.
        for place in (aside_of(key, self._tree.scheme), place_of(key, self._tree.scheme)):
            folder = self._tree.folder(place[:-1])
            status = folder and status_in(folder, place[-1])
            if folder and status and stat.S_ISREG(status.st_mode):
                os.unlink(place[-1], dir_fd=folder.number)
                os.fsync(folder.number)
        # The document is gone: what can't be removed of the rest is no reason to say otherwise.
        try:
            self._control.remove("meta", fingerprint(key))
            if found.meta.expires_ns is not None:
                self._control.remove("expiring", _marker(found.meta))
        except OSError as error:
            _log.warning("%s: what was known of it stays: %s", self._reader.path_of(key), error)

    def sweep(self, limit: int) -> int:
        """Goes on where the last sweep stopped, also by an error: one look at all markers does for many sweeps, and a
        document that can't be removed does not keep the others from it."""
        swept, from_the_start = 0, False
        with self._sweeping:
            while swept < limit:
                marker = next(self._due, None)
                if marker is not None:
                    swept += self._sweep(marker)
                elif from_the_start:
                    break
                else:
                    self._due, from_the_start = self._due_markers(), True
        return swept

    def _due_markers(self) -> Generator[str, None, None]:
        for name in self._control.names("expiring"):
            marker = _MARKER.fullmatch(name)
            if marker and int(marker[1]) <= self._clock():
                yield name

    def _sweep(self, marker: str) -> bool:
        """Removes what the marker was made for, when it is still there and has expired; else the marker alone, once it
        is known to be of no use."""
        mark = marker.partition("-")[2]
        with self._control.locked(mark):
            try:
                sidecar = self._control.read("meta", mark)
                found = self._reader.find_locked(self._key_of(sidecar, mark)) if sidecar else None
            except CorruptData:
                # Reported once: nothing will ever be found by this marker.
                self._control.remove("expiring", marker)
                raise
            expired = found is not None and self._reader.present(found) is None
            if found and expired:
                self._unlink(found)
            if found is None or found.meta.expires_ns is None or _marker(found.meta) != marker:
                # Not otherwise: under a clock that was set back the document is not due yet.
                self._control.remove("expiring", marker)
        if found and expired:
            self._tree.prune(found.place[:-1])
        return expired

    def _key_of(self, sidecar: bytes, mark: str) -> str:
        try:
            return key_of(sidecar)
        except CorruptData as error:
            raise CorruptData(f"{self._control.own_path('meta', mark)}: {error}") from error

    def close(self) -> None:
        """Lets go of the look at the markers; no other method may be called after it."""
        self._due.close()


def _distinct(staged: _Staged, found: Found | None) -> int:
    """The modification time of the new content, moved until it can't be taken for the content that it replaces."""
    status = os.fstat(staged.file.number)
    for step_ns in _STEPS_NS:
        if found is None or identity(status) != identity(found.status):
            return status.st_mtime_ns
        moved_ns = found.status.st_mtime_ns + step_ns
        os.utime(staged.file.number, ns=(moved_ns, moved_ns))
        os.fsync(staged.file.number)
        status = os.fstat(staged.file.number)
    raise EngineError(f"{staged.path}: the file system does not keep modification times")
