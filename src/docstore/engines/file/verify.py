"""Looking over a folder of documents, without an engine and while others may use it.

In this order: every document against its record and its marker of expiry; every name in the folder, which must be
exactly what its key is written as; every sidecar, marker and temporary file, which must belong to a document. A file
that has a sidecar but no record in it was changed after it was written: by hand, which is allowed, or by damage. The
two can't be told apart, so it is a finding until the document is written again.

A kill may leave a sidecar or a marker without its document: those are orphans, like a temporary file. What markers and
the format look like is written here again, on purpose: a mistake in the writer must not hide itself.
"""

import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from docstore.content import CHUNK_SIZE, Descriptor
from docstore.engines.file.filenames import Scheme
from docstore.engines.file.listing import LeftOut, keys
from docstore.engines.file.metadata import NAME, Control, fingerprint
from docstore.engines.file.orphans import strays
from docstore.engines.file.reader import Found, Reader
from docstore.engines.file.tree import Tree
from docstore.engines.file.untracked import Digests
from docstore.engines.registry import EngineURL
from docstore.engines.shared.verify import Checked, Finding, alone, fault_of
from docstore.errors import CorruptData, EngineError, OpenError
from docstore.model import Meta

_FORMAT: Final = re.compile(r"docstore file 1 (plain|folded)\n")
_MARKER: Final = re.compile(r"([0-9]{20,})-([0-9a-f]{64})")
_MARK: Final = re.compile(r"[0-9a-f]{64}")

_log: Final = logging.getLogger(__name__)


def check_file(url: EngineURL, repair: bool) -> Checked:
    """Raises OpenError for a folder that no engine has opened yet."""
    url.refuse_options()
    folder = Path(url.location).absolute()
    own = folder / NAME
    with ExitStack() as opening:
        try:
            if not url.location or not own.is_dir():
                raise OpenError(f"{folder}: there is no store of documents")
            format_line = (own / "format").read_text(errors="replace")
            match = _FORMAT.fullmatch(format_line)
            if match is None:
                raise OpenError(f"{own / 'format'}: not written by this version of Docstore")
            root = os.open(folder, os.O_RDONLY)
            opening.callback(os.close, root)
            control = Control(folder, opening)
        except (OSError, ValueError) as error:
            raise OpenError(f"{folder} can't be opened: {error}") from error
        opened = opening.pop_all()
    return _Check(folder, control, Tree(root, Scheme(match[1]), control), repair).run(opened)


