"""Records of a shelve: framed by Docstore, in any dbm. No record is a pickle. The bytes of a record are:

    "DSR1" | size of meta: 4 | size of content: 8 | sequence: 8 | meta, packed | content | CRC-32 of all before it: 4

Each key has two slots, named KEY NUL 0 and KEY NUL 1. A write takes the slot without the current version, with a higher
sequence, so no dbm has to overwrite what must not be lost. A store without our mark is not touched.

A kill -9 leaves dbm.sqlite3 intact. dbm.gnu may refuse the store afterwards, until gdbmtool has recovered it. dbm.dumb
writes its index again on every replacement and delete: it renames PATH.dir to PATH.bak first, and takes a missing
PATH.dir for an empty one. So PATH.bak is removed after the new index is complete, and restored when it is not. dbm.ndbm
was rejected: it refuses values over some 1,000 bytes and has no sync. One thread at a time may use a store.
"""

import dbm
import importlib
import os
import struct
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, cast

from docstore.engines.shared.fs import PathIdentity, error_class, make_folder, translate_open_errors, try_exclusive_lock
from docstore.errors import CorruptData, DocstoreError, EngineError, NoSpace, OpenError
from docstore.model import Meta

DBM_MODULES: Final = ("dbm.sqlite3", "dbm.gnu", "dbm.dumb")
"""In order of preference: a kill can't break a dbm.sqlite3, and seldom a dbm.gnu."""

_VOID: Final = b"VOID"
"""The start of a void slot, which held an unfinished or failed write."""

_HEAD: Final = struct.Struct(">4sIQQ")
_MAGIC: Final = b"DSR1"
_CRC: Final = struct.Struct(">I")
_MARK_NAME: Final = b"\0docstore"
_MARK: Final = b"docstore shelve 1\n"


class ShelveLock:
    """The lock of a store, in PATH.lock. The file has content from open to close.

    So `clean` tells whether the store was closed the last time, or left in the middle of a write.
    """

    def __init__(self, path: Path) -> None:
        """Take the lock. Raise OpenError when the store at `path` is open, in this process or another."""
        if sys.platform == "win32":
            raise OpenError(f"cannot open {path}: this system has no flock(2); sqlite: works on every system")
        with ExitStack() as opened, translate_open_errors(path):
            make_folder(path.parent)
            lock_path = path.with_name(path.name + ".lock")
            self._descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            opened.callback(os.close, self._descriptor)
            if not try_exclusive_lock(self._descriptor):
                raise OpenError(f"cannot open {path}: it is open already, here or in another process")
            self.clean = os.fstat(self._descriptor).st_size == 0
            os.pwrite(self._descriptor, b"open\n", 0)
            opened.pop_all()

    def release(self, *, clean: bool) -> None:
        if clean:
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


@dataclass(frozen=True, slots=True)
class Record:
    """One version of a document, and its number in the sequence of all writes."""

    sequence: int
    meta: Meta
    content: bytes

    def encode(self) -> bytes:
        meta = self.meta.pack().encode()
        framed = b"".join([_HEAD.pack(_MAGIC, len(meta), len(self.content), self.sequence), meta, self.content])
        return framed + _CRC.pack(zlib.crc32(framed))

    @classmethod
    def decode(cls, raw: bytes) -> "Record | None":
        """Return None when `raw` is not what `encode` made. Raise CorruptData for unreadable meta."""
        if len(raw) < _HEAD.size + _CRC.size:
            return None
        magic, meta_size, size, sequence = _HEAD.unpack_from(raw)
        start, end = _HEAD.size + meta_size, _HEAD.size + meta_size + size
        if magic != _MAGIC or len(raw) != end + _CRC.size or _CRC.unpack_from(raw, end)[0] != zlib.crc32(raw[:end]):
            return None
        return cls(sequence, Meta.unpack(raw[_HEAD.size : start]), raw[start:end])


@dataclass(frozen=True, slots=True)
class RecordEntry:
    """A document's meta, and the slot that holds its current version."""

    slot: int
    sequence: int
    meta: Meta


def _name(key: str, slot: int) -> bytes:
    return b"%b\0%d" % (key.encode(), slot)


