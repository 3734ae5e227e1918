"""Check the folder of a store after a kill and a restart, engine by engine, while it is served.

Each check takes the folder and the listed documents, and yields what is wrong with the disk. `check_exclusively` is
`docstore check` between a kill and the next start: only then no process has the store open, so that orphans can be
distinguished from uploads in progress.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import apsw

from docstore.engines.registry import EngineURL
from docstore.engines.shared.verify import Finding, check_store
from docstore.model import Meta
from tests.engine_urls import REMOTE_URLS, url_in

Listed = dict[str, dict[str, Any]]
"""The entries of the JSON listing, by key."""


def _of_file(data: Path, listed: Listed) -> Iterator[str]:
    folder = data / "files"
    own = folder / ".docstore"
    yield from (f"{left} was not removed" for left in (own / "tmp").iterdir())
    contents = [path for path in folder.rglob("*") if path.is_file() and own not in path.parents]
    if len(contents) != len(listed):
        yield f"{sorted(map(str, contents))} for {sorted(listed)}"
    sidecars = {path.name for path in (own / "meta").iterdir()}
    due = {path.name.rpartition("-")[2] for path in (own / "expiring").iterdir()}
    for key, entry in listed.items():
        mark = hashlib.sha256(key.encode()).hexdigest()
        if mark not in sidecars:
            yield f"{key} has no sidecar"
        if "expires" in entry and mark not in due:
            yield f"{key} expires and has no marker: it would never be swept"


def _of_shelve(data: Path, listed: Listed) -> Iterator[str]:
    if (data / "shelf.bak").exists():
        yield "the index before was not removed"
    lines = (data / "shelf.dir").read_bytes()
    if not lines.endswith(b"\n"):
        yield f"the index ends with {lines[-40:]!r}"


def _of_sqlite(data: Path, listed: Listed) -> Iterator[str]:
    database = apsw.Connection(str(data / "docs.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        named = {file for (file,) in database.execute("SELECT file FROM documents WHERE file IS NOT NULL")}
        found = database.pragma("integrity_check")
    finally:
        database.close()
    sealed = {path.name for path in (data / "docs.db.sealed").iterdir()} - {"lock"}
    yield from (f"no row names the sealed file {name}" for name in sealed - named)
    yield from (f"the sealed file {name} is missing" for name in named - sealed)
    if found != "ok":
        yield f"the database is damaged: {found}"


def check_exclusively(url: str) -> list[str]:
    """Return what `docstore check` finds, except orphans that --repair removes."""
    asked = EngineURL.parse(url)
    found = [each for each in check_store(asked, repair=True) if isinstance(each, Finding)]
    wrong = [f"{each}" for each in found if not each.orphan or not each.removed]
    return wrong + [f"after a repair: {each}" for each in check_store(asked) if isinstance(each, Finding)]


def _of_remote(engine: str, data: Path, listed: Listed) -> Iterator[str]:
    checked = list(check_store(EngineURL.parse(url_in(data, engine))))
    yield from (str(each) for each in checked if isinstance(each, Finding))
    keys = {each.key for each in checked if isinstance(each, Meta) and not each.expired(time.time_ns())}
    if keys != set(listed):
        yield f"{sorted(keys)} for {sorted(listed)}"


CHECKS: dict[str, Callable[[Path, Listed], Iterator[str]]] = {
    "file": _of_file,
    "shelve": _of_shelve,
    "sqlite": _of_sqlite,
    **{engine: partial(_of_remote, engine) for engine in REMOTE_URLS},
}
