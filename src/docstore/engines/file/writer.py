"""Changing documents, blocking: writes, removals and sweeps, each under the lock of its key.

The package's docstring explains the order of the steps. A write that needs folders releases its lock to make them, so
no thread ever holds two locks; then it starts again. Empty folders are removed without a lock: a rename into a removed
folder fails, and the write starts again too. The number of attempts is bounded.
"""

import logging
import os
import re
import stat
import threading
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Final

from docstore.content import Descriptor
from docstore.engines.contract import PutRequest, check_expectation
from docstore.engines.file.filenames import aside_of, place_of
from docstore.engines.file.metadata import (
    MetadataFolder,
    content_identity,
    expiry_marker,
    fingerprint,
    pack_sidecar,
)
from docstore.engines.file.reader import FileReader, StoredFile
from docstore.engines.file.tree import FolderTree, status_in
from docstore.engines.shared.spool import SpooledUpload
from docstore.errors import CorruptData, EngineError, StorageUnavailable
from docstore.frozen import frozen_dataclass
from docstore.model import ANY, Clock, Expectation, Meta, WriteResult

_ATTEMPTS: Final = 100

_STEPS_NS: Final = [sign * step for step in (1, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000) for sign in (1, -1)]
"""By how much a modification time is changed to differ: file systems keep it to the nanosecond, or to two seconds."""

_log: Final = logging.getLogger(__name__)

_MARKER: Final = re.compile(r"([0-9]{20,})-([0-9a-f]{64})")


@frozen_dataclass(frozen=True, slots=True)
class _StagedWrite:
    """A write with its content in a temporary file, fsynced."""

    request: PutRequest
    received: SpooledUpload
    path: Path
    file: Descriptor

    def meta(self, now_ns: int) -> Meta:
        return self.request.meta(self.received.digest, self.received.size, now_ns)


