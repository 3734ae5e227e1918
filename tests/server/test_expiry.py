"""TTL and Sunset: a document exists one nanosecond before its expiry and not after it, for each method and engine."""

import asyncio
import contextlib
import json
import logging
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from docstore.engines.contract import Engine
from docstore.errors import EngineError, StorageUnavailable
from docstore.http.dates import TTL_LIMIT_S
from docstore.server.mounts import Mount
from docstore.server.sweeper import SWEEP_LIMIT, Sweeper
from tests.engine_urls import ENGINES
from tests.http_client import Client, prepare
from tests.in_process import InProcess, on_a_store
from tests.server_process import MOUNTS, RunningServer

each_mount = pytest.mark.parametrize("mount", ENGINES)
JSON = {"content-type": "application/json"}
MERGE = {"content-type": "application/merge-patch+json"}
LIFE_S = 60

ASKED = {
    # method, fields: the status before the expiry, and after it
    ("GET", ""): (200, 404),
    ("HEAD", ""): (200, 404),
    ("GET", "range: bytes=0-0"): (206, 404),
    ("GET", "if-none-match: *"): (304, 404),
    ("PUT", ""): (200, 201),
    ("PUT", "if-none-match: *"): (412, 201),
    ("PUT", "if-match: *"): (200, 412),
    ("POST", "if-match: {}"): (200, 412),
    ("PATCH", ""): (200, 404),
    ("PATCH", "if-match: {}"): (200, 404),
    ("DELETE", ""): (200, 404),
    ("DELETE", "if-match: {}"): (200, 404),
}


@each_mount
@pytest.mark.parametrize("size", [2, 200_000], ids=["small", "large"])
@on_a_store()
async def test_a_document_exists_until_its_expiry_for_each_method(store: InProcess, mount: str, size: int) -> None:
    for (method, field), statuses in ASKED.items():
        for late_ns, status in zip((-1, 0), statuses, strict=True):
            path, begun_ns = f"/{mount}/key", store.clock()
            content = b'"' + b"x" * (size - 2) + b'"'
            tag = (await store.send("PUT", path, content, JSON | {"ttl": str(LIFE_S)}))["etag"]
            store.clock.set_ns(begun_ns + LIFE_S * 10**9 + late_ns)
            name, _, value = field.partition(": ")
            fields = ({name: value.format(tag)} if field else {}) | (MERGE if method == "PATCH" else {})
            reply = await store.send(method, path, b"{}" if method in ("PUT", "POST", "PATCH") else b"", fields)
            assert reply.status == status, (method, field, late_ns)
            await store.prepare("DELETE", path)


@each_mount
@on_a_store(keys="path")
async def test_listings_show_a_document_until_its_expiry(store: InProcess, mount: str) -> None:
    end_ns = store.clock() + LIFE_S * 10**9
    await store.prepare("PUT", f"/{mount}/f/ending", b"x", {"ttl": str(LIFE_S)})
    await store.prepare("PUT", f"/{mount}/lasting", b"x")
    targets = [f"/{mount}/f/?format=html", *(f"/{mount}/?format={name}" for name in ("json", "ndjson", "text"))]
    targets += [f"/{mount}/?format=ndjson&limit=5", f"/{mount}/?format=text&prefix=f"]
    for late_ns, there in ((-1, True), (0, False)):
        store.clock.set_ns(end_ns + late_ns)
        for target in targets:
            assert (b"ending" in (await store.send("GET", target)).content) == there, target
        folders = json.loads((await store.send("GET", f"/{mount}/?format=json&delimiter=/")).content).get("folders")
        assert folders == (["f/"] if there else None)


@each_mount
@on_a_store()
async def test_sunset_is_the_last_whole_second_before_the_expiry(store: InProcess, mount: str) -> None:
    store.clock.set_ns(1_700_000_000_900_000_000)
    path, sunset = f"/{mount}/key", "Tue, 14 Nov 2023 22:14:20 GMT"
    await store.prepare("PUT", path, b"12345", {"ttl": str(LIFE_S)})
    for method, fields in [("GET", {}), ("HEAD", {}), ("GET", {"range": "bytes=1-2"}), ("GET", {"if-none-match": "*"})]:
        assert (await store.send(method, path, headers=fields))["sunset"] == sunset
    [described] = json.loads((await store.send("GET", f"/{mount}/?format=json")).content)["documents"]
    assert described["expires"] == "2023-11-14T22:14:20.900Z"


