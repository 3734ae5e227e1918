"""Check a store after a power cut.

It must open and contain the expected documents, `docstore check` must find nothing, new writes must work, and after a
stop only orphans may be left, of the kinds that docs/engines.md leaves to `--repair`, which must remove them.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from docstore.content import BytesContent, read_all
from docstore.engines.contract import Engine, PutRequest
from docstore.engines.registry import EngineURL, open_engine
from docstore.engines.shared.verify import Finding, check_store
from docstore.errors import DocstoreError
from docstore.model import Fields
from docstore.testing.clock import SetClock
from tests.power.expected import ExpectedStates, State, describe_state

LATER: Final = State(b"written after the cut", Fields.make("text/plain", {"meta-later": "yes"}))
ORPHANS: Final[dict[str, tuple[str, ...]]] = {"file": ("/.docstore/meta/", "/.docstore/expiring/"), "sqlite": ()}
"""Folders in which a start leaves orphans."""


def url_in(folder: Path, scheme: str) -> EngineURL:
    return EngineURL(scheme, str(folder / "store"))


async def find_faults(scheme: str, folder: Path, expected: ExpectedStates) -> list[str]:
    """Return what is wrong with the store. The check changes the folder."""
    url = url_in(folder, scheme)
    try:
        engine = open_engine(url, SetClock(expected.now_ns))
    except DocstoreError as error:
        return [f"it does not open: {error}"]
    try:
        faults = [fault async for fault in _check_contents(engine, expected)]
        faults += [f"check: {found}" for found in findings(url)]
        if not faults:
            faults += [fault async for fault in _check_new_writes(engine, expected)]
    except DocstoreError as error:
        return [f"{type(error).__name__}: {error}"]
    finally:
        await engine.close()
    return faults or list(_check_leftovers(url, scheme))


async def read_store(scheme: str, folder: Path, now_ns: int) -> dict[str, State]:
    """Return the content of the store."""
    engine = open_engine(url_in(folder, scheme), SetClock(now_ns))
    try:
        found = {meta.key: await _state(engine, meta.key) for meta in await engine.list()}
        return {key: state for key, state in found.items() if state is not None}
    finally:
        await engine.close()


async def _state(engine: Engine, key: str) -> State | None:
    document = await engine.get(key)
    if document is None:
        return None
    return State(await read_all(document.content), document.meta.fields, document.meta.expires_ns)


def findings(url: EngineURL, *, repair: bool = False) -> list[Finding]:
    return [found for found in check_store(url, repair=repair) if isinstance(found, Finding)]


async def _check_contents(engine: Engine, expected: ExpectedStates) -> AsyncIterator[str]:
    listed = {meta.key: meta for meta in await engine.list()}
    for key in sorted({*expected.keys(), *listed}):
        document, state = await engine.get(key), await _state(engine, key)
        meta = document and document.meta
        if (await engine.head(key), listed.get(key)) != (meta, meta):
            yield f"get, head and list do not see the same {key!r}"
        if not expected.allows(key, state):
            yield f"{key!r} is {describe_state(state)}, it may be {expected.describe(key)}"


async def _check_new_writes(engine: Engine, expected: ExpectedStates) -> AsyncIterator[str]:
    await engine.sweep()
    keys = expected.keys()
    for key in keys:
        await engine.put(PutRequest(key, BytesContent(LATER.data), LATER.fields))
    for number, key in enumerate(keys):
        if await _state(engine, key) != LATER:
            yield f"{key!r} is not what was written after the cut"
        if number % 2 and await engine.delete(key) is None:
            yield f"{key!r} can't be deleted after the cut"


def _check_leftovers(url: EngineURL, scheme: str) -> Iterator[str]:
    for found in findings(url, repair=True):
        if not found.removed or not any(kind in found.where for kind in ORPHANS[scheme]):
            yield f"after a stop: {found}"
    yield from (f"after a repair: {found}" for found in findings(url))
