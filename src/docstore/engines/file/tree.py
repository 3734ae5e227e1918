"""The folders of one mount, walked name by name from an open descriptor, so that no link ever leads out of them.

It knows places, not what is stored in them. A folder found standing may have been made a moment ago, by another thread
or by a process that was killed, and nobody may have fsynced its name yet: who writes into it does, once, and remembers
its inode. Another process that removes the folder and makes it anew goes unseen; there journals keep the order. Paths
joined from names were rejected: a link among the folders would be
followed, and a key of 1,024 bytes can be longer on disk than a path may be.
"""

import errno
import os
import stat
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from docstore.content import Descriptor
from docstore.engines.file.filenames import Place, Scheme, aside_of, place_of
from docstore.engines.file.metadata import Control, fingerprint
from docstore.errors import PathConflict

_NOFOLLOW: Final[int] = getattr(os, "O_NOFOLLOW", 0)
_FOLDER_FLAGS: Final[int] = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _NOFOLLOW
# Without O_NONBLOCK, opening a pipe that was put there would wait for its writer.
_FILE_FLAGS: Final[int] = os.O_RDONLY | _NOFOLLOW | getattr(os, "O_NONBLOCK", 0)

_NOT_THERE: Final = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.ENODEV}
_SETTLED_LIMIT: Final = 100_000
"""Folders whose names are known to be on the disk; when there are more, all are forgotten."""

_IN_USE: Final = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EBUSY}


def _open(name: bytes, flags: int, folder: int) -> Descriptor | None:
    """None when there is nothing, or something else: a link, a socket, a file where a folder is wanted."""
    try:
        return Descriptor(os.open(name, flags, dir_fd=folder))
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise


def open_folder_in(folder: Descriptor, name: bytes) -> Descriptor | None:
    """The folder of this name; None when there is none."""
    return _open(name, _FOLDER_FLAGS, folder.number)


def open_file_in(folder: Descriptor, name: bytes) -> tuple[Descriptor, os.stat_result] | None:
    """The plain file of this name with its status; None when there is none."""
    descriptor = _open(name, _FILE_FLAGS, folder.number)
    if descriptor is None:
        return None
    status = os.fstat(descriptor.number)
    return (descriptor, status) if stat.S_ISREG(status.st_mode) else None


def status_in(folder: Descriptor, name: bytes) -> os.stat_result | None:
    """Of whatever has this name, a link itself included; None when nothing has."""
    try:
        return os.stat(name, dir_fd=folder.number, follow_symlinks=False)
    except FileNotFoundError:
        return None


