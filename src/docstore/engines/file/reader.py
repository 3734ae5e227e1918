"""Reading documents, blocking: which file holds a key, and which sidecar entry belongs to it.

Readers take no lock. Between opening a content and reading its sidecar another version may be committed, so a reader
checks the name again afterwards. A file that lost its name never gets it back, so if the name still
refers to it, it did so all the time, and the sidecar had its entry. Comparing times and sizes alone was rejected: under
a clock that does not advance, a later version may look like this one.
"""

import hashlib
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from docstore.content import BytesContent, Descriptor, FileContent
from docstore.engines.file.filenames import NamePath, aside_of, place_of
from docstore.engines.file.listing import iter_keys
from docstore.engines.file.metadata import MetadataFolder, content_identity, fingerprint, read_whole
from docstore.engines.file.tree import FolderTree, open_file_in, status_in
from docstore.engines.file.untracked import FileState, untracked_meta
from docstore.engines.shared.fs import translate_os_errors
from docstore.errors import CorruptData, EngineError, PathConflict, StorageUnavailable
from docstore.frozen import frozen_dataclass
from docstore.media_types import type_of_content
from docstore.model import Clock, Document, Meta

INLINE_FILE_LIMIT: Final = 64 * 1024
"""Bytes of content that are read into memory; larger content is returned as an open file."""

_ATTEMPTS: Final = 10
"""How often a reader tries before it waits for the writers."""

DigestFile = Callable[[Descriptor, os.stat_result], tuple[bytes, str] | None]
"""Return the SHA-256 and the media type of an open file; None when it changed while it was read."""

_log: Final = logging.getLogger(__name__)


@frozen_dataclass(frozen=True, slots=True)
class StoredFile:
    """The file of a document, expired or not, open."""

    place: NamePath
    file: Descriptor
    status: os.stat_result
    meta: Meta
    tracked: bool
    """Whether the meta is from its sidecar."""
    sidecar: FileState | None
    """The state of its sidecar before that was read; None when it had none."""


class _Changed(Exception):
    """The file was replaced, moved or edited while it was read."""


class FileReader:
    """Reads the documents of one mount; safe among threads."""

    def __init__(self, tree: FolderTree, metadata: MetadataFolder, clock: Clock, digest: DigestFile) -> None:
        """`digest` is asked for untracked files only; every method may raise what it raises."""
        self._tree = tree
        self._metadata = metadata
        self._clock = clock
        self._digest = digest

    def current(self, stored: StoredFile | None) -> Meta | None:
        """Return the meta of a document that exists and has not expired."""
        return None if stored is None or stored.meta.expired(self._clock()) else stored.meta

    def path_of(self, key: str) -> Path:
        """The path of a document, for messages only."""
        return self._metadata.path_of(place_of(key, self._tree.scheme))

    def head(self, key: str) -> Meta | None:
        return self.current(self.find(key))

    def get(self, key: str) -> tuple[Document, StoredFile] | None:
        for _ in range(_ATTEMPTS):
            stored = self.find(key)
            meta = self.current(stored)
            if stored is None or meta is None:
                return None
            if meta.size > INLINE_FILE_LIMIT:
                return Document(meta, FileContent(stored.file, 0, meta.size)), stored
            data = read_whole(stored.file, meta.size)
            unchanged = content_identity(os.fstat(stored.file.number)) == content_identity(stored.status)
            if len(data) == meta.size and unchanged:
                if not stored.tracked:
                    digest = hashlib.sha256(data).digest()
                    meta = untracked_meta(key, digest, type_of_content(data, complete=True), stored.status)
                return Document(meta, BytesContent(data)), stored
        raise self._unavailable(key)

    def list(self, prefix: str, after: str, limit: int) -> list[Meta]:
        page: list[Meta] = []
        skipped: list[str] = []
        keys = iter_keys(self._tree, prefix, after, skipped)
        while len(page) < limit and (key := next(keys, None)) is not None:
            try:
                meta = self.head(key)
            except PathConflict as error:
                skipped.append(str(error))
                continue
            except EngineError as error:
                # Any other error fails the listing: clients would take the rest for all documents.
                if not isinstance(error, CorruptData) and not isinstance(error.__cause__, PermissionError):
                    raise
                skipped.append(str(error))
                continue
            if meta is not None:
                page.append(meta)
        if skipped:
            _log.warning("a listing skipped %d files or folders, the first: %s", len(skipped), skipped[0])
        return page

    def find(self, key: str) -> StoredFile | None:
        for _ in range(_ATTEMPTS):
            with suppress(_Changed):
                return self._look_up(key)
        with self._metadata.locked(fingerprint(key)):
            return self.find_locked(key)

    def find_locked(self, key: str, *, use_sidecar: bool = True) -> StoredFile | None:
        """Find the file while the caller holds the key's lock, so that only other programs can change it.

        Without `use_sidecar` the file is untracked, whatever its sidecar says.
        """
        for _ in range(_ATTEMPTS):
            with suppress(_Changed):
                return self._look_up(key, use_sidecar=use_sidecar)
        raise self._unavailable(key)

    def _look_up(self, key: str, *, use_sidecar: bool = True) -> StoredFile | None:
        try:
            # In this order: a document moves from its place to aside, never back.
            for place in (place_of(key, self._tree.scheme), aside_of(key, self._tree.scheme)):
                stored = self._open(key, place, use_sidecar=use_sidecar)
                if stored is not None:
                    return stored
        except OSError:
            with translate_os_errors(self.path_of(key)):
                raise
        return None

    def _open(self, key: str, place: NamePath, *, use_sidecar: bool) -> StoredFile | None:
        folder = self._tree.folder(place[:-1])
        opened = None if folder is None else open_file_in(folder, place[-1])
        if folder is None or opened is None:
            return None
        file, status = opened
        meta, sidecar = self._metadata.meta_of(key, status) if use_sidecar else (None, None)
        now = status_in(folder, place[-1])
        if now is None or not os.path.samestat(now, status) or content_identity(now) != content_identity(status):
            raise _Changed
        if meta is not None:
            return StoredFile(place, file, status, meta, tracked=True, sidecar=sidecar)
        digest = self._digest(file, status)
        if digest is None:
            raise _Changed
        return StoredFile(place, file, status, untracked_meta(key, *digest, status), tracked=False, sidecar=sidecar)

    def _unavailable(self, key: str) -> StorageUnavailable:
        return StorageUnavailable(f"{self.path_of(key)}: another program keeps changing it")
