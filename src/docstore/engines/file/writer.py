"""Changing documents, blocking: groups of writes, removals and sweeps, under the locks of their keys.

The package's docstring explains the order of the steps. Each write of a group is a generator that yields where the next
step requires an fsync. So all of a group take a step before any takes the next, and one fsync of a folder serves all
that renamed a file into it; only the expiry markers are fsynced one by one. A write that needs folders leaves the group
to make them, without a lock, and starts again. Empty folders are removed without a lock: a rename into a removed folder
fails, and the write starts again too. The number of attempts is bounded.

PERF: with one write in each of 32 threads, most of the time went into passing Python's interpreter lock on. syncfs
instead of fsync was rejected: it waits for what all other programs have written to the disk.
"""

import errno
import logging
import os
import re
import stat
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from docstore.content import Descriptor
from docstore.engines.contract import PutRequest, check_expectation
from docstore.engines.file.filenames import aside_of, place_of
from docstore.engines.file.metadata import (
    MetadataFolder,
    content_identity,
    expiry_marker,
    fingerprint,
    new_temporary_name,
    pack_sidecar,
)
from docstore.engines.file.reader import FileReader, StoredFile
from docstore.engines.file.tree import FolderTree, status_in
from docstore.engines.shared.spool import SpooledUpload
from docstore.errors import CorruptData, EngineError, StorageUnavailable
from docstore.frozen import frozen_dataclass
from docstore.model import ANY, Clock, Expectation, Meta, WriteResult

_ATTEMPTS: Final = 100
_SYNC_THREADS: Final = 8
_SYNC_ALONE: Final = 2
"""Files and folders that are fsynced without threads: those of one write."""

_STEPS_NS: Final = [sign * step for step in (1, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000) for sign in (1, -1)]
"""By how much a modification time is changed to differ: file systems keep it to the nanosecond, or to two seconds."""

_log: Final = logging.getLogger(__name__)

_MARKER: Final = re.compile(r"([0-9]{20,})-([0-9a-f]{64})")


@dataclass(slots=True, eq=False)
class PendingWrite:
    """A write of one document, which has an outcome when it has ended."""

    request: PutRequest
    received: SpooledUpload
    outcome: WriteResult | BaseException | None = None

    def result(self) -> WriteResult:
        if not isinstance(self.outcome, WriteResult):
            raise self.outcome or RuntimeError("the write has not ended")
        return self.outcome

    def fail(self, error: BaseException) -> None:
        """End a write that has not started; its content is removed."""
        self.outcome = error
        if self.received.path is not None:
            with suppress(OSError):  # leftovers are harmless, and the error is more useful
                self.received.path.unlink()


@frozen_dataclass(frozen=True, slots=True)
class _StagedWrite:
    """A write with its content in a temporary file."""

    write: PendingWrite
    name: str
    file: Descriptor

    def meta(self, now_ns: int) -> Meta:
        return self.write.request.meta(self.write.received.digest, self.write.received.size, now_ns)


_Steps = Generator[tuple[int, ...], None, WriteResult]
"""A commit; it yields the descriptors of what must be on the disk before it continues."""


