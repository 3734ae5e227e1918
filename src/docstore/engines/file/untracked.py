"""Documents without a note: files that a person, or another program, put into the folder or edited there.

Their digest is computed when it is asked for, and kept in memory for as long as the file looks the same. Writing it
to the disk was rejected: a reader would become a writer.
"""

import hashlib
import mimetypes
import os
import threading
import time
from collections import OrderedDict
from typing import Final

from docstore.content import CHUNK_SIZE, Descriptor
from docstore.model import DEFAULT_MEDIA_TYPE, Fields, Meta, version_of

_KEPT: Final = 10_000
"""Digests in memory."""
_SETTLED_NS: Final = 2_000_000_000
"""The coarsest step of a file system's clock: younger times may stay the same through another edit."""
_SOON_SIZE: Final = 64 * 1024
"""Bytes that are read and hashed in less than a millisecond."""
_LAST_NS: Final = 253_402_300_799 * 10**9
"""The last second of the year 9999: what dates can be written of, though file systems keep later times."""

Look = tuple[int, int, int, int, int]


class TakesLong(Exception):
    """A file has to be hashed that is too large for a thread that others wait for."""


def look_of(status: os.stat_result) -> Look:
    """All that changes when a file is edited or replaced."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def guessed_meta(key: str, digest: bytes, status: os.stat_result) -> Meta:
    """The meta of a file that nobody has told about."""
    # With a folder before it, no name is taken for a URL with a scheme.
    media_type, encoding = mimetypes.guess_type("./" + key.rpartition("/")[2])
    fields = Fields(media_type if media_type and not encoding else DEFAULT_MEDIA_TYPE)
    modified_ns = min(max(status.st_mtime_ns, 0), _LAST_NS)
    return Meta(key, version_of(digest, fields), status.st_size, digest, fields, modified_ns)


class Digests:
    """The SHA-256 of files, by what they look like; safe among threads."""

    def __init__(self) -> None:
        self._known: OrderedDict[Look, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, file: Descriptor, status: os.stat_result) -> bytes | None:
        """None when the file changed while it was read."""
        look = look_of(status)
        known = self._find(look)
        if known is not None:
            return known
        digest = _digest(file)
        if look_of(os.fstat(file.number)) != look:
            return None
        # The file system's own clock, not the engine's: what is asked is whether its times can still tell edits apart.
        if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > _SETTLED_NS:
            self._keep(look, digest)
        return digest

    def soon(self, file: Descriptor, status: os.stat_result) -> bytes | None:
        """The same, for small and for known files. Raises TakesLong for others."""
        if status.st_size > _SOON_SIZE and self._find(look_of(status)) is None:
            raise TakesLong
        return self.of(file, status)

    def _find(self, look: Look) -> bytes | None:
        with self._lock:
            if look in self._known:
                self._known.move_to_end(look)
            return self._known.get(look)

    def _keep(self, look: Look, digest: bytes) -> None:
        with self._lock:
            self._known[look] = digest
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)


def _digest(file: Descriptor) -> bytes:
    state, position = hashlib.sha256(), 0
    while chunk := os.pread(file.number, CHUNK_SIZE, position):
        state.update(chunk)
        position += len(chunk)
    return state.digest()
