"""What lies in a shelve: records of our own framing under names of our own, in whichever dbm is there.

A record is never a pickle. It is, byte for byte:

    "DSR1" | size of meta: 4 | size of content: 8 | sequence: 8 | meta, packed | content | CRC-32 of all that: 4

A document has two places, named KEY NUL 0 and KEY NUL 1, and each write takes a higher sequence to the place that does
not hold the current version: no dbm is ever asked to overwrite what must not be lost. One more record marks the store
as ours; a store without it is somebody else's and is not touched.

dbm.dumb needs watching. It writes its index anew by renaming PATH.dir to PATH.bak and writing another PATH.dir, and
takes a missing PATH.dir for an empty one. So PATH.bak is removed when the new index is whole, and put back when it is
not. Its lines for new records are appended; one that has no end belongs to a write that was never answered, and is cut.

dbm.gnu takes a file for damaged that is longer than its header says, which is what a kill or a full disk leaves of a
write: it is cut to that length.

dbm.ndbm was rejected: it refuses values over some 1,000 bytes and has no sync. This module knows no engine
and no thread: one thread at a time may use it.
"""

import dbm
import importlib
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, cast

from docstore.engines.shared.fs import PathIdentity, error_class
from docstore.errors import CorruptData, DocstoreError, EngineError, NoSpace, OpenError
from docstore.model import Meta

KINDS: Final = ("dbm.sqlite3", "dbm.gnu", "dbm.dumb")
"""What a store may be kept in, the preferred first: a kill can break no dbm.sqlite3, and a dbm.gnu seldom."""

_VOID: Final = b"VOID"
"""What a place begins with that holds nothing: the rest of a write that was cut off or refused."""

_HEAD: Final = struct.Struct(">4sIQQ")
_MAGIC: Final = b"DSR1"
_CRC: Final = struct.Struct(">I")
_GNU_HEAD: Final = struct.Struct("=iiqiiiiq")
"""How a file of dbm.gnu begins: a magic number first, the length of what is in use last."""
_GNU_MAGICS: Final = (struct.pack("=I", 0x13579ACF), struct.pack("=I", 0x13579AD1))
_MARK_NAME: Final = b"\0docstore"
_MARK: Final = b"docstore shelve 1\n"


@dataclass(frozen=True, slots=True)
class Record:
    """One version of a document, and its number in the sequence of all writes."""

    sequence: int
    meta: Meta
    content: bytes

    def frame(self) -> bytes:
        packed = self.meta.pack().encode()
        framed = b"".join([_HEAD.pack(_MAGIC, len(packed), len(self.content), self.sequence), packed, self.content])
        return framed + _CRC.pack(zlib.crc32(framed))

    @classmethod
    def unframe(cls, raw: bytes) -> "Record | None":
        """None when `raw` is not, byte for byte, what `frame` made. Raises CorruptData for meta that can't be read."""
        if len(raw) < _HEAD.size + _CRC.size:
            return None
        magic, meta_size, size, sequence = _HEAD.unpack_from(raw)
        start, end = _HEAD.size + meta_size, _HEAD.size + meta_size + size
        if magic != _MAGIC or len(raw) != end + _CRC.size or _CRC.unpack_from(raw, end)[0] != zlib.crc32(raw[:end]):
            return None
        return cls(sequence, Meta.unpack(raw[_HEAD.size : start]), raw[start:end])


def _name(key: str, number: int) -> bytes:
    return b"%b\0%d" % (key.encode(), number)


class _Dbm(Protocol):
    """What all modules of the dbm package open; names and values are bytes."""

    def __contains__(self, name: bytes, /) -> bool: ...
    def __getitem__(self, name: bytes, /) -> bytes: ...
    def __setitem__(self, name: bytes, value: bytes, /) -> None: ...
    def __delitem__(self, name: bytes, /) -> None: ...
    def keys(self) -> list[bytes]: ...
    def close(self) -> None: ...


def _importable(kind: str) -> bool:
    try:
        importlib.import_module(kind)
    except ImportError:
        return False
    return True


