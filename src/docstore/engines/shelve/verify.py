"""Looking over a shelve: on a copy of it, while nobody has it open.

No dbm can be read without being changed, or at all when it was left in the middle of a write: one recovers its log,
another refuses an index whose last line has no end. So the files are copied to a temporary folder, and the copy is
opened as the engine opens a store. What is void, and the older version beside the current one, are as they should be;
so is, in a store that nobody closed, the broken rest of a write beside a good version.

There are no orphans in a shelve: what a write leaves is taken by the next.
"""

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Final

from docstore.engines.registry import EngineURL
from docstore.engines.shared.verify import Checked, Finding, exclusive_access, fault_of
from docstore.engines.shelve.records import Record, Records
from docstore.errors import CorruptData, EngineError, OpenError

_ENDS: Final = ("", ".dat", ".dir", ".bak", "-wal", "-journal")
"""What the names of a store's files end in, whichever dbm it is kept in."""


def check_shelf(url: EngineURL, repair: bool) -> Checked:
    """Raises OpenError when there is no store, or somebody has it open."""
    url.refuse_options("dbm")
    path = Path(url.location)
    try:
        there = bool(url.location) and any(path.with_name(path.name + end).exists() for end in ("", ".dat"))
    except OSError as error:
        raise OpenError(f"can't check {path}: {error.strerror or error}") from error
    if not there:
        raise OpenError(f"{path}: there is no such shelve")
    return _check(path)


def _check(path: Path) -> Checked:
    lock = path.with_name(path.name + ".lock")
    with tempfile.TemporaryDirectory(prefix="docstore-check-") as folder:
        copy = Path(folder) / path.name
        try:
            with exclusive_access(lock) as judge:
                if not judge:
                    raise OpenError(f"can't check {path}: it is open in another process")
                whole = not lock.exists() or lock.stat().st_size == 0
                for end in _ENDS:
                    part = path.with_name(path.name + end)
                    if part.is_dir():
                        # Without it another dbm might take what is left for an empty store.
                        raise OpenError(f"can't check {path}: {part} is a folder")
                    if part.is_file():
                        shutil.copyfile(part, copy.with_name(part.name))
        except OSError as error:
            raise OpenError(f"can't check {path}: {error.strerror or error}") from error
        try:
            records = Records(copy, None, whole=whole)
        except OpenError as error:
            raise OpenError(str(error).replace(folder, str(path.parent))) from error
        try:
            yield from _records(records, path, whole=whole)
        except EngineError as error:
            yield Finding(str(path), str(error).replace(folder, str(path.parent)))
        finally:
            records.close()


def _records(records: Records, path: Path, *, whole: bool) -> Checked:
    """Every document once; its current version is the one with the higher sequence."""
    broken: list[str] = []
    good: set[str] = set()
    numbers: dict[str, list[int]] = {}
    for key, number in records.places():
        numbers.setdefault(key, []).append(number)
    for key, places in numbers.items():
        current: Record | None = None
        for number in sorted(places):
            try:
                record = records.read(key, number) if number in (0, 1) else None
            except CorruptData:
                broken.append(key)
                continue
            if number not in (0, 1):
                yield Finding(f"{path}: {key!r}", f"it has a place {number}; there are 0 and 1")
            elif record is not None:
                if current is not None and record.sequence == current.sequence:
                    yield Finding(f"{path}: {key!r}", "its two versions have the same number")
                if current is None or record.sequence > current.sequence:
                    current = record
        if current is not None:
            good.add(key)
            fault = fault_of(current.meta, hashlib.sha256(current.content).digest(), len(current.content))
            yield Finding(f"{path}: {key!r}", fault) if fault else current.meta
    for key in broken:
        if whole or key not in good:
            yield Finding(f"{path}: {key!r}", "its record is broken")