class Tree:
    """All folders under `root`, a descriptor of the mount's folder that stays open as long as this is used."""

    def __init__(self, root: int, scheme: Scheme, control: Control) -> None:
        self.scheme = scheme
        self._root = root
        self._control = control
        self._settled: set[tuple[int, int]] = set()
        self._settling = threading.Lock()
        """Keeps what is settled and the removal of folders apart."""

    def path_of(self, place: Place) -> Path:
        """For people to read in a message: nothing is opened by it."""
        return self._control.path_of(place)

    def top(self) -> Descriptor:
        """The mount's folder, opened anew: two threads that list one descriptor would share its position."""
        return Descriptor(os.open(".", _FOLDER_FLAGS, dir_fd=self._root))

    def folder(self, place: Place) -> Descriptor | None:
        """None when no folder is there. Its entries are read from `top` or a Cursor only."""
        if not place:
            return Descriptor(os.dup(self._root))
        folder = _open(place[0], _FOLDER_FLAGS, self._root)
        for name in place[1:]:
            if folder is None:
                return None
            folder = open_folder_in(folder, name)
        return folder

    def settled(self, place: Place) -> Descriptor | None:
        """The same for who writes into it: its name and those above outlive a power cut, whoever made them."""
        folder = Descriptor(os.dup(self._root))
        for name in place:
            below = open_folder_in(folder, name)
            if below is None:
                return None
            self._settle(folder, below)
            folder = below
        return folder

    def _settle(self, above: Descriptor, folder: Descriptor) -> None:
        status = os.fstat(folder.number)
        inode = status.st_dev, status.st_ino
        with self._settling:
            if inode in self._settled:
                return
        os.fsync(above.number)
        with self._settling:
            # The inode of a folder that is gone meanwhile will be another's, but not while this one is open.
            if os.fstat(folder.number).st_nlink:
                if len(self._settled) == _SETTLED_LIMIT:
                    self._settled.clear()
                self._settled.add(inode)

    def place_for(self, key: str) -> Place:
        """Where a document that does not stand yet is to stand."""
        place = place_of(key, self.scheme)
        folder = self.folder(place[:-1])
        status = folder and status_in(folder, place[-1])
        return aside_of(key, self.scheme) if status and stat.S_ISDIR(status.st_mode) else place

    def make(self, key: str, place: Place) -> None:
        """Makes the folders above `place`, where `key` is to stand. Others may remove them while they are empty.

        Raises FileNotFoundError when somebody did so meanwhile.
        """
        parts = key.split("/")
        owners = {place_of(owner, self.scheme): owner for owner in map("/".join, _beginnings(parts))}
        for depth in range(1, len(place)):
            folder = self.folder(place[: depth - 1])
            if folder is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            owner = owners.get(place[:depth])
            if owner is None:
                _make_folder(folder, place[depth - 1])
            else:
                self._make_shared(folder, place[:depth], owner)

    def _make_shared(self, folder: Descriptor, place: Place, owner: str) -> None:
        """Makes a folder whose name is also that of the document `owner`."""
        name = place[-1]
        status = status_in(folder, name)
        if status is not None and stat.S_ISDIR(status.st_mode):
            return
        # The document's lock keeps its writers from taking the name between the look and the mkdir.
        with self._control.locked(fingerprint(owner)):
            status = status_in(folder, name)
            if status is not None and stat.S_ISREG(status.st_mode):
                self._move_aside(folder, name, aside_of(owner, self.scheme)[len(place) - 1 :])
            elif status is not None and not stat.S_ISDIR(status.st_mode):
                raise PathConflict(f"{owner!r} is neither a folder nor a document")
            _make_folder(folder, name)

    def _move_aside(self, folder: Descriptor, name: bytes, aside: Place) -> None:
        to = folder
        for above in aside[:-1]:  # a name of 255 bytes has no room for one more, so it stands aside in a folder
            _make_folder(to, above)
            os.fsync(to.number)
            below = open_folder_in(to, above)
            if below is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            to = below
        os.rename(name, aside[-1], src_dir_fd=folder.number, dst_dir_fd=to.number)
        os.fsync(to.number)

    def prune(self, place: Place) -> None:
        """Removes the folder at `place` and those above it, as far as they are empty."""
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
        with self._settling:
            status = status_in(folder, name)
            os.rmdir(name, dir_fd=folder.number)
            if status is not None:
                self._settled.discard((status.st_dev, status.st_ino))


def _beginnings(parts: list[str]) -> list[list[str]]:
    return [parts[:count] for count in range(1, len(parts))]


def _make_folder(folder: Descriptor, name: bytes) -> None:
    """Its name is not on the disk yet."""
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=folder.number)


class Cursor:
    """The folder last visited, kept open: a step to one below it opens one name, not all names from the top."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._place: Place = ()
        self._folder = tree.top()

    def move(self, place: Place) -> Descriptor | None:
        """The folder, good until the next move; None when no folder is there."""
        if place[: len(self._place)] != self._place:
            self._place, self._folder = (), self._tree.top()
        for name in place[len(self._place) :]:
            below = open_folder_in(self._folder, name)
            if below is None:
                return None
            self._place, self._folder = (*self._place, name), below
        return self._folder
