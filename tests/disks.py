"""Small and failing disks, for tests of stores on them.

A disk is a tmpfs where one can be mounted. Everywhere else, and where a test wants to look inside, it is a folder with
a budget: what makes a file in it grow beyond is refused with ENOSPC, what is cut or removed gives its bytes back. The
budget counts in the process that it was installed in, in Python's calls and in SQLite's, which go through a VFS.
"""

import dbm.dumb
import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import apsw

BLOCK = 4096
FILLER = "filler"

Step = Callable[[str, str, int], None]
"""Called with what is done, to which path, and how long the file is then; may raise OSError instead of letting it."""


def _whole_blocks(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return 0


def _used(folder: str) -> int:
    used = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                used += _used(entry.path) if entry.name != "locks" else 0
            elif not entry.name.endswith("-shm"):
                used += _whole_blocks(_size(entry.path))
    return used


class Budget:
    """A folder that takes `size` bytes and no more."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self.size = size

    def free(self) -> int:
        return max(0, self.size - _used(str(self.folder)))

    def steal(self) -> None:
        """Another program takes all that is left."""
        with (self.folder / FILLER).open("ab") as file:
            file.truncate(file.tell() + self.free())

    def step(self, what: str, path: str, size: int) -> None:
        growth = _whole_blocks(size) - _whole_blocks(_size(path))
        if what == "write" and growth > 0 and path.startswith(f"{self.folder}/") and growth > self.free():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    @contextmanager
    def installed(self) -> Iterator[None]:
        whole = os.statvfs

        def statvfs(path: Any) -> os.statvfs_result:
            answer = list(whole(path))
            answer[:5] = [BLOCK, BLOCK, self.size // BLOCK, self.free() // BLOCK, self.free() // BLOCK]
            return os.statvfs_result(answer)

        with steps(self.step), patch.object(os, "statvfs", statvfs):
            yield


class Mounted:
    """The same as a file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def free(self) -> int:
        disk = os.statvfs(self.folder)
        return disk.f_bavail * disk.f_frsize

    def steal(self) -> None:
        descriptor = os.open(self.folder / FILLER, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            while os.write(descriptor, bytes(BLOCK)):
                pass
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        finally:
            os.close(descriptor)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[tuple[Budget | Mounted, list[str]]]:
    """A disk for other processes, and how a Python is called that runs docstore on it."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "docstore-test", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        yield Budget(folder, size), ["-m", "tests.disks", str(folder), str(size)]
        return
    try:
        yield Mounted(folder), ["-m", "docstore"]
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def steps(step: Step) -> Iterator[None]:
    """`step` is asked before everything that is done to a file: open (a new one), write, sync, truncate, rename."""

    def path_of(file: int | str | bytes | Path, dir_fd: int | None = None) -> str:
        if isinstance(file, int):
            return str(Path(f"/proc/self/fd/{file}").readlink())
        name = os.fsdecode(file)
        return name if dir_fd is None else f"{path_of(dir_fd)}/{name}"

    def opening(file: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & os.O_CREAT:
            step("open", path_of(file, dir_fd), 0)
        return real["open"](file, flags, mode, dir_fd=dir_fd)

    def writing(file: int, data: bytes) -> int:
        step("write", path_of(file), os.lseek(file, 0, os.SEEK_CUR) + len(data))
        return real["write"](file, data)

    def allocating(file: int, offset: int, size: int) -> None:
        step("write", path_of(file), offset + size)
        os.ftruncate(file, max(offset + size, os.fstat(file).st_size))

    def syncing(file: int) -> None:
        step("sync", path_of(file), os.fstat(file).st_size)

    def renaming(before: Any, after: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        step("rename", path_of(after, dst_dir_fd), 0)
        real["rename"](before, after, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    patched = {"open": opening, "write": writing, "posix_fallocate": allocating, "fsync": syncing, "rename": renaming}
    real: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in patched}
    with ExitStack() as stack:
        for name, replacement in patched.items():
            stack.enter_context(patch.object(os, name, replacement))
        stack.enter_context(patch.object(os, "supports_dir_fd", {*os.supports_dir_fd, opening}))
        stack.enter_context(patch.object(dbm.dumb, "_io", _IO(step)))
        stack.enter_context(patch.object(dbm.dumb._Database, "_io", _IO(step)))  # type: ignore[attr-defined]
        vfs = _VFS(step)
        stack.callback(vfs.unregister)
        yield


class _VFS(apsw.VFS):
    def __init__(self, step: Step) -> None:
        self._step = step
        self._real = apsw.vfs_names()[0]
        super().__init__("docstore-test", self._real, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> "_File":
        return _File(self._step, self._real, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, step: Step, real: str, name: Any, flags: list[int]) -> None:
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._ask = step
        super().__init__(real, name, flags)

    def _step(self, what: str, size: int) -> None:
        try:
            self._ask(what, self._path, size)
        except OSError as error:
            # What SQLite makes of ENOSPC by itself.
            raise (apsw.FullError if what == "write" else apsw.IOError)(error.strerror) from None

    def xWrite(self, data: bytes, offset: int) -> None:
        self._step("write", offset + len(data))
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self._step("sync", 0)

    def xTruncate(self, size: int) -> None:
        self._step("truncate", size)
        super().xTruncate(size)


class _IO:
    """Takes the place of dumb's `io`."""

    def __init__(self, step: Step) -> None:
        self._step = step

    def open(self, file: Any, mode: str = "r", encoding: str | None = None) -> Any:
        raw = _Raw(os.fsdecode(file), mode, self._step)
        if mode == "rb+":
            return io.BufferedRandom(raw)
        buffered = io.BufferedWriter(raw) if mode[0] in "wa" else io.BufferedReader(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding=encoding)


class _Raw(io.FileIO):
    def __init__(self, path: str, mode: str, step: Step) -> None:
        if "w" in mode:
            step("open", path, 0)
        super().__init__(path, mode)
        self._path, self._step = path, step

    def write(self, data: Any) -> int:
        self._step("write", self._path, self.tell() + len(data))
        return super().write(data)


if __name__ == "__main__":
    from docstore.cli.main import main

    _, _folder, _size_of_disk, *_rest = sys.argv
    with Budget(Path(_folder), int(_size_of_disk)).installed():
        main(_rest)
