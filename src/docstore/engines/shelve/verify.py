"""Check a shelve: on a copy of it, while no process has it open.

No dbm can be read without being changed, or at all when it was left in the middle of a write. So the files are copied
to a temporary folder, and the copy is opened as the engine opens a store. The broken rest of an unfinished write beside
a good version is no problem. A shelve has no orphans: the next write takes the place of what an earlier one left.
"""

import hashlib
import shutil
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Final

from docstore.engines.registry import EngineURL
from docstore.engines.shared.fs import translate_open_errors
from docstore.engines.shared.verify import Checked, Finding, exclusive_access, fault_of
from docstore.engines.shelve.records import Records
from docstore.errors import EngineError, OpenError

_SUFFIXES: Final = ("", ".dat", ".dir", ".bak", "-wal", "-journal")
"""The suffixes of a store's files, for all dbm modules."""


def check_shelve(url: EngineURL, repair: bool) -> Checked:
    """Raise OpenError when there is no store, or somebody has it open."""
    path = Path(url.location)
    with translate_open_errors(path):
        if not url.location or not any(path.with_name(path.name + end).exists() for end in ("", ".dat")):
            raise OpenError(f"{path}: there is no such shelve")
    return _check(path)


def _check(path: Path) -> Checked:
    with tempfile.TemporaryDirectory(prefix="docstore-check-") as folder:
        copy = Path(folder) / path.name
        with translate_open_errors(path):
            clean = _copy_files(path, copy)
        try:
            with closing(Records(copy, None, clean=clean)) as records:
                yield from _check_records(records, path, clean=clean)
        except (EngineError, OpenError) as error:
            # The user knows nothing of the copy.
            raise type(error)(str(error).replace(folder, str(path.parent))) from error


def _copy_files(path: Path, copy: Path) -> bool:
    """Copy the store's files. Return whether it was closed cleanly."""
    lock = path.with_name(path.name + ".lock")
    with exclusive_access(lock) as exclusive:
        if not exclusive:
            raise OpenError(f"can't check {path}: it is open in another process")
        for suffix in _SUFFIXES:
            part = path.with_name(path.name + suffix)
            if part.is_dir():
                # Without it another dbm might take the rest for an empty store.
                raise OpenError(f"can't check {path}: {part} is a folder")
            if part.is_file():
                shutil.copyfile(part, copy.with_name(part.name))
        return not lock.exists() or lock.stat().st_size == 0


def _check_records(records: Records, path: Path, *, clean: bool) -> Checked:
    entries, broken = records.scan()
    for key, entry in entries.items():
        record = records.read(key, entry.slot)
        content = b"" if record is None else record.content
        fault = fault_of(entry.meta, hashlib.sha256(content).digest(), len(content))
        yield Finding(f"{path}: {key!r}", fault) if fault else entry.meta
    for key, _, _ in broken:
        if clean or key not in entries:
            yield Finding(f"{path}: {key!r}", "its record is broken")
