"""Check a shelve: on a copy of it, while no process has it open.

The broken rest of an unfinished write beside a good version is no problem. A shelve has no orphans: the next write
takes the place of what an earlier one left.
"""

import hashlib
from contextlib import closing
from pathlib import Path

from docstore.engines.registry import EngineURL
from docstore.engines.shared.verify import Checked, Finding, fault_of
from docstore.engines.shelve.read_only import copied_store, path_of
from docstore.engines.shelve.records import Records


def check_shelve(url: EngineURL, repair: bool) -> Checked:
    """Raise OpenError when there is no store, or somebody has it open."""
    return _check(path_of(url))


def _check(path: Path) -> Checked:
    with copied_store(path, keep_locked=False) as copy, closing(Records(copy.path, None, clean=copy.clean)) as records:
        yield from _check_records(records, path, clean=copy.clean)


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