@contextmanager
def _driver(path: Path) -> Iterator[None]:
    """Raises an EngineError for whatever a dbm raises: which errors those are depends on the dbm."""
    try:
        yield
    except DocstoreError:
        raise
    except OSError as error:
        # dbm.sqlite3 gives SQLite's words and no number.
        full = error.errno is None and "full" in str(error)
        raise (NoSpace if full else error_class(error.errno))(f"{path}: {error.strerror or error}") from error
    except KeyError as error:
        raise CorruptData(f"{path}: the record {error} is gone") from error
    except Exception as error:
        raise EngineError(f"{path}: {type(error).__name__}: {error}") from error


class Records:
    """An open store. Every method may raise an EngineError, naming the path."""

    def __init__(self, path: Path, kind: str | None, *, whole: bool) -> None:
        """Opens the store at `path`, which was left `whole` or not, or makes one of this `kind`. Raises OpenError."""
        self.path = path
        self._data, self._index, self._backup = (path.with_name(path.name + end) for end in (".dat", ".dir", ".bak"))
        self._moved = self._changed = False
        found = self._find()
        if found is not None and kind not in (None, found):
            raise OpenError(f"{path} is kept in {found}, not in {kind}")
        self.kind = found or kind or next(name for name in KINDS if _importable(name))
        if not _importable(self.kind):
            raise OpenError(f"{path} needs the module {self.kind}, which this Python does not have")
        try:
            self._dbm = self._open(new=found is None, whole=whole)
            with _driver(self.path):
                self._standing = PathIdentity(self._data if self.kind == "dbm.dumb" else path)
        except EngineError as error:
            raise OpenError(f"can't open {error}") from error

    def check(self) -> None:
        """Raises StorageUnavailable when the store is not where it was opened."""
        self._standing.check()

    def room_for_a_removal(self) -> int:
        """In bytes: for the index that dbm.dumb writes anew, or to write back all of the log of dbm.sqlite3."""
        grown = {"dbm.dumb": self._index, "dbm.sqlite3": self.path.with_name(self.path.name + "-wal")}.get(self.kind)
        with _driver(self.path):
            return grown.stat().st_size if grown is not None and grown.exists() else 0

    def places(self) -> list[tuple[str, int]]:
        """Key and number of every place that was ever written and not removed."""
        with _driver(self.path):
            names = [name.rpartition(b"\0") for name in self._dbm.keys() if name != _MARK_NAME]  # noqa: SIM118 - gnu
            return [(key.decode(), int(number)) for key, _, number in names]

    def read(self, key: str, number: int) -> Record | None:
        """What the place holds, None when that is void. Raises CorruptData for what is not a record of this key."""
        with _driver(self.path):
            raw = self._dbm[_name(key, number)]
        if raw.startswith(_VOID):
            return None
        try:
            record = Record.unframe(raw)
        except CorruptData as error:
            raise CorruptData(f"{self.path}: the record of {key!r}: {error}") from error
        if record is None or record.meta.key != key:
            raise CorruptData(f"{self.path}: the record of {key!r} is broken")
        return record

    def write(self, number: int, record: Record) -> None:
        self._set(_name(record.meta.key, number), record.frame())

    def void(self, key: str, number: int) -> None:
        """Unmakes what the place holds, in place: on a full disk too, where a removal may fail."""
        with _driver(self.path):
            if _name(key, number) in self._dbm:
                self._set(_name(key, number), _VOID)

    def _set(self, name: bytes, value: bytes) -> None:
        with _driver(self.path), self._room_kept():
            self._moved = self._moved or name in self._dbm
            self._changed = True
            self._dbm[name] = value

    def remove(self, key: str, number: int) -> None:
        """Removes what the place holds, if anything."""
        with _driver(self.path), self._index_kept():
            if _name(key, number) in self._dbm:
                self._changed = True
                del self._dbm[_name(key, number)]

    def sync(self) -> None:
        """Hands all that was written to the disk, as far as the dbm goes."""
        # PERF: dumb has appended its lines for new records already; only records that moved need a whole new index.
        if self._moved if self.kind == "dbm.dumb" else self._changed:
            with _driver(self.path), self._index_kept():
                getattr(self._dbm, "sync", lambda: None)()
        self._moved = self._changed = False

    def reopen(self) -> None:
        """After an error: goes on from what is on the disk, whatever the dbm holds in memory."""
        with suppress(EngineError):  # what could not be written before can't be written now, and is not wanted
            self.close()
        self.check()  # else a new store would be made where there is none
        self._dbm = self._open(new=False, whole=False)

    def close(self) -> None:
        with _driver(self.path), self._index_kept():
            self._dbm.close()

    def _find(self) -> str | None:
        """The kind of the store at the path, None when there is none yet. Raises OpenError for what is not a store."""
        path = self.path
        if path.is_dir():
            raise OpenError(f"{path} is a folder, not a shelve")
        if self._data.exists():
            if folder := next((part for part in (self._data, self._index) if part.is_dir()), None):
                raise OpenError(f"can't open {path}: {folder} is a folder")
            if self._data.stat().st_size == 0 or self._index.exists() or self._backup.exists():
                return "dbm.dumb"
            raise OpenError(f"can't open {path}: {self._index} is missing")
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
        if found not in (None, *KINDS):
            raise OpenError(f"{path} is kept in {found}, which loses large documents")
        return found

    def _open(self, *, new: bool, whole: bool) -> _Dbm:
        with _driver(self.path):
            if self.kind == "dbm.gnu" and not (new or whole):
                self._cut_off()
            module = importlib.import_module(self.kind)
            if self.kind == "dbm.dumb":
                self._mend_index(whole=whole)
            elif not new:
                # Opening it to write would change it, and it may be somebody else's.
                with closing(cast(_Dbm, module.open(str(self.path), "r"))) as seen:
                    self._is_ours(seen)
            opened = cast(_Dbm, module.open(str(self.path), "c"))
            try:
                if not self._is_ours(opened):
                    opened[_MARK_NAME] = _MARK
            except BaseException:
                opened.close()
                raise
            return opened

    def _is_ours(self, opened: _Dbm) -> bool:
        """Whether it has our mark; False when there is nothing in it. Raises OpenError for what is not ours."""
        if _MARK_NAME in opened:
            if opened[_MARK_NAME] != _MARK:
                raise OpenError(f"{self.path} was written by another version of Docstore")
            return True
        if opened.keys():
            raise OpenError(f"{self.path} is a shelve of another program")
        if self.kind == "dbm.dumb" and self._data.stat().st_size > len(_MARK):
            raise OpenError(f"can't open {self.path}: {self._index} has lost what it held")
        return False

    def _cut_off(self) -> None:
        """Cuts what a write of dbm.gnu that was never finished has added to the file."""
        with self.path.open("rb+") as file:
            head = file.read(_GNU_HEAD.size)
            if len(head) == _GNU_HEAD.size and head.startswith(_GNU_MAGICS):
                *_, length = _GNU_HEAD.unpack(head)
                if 0 < length < file.seek(0, os.SEEK_END):
                    file.truncate(length)

    def _mend_index(self, *, whole: bool) -> None:
        """Puts the index of dbm.dumb right, if the store is ours and was left in the middle of a write."""
        if whole or not self._data.exists():
            return
        with self._data.open("rb") as file:
            if file.read(len(_MARK)) != _MARK:
                return
        self._put_back()
        lines = self._index.read_bytes()
        os.truncate(self._index, lines.rfind(b"\n") + 1)

    @contextmanager
    def _index_kept(self) -> Iterator[None]:
        """Around whatever may make dbm.dumb write its index anew: afterwards there is a whole one, new or old."""
        if self.kind != "dbm.dumb":
            yield
            return
        try:
            yield
        except BaseException:
            self._put_back()
            raise
        self._backup.unlink(missing_ok=True)

    @contextmanager
    def _room_kept(self) -> Iterator[None]:
        """Around a write of dbm.dumb: what it wrote of one that failed, on a full disk say, does not stay there."""
        size = self._data.stat().st_size if self.kind == "dbm.dumb" else 0
        try:
            yield
        except OSError:
            if self.kind == "dbm.dumb":
                os.truncate(self._data, size)
            raise

    def _put_back(self) -> None:
        if self._backup.exists():
            self._backup.replace(self._index)
