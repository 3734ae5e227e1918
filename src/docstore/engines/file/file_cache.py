"""Documents that were read from the folder, in memory for as long as the folder shows that they have not changed.

Other programs change the folder, so each use asks the system for the status of the folders above the file, of the file
and of its sidecar, without opening them. Documents are kept only where this shows every later change:

- A change gets the time of the file system's clock, whose step may be two seconds. So a file is kept if its last change
  was more than two seconds before it was read. Then each later change, a rename too, gives it another time.
- A network file system may show a status from its cache. So a file is kept if it is on a known local file system.
- Writes through a memory map may leave the times as they are. A tracked document keeps the content that its digest is
  of; that of an untracked one is compared with its file.
- The name of a document aside depends on a folder, too. It is not kept.

A document with an open file is dropped after a second, because the space of a removed file is not free before. It is
not kept when half of the descriptors of the process are in use: connections and writes need the others.

All of it happens on the event loop, because a status takes a microsecond and a thread hop thirty. Reading small files
there was rejected: one that the system does not have in memory would stall all other requests.
"""

import asyncio
import os
import stat
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Final

from docstore.content import BytesContent
from docstore.engines.file.filenames import Scheme, place_of
from docstore.engines.file.metadata import MetadataFolder, fingerprint, read_whole
from docstore.engines.file.reader import StoredFile
from docstore.engines.file.untracked import COARSE_CLOCK_NS, FileState, file_state
from docstore.frozen import frozen_dataclass
from docstore.model import Clock, Document

if sys.platform != "win32":
    from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit

FILE_CACHE_SIZE: Final = 16 * 1024 * 1024
"""Bytes of content, and of the next two for each document and each open file."""
_ENTRY_SIZE: Final = 1024
_OPEN_FILE_SIZE: Final = 64 * 1024
OPEN_FILE_S: Final = 1.0
"""How long a file is kept open."""

_LOCAL: Final = {"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"}

_Place = tuple[tuple[bytes, ...], bytes, str]
"""The paths of the folders above a file, that of the file, and the name of its sidecar."""
_Seen = tuple[tuple[int, ...] | None, ...]
"""The rights, inode and device of each of the folders, then the states of the file and of its sidecar."""


@frozen_dataclass(frozen=True, slots=True)
class _Entry:
    document: Document
    place: _Place
    seen: _Seen
    opened: StoredFile | None
    """Keeps the file of a large or untracked document open."""
    size: int


class FileCache:
    """The documents of one mount that were used last. Only the event loop may use it."""

    def __init__(self, root: int, scheme: Scheme, metadata: MetadataFolder, clock: Clock) -> None:
        """`root` is a descriptor of the mount's folder, open as long as this is used."""
        self._root = root
        self._device = os.fstat(root).st_dev if _is_local(root) else None
        self._scheme = scheme
        self._metadata = metadata
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._size = 0

    def get(self, key: str) -> Document | None:
        """Return the document of `key`, if it is here; else it must be read."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        expires_ns = entry.document.meta.expires_ns
        if not self._is_current(entry) or (expires_ns is not None and expires_ns <= self._clock()):
            self.forget(key)
            return None
        self._entries.move_to_end(key)
        return entry.document

    def _is_current(self, entry: _Entry) -> bool:
        try:
            if self._look(entry.place) != entry.seen:
                return False
            content, opened = entry.document.content, entry.opened
            if opened is None or not isinstance(content, BytesContent):
                return True
            return read_whole(opened.file, content.size + 1) == content.data
        except OSError:
            return False

    def _look(self, place: _Place) -> _Seen:
        folders, path, mark = place
        folder_states = (os.stat(folder, dir_fd=self._root, follow_symlinks=False)[:3] for folder in folders)
        state = file_state(os.stat(path, dir_fd=self._root, follow_symlinks=False))
        return (*folder_states, state, self._metadata.state("meta", mark))

    def add(self, document: Document, stored: StoredFile, before_ns: int) -> None:
        """Keep a document that was read from `stored`, if possible. The system's clock showed `before_ns` before."""
        key, content = document.meta.key, document.content
        states = file_state(stored.status), stored.sidecar
        names = stored.place
        if names != place_of(key, self._scheme) or not all(self._shows_changes(state, before_ns) for state in states):
            return
        place = tuple(b"/".join(names[:depth]) for depth in range(1, len(names))), b"/".join(names), fingerprint(key)
        try:
            seen = self._look(place)
        except OSError:
            return
        if seen[-2:] != states or not all(folder and stat.S_ISDIR(folder[0]) for folder in seen[:-2]):
            return
        opened = None if stored.tracked and isinstance(content, BytesContent) else stored
        if opened is not None and not _leaves_enough_descriptors(stored.file.number):
            return
        held = content.size if isinstance(content, BytesContent) else 0
        entry = _Entry(document, place, seen, opened, held + _ENTRY_SIZE + (_OPEN_FILE_SIZE if opened else 0))
        self.forget(key)
        self._entries[key] = entry
        self._size += entry.size
        while self._size > FILE_CACHE_SIZE:
            self.forget(next(iter(self._entries)))
        if opened is not None:
            asyncio.get_running_loop().call_later(OPEN_FILE_S, self._drop, key, seen)

    def _shows_changes(self, state: FileState | None, before_ns: int) -> bool:
        """Whether a file in this state has another state after each change; None is a file that does not exist."""
        if state is None:
            return True
        device, _, _, mtime_ns, ctime_ns = state
        return device == self._device and max(mtime_ns, ctime_ns) < before_ns - COARSE_CLOCK_NS

    def _drop(self, key: str, seen: _Seen) -> None:
        entry = self._entries.get(key)
        if entry is not None and entry.seen is seen:
            self.forget(key)

    def forget(self, key: str) -> None:
        """Drop a document that this process has changed: the space of its file is free then."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._size -= entry.size

    def clear(self) -> None:
        self._entries.clear()
        self._size = 0


def _leaves_enough_descriptors(number: int) -> bool:
    """Whether fewer than half of the descriptors are in use; `number` was the lowest free one when it was opened."""
    if sys.platform == "win32":
        return True
    limit, _ = getrlimit(RLIMIT_NOFILE)
    return limit == RLIM_INFINITY or number < limit // 2


def _is_local(folder: int) -> bool:
    """Whether an open folder is on a file system that is known to be local; False on systems other than Linux."""
    try:
        opened = Path(f"/proc/self/fdinfo/{folder}").read_text().split()
        mounts = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
        number = opened[opened.index("mnt_id:") + 1]
    except (OSError, ValueError):
        return False
    return any(line.split()[0] == number and line.partition(" - ")[2].split()[0] in _LOCAL for line in mounts)