class _Dbm(Protocol):
    """The interface of all modules of the dbm package; names and values are bytes."""

    def __contains__(self, name: bytes, /) -> bool: ...
    def __getitem__(self, name: bytes, /) -> bytes: ...
    def __setitem__(self, name: bytes, value: bytes, /) -> None: ...
    def __delitem__(self, name: bytes, /) -> None: ...
    def keys(self) -> list[bytes]: ...
    def close(self) -> None: ...


def _importable(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


@contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    """Raise an EngineError for any error of a dbm inside: the classes depend on the dbm."""
    try:
        yield
    except DocstoreError:
        raise
    except OSError as error:
        # dbm.sqlite3 raises SQLite's message without an errno.
        full = error.errno is None and "full" in str(error)
        raise (NoSpace if full else error_class(error.errno))(f"{path}: {error.strerror or error}") from error
    except KeyError as error:
        raise CorruptData(f"{path}: the record {error} is missing") from error
    except Exception as error:
        raise EngineError(f"{path}: {type(error).__name__}: {error}") from error


class Records:
    """An open store. Every method may raise an EngineError that names the path."""

    def __init__(self, path: Path, module: str | None, *, clean: bool) -> None:
        """Open the store at `path`, which was closed cleanly or not, or make one in this dbm. Raise OpenError."""
        self.path = path
        self._data, self._index, self._backup = (path.with_name(path.name + end) for end in (".dat", ".dir", ".bak"))
        self._replaced = False
        found = self._find_module()
        if found is not None and module not in (None, found):
            raise OpenError(f"{path} is stored in {found}, not in {module}")
        self.module = found or module or next(name for name in DBM_MODULES if _importable(name))
        if not _importable(self.module):
            raise OpenError(f"{path} needs the module {self.module}, which this Python does not have")
        try:
            self._dbm = self._open(new=found is None, clean=clean)
            with _translate_errors(self.path):
                self._identity = PathIdentity(self._data if self._is_dumb else path)
        except EngineError as error:
            raise OpenError(f"cannot open {error}") from error

    @property
    def _is_dumb(self) -> bool:
        return self.module == "dbm.dumb"

    def check(self) -> None:
        """Raise StorageUnavailable when the store is not where it was opened."""
        self._identity.check()

    def scan(self) -> tuple[dict[str, RecordEntry], list[tuple[str, int, CorruptData]]]:
        """Read all records. Return the current entry of each key, and key and slot of each broken record."""
        entries: dict[str, RecordEntry] = {}
        broken: list[tuple[str, int, CorruptData]] = []
        with _translate_errors(self.path):
            names = [name.rpartition(b"\0") for name in self._dbm.keys() if name != _MARK_NAME]  # noqa: SIM118 - gnu
            slots = [(key.decode(), int(slot)) for key, _, slot in names]
        for key, slot in slots:
            try:
                record = self.read(key, slot)
            except CorruptData as error:
                broken.append((key, slot, error))
                continue
            if record is not None and (key not in entries or entries[key].sequence < record.sequence):
                entries[key] = RecordEntry(slot, record.sequence, record.meta)
        return entries, broken

    def read(self, key: str, slot: int) -> Record | None:
        """Return what the slot holds, None when it is void. Raise CorruptData for anything but a record of the key."""
        with _translate_errors(self.path):
            raw = self._dbm[_name(key, slot)]
        if raw.startswith(_VOID):
            return None
        try:
            record = Record.decode(raw)
        except CorruptData as error:
            raise CorruptData(f"{self.path}: the record of {key!r}: {error}") from error
        if record is None or record.meta.key != key:
            raise CorruptData(f"{self.path}: the record of {key!r} is broken")
        return record

    def write(self, slot: int, record: Record) -> None:
        with _translate_errors(self.path):
            self._set(_name(record.meta.key, slot), record.encode())

    def void(self, key: str, slot: int) -> None:
        """Overwrite the slot's record, if any: that works on a full disk too, where a removal may fail."""
        with _translate_errors(self.path):
            if _name(key, slot) in self._dbm:
                self._set(_name(key, slot), _VOID)

    def _set(self, name: bytes, value: bytes) -> None:
        self._replaced = self._replaced or name in self._dbm
        self._dbm[name] = value

    def remove(self, key: str, slot: int) -> None:
        """Remove the slot's record, if any."""
        with _translate_errors(self.path), self._index_kept():
            if _name(key, slot) in self._dbm:
                del self._dbm[_name(key, slot)]

    def sync(self) -> None:
        """Write everything to the disk, as far as the dbm can."""
        # PERF: dbm.dumb has appended the lines of new records to its index; only replaced ones need a new index.
        if self._replaced or not self._is_dumb:
            with _translate_errors(self.path), self._index_kept():
                getattr(self._dbm, "sync", lambda: None)()
        self._replaced = False

    def reopen(self) -> None:
        """After an error: reopen the store from the disk, ignoring what the dbm has in memory."""
        with suppress(EngineError):  # data that could not be written is discarded
            self.close()
        self.check()  # otherwise a new store would be created in place of a missing one
        self._dbm = self._open(new=False, clean=False)

    def close(self) -> None:
        with _translate_errors(self.path), self._index_kept():
            self._dbm.close()

    def _find_module(self) -> str | None:
        """Return the dbm of the store at the path, None when there is no store. Raise OpenError for anything else."""
        path = self.path
        if path.is_dir():
            raise OpenError(f"{path} is a folder, not a shelve")
        if self._data.exists():
            if folder := next((part for part in (self._data, self._index) if part.is_dir()), None):
                raise OpenError(f"cannot open {path}: {folder} is a folder")
            if self._data.stat().st_size == 0 or self._index.exists() or self._backup.exists():
                return "dbm.dumb"
            raise OpenError(f"cannot open {path}: {self._index} is missing")
        if path.exists():
            with path.open("rb") as file:
                head = file.read(16)
            if not head:
                return None
            if head == b"SQLite format 3\0":
                return "dbm.sqlite3"
        found = dbm.whichdb(str(path))
        if found == "":
            raise OpenError(f"{path} is not a shelve")
        if found not in (None, *DBM_MODULES):
            raise OpenError(f"{path} is stored in {found}, which loses large documents")
        return found

    def _open(self, *, new: bool, clean: bool) -> _Dbm:
        with _translate_errors(self.path):
            module = importlib.import_module(self.module)
            if self._is_dumb:
                if not clean and self._is_marked():
                    self._restore_index()
            elif not new:
                # Opening a store for writing changes it, and it may be another program's.
                with closing(cast(_Dbm, module.open(str(self.path), "r"))) as readable:
                    self._has_mark(readable)
            opened = cast(_Dbm, module.open(str(self.path), "c"))
            try:
                if not self._has_mark(opened):
                    opened[_MARK_NAME] = _MARK
            except BaseException:
                opened.close()
                raise
            return opened

    def _is_marked(self) -> bool:
        """Return whether the data of a dbm.dumb begins with the mark of Docstore."""
        if not self._data.exists():
            return False
        with self._data.open("rb") as file:
            return file.read(len(_MARK)) == _MARK

    def _has_mark(self, opened: _Dbm) -> bool:
        """Return whether the store has Docstore's mark; False if it is empty. Raise OpenError if it has another one."""
        if _MARK_NAME in opened:
            if opened[_MARK_NAME] != _MARK:
                raise OpenError(f"{self.path} was written by another version of Docstore")
            return True
        if opened.keys():
            raise OpenError(f"{self.path} is a shelve of another program")
        if self._is_dumb and self._data.stat().st_size > len(_MARK):
            raise OpenError(f"cannot open {self.path}: {self._index} has lost its content")
        return False

    @contextmanager
    def _index_kept(self) -> Iterator[None]:
        """Keep a complete index, new or old, while dbm.dumb may write it again."""
        try:
            yield
        except BaseException:
            if self._is_dumb:
                self._restore_index()
            raise
        if self._is_dumb:
            self._backup.unlink(missing_ok=True)

    def _restore_index(self) -> None:
        """Undo an unfinished write of dbm.dumb's index; a line without an end belongs to an unacknowledged write."""
        if self._backup.exists():
            self._backup.replace(self._index)
        if self._index.exists():
            os.truncate(self._index, self._index.read_bytes().rfind(b"\n") + 1)
