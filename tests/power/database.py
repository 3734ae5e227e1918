"""A VFS that does what SQLite's own does, and records it.

SQLite fsyncs the folder of a journal or of a log by itself, when it first syncs the file. This is not taken on trust:
SQLite opens a folder only for this purpose, by a system call that an application can replace.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import apsw

from tests.power.disk import SOME_TIME_NS, Cut, Put, Synced
from tests.power.recorder import Recorder

_NAME: Final = "docstore-power"
_OPEN_FOLDER: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(ctypes.c_int))


class _Noted(apsw.VFS):
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        super().__init__(_NAME, "unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> "_NotedFile":
        return _NotedFile(self._recorder, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        with self._recorder.lock:
            self._recorder.unnamed(filename)
            super().xDelete(filename, syncdir)


class _NotedFile(apsw.VFSFile):
    def __init__(self, recorder: Recorder, name: Any, flags: list[int]) -> None:
        self._recorder = recorder
        path = Path(name.filename() if isinstance(name, apsw.URIFilename) else name)
        with recorder.lock:
            stood = path.exists()
            super().__init__("unix", name, flags)
            if not stood:
                folder = recorder.node_at(path.parent)
                recorder.made(path.stat(), folder, os.fsencode(path.name), (b"", SOME_TIME_NS))
            node = recorder.node_at(path)
            assert node is not None
            self._node = node

    def xWrite(self, data: bytes, offset: int) -> None:
        with self._recorder.lock:
            super().xWrite(data, offset)
            self._recorder.note(Put(self._node, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:
        with self._recorder.lock:
            super().xTruncate(size)
            self._recorder.note(Cut(self._node, size))

    def xSync(self, flags: int) -> None:
        with self._recorder.lock:
            # The file is synced before its folder, which is noted while SQLite does it.
            self._recorder.note(Synced(self._node))
            super().xSync(flags)


class _Unsynced(apsw.VFS):
    def __init__(self) -> None:
        super().__init__(_NAME, "unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> "_UnsyncedFile":
        return _UnsyncedFile("unix", name, flags)


class _UnsyncedFile(apsw.VFSFile):
    def xLock(self, level: int) -> None:
        """SQLite continues if a read-only connection can't get the last lock; apsw would raise the error from close."""
        try:
            super().xLock(level)
        except apsw.IOError as error:
            raise apsw.BusyError(str(error)) from error

    def xSync(self, flags: int) -> None:
        """Do nothing: the power loss is simulated."""


@contextmanager
def databases_noted(recorder: Recorder) -> Iterator[None]:
    """Notes what SQLite does inside."""

    @_OPEN_FOLDER
    def open_folder(path: bytes, descriptor: Any) -> int:
        folder = recorder.node_at(Path(os.fsdecode(path)).parent)
        assert folder is not None
        recorder.note(Synced(folder))
        return really(path, descriptor)

    files = _Noted(recorder)
    address = files.xGetSystemCall("openDirectory")
    really = _OPEN_FOLDER(address)
    files.xSetSystemCall("openDirectory", ctypes.cast(open_folder, ctypes.c_void_p).value)
    try:
        yield
    finally:
        files.xSetSystemCall("openDirectory", address)
        _unregister(files)


@contextmanager
def databases_unsynced() -> Iterator[None]:
    files = _Unsynced()
    try:
        yield
    finally:
        _unregister(files)


def _unregister(files: apsw.VFS) -> None:
    files.unregister()
    apsw.set_default_vfs("unix")