@each_mount
@on_a_store()
async def test_a_ttl_of_zero_expires_at_once(store: InProcess, mount: str) -> None:
    for before in ("missing", "there"):
        if before == "there":
            await store.prepare("PUT", f"/{mount}/key", b"old")
        reply = await store.send("PUT", f"/{mount}/key", b"new", {"ttl": "0"})
        assert reply.status == (200 if before == "there" else 201)
        assert (await store.send("GET", f"/{mount}/key")).status == 404
        assert (await store.send("GET", f"/{mount}/?format=text")).content == b""


@each_mount
@on_a_store()
async def test_each_write_sets_a_new_ttl(store: InProcess, mount: str) -> None:
    path = f"/{mount}/key"
    await store.prepare("PUT", path, b"x", {"ttl": "10"})
    await store.prepare("PUT", path, b"x", {"ttl": "100"})
    store.clock.advance_s(50)
    assert (await store.send("PUT", path, b"x")).status == 200
    assert "sunset" not in await store.send("GET", path)
    store.clock.advance_s(1000)
    assert (await store.send("GET", path)).status == 200


@each_mount
@on_a_store()
async def test_a_ttl_counts_from_the_end_of_the_upload(store: InProcess, mount: str) -> None:
    class Slow:
        size = None

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"x"
            store.clock.advance_s(100)

    assert (await store.send("PUT", f"/{mount}/key", Slow(), {"ttl": "10"})).status == 201
    store.clock.advance_s(9)
    assert (await store.send("GET", f"/{mount}/key")).status == 200


@each_mount
@on_a_store()
async def test_a_write_to_the_collection_accepts_a_ttl(store: InProcess, mount: str) -> None:
    location = (await store.send("POST", f"/{mount}/", b"x", {"ttl": "10"}))["location"]
    store.clock.advance_s(10)
    assert (await store.send("GET", location)).status == 404


@pytest.mark.parametrize("ttl", ["", "-1", "1.5", "soon", str(TTL_LIMIT_S + 1), "9" * 5000, "1, 2"])
@on_a_store("memory")
async def test_an_invalid_ttl_is_rejected_and_nothing_is_stored(store: InProcess, ttl: str) -> None:
    await store.prepare("PUT", "/memory/key", b"old", {"ttl": "10"})
    assert (await store.send("PUT", "/memory/key", b"new", {"ttl": ttl})).status == 400
    assert (await store.send("GET", "/memory/key")).content == b"old"


@on_a_store("memory")
async def test_the_longest_ttl_is_accepted(store: InProcess) -> None:
    assert (await store.send("PUT", "/memory/key", b"x", {"ttl": str(TTL_LIMIT_S)})).status == 201
    store.clock.advance_s(TTL_LIMIT_S - 1)
    assert (await store.send("GET", "/memory/key")).status == 200


async def until_swept(store: InProcess, mount: str, left: int) -> None:
    """Wait until the sweeper of `store` has nothing left to do."""
    now_ns = store.clock()
    while True:
        await asyncio.sleep(0.005)
        store.clock.set_ns(now_ns - 10**12)  # documents that were not swept exist again
        kept = len(await store.engines[mount].list(limit=10_000))
        store.clock.set_ns(now_ns)
        if kept <= left:
            assert kept == left
            return


@pytest.mark.parametrize("mount", ["memory", "docs"])
@on_a_store(sweep_interval_s=0.01)
async def test_the_sweeper_works_in_steps_while_requests_are_answered(store: InProcess, mount: str) -> None:
    store.store.start()
    ending = SWEEP_LIMIT + 50
    for number in range(ending):
        await store.prepare("PUT", f"/{mount}/ending-{number}", b"x", {"ttl": str(LIFE_S)})
    await store.prepare("PUT", f"/{mount}/lasting", b"stays")
    store.clock.advance_s(LIFE_S)
    await until_swept(store, mount, left=1)
    assert (await store.send("GET", f"/{mount}/lasting")).content == b"stays"


