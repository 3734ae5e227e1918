"""The folders of one mount, opened name by name from a descriptor, so that no link ever leads out of the mount.

Paths joined from names were rejected: links among the folders would be followed, and a key of 1,024 bytes can be longer
on disk than the system's limit for paths.

The name of a folder that was made a moment ago may not be on the disk yet. So a writer fsyncs the names of the folders
above its file, once, and remembers their inodes. It does not notice when another process removes and makes a folder
again; there the file system's journal keeps the order.
"""

import errno
import os
import stat
import threading
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Final

from docstore.content import Descriptor
from docstore.engines.file.filenames import NamePath, Scheme, aside_of, place_of
from docstore.engines.file.metadata import MetadataFolder, fingerprint
from docstore.engines.shared.store_files import is_store_file
from docstore.errors import PathConflict

_NOFOLLOW: Final[int] = getattr(os, "O_NOFOLLOW", 0)
_FOLDER_FLAGS: Final[int] = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _NOFOLLOW
# Without O_NONBLOCK, opening a named pipe would wait for its writer.
_FILE_FLAGS: Final[int] = os.O_RDONLY | _NOFOLLOW | getattr(os, "O_NONBLOCK", 0)

_NOT_THERE: Final = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.ENODEV}
_IN_USE: Final = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EBUSY}

_SYNCED_LIMIT: Final = 100_000
"""Folders whose names are known to be on the disk; when there are more, all are forgotten."""


def _open(name: bytes, flags: int, folder: int) -> Descriptor | None:
    """Return None when nothing has the name, or something else: a link, a socket, a file instead of a folder."""
    try:
        return Descriptor(os.open(name, flags, dir_fd=folder))
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise


def open_folder_in(folder: Descriptor, name: bytes) -> Descriptor | None:
    return _open(name, _FOLDER_FLAGS, folder.number)


def open_file_in(folder: Descriptor, name: bytes) -> tuple[Descriptor, os.stat_result] | None:
    """Open a regular file; return it with its status.

    Raise PathConflict for a file of another engine's store: closing it again would drop that store's locks.
    """
    if is_store_file(name, folder.number):
        raise PathConflict(f"{os.fsdecode(name)} belongs to another store that is open in this process")
    descriptor = _open(name, _FILE_FLAGS, folder.number)
    if descriptor is None:
        return None
    status = os.fstat(descriptor.number)
    return (descriptor, status) if stat.S_ISREG(status.st_mode) else None


def status_in(folder: Descriptor, name: bytes) -> os.stat_result | None:
    """Return the status of whatever has this name, without following links."""
    try:
        return os.stat(name, dir_fd=folder.number, follow_symlinks=False)
    except FileNotFoundError:
        return None