class FileWriter:
    """Changes the documents of one mount; safe among threads and processes."""

    def __init__(self, tree: FolderTree, metadata: MetadataFolder, reader: FileReader, clock: Clock) -> None:
        self._tree = tree
        self._metadata = metadata
        self._reader = reader
        self._clock = clock
        self._sweeping = threading.Lock()
        self._due = self._due_markers()

    def write(self, request: PutRequest, received: SpooledUpload) -> WriteResult:
        key = request.key
        place = place_of(key, self._tree.scheme)
        path = received.path or self._metadata.new_temporary()
        try:
            staged = self._stage(path, request, received)
            for _ in range(_ATTEMPTS):
                # FileNotFoundError: another writer or program removed an empty folder above.
                with suppress(FileNotFoundError):
                    with self._metadata.locked(fingerprint(key)):
                        stored = self._find(key, request.expect)
                        current = self._reader.current(stored)
                        check_expectation(request.expect, current)
                        # From here to the rename no other writer changes this key.
                        place = stored.place if stored else self._tree.place_for(key)
                        folder = self._tree.durable_folder(place[:-1])
                        if folder is not None:
                            meta = self._commit(staged, stored, folder, place[-1])
                            return WriteResult(meta, created=current is None)
                    self._tree.make(key, place)
            raise StorageUnavailable(f"{self._metadata.path_of(place)}: another program keeps removing its folder")
        except BaseException:
            self._metadata.remove("tmp", path.name)
            self._tree.prune(place[:-1])
            raise

    def _stage(self, path: Path, request: PutRequest, received: SpooledUpload) -> _StagedWrite:
        data = received.data
        file = self._metadata.reopen(path) if data is None else self._metadata.create(path, data)
        staged = _StagedWrite(request, received, path, file)
        modified_ns = staged.meta(self._clock()).modified_ns
        os.utime(file.number, ns=(modified_ns, modified_ns))
        os.fsync(file.number)
        return staged

    def _commit(self, staged: _StagedWrite, stored: StoredFile | None, folder: Descriptor, name: bytes) -> Meta:
        meta, metadata = staged.meta(self._clock()), self._metadata
        entry = _distinct_mtime_ns(staged, stored), meta
        old_entries = [(stored.status.st_mtime_ns, stored.meta)] if stored and stored.tracked else []
        try:
            if meta.expires_ns is not None:
                metadata.create_marker(expiry_marker(meta))
            metadata.write("meta", fingerprint(meta.key), pack_sidecar(*old_entries, entry))
            metadata.move(staged.path, folder.number, name)
        except BaseException:
            status = status_in(folder, name)
            if status is None or not os.path.samestat(status, os.fstat(staged.file.number)):
                self._remove_leftovers(meta, stored)
            raise
        if stored and stored.meta.expires_ns not in (None, meta.expires_ns):
            metadata.remove("expiring", expiry_marker(stored.meta))
        return meta

    def _remove_leftovers(self, meta: Meta, stored: StoredFile | None) -> None:
        """Remove the files of a failed write. Its sidecar entry stays: it matches no content."""
        with suppress(OSError):  # leftovers are harmless, and the error that is being raised is more useful
            if stored is None:
                self._metadata.remove("meta", fingerprint(meta.key))
            if meta.expires_ns is not None and (stored is None or stored.meta.expires_ns != meta.expires_ns):
                self._metadata.remove("expiring", expiry_marker(meta))

    def _find(self, key: str, expect: Expectation) -> StoredFile | None:
        """Find the file to be changed. An unconditional change replaces a corrupt sidecar."""
        try:
            return self._reader.find_locked(key)
        except CorruptData as error:
            if expect is not ANY:
                raise
            _log.warning("the corrupt sidecar of %r is ignored: %s", key, error)
            return self._reader.find_locked(key, use_sidecar=False)

    def remove(self, key: str, expect: Expectation) -> Meta | None:
        with self._metadata.locked(fingerprint(key)):
            stored = self._find(key, expect)
            current = self._reader.current(stored)
            check_expectation(expect, current)
            if stored:
                self._unlink(stored)
        if stored:
            self._tree.prune(stored.place[:-1])
        return current

    def _unlink(self, stored: StoredFile) -> None:
        key = stored.meta.key
        # Another program may have created files both in the place and aside: the remaining one would become the
        # document.
        for place in (aside_of(key, self._tree.scheme), place_of(key, self._tree.scheme)):
            folder = self._tree.folder(place[:-1])
            status = folder and status_in(folder, place[-1])
            if folder and status and stat.S_ISREG(status.st_mode):
                os.unlink(place[-1], dir_fd=folder.number)
                os.fsync(folder.number)
        # The document is removed, whether or not its metadata can be.
        try:
            self._metadata.remove("meta", fingerprint(key))
            if stored.meta.expires_ns is not None:
                self._metadata.remove("expiring", expiry_marker(stored.meta))
        except OSError as error:
            _log.warning("%s: cannot remove the metadata of a removed document: %s", self._reader.path_of(key), error)

    def sweep(self, limit: int) -> int:
        """Continue where the last sweep stopped, also after an error: one scan of the markers serves many sweeps, and
        a document that can't be removed does not block the others."""
        swept, restarted = 0, False
        with self._sweeping:
            while swept < limit:
                marker = next(self._due, None)
                if marker is not None:
                    swept += self._sweep(marker)
                elif restarted:
                    break
                else:
                    self._due, restarted = self._due_markers(), True
        return swept

    def _due_markers(self) -> Generator[str, None, None]:
        for name in self._metadata.names("expiring"):
            marker = _MARKER.fullmatch(name)
            if marker and int(marker[1]) <= self._clock():
                yield name

    def _sweep(self, marker: str) -> bool:
        """Remove the document of a due marker if it has expired, and the marker if it is useless."""
        mark = marker.partition("-")[2]
        with self._metadata.locked(mark):
            try:
                keys = self._metadata.keys_of(mark)
                stored = self._reader.find_locked(keys[0]) if keys else None
            except CorruptData:
                # Reported once: this marker leads to no document.
                self._metadata.remove("expiring", marker)
                raise
            expired = stored is not None and self._reader.current(stored) is None
            if stored and expired:
                self._unlink(stored)
            if stored is None or stored.meta.expires_ns is None or expiry_marker(stored.meta) != marker:
                # A matching marker stays: if the clock was set back, the document has not expired yet.
                self._metadata.remove("expiring", marker)
        if stored and expired:
            self._tree.prune(stored.place[:-1])
        return expired

    def close(self) -> None:
        self._due.close()


def _distinct_mtime_ns(staged: _StagedWrite, stored: StoredFile | None) -> int:
    """Change the modification time of the new content until it differs from the old content; return it."""
    status = os.fstat(staged.file.number)
    for step_ns in _STEPS_NS:
        if stored is None or content_identity(status) != content_identity(stored.status):
            return status.st_mtime_ns
        changed_ns = stored.status.st_mtime_ns + step_ns
        os.utime(staged.file.number, ns=(changed_ns, changed_ns))
        os.fsync(staged.file.number)
        status = os.fstat(staged.file.number)
    raise EngineError(f"{staged.path}: the file system does not keep modification times")
