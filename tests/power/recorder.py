"""Record an engine's changes of the disk, in order: the functions of `os` that it uses, and SQLite's files.

Each step is done and recorded under one lock, so the recorded order is the real one, also among threads. A function
that could change a folder and is not known here is refused, and when a recording ends, replaying it must give the
content of the folder, byte for byte: no change goes unrecorded.

SQLite's files are recorded through a VFS (database.py). Locks, the index of SQLite's log (-shm) and a reserve are left
out: no process relies on their content, and each creates them when they are absent.

Hooks in the engines were rejected: they would record what an engine intends, not what it does.
"""

import itertools
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, Final

import pytest

from tests.power.disk import SOME_TIME_NS, TOP, Change, Disk, Image, Made, Named, Put, Synced, Timed
from tests.power.expected import Event

KNOWN: Final = ("open", "write", "fsync", "rename", "unlink", "mkdir", "rmdir", "utime", "posix_fallocate", "truncate")
REFUSED: Final = (
    *("link", "symlink", "replace", "remove", "removedirs", "renames", "ftruncate", "pwrite", "pwritev"),
    *("writev", "fdatasync", "sync", "sendfile", "copy_file_range", "splice", "setxattr"),
    *("removexattr", "chmod", "fchmod", "chown", "fchown", "mkfifo", "mknod"),
)

RESERVE: Final = b"-reserve"
"""The suffix of the reserve's file, which has no content."""

Step = Change | Event


