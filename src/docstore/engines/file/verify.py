"""The check of a folder of documents, without an engine and while others may use it.

Every document is compared with its sidecar and its expiry marker; every name must be the exact spelling of its key;
every sidecar, marker and temporary file must belong to a document, else it is an orphan of a kill. A file that has a
sidecar without a matching entry was changed after it was written: by hand, which is allowed, or by damage. The two
can't be told apart, so it is a finding until the document is written again.

The spelling of markers and of the format is repeated here on purpose: a mistake in the writer must not hide itself.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from docstore.engines.file.filenames import NamePath, Scheme, aside_of
from docstore.engines.file.listing import iter_keys
from docstore.engines.file.metadata import NAME, MetadataFolder, fingerprint
from docstore.engines.file.reader import FileReader, StoredFile
from docstore.engines.file.tree import FolderTree
from docstore.engines.file.untracked import DigestCache
from docstore.engines.registry import EngineURL
from docstore.engines.shared.fs import translate_open_errors
from docstore.engines.shared.verify import Checked, Finding, OrphanCheck, fault_of, hash_file
from docstore.errors import CorruptData, EngineError, OpenError

_FORMAT: Final = re.compile(r"docstore file 1 (plain|folded)\n")
_MARKER: Final = re.compile(r"([0-9]{20,})-([0-9a-f]{64})")


def check_file(url: EngineURL, repair: bool) -> Checked:
    """Raise OpenError for a folder that no engine has opened yet."""
    with ExitStack() as opening, translate_open_errors(Path(url.location)):
        folder = Path(url.location).absolute()
        format_file = folder / NAME / "format"
        if not url.location or not format_file.parent.is_dir():
            raise OpenError(f"{folder}: there is no store of documents")
        match = _FORMAT.fullmatch(format_file.read_text(errors="replace"))
        if match is None:
            raise OpenError(f"{format_file}: not written by this version of Docstore")
        root = os.open(folder, os.O_RDONLY)
        opening.callback(os.close, root)
        metadata = MetadataFolder(folder, opening)
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
        self._orphans = OrphanCheck(self._own / "lock", repair)
        self._reported: set[str] = set()
        """Fingerprints of the documents whose sidecar has a finding."""

    def run(self, opened: ExitStack) -> Checked:
        with opened:
            skipped, nameless = list[str](), list[NamePath]()
            for key in iter_keys(self._tree, "", "", skipped, nameless.append):
                yield from self._document(key)
            for place in nameless:
                yield self._finding(place, "it is not a document: no key has this name")
            for problem in skipped:
                yield Finding(str(self._folder), problem)
            yield from self._sidecars()
            yield from self._markers()
            for name in self._metadata.names("tmp"):
                yield from self._orphans.report(self._own / "tmp" / name, "nobody is writing this file", lambda: True)
        self._orphans.warn()

    def _finding(self, place: NamePath, problem: str) -> Finding:
        return Finding(str(self._metadata.path_of(place)), problem)

    def _document(self, key: str) -> Checked:
        path, aside = str(self._reader.path_of(key)), aside_of(key, self._tree.scheme)
        try:
            # In this order: a document moves aside, never back.
            aside_status = self._tree.status(aside)
            stored = self._reader.find(key)
            if stored is not None and self._was_edited(stored):
                # A write may have made its sidecar since then: only a second look tells.
                stored = self._reader.find(key)
            if stored is not None:
                fault = self._fault_of(stored)
                yield self._finding(stored.place, fault) if fault else stored.meta
                if stored.place != aside and aside_status is not None and stat.S_ISREG(aside_status.st_mode):
                    yield self._finding(aside, "it is hidden by another file of the same key")
        except EngineError as error:
            if isinstance(error, CorruptData):
                self._reported.add(fingerprint(key))
            yield Finding(path, str(error))
        except OSError as error:
            yield Finding(path, f"can't be read: {error.strerror or error}")

    def _was_edited(self, stored: StoredFile) -> bool:
        return not stored.tracked and self._metadata.read("meta", fingerprint(stored.meta.key)) is not None

    def _fault_of(self, stored: StoredFile) -> str | None:
        if not stored.tracked:
            if self._was_edited(stored):
                return "it was changed after it was written, by hand or by damage: its size or time differs"
            return None  # nothing says what it should be
        fault = fault_of(stored.meta, *hash_file(stored.file))
        if fault is None and stored.meta.expires_ns is not None:
            marker = f"{max(stored.meta.expires_ns, 0):020d}-{fingerprint(stored.meta.key)}"
            if not (self._own / "expiring" / marker).exists():
                now = self._reader.find(stored.meta.key)
                if now is not None and now.meta == stored.meta:
                    return "it expires, but has no marker and would never be swept"
        return fault

    def _sidecars(self) -> Iterator[Finding]:
        for name in self._metadata.names("meta"):
            path = self._own / "meta" / name
            try:
                keys = [] if name in self._reported else self._metadata.keys_of(name)
            except CorruptData as error:
                yield Finding(str(path), str(error))
                continue
            if any(fingerprint(key) != name for key in keys):
                yield Finding(str(path), f"it is the sidecar of another document: {', '.join(map(repr, keys))}")
            elif keys:
                problem = "the document of this sidecar does not exist"
                yield from self._orphans.report(path, problem, partial(self._are_absent, keys))

    def _are_absent(self, keys: list[str]) -> bool:
        return all(self._reader.find(key) is None for key in keys)

    def _markers(self) -> Iterator[Finding]:
        for name in self._metadata.names("expiring"):
            path, match = self._own / "expiring" / name, _MARKER.fullmatch(name)
            if match is None:
                yield Finding(str(path), "it is not an expiry marker")
            elif match[2] not in self._reported:
                is_useless = partial(self._is_useless, int(match[1]), match[2])
                yield from self._orphans.report(path, "no document expires then", is_useless)

    def _is_useless(self, expires_ns: int, mark: str) -> bool:
        try:
            keys = self._metadata.keys_of(mark)
            stored = self._reader.find(keys[0]) if keys else None
        except CorruptData:
            return False  # the sidecar has a finding of its own
        return stored is None or max(stored.meta.expires_ns or 0, 0) != expires_ns
