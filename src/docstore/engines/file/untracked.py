"""Untracked documents: files without a sidecar entry, which people or other programs created or edited.

Their digest and the media type of their content are computed on demand, and cached in memory as long as the file's
status stays the same. Writing them to the disk was rejected: a reader would become a writer.
"""

import os
import time
from typing import Final

from docstore.content import Descriptor
from docstore.engines.shared.verify import hash_file
from docstore.media_types import JSON_LIMIT, media_type_of, type_of_content
from docstore.model import Fields, Meta, version_of

_CACHE_SIZE: Final = 10_000
"""Digests in memory; when there are more, all are forgotten."""
COARSE_CLOCK_NS: Final = 2_000_000_000
"""The coarsest step of a file system's clock: younger times may stay the same after another edit."""
_QUICK_SIZE: Final = 64 * 1024
"""Bytes that are read and hashed in less than a millisecond."""
_LAST_NS: Final = 253_402_300_799 * 10**9
"""The last second of the year 9999: HTTP dates can't express later ones, which file systems have."""

FileState = tuple[int, int, int, int, int]


class SlowHash(Exception):
    """A file is too large to be hashed in a thread that other reads wait for."""


def file_state(status: os.stat_result) -> FileState:
    """The parts of a file's status that change when it is edited or replaced."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def untracked_meta(key: str, digest: bytes, content_type: str, status: os.stat_result) -> Meta:
    """`content_type` is the media type of the content alone."""
    fields = Fields(media_type_of(key, content_type))
    modified_ns = min(max(status.st_mtime_ns, 0), _LAST_NS)
    return Meta(key, version_of(digest, fields), status.st_size, digest, fields, modified_ns)


class DigestCache:
    """The SHA-256 and the media type of files by their state; safe among threads."""

    def __init__(self) -> None:
        self._digests: dict[FileState, tuple[bytes, str]] = {}

    def digest(self, file: Descriptor, status: os.stat_result) -> tuple[bytes, str] | None:
        """Return None when the file changed while it was read."""
        state = file_state(status)
        cached = self._digests.get(state)
        if cached is not None:
            return cached
        start = os.pread(file.number, JSON_LIMIT, 0)
        digest = hash_file(file)[0], type_of_content(start, len(start) == status.st_size)
        if file_state(os.fstat(file.number)) != state:
            return None
        # The file system's clock and not the engine's: the question is whether its times still tell edits apart.
        if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > COARSE_CLOCK_NS:
            if len(self._digests) >= _CACHE_SIZE:
                self._digests.clear()
            self._digests[state] = digest
        return digest

    def quick_digest(self, file: Descriptor, status: os.stat_result) -> tuple[bytes, str] | None:
        """Like `digest` for small and for cached files. Raise SlowHash for others."""
        if status.st_size > _QUICK_SIZE and file_state(status) not in self._digests:
            raise SlowHash
        return self.digest(file, status)
