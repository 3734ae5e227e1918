"""The check of a folder of documents, without an engine and while others may use it.

It checks, in this order: every document against its sidecar entry and its expiry marker; every name in the folder,
which must be the exact spelling of its key; every sidecar, marker and temporary file, which must belong to a document.
A file that has a sidecar without a matching entry was changed after it was written, by hand, which is allowed, or by
damage. The check can't distinguish the two, so it reports a finding until the document is written again.

A kill may leave a sidecar or a marker without its document: those are orphans, like a temporary file. The spelling of
markers and of the format is repeated here on purpose, so that the check detects a mistake in the writer.
"""

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from docstore.engines.file.filenames import Scheme
from docstore.engines.file.listing import SkippedEntries, iter_keys
from docstore.engines.file.metadata import NAME, MetadataFolder, fingerprint
from docstore.engines.file.orphans import orphaned_names
from docstore.engines.file.reader import FileReader, StoredFile
from docstore.engines.file.tree import FolderTree
from docstore.engines.file.untracked import DigestCache, hash_file
from docstore.engines.registry import EngineURL
from docstore.engines.shared.verify import Checked, Finding, exclusive_access, fault_of
from docstore.errors import CorruptData, EngineError, OpenError
from docstore.model import Meta

_FORMAT: Final = re.compile(r"docstore file 1 (plain|folded)\n")
_MARKER: Final = re.compile(r"([0-9]{20,})-([0-9a-f]{64})")
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")

_log: Final = logging.getLogger(__name__)


def check_file(url: EngineURL, repair: bool) -> Checked:
    """Raise OpenError for a folder that no engine has opened yet."""
    url.refuse_options()
    folder = Path(url.location).absolute()
    format_file = folder / NAME / "format"
    with ExitStack() as opening:
        try:
            if not url.location or not format_file.parent.is_dir():
                raise OpenError(f"{folder}: there is no store of documents")
            match = _FORMAT.fullmatch(format_file.read_text(errors="replace"))
            if match is None:
                raise OpenError(f"{format_file}: not written by this version of Docstore")
            root = os.open(folder, os.O_RDONLY)
            opening.callback(os.close, root)
            metadata = MetadataFolder(folder, opening)
        except (OSError, ValueError) as error:
            raise OpenError(f"{folder} can't be opened: {error}") from error
        opened = opening.pop_all()
    return _FileCheck(folder, metadata, FolderTree(root, Scheme(match[1]), metadata), repair).run(opened)


