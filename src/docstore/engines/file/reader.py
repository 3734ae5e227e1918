"""Looking at documents, blocking: which file stands for a key, and which note is its own.

Readers take no lock. Between opening a content and reading its sidecar another version may be committed, so a reader
looks at the name again afterwards. The file it holds open can't have left the name and come back, so a name that still
shows it showed it all the while, and the sidecar held its note. Comparing times and sizes alone was rejected: under
a clock that stands still, the next version but one may look like this one.
"""

import hashlib
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from docstore.content import BytesContent, Descriptor, FileContent
from docstore.engines.file.filenames import Place, aside_of, place_of
from docstore.engines.file.listing import LeftOut, keys
from docstore.engines.file.metadata import Control, fingerprint, read_whole
from docstore.engines.file.sidecar import Note, fitting, identity
from docstore.engines.file.tree import Tree, open_file_in, status_in
from docstore.engines.file.untracked import guessed_meta
from docstore.engines.shared.fs import translate_os_errors
from docstore.errors import CorruptData, EngineError, StorageUnavailable
from docstore.model import Clock, Document, Meta

INLINE_LIMIT: Final = 64 * 1024
"""Bytes of content that are read into memory; larger content is handed out as its open file."""

_LOOKS: Final = 10
"""Tries before a reader waits for the writers."""

DigestOf = Callable[[Descriptor, os.stat_result], bytes | None]
"""The SHA-256 of an open file; None when it changed while it was read."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """A document, expired or not, with its content open. Without a note it was put there by hand."""

    place: Place
    file: Descriptor
    status: os.stat_result
    note: Note | None
    meta: Meta


class _Changed(Exception):
    """The file was replaced, moved or edited between two looks at it."""


class Reader:
    """Looks at the documents of one mount; safe among threads."""

    def __init__(self, tree: Tree, control: Control, clock: Clock, digest_of: DigestOf) -> None:
        """What `digest_of` raises, of a file put there by hand, every method may raise."""
        self._tree = tree
        self._control = control
        self._clock = clock
        self._digest_of = digest_of

    def present(self, found: Found | None) -> Meta | None:
        """The meta of a document that has not expired."""
        return None if found is None or found.meta.expired(self._clock()) else found.meta

    def path_of(self, key: str) -> Path:
        """Where a person would look for it."""
        return self._control.path_of(place_of(key, self._tree.scheme))

    def head(self, key: str) -> Meta | None:
        return self.present(self.find(key))

    def get(self, key: str) -> Document | None:
        for _ in range(_LOOKS):
            found = self.find(key)
            meta = self.present(found)
            if found is None or meta is None:
                return None
            if meta.size > INLINE_LIMIT:
                return Document(meta, FileContent(found.file, 0, meta.size))
            data = read_whole(found.file, meta.size)
            if len(data) == meta.size and identity(os.fstat(found.file.number)) == identity(found.status):
                if found.note is None:
                    meta = guessed_meta(key, hashlib.sha256(data).digest(), found.status)
                return Document(meta, BytesContent(data))
        raise self._unavailable(key)

    def list(self, prefix: str, after: str, limit: int) -> list[Meta]:
        page: list[Meta] = []
        left_out = LeftOut()
        candidates = keys(self._tree, prefix, after, left_out)
        while len(page) < limit and (key := next(candidates, None)) is not None:
            try:
                meta = self.present(self.find(key))
            except EngineError as error:
                # Any other failure may pass, or be one of the whole disk: the rest would be taken for all there is.
                if not isinstance(error, CorruptData) and not isinstance(error.__cause__, PermissionError):
                    raise
                left_out.add(str(error))
                continue
            if meta is not None:
                page.append(meta)
        if left_out.count:
            _log.warning("%d left out of a listing, the first: %s", left_out.count, left_out.first)
        return page

    def find(self, key: str) -> Found | None:
        for _ in range(_LOOKS):
            with suppress(_Changed):
                return self._look(key)
        with self._control.locked(fingerprint(key)):
            return self.find_locked(key)

    def find_locked(self, key: str, *, noted: bool = True) -> Found | None:
        """The same for who holds the key's lock: only other programs can still change the file.

        Not `noted`: as if it had been put there by hand, whatever its sidecar says.
        """
        for _ in range(_LOOKS):
            with suppress(_Changed):
                return self._look(key, noted=noted)
        raise self._unavailable(key)

    def _look(self, key: str, *, noted: bool = True) -> Found | None:
        try:
            return self._look_in_places(key, noted=noted)
        except OSError:
            with translate_os_errors(self.path_of(key)):
                raise

    def _look_in_places(self, key: str, *, noted: bool) -> Found | None:
        # In this order: a document moves from its place to aside, never back.
        for place in (place_of(key, self._tree.scheme), aside_of(key, self._tree.scheme)):
            folder = self._tree.folder(place[:-1])
            opened = None if folder is None else open_file_in(folder, place[-1])
            if folder is None or opened is None:
                continue
            file, status = opened
            sidecar = self._control.read("meta", fingerprint(key)) if noted else None
            now = status_in(folder, place[-1])
            if now is None or not os.path.samestat(now, status) or identity(now) != identity(status):
                raise _Changed
            note = self._fitting(sidecar, key, status) if sidecar is not None else None
            return Found(place, file, status, note, note.meta if note else self._by_hand(key, file, status))
        return None

    def _fitting(self, sidecar: bytes, key: str, status: os.stat_result) -> Note | None:
        try:
            return fitting(sidecar, key, status)
        except CorruptData as error:
            raise CorruptData(f"{self._control.own_path('meta', fingerprint(key))}: {error}") from error

    def _by_hand(self, key: str, file: Descriptor, status: os.stat_result) -> Meta:
        digest = self._digest_of(file, status)
        if digest is None:
            raise _Changed
        return guessed_meta(key, digest, status)

    def _unavailable(self, key: str) -> StorageUnavailable:
        return StorageUnavailable(f"{self.path_of(key)}: another program is changing it")