class Failing:
    """An engine that fails to sweep, and counts how often it was asked."""

    def __init__(self, engine: Engine, error: Exception) -> None:
        self._engine = engine
        self._error = error
        self.asked = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def sweep(self, *, limit: int = 1000) -> int:
        self.asked.set()
        raise self._error


@pytest.mark.parametrize("error", [StorageUnavailable("busy"), EngineError("broken"), ZeroDivisionError("a fault")])
@on_a_store("memory", "docs")
async def test_a_failing_engine_is_logged_and_the_others_are_swept(
    store: InProcess, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    failing = Failing(store.engines["memory"], error)
    sweeper = Sweeper([Mount("bad", failing), Mount("docs", store.engines["docs"])], interval_s=0.01)
    await store.prepare("PUT", "/docs/key", b"x", {"ttl": "1"})
    store.clock.advance_s(1)
    with caplog.at_level(logging.ERROR, "docstore"):
        sweeper.start()
        await until_swept(store, "docs", left=0)
        failing.asked.clear()
        await failing.asked.wait()
        await sweeper.stop()
    assert all("sweeping /bad/" in record.getMessage() for record in caplog.records)
    assert len(caplog.records) >= 2


class Endless:
    """An engine whose sweep always removes as many documents as it may."""

    def __init__(self) -> None:
        self.steps = 0
        self.sweeping = False
        self.under_way = asyncio.Event()

    async def sweep(self, *, limit: int = 1000) -> int:
        self.sweeping = True
        await asyncio.sleep(0)
        self.steps += 1
        self.sweeping = False
        if self.steps == 3:
            self.under_way.set()
        return limit


def test_the_sweeper_stops_between_two_steps() -> None:
    async def scene() -> None:
        endless = Endless()
        sweeper = Sweeper([Mount("endless", endless)], interval_s=3600)  # type: ignore[arg-type]  # all it needs
        sweeper.start()
        await endless.under_way.wait()
        await sweeper.stop()
        stopped_at = endless.steps
        await asyncio.sleep(0.01)
        assert (endless.steps, endless.sweeping) == (stopped_at, False)

    asyncio.run(scene())


@on_a_store("memory")
async def test_the_sweeper_ends_before_the_engines_are_closed(store: InProcess) -> None:
    store.store.start()
    await asyncio.sleep(0)
    await store.store.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_a_sweeper_that_never_started_can_be_stopped() -> None:
    asyncio.run(Sweeper([], interval_s=1).stop())


def sizes_in(folder: Path) -> list[int]:
    """The total size of the files in a folder; some may be removed meanwhile."""
    sizes = []
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return sizes


def disk_shows(data: Path) -> dict[str, int]:
    """The number of documents of SIZE bytes on the disk: rows, blobs and files."""
    with contextlib.closing(sqlite3.connect(f"file:{data / 'docs.db'}?mode=ro", uri=True)) as database:
        [rows] = database.execute("SELECT count(*) FROM documents").fetchone()
    sealed, files = sizes_in(data / "docs.db.sealed"), sizes_in(data / "file")
    return {"rows": rows, "sealed": sealed.count(SIZE), "files": files.count(SIZE)}


SIZE = 100_001


def test_a_server_frees_the_space_of_expired_documents(data: Path) -> None:
    with RunningServer(data, "--sweep-interval", "1") as server, Client(server) as client:
        for mount in MOUNTS:
            for number in range(5):
                client.prepare("PUT", f"/{mount}/ending-{number}", b"x" * SIZE, {"TTL": "1"})
            client.prepare("PUT", f"/{mount}/lasting", b"x" * SIZE)
        deadline = time.monotonic() + 60
        while disk_shows(data) != {"rows": 1, "sealed": 1, "files": 1}:
            assert time.monotonic() < deadline, disk_shows(data)
            time.sleep(0.1)
        for mount in MOUNTS:
            assert client.ask("GET", f"/{mount}/lasting").content == b"x" * SIZE
            assert client.ask("GET", f"/{mount}/?format=text").content == b"lasting\n"


def test_the_sweeper_is_stopped_with_the_server(data: Path) -> None:
    with RunningServer(data, "--sweep-interval", "1") as server:
        prepare(server, "PUT", "/docs/key", b"x", {"TTL": "1"})
        assert server.stop() == 0