class _FileCheck:
    """One check of one folder."""

    def __init__(self, folder: Path, metadata: MetadataFolder, tree: FolderTree, repair: bool) -> None:
        self._folder = folder
        self._own = folder / NAME
        self._metadata = metadata
        self._tree = tree
        # Expired documents are on the disk like others, so the clock does not matter.
        self._reader = FileReader(tree, metadata, lambda: 0, DigestCache().digest)
        self._repair = repair
        self._reported: set[str] = set()
        """Fingerprints of the documents whose sidecar has a finding."""
        self._undecided = 0

    def run(self, opened: ExitStack) -> Checked:
        with opened:
            try:
                skipped = SkippedEntries()
                for key in iter_keys(self._tree, "", "", skipped):
                    yield from self._document(key)
                if skipped.count:
                    yield Finding(str(self._folder), f"{skipped.count} folders can't be read, first {skipped.first}")
                for place, problem in orphaned_names(self._tree):
                    yield Finding(str(self._metadata.path_of(place)), problem)
                yield from self._sidecars()
                yield from self._markers()
                for name in self._metadata.names("tmp"):
                    yield from self._orphan("tmp", name, "no process is writing this file", lambda: True)
            except EngineError as error:
                yield Finding(str(self._folder), f"the check can't continue: {error}")
            except OSError as error:
                where = str(error.filename or self._folder)
                yield Finding(where, f"the check can't continue: {error.strerror or error}")
        if self._undecided:
            _log.warning("%s is in use: %d files are orphans or uploads in progress", self._own, self._undecided)

    def _document(self, key: str) -> Checked:
        path = str(self._reader.path_of(key))
        try:
            stored = self._reader.find(key)
            if stored is not None and stored.entry is None and self._sidecar(key) is not None:
                # A write may have created its sidecar since then, so look again.
                stored = self._reader.find(key)
            if stored is not None:
                fault = self._fault_of(stored)
                yield Finding(str(self._metadata.path_of(stored.place)), fault) if fault else stored.meta
        except CorruptData as error:
            self._reported.add(fingerprint(key))
            yield Finding(path, str(error))
        except EngineError as error:
            yield Finding(path, str(error))
        except OSError as error:
            yield Finding(path, f"can't be read: {error.strerror or error}")

    def _sidecar(self, key: str) -> bytes | None:
        return self._metadata.read("meta", fingerprint(key))

    def _fault_of(self, stored: StoredFile) -> str | None:
        key = stored.meta.key
        if stored.entry is None:
            if self._sidecar(key) is None:
                return None  # untracked: there is no metadata to compare with
            return "it was changed after it was written, by hand or by damage: its size or time differs"
        digest, size = hash_file(stored.file)
        fault = fault_of(stored.meta, digest, size)
        if fault is None and stored.meta.expires_ns is not None:
            marker = f"{max(stored.meta.expires_ns, 0):020d}-{fingerprint(key)}"
            if not (self._own / "expiring" / marker).exists() and self._is_current(stored):
                return "it expires, but has no marker and would never be swept"
        return fault

    def _is_current(self, stored: StoredFile) -> bool:
        now = self._reader.find(stored.meta.key)
        return now is not None and now.meta == stored.meta

    def _sidecars(self) -> Iterator[Finding]:
        for name in self._metadata.names("meta"):
            sidecar = None if name in self._reported else self._metadata.read("meta", name)
            if sidecar is None:
                continue
            path = str(self._own / "meta" / name)
            try:
                keys = _keys_of(sidecar)
            except (CorruptData, ValueError) as error:
                yield Finding(path, f"not the sidecar of a document: {error}")
                continue
            if not _FINGERPRINT.fullmatch(name) or any(fingerprint(key) != name for key in keys):
                yield Finding(path, f"it is the sidecar of another document: {', '.join(map(repr, keys))}")
                continue
            yield from self._orphan("meta", name, "the document of this sidecar does not exist", self._are_absent(keys))

    def _are_absent(self, keys: list[str]) -> Callable[[], bool]:
        return lambda: all(self._reader.find(key) is None for key in keys)

    def _markers(self) -> Iterator[Finding]:
        for name in self._metadata.names("expiring"):
            match = _MARKER.fullmatch(name)
            if match is None:
                yield Finding(str(self._own / "expiring" / name), "not an expiry marker")
            elif match[2] not in self._reported:
                is_orphan = self._is_useless(int(match[1]), match[2])
                yield from self._orphan("expiring", name, "no document expires then", is_orphan)

    def _is_useless(self, expires_ns: int, mark: str) -> Callable[[], bool]:
        def is_useless() -> bool:
            sidecar = self._metadata.read("meta", mark)
            try:
                stored = None if sidecar is None else self._reader.find(_keys_of(sidecar)[0])
            except (CorruptData, ValueError, IndexError):
                return False  # the sidecar has its own finding
            return stored is None or max(stored.meta.expires_ns or 0, 0) != expires_ns

        return is_useless

    def _orphan(self, kind: str, name: str, problem: str, is_orphan: Callable[[], bool]) -> Iterator[Finding]:
        """Decide while no other process has the store open, because uploads in progress look like orphans."""
        if not is_orphan():
            return
        path = self._own / kind / name
        with exclusive_access(self._own / "lock") as exclusive:
            if not exclusive:
                self._undecided += 1
            elif path.exists() and is_orphan():
                if self._repair:
                    self._metadata.remove(kind, name)
                yield Finding(str(path), problem, orphan=True, removed=self._repair)


def _keys_of(sidecar: bytes) -> list[str]:
    """The keys of all entries of a sidecar. Raise CorruptData or ValueError."""
    lines = [line.partition(b" ") for line in sidecar.splitlines()]
    if not lines:
        raise ValueError("it is empty")
    for mtime_ns, _, _packed in lines:
        int(mtime_ns)
    return list(dict.fromkeys(Meta.unpack(packed).key for _, _, packed in lines))