class FileWriter:
    """Changes the documents of one mount; safe among threads and processes."""

    def __init__(self, tree: FolderTree, metadata: MetadataFolder, reader: FileReader, clock: Clock) -> None:
        self._tree = tree
        self._metadata = metadata
        self._reader = reader
        self._clock = clock
        self._sweeping = threading.Lock()
        self._due = self._due_markers()
        self._sync_threads = ThreadPoolExecutor(_SYNC_THREADS, "docstore-file-sync")

    def write(self, writes: Sequence[PendingWrite]) -> None:
        """Write documents of different keys together, each of them completely or not at all."""
        left = [staged for write in writes if (staged := self._stage(write)) is not None]
        for _ in range(_ATTEMPTS):
            self._commit_all(left)
            left = [staged for staged in left if staged.write.outcome is None and self._make_folders(staged)]
            if not left:
                return
        for staged in left:
            path = self._reader.path_of(staged.write.request.key)
            error = StorageUnavailable(f"{path}: another program keeps removing its folder")
            self._fail(staged.write, staged.name, error)

    def _stage(self, write: PendingWrite) -> _StagedWrite | None:
        data, path = write.received.data, write.received.path
        name = path.name if path is not None else new_temporary_name()
        try:
            file = self._metadata.reopen(name) if data is None else self._metadata.create(name, data)
            staged = _StagedWrite(write, name, file)
            modified_ns = staged.meta(self._clock()).modified_ns
            os.utime(file.number, ns=(modified_ns, modified_ns))
        except Exception as error:
            self._fail(write, name, error)
            return None
        return staged

    def _fail(self, write: PendingWrite, temporary: str, error: Exception) -> None:
        write.outcome = error
        with suppress(OSError):  # leftovers are harmless, and the error is more useful
            self._metadata.remove("tmp", temporary)
            self._tree.prune(place_of(write.request.key, self._tree.scheme)[:-1])

    def _make_folders(self, staged: _StagedWrite) -> bool:
        """Make the folders above a document, and return whether that did not fail."""
        key = staged.write.request.key
        try:
            # FileNotFoundError: another writer or program removed an empty folder above.
            with suppress(FileNotFoundError):
                self._tree.make(key, self._tree.place_for(key))
        except Exception as error:
            self._fail(staged.write, staged.name, error)
        return staged.write.outcome is None

    def _commit_all(self, group: Sequence[_StagedWrite]) -> None:
        """Commit writes, except those whose folders are missing: these have no outcome then."""
        try:
            with self._metadata.locked(*(fingerprint(staged.write.request.key) for staged in group)):
                # From here to the end no other writer changes these keys.
                self._run_together([(staged, self._commit(staged)) for staged in group])
        except OSError as error:
            # Not all locks can be had at once, as on a disk without space for one more lock file.
            for staged in group:
                if len(group) > 1:
                    self._commit_all([staged])
                else:
                    self._fail(staged.write, staged.name, error)

    def _run_together(self, running: list[tuple[_StagedWrite, _Steps]]) -> None:
        """Run all commits to the next fsync, fsync everything that they wait for, and so on."""
        failed: BaseException | None = None
        try:
            while running:
                waiting: list[tuple[_StagedWrite, _Steps]] = []
                numbers: list[int] = []
                for staged, commit in running:
                    try:
                        numbers += next(commit) if failed is None else commit.throw(failed)
                        waiting.append((staged, commit))
                    except StopIteration as end:
                        staged.write.outcome = end.value
                    except FileNotFoundError:
                        continue
                    except Exception as error:
                        self._fail(staged.write, staged.name, error)
                running, failed = waiting, self._sync(numbers)
        finally:
            for _, commit in running:
                commit.close()  # while the locks are held

    def _sync(self, numbers: Sequence[int]) -> BaseException | None:
        """fsync each file and folder once. Return the error of one that failed: then no write of the group goes on."""
        once = list({os.fstat(number)[1:3]: number for number in numbers}.values())
        if len(once) <= _SYNC_ALONE:
            return _sync_part(once)
        running: list[Future[BaseException | None]] = []
        with suppress(RuntimeError):  # the system has no thread left
            for start in range(_SYNC_THREADS):
                running.append(self._sync_threads.submit(_sync_part, once[start::_SYNC_THREADS]))
        parts = [part.result() for part in running]
        if len(running) < _SYNC_THREADS:
            parts.append(_sync_part(once))
        return next(filter(None, parts), None)

    def _commit(self, staged: _StagedWrite) -> _Steps:
        """The steps of a write; it continues when what it yields is on the disk."""
        request, metadata = staged.write.request, self._metadata
        stored = self._find(request.key, request.expect)
        current = self._reader.current(stored)
        check_expectation(request.expect, current)
        place = stored.place if stored else self._tree.place_for(request.key)
        folder = self._tree.durable_folder(place[:-1])
        if folder is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        meta = staged.meta(self._clock())
        entry = _distinct_mtime_ns(staged, stored), meta
        old_entries = [(stored.status.st_mtime_ns, stored.meta)] if stored and stored.tracked else []
        sidecar_name = new_temporary_name()
        try:
            if meta.expires_ns is not None:
                metadata.create_marker(expiry_marker(meta))
            sidecar = metadata.create(sidecar_name, pack_sidecar(*old_entries, entry))
            yield staged.file.number, sidecar.number
            yield (metadata.rename(sidecar_name, "meta", fingerprint(meta.key)),)
            yield (metadata.rename(staged.name, folder.number, place[-1]),)
        except BaseException:
            metadata.remove("tmp", sidecar_name)
            status = status_in(folder, place[-1])
            if status is None or not os.path.samestat(status, os.fstat(staged.file.number)):
                self._remove_leftovers(meta, stored)
            raise
        if stored and stored.meta.expires_ns not in (None, meta.expires_ns):
            metadata.remove("expiring", expiry_marker(stored.meta))
        return WriteResult(meta, created=current is None)

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
        self._sync_threads.shutdown()
        self._due.close()


def _sync_part(numbers: Sequence[int]) -> BaseException | None:
    try:
        for number in numbers:
            os.fsync(number)
    except BaseException as error:
        return error
    return None


def _distinct_mtime_ns(staged: _StagedWrite, stored: StoredFile | None) -> int:
    """Change the modification time of the new content until it differs from the old content; return it."""
    status = os.fstat(staged.file.number)
    for step_ns in _STEPS_NS:
        if stored is None or content_identity(status) != content_identity(stored.status):
            return status.st_mtime_ns
        changed_ns = stored.status.st_mtime_ns + step_ns
        os.utime(staged.file.number, ns=(changed_ns, changed_ns))
        status = os.fstat(staged.file.number)
    raise EngineError(f"{staged.write.request.key!r}: the file system does not keep modification times")