class Recorder:
    """Records changes below a folder; what was there before is taken to be durable."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stood: list[Step] = []
        """The steps that create the initial state of the disk."""
        self.steps: list[Step] = []
        self.lock = RLock()
        self._nodes: dict[tuple[int, int], int] = {}
        self._numbers = itertools.count(TOP + 1)
        self._lock_folders: set[int] = set()
        self._real: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in KNOWN}
        self._know(folder, TOP)
        self._stood()

    def _stood(self) -> None:
        for path, content in seen(self.folder).items():
            place = self.folder / os.fsdecode(path)
            self.made(place.lstat(), self.node_at(place.parent), os.fsencode(place.name), content)
        self.stood = [*self.steps, *(Synced(node) for node in self._nodes.values())]
        self.steps.clear()

    def _know(self, path: Path, node: int) -> None:
        status = path.stat()
        self._nodes[status.st_dev, status.st_ino] = node

    def node_of(self, status: os.stat_result) -> int | None:
        return self._nodes.get((status.st_dev, status.st_ino))

    def node_at(self, path: Any, folder: int | None = None) -> int | None:
        """Of what is at a path now, None when that is not recorded."""
        try:
            return self.node_of(os.stat(path, dir_fd=folder, follow_symlinks=False))
        except FileNotFoundError:
            return None

    def made(
        self, status: os.stat_result, folder: int | None, name: bytes, content: tuple[bytes, int] | None
    ) -> int | None:
        """Record a new name."""
        # The system reuses the number of a removed inode; it is a new node nevertheless.
        if folder is None or folder in self._lock_folders or name == b"lock" or name.endswith(RESERVE):
            self._nodes.pop((status.st_dev, status.st_ino), None)
            return None
        node = self._nodes[status.st_dev, status.st_ino] = next(self._numbers)
        if name == b"locks":
            self._lock_folders.add(node)
        self.steps += [Made(node, content), Named(((folder, name, node),))]
        return node

    def note(self, step: Step) -> None:
        with self.lock:
            self.steps.append(step)

    @contextmanager
    def running(self, patch: pytest.MonkeyPatch) -> Iterator[None]:
        """Notes all that is done inside."""
        with patch.context() as patched:
            for name in KNOWN:
                patched.setattr(os, name, getattr(self, f"_{name}"))
            patched.setattr(os, "supports_dir_fd", {*os.supports_dir_fd, os.open})
            for name in REFUSED:
                if hasattr(os, name):
                    patched.setattr(os, name, _refusing(name))
            yield
        disk = Disk()
        for step in (*self.stood, *self.steps):
            if isinstance(step, Change):
                disk.apply(step)
        assert _without_times(disk.whole()) == _without_times(seen(self.folder)), "a step was not noted"

    def _above(self, path: Any, folder: int | None) -> tuple[int | None, bytes]:
        """The folder that holds this name, and the name."""
        above, name = os.path.split(os.fsencode(path))
        return self.node_at(above or b".", folder), name

    def _open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        with self.lock:
            assert not flags & os.O_TRUNC, "the recorder does not know O_TRUNC"
            new = flags & os.O_CREAT and not _stands(path, dir_fd)
            descriptor: int = self._real["open"](path, flags, mode, dir_fd=dir_fd)
            if new:
                folder, name = self._above(path, dir_fd)
                self.made(os.fstat(descriptor), folder, name, (b"", SOME_TIME_NS))
            return descriptor

    def _write(self, descriptor: int, data: Any) -> int:
        with self.lock:
            status = os.fstat(descriptor)
            offset = os.lseek(descriptor, 0, os.SEEK_CUR) if stat.S_ISREG(status.st_mode) else 0
            count: int = self._real["write"](descriptor, data)
            file = self.node_of(status)
            if file is not None:
                self.steps.append(Put(file, offset, bytes(data[:count])))
            return count

    def _fsync(self, descriptor: int) -> None:
        # A real fsync would only cost time, because the power loss is simulated.
        with self.lock:
            node = self.node_of(os.fstat(descriptor))
            if node is not None:
                self.steps.append(Synced(node))

    def _utime(self, descriptor: int, *, ns: tuple[int, int]) -> None:
        with self.lock:
            self._real["utime"](descriptor, ns=ns)
            node = self.node_of(os.fstat(descriptor))
            if node is not None:
                self.steps.append(Timed(node, ns[1]))

    def _posix_fallocate(self, descriptor: int, offset: int, size: int) -> None:
        assert self.node_of(os.fstat(descriptor)) is None, "the recorder knows of no room but that of a reserve"
        self._real["posix_fallocate"](descriptor, offset, size)

    def _truncate(self, path: Any, size: int) -> None:
        assert os.fsencode(path).endswith(RESERVE), "the recorder does not know os.truncate of what is no reserve"
        self._real["truncate"](path, size)

    def _rename(self, old: Any, new: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        with self.lock:
            node = self.node_at(old, src_dir_fd)
            self._real["rename"](old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
            (source, old_name), (target, new_name) = self._above(old, src_dir_fd), self._above(new, dst_dir_fd)
            assert source is not None
            assert target is not None
            assert node is not None
            self.steps.append(Named(((target, new_name, node), (source, old_name, None))))

    def _unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        with self.lock:
            self._real["unlink"](path, dir_fd=dir_fd)
            self.unnamed(path, dir_fd)

    def _rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        with self.lock:
            self._real["rmdir"](path, dir_fd=dir_fd)
            self.unnamed(path, dir_fd)

    def unnamed(self, path: Any, dir_fd: int | None = None) -> None:
        """Record a removed name."""
        folder, name = self._above(path, dir_fd)
        if folder is not None:
            self.steps.append(Named(((folder, name, None),)))

    def _mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        with self.lock:
            self._real["mkdir"](path, mode, dir_fd=dir_fd)
            self.made(os.stat(path, dir_fd=dir_fd), *self._above(path, dir_fd), None)


def _stands(path: Any, folder: int | None) -> bool:
    try:
        os.stat(path, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _refusing(name: str) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError(f"the recorder does not know os.{name}")

    return refuse


def seen(folder: Path) -> Image:
    """Yield the content of a folder, parents first, without locks and the index of SQLite's log."""
    image: dict[bytes, tuple[bytes, int] | None] = {}
    for path in sorted(folder.rglob("*")):
        if path.name == "lock" or path.parent.name == "locks" or path.name.endswith(("-shm", "-reserve")):
            continue
        name = os.fsencode(path.relative_to(folder))
        image[name] = None if path.is_dir() else (path.read_bytes(), path.stat().st_mtime_ns)
    return image


def _without_times(image: Image) -> dict[bytes, bytes | None]:
    return {path: content and content[0] for path, content in image.items()}