class _Check:
    """One look over one folder."""

    def __init__(self, folder: Path, control: Control, tree: Tree, repair: bool) -> None:
        self._folder = folder
        self._own = folder / NAME
        self._control = control
        self._tree = tree
        # Expired documents are on the disk like others; no time is asked for.
        self._reader = Reader(tree, control, lambda: 0, Digests().of)
        self._repair = repair
        self._told: set[str] = set()
        """Sidecars that a finding of their document was about."""
        self._unjudged = 0

    def run(self, opened: ExitStack) -> Checked:
        with opened:
            try:
                left_out = LeftOut()
                for key in keys(self._tree, "", "", left_out):
                    yield from self._document(key)
                if left_out.count:
                    yield Finding(str(self._folder), f"{left_out.count} folders can't be read, first {left_out.first}")
                for place, what in strays(self._tree):
                    yield Finding(str(self._control.path_of(place)), what)
                yield from self._sidecars()
                yield from self._markers()
                yield from self._temporaries()
            except EngineError as error:
                yield Finding(str(self._folder), f"can't be read on: {error}")
            except OSError as error:
                yield Finding(str(error.filename or self._folder), f"can't be read on: {error.strerror or error}")
        if self._unjudged:
            _log.warning("%s is in use: %d files may be orphans, or writes on their way", self._own, self._unjudged)

    def _document(self, key: str) -> Checked:
        path = self._reader.path_of(key)
        try:
            found = self._reader.find(key)
            if found is not None and found.note is None and self._sidecar(key) is not None:
                # A write may have put its sidecar there since the look: only a second one tells.
                found = self._reader.find(key)
            if found is not None:
                fault = self._fault_of(found)
                yield Finding(str(self._control.path_of(found.place)), fault) if fault else found.meta
        except CorruptData as error:
            self._told.add(fingerprint(key))
            yield Finding(str(path), f"{error}, in {self._own / 'meta' / fingerprint(key)}")
        except EngineError as error:
            yield Finding(str(path), str(error))
        except OSError as error:
            yield Finding(str(path), f"can't be read: {error.strerror or error}")

    def _sidecar(self, key: str) -> bytes | None:
        return self._control.read("meta", fingerprint(key))

    def _fault_of(self, found: Found) -> str | None:
        key = found.meta.key
        if found.note is None:
            if self._sidecar(key) is None:
                return None  # put there by hand: nothing says what it should be
            return "it was changed after it was written, by hand or by damage: its size or time is another"
        digest, size = _digest(found.file)
        fault = fault_of(found.meta, digest, size)
        if fault is None and found.meta.expires_ns is not None:
            marker = f"{max(found.meta.expires_ns, 0):020d}-{fingerprint(key)}"
            if not (self._own / "expiring" / marker).exists() and self._stands(found):
                return "it expires, but has no marker and would never be swept"
        return fault

    def _stands(self, found: Found) -> bool:
        """Whether the document is still the one that was found."""
        now = self._reader.find(found.meta.key)
        return now is not None and now.meta == found.meta

    def _sidecars(self) -> Iterator[Finding]:
        for name in self._control.names("meta"):
            if name in self._told:
                continue
            sidecar = self._control.read("meta", name)
            if sidecar is None:
                continue
            path = str(self._own / "meta" / name)
            try:
                owners = _owners(sidecar)
            except (CorruptData, ValueError) as error:
                yield Finding(path, f"it is no record of a document: {error}")
                continue
            if not _MARK.fullmatch(name) or any(fingerprint(key) != name for key in owners):
                yield Finding(path, f"it is the record of another document: {', '.join(map(repr, owners))}")
                continue
            yield from self._orphan("meta", name, "the document of this record is not there", self._is_gone(*owners))

    def _is_gone(self, *owners: str) -> Callable[[], bool]:
        return lambda: all(self._reader.find(key) is None for key in owners)

    def _markers(self) -> Iterator[Finding]:
        for name in self._control.names("expiring"):
            match = _MARKER.fullmatch(name)
            if match is None:
                yield Finding(str(self._own / "expiring" / name), "it is no marker of an expiry")
            elif match[2] not in self._told:
                idle = self._is_idle(int(match[1]), match[2])
                yield from self._orphan("expiring", name, "no document expires then", idle)

    def _is_idle(self, expires_ns: int, mark: str) -> Callable[[], bool]:
        def idle() -> bool:
            sidecar = self._control.read("meta", mark)
            try:
                found = None if sidecar is None else self._reader.find(_owners(sidecar)[0])
            except (CorruptData, ValueError, IndexError):
                return False  # the sidecar has a finding of its own
            return found is None or max(found.meta.expires_ns or 0, 0) != expires_ns

        return idle

    def _temporaries(self) -> Iterator[Finding]:
        for name in self._control.names("tmp"):
            yield from self._orphan("tmp", name, "nobody is writing this file", lambda: True)

    def _orphan(self, kind: str, name: str, what: str, is_orphan: Callable[[], bool]) -> Iterator[Finding]:
        if not is_orphan():
            return
        path = self._own / kind / name
        with alone(self._own / "lock") as judge:
            if not judge:
                self._unjudged += 1
            elif path.exists() and is_orphan():
                if self._repair:
                    self._control.remove(kind, name)
                yield Finding(str(path), what, orphan=True, removed=self._repair)


def _owners(sidecar: bytes) -> list[str]:
    """The keys of all records in a sidecar. Raises Corrupt or ValueError for what is no sidecar."""
    lines = [line.partition(b" ") for line in sidecar.splitlines()]
    if not lines:
        raise ValueError("it is empty")
    for mtime_ns, _, _packed in lines:
        int(mtime_ns)
    return list(dict.fromkeys(Meta.unpack(packed).key for _, _, packed in lines))


def _digest(file: Descriptor) -> tuple[bytes, int]:
    state, size = hashlib.sha256(), 0
    while chunk := os.pread(file.number, CHUNK_SIZE, size):
        state.update(chunk)
        size += len(chunk)
    return state.digest(), size