class FolderTree:
    """All folders under `root`, a descriptor of the mount's folder that stays open as long as this is used."""

    def __init__(self, root: int, scheme: Scheme, metadata: MetadataFolder) -> None:
        self.scheme = scheme
        self._root = root
        self._metadata = metadata
        self._synced: set[tuple[int, int]] = set()
        self._syncing = threading.Lock()
        """Keeps changes of `_synced` and removals of folders apart."""

    def path_of(self, place: NamePath) -> Path:
        """The path of a document, for messages only."""
        return self._metadata.path_of(place)

    def top(self) -> Descriptor:
        """Open the mount's folder; two threads that list one descriptor would share its position."""
        return Descriptor(os.open(".", _FOLDER_FLAGS, dir_fd=self._root))

    def folder(self, place: NamePath) -> Descriptor | None:
        """Open a folder if it exists. To list entries, use `top` or a FolderCursor instead."""
        if not place:
            return Descriptor(os.dup(self._root))
        folder = _open(place[0], _FOLDER_FLAGS, self._root)
        for name in place[1:]:
            if folder is None:
                return None
            folder = open_folder_in(folder, name)
        return folder

    def status(self, place: NamePath) -> os.stat_result | None:
        folder = self.folder(place[:-1])
        return None if folder is None else status_in(folder, place[-1])

    def durable_folder(self, place: NamePath) -> Descriptor | None:
        """Open a folder to write into; make its name and those above it durable, also if others created them."""
        folder = Descriptor(os.dup(self._root))
        for name in place:
            below = open_folder_in(folder, name)
            if below is None:
                return None
            self._sync_name(folder, below)
            folder = below
        return folder

    def _sync_name(self, above: Descriptor, folder: Descriptor) -> None:
        status = os.fstat(folder.number)
        inode = status.st_dev, status.st_ino
        with self._syncing:
            if inode in self._synced:
                return
        os.fsync(above.number)
        with self._syncing:
            # A removed folder's inode is used again, but not while this descriptor is open.
            if os.fstat(folder.number).st_nlink:
                if len(self._synced) == _SYNCED_LIMIT:
                    self._synced.clear()
                self._synced.add(inode)

    def place_for(self, key: str) -> NamePath:
        """Return the place for a new document: aside when a folder has its name."""
        place = place_of(key, self.scheme)
        status = self.status(place)
        return aside_of(key, self.scheme) if status and stat.S_ISDIR(status.st_mode) else place

    def make(self, key: str, place: NamePath) -> None:
        """Create the folders above `place`, the place of `key`. Other writers may remove them while they are empty.

        Raise FileNotFoundError when one was removed meanwhile.
        """
        keys_above = accumulate(key.split("/")[:-1], "{}/{}".format)
        owners = {place_of(owner, self.scheme): owner for owner in keys_above}
        for depth in range(1, len(place)):
            folder = self.folder(place[: depth - 1])
            if folder is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            owner = owners.get(place[:depth])
            if owner is None:
                _make_folder(folder, place[depth - 1])
            else:
                self._make_shared(folder, place[:depth], owner)

    def _make_shared(self, folder: Descriptor, place: NamePath, owner: str) -> None:
        """Make a folder whose name is also that of the document `owner`."""
        name = place[-1]
        status = status_in(folder, name)
        if status is not None and stat.S_ISDIR(status.st_mode):
            return
        # The document's lock keeps its writers from taking the name between the check and the mkdir.
        with self._metadata.locked(fingerprint(owner)):
            status = status_in(folder, name)
            if status is not None and stat.S_ISREG(status.st_mode):
                self._move_aside(folder, name, aside_of(owner, self.scheme)[len(place) - 1 :])
            elif status is not None and not stat.S_ISDIR(status.st_mode):
                raise PathConflict(f"{owner!r} is neither a folder nor a document")
            _make_folder(folder, name)

    def _move_aside(self, folder: Descriptor, name: bytes, aside: NamePath) -> None:
        to = folder
        for above in aside[:-1]:  # a name of 255 bytes can't get a suffix, so the suffix is a name in a folder
            _make_folder(to, above)
            os.fsync(to.number)
            below = open_folder_in(to, above)
            if below is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            to = below
        os.rename(name, aside[-1], src_dir_fd=folder.number, dst_dir_fd=to.number)
        os.fsync(to.number)

    def prune(self, place: NamePath) -> None:
        """Remove the folder at `place` and those above it while they are empty."""
        for depth in range(len(place), 0, -1):
            folder = self.folder(place[: depth - 1])
            try:
                if folder is not None:
                    self._remove_folder(folder, place[depth - 1])
            except OSError as error:
                if error.errno in _IN_USE:
                    return
                if error.errno != errno.ENOENT:
                    raise

    def _remove_folder(self, folder: Descriptor, name: bytes) -> None:
        with self._syncing:
            status = status_in(folder, name)
            os.rmdir(name, dir_fd=folder.number)
            if status is not None:
                self._synced.discard((status.st_dev, status.st_ino))


def _make_folder(folder: Descriptor, name: bytes) -> None:
    """Make a folder, not yet durably."""
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=folder.number)


class FolderCursor:
    """The folder last visited, kept open: a step to one below it opens one name, not all names from the top."""

    def __init__(self, tree: FolderTree) -> None:
        self._tree = tree
        self._place: NamePath = ()
        self._folder = tree.top()

    def move(self, place: NamePath) -> Descriptor | None:
        """Return the folder, valid until the next move; None when it does not exist."""
        if place[: len(self._place)] != self._place:
            self._place, self._folder = (), self._tree.top()
        for name in place[len(self._place) :]:
            below = open_folder_in(self._folder, name)
            if below is None:
                return None
            self._place, self._folder = (*self._place, name), below
        return self._folder
