"""The complete matrix of the oracle through `handle`, on real engines, and conditions that become false meanwhile."""

import asyncio
import hashlib
import re
from dataclasses import dataclass

import pytest

from docstore.content import BytesContent
from docstore.engines.contract import PutRequest
from docstore.model import Document, Fields, version_of
from docstore.testing.contract.documents import GatedUpload
from tests.engine_urls import ENGINES
from tests.engines.object_store.s3_server import ON_CLUSTER
from tests.http.oracle import Answer, Case, State, cases, expected
from tests.in_process import InProcess, Reply, on_a_store

CONTENT = b'{"a":"ten"}'
NEW = b'{"b":1}'
SMALL_SERVER_STEP = 41
"""The small S3 server takes milliseconds for a request and gets one case in so many; `make test-cluster` runs all."""
PARTS = 6 if ON_CLUSTER else 1
"""A cluster takes milliseconds too, so that several workers share the cases."""
PATCH = b'{"a":null,"b":1}'
FIELDS = Fields.make("application/json")
VERSION = version_of(hashlib.sha256(CONTENT).digest(), FIELDS)
MODIFIED = 1_700_000_000
REFUSALS = {304, 404, 412, 416}


@dataclass
class Scene:
    """One document, restored to its first state after each case that changed it."""

    store: InProcess
    mount: str
    path: str
    standing: Document | None = None
    changed: bool = False
    """Whether the document is another one than at first."""

    async def stand(self, exists: bool, state: State) -> None:
        engine, clock = self.store.engines[self.mount], self.store.clock
        key = self.path.rpartition("/")[2]
        if (self.standing is not None) != exists or (exists and self.changed):
            if exists:
                clock.set_ns(state.modified * 10**9 + 999_999_999)
                await engine.put(PutRequest(key, BytesContent(CONTENT), FIELDS))
            else:
                await engine.delete(key)
            self.standing, self.changed = await engine.get(key), False
        clock.set_ns(max(state.now * 10**9, clock()) if exists else state.now * 10**9)

    async def now_stands(self) -> Document | None:
        return await self.store.engines[self.mount].get(self.path.rpartition("/")[2])


async def ask(scene: Scene, case: Case, state: State) -> Reply:
    content = {"PUT": NEW, "PATCH": PATCH}.get(case.method, b"")
    media_type = {"PUT": "application/json", "PATCH": "application/merge-patch+json"}.get(case.method)
    fields = case.fields(state) | ({"content-type": media_type} if media_type else {})
    return await scene.store.send(case.method, scene.path, content, fields)


def told(reply: Reply) -> Answer:
    """The statuses and Content-Ranges of a reply, those of its parts when it has several."""
    if reply.status == 206 and reply["content-type"].startswith("multipart/byteranges"):
        assert "content-range" not in reply
        return Answer(206, tuple(re.findall(r"^Content-Range: (.*)\r$", reply.content.decode(), re.MULTILINE)))
    return Answer(reply.status, tuple(reply.all("content-range")))


def content_of(reply: Reply) -> bytes:
    """The bytes of the document in a reply, those of several parts joined."""
    if not reply.headers or not reply["content-type"].startswith("multipart/byteranges"):
        return reply.content
    boundary = reply["content-type"].partition("boundary=")[2]
    parts = reply.content.decode().split(f"--{boundary}")[1:-1]
    return "".join(part.partition("\r\n\r\n")[2].removesuffix("\r\n") for part in parts).encode()


def selected(answer: Answer) -> bytes:
    """The bytes of CONTENT that the Content-Ranges name; all of it when there are none."""
    if answer.status != 206:
        return CONTENT
    spans = [re.fullmatch(r"bytes (\d+)-(\d+)/\d+", named) for named in answer.content_ranges]
    return b"".join(CONTENT[int(span[1]) : int(span[2]) + 1] for span in spans if span)


def fault(case: Case, state: State, reply: Reply, before: Document | None, after: Document | None) -> str:
    """What is wrong with a reply and with the state of the document after it; "" if nothing is."""
    wanted = expected(case, state)
    if told(reply) != wanted:
        return f"{told(reply)} instead of {wanted}"
    if (case.method in ("GET", "HEAD") or wanted.status in REFUSALS) and after != before:
        return "the document changed"
    tag = f'"{state.version}"'
    if wanted.status in (200, 206, 304) and case.method in ("GET", "HEAD"):
        needed = {"etag": [tag], "cache-control": ["no-cache"], "last-modified": reply.all("last-modified")}
        if any(reply.all(name) != values or len(values) != 1 for name, values in needed.items()):
            return "a field of the representation is missing"
    if wanted.status == 304 and ("content-type" in reply or "content-length" in reply or reply.content):
        return "a 304 has content or describes it"
    if wanted.status == 412 and reply.all("etag") != ([tag] if case.exists else []):
        return "a 412 does not tell the ETag that would do"
    if case.method == "GET" and wanted.status in (200, 206) and content_of(reply) != selected(wanted):
        return "other bytes than were asked for"
    if case.method in ("PUT", "PATCH") and wanted.status in (200, 201):
        if after is None or after.content != BytesContent(NEW) or reply["etag"] != f'"{after.meta.version}"':
            return "the new document is not there"
        if ("location" in reply) != (wanted.status == 201):
            return "Location goes with 201"
    if case.method == "DELETE" and wanted.status == 200 and after is not None:
        return "the document is still there"
    return ""


async def faulty(scene: Scene, case: Case, state: State) -> str:
    """Run a case and return its `fault`."""
    await scene.stand(case.exists, state)
    before = scene.standing
    assert (before is not None) == case.exists
    reply = await ask(scene, case, state)
    scene.standing = after = await scene.now_stands()
    scene.changed = scene.changed or after != before
    return fault(case, state, reply, before, after)


@pytest.mark.parametrize("late_s", [3600, 0], ids=["settled", "in the second of its last change"])
@pytest.mark.parametrize("mount", ["memory", "docs", "s3"])
@pytest.mark.parametrize("part", range(PARTS))
@on_a_store()
async def test_every_case_of_the_matrix_agrees_with_the_oracle(
    store: InProcess, part: int, mount: str, late_s: int
) -> None:
    state = State(VERSION, MODIFIED, len(CONTENT), MODIFIED + late_s)
    scene = Scene(store, mount, f"/{mount}/key")
    chosen = list(cases())[part :: SMALL_SERVER_STEP if mount == "s3" and not ON_CLUSTER else PARTS]
    faults = [(case, wrong) for case in chosen if (wrong := await faulty(scene, case, state))]
    assert faults[:5] == []


MEANWHILE = {
    # condition that holds before the body comes: the status of a small write and of a large one
    "if-match: {}": (412, 412),
    "if-match: *": (200, 409),
    'if-none-match: "x"': (200, 409),
    "if-unmodified-since: Tue, 14 Nov 2023 22:13:20 GMT": (412, 412),
    "": (200, 200),
}


@pytest.mark.parametrize("size", [100, 300_000], ids=["small", "large"])
@pytest.mark.parametrize("field", MEANWHILE)
@pytest.mark.parametrize("mount", [*ENGINES, "s3"])
@on_a_store()
async def test_conditions_are_evaluated_again_inside_the_commit(
    store: InProcess, mount: str, field: str, size: int
) -> None:
    """The document changes while the body of a write arrives, after its headers were checked."""
    path, (name, _, value) = f"/{mount}/key", field.partition(": ")
    tag = (await store.send("PUT", path, b"first"))["etag"]
    body = GatedUpload(b"x" * size)
    writing = asyncio.create_task(store.send("PUT", path, body, {name: value.format(tag)} if field else {}))
    await body.halfway.wait()
    store.clock.advance_s(5)
    await store.prepare("PUT", path, b"second")
    body.gate.set()
    reply = await writing
    small, large = MEANWHILE[field]
    assert reply.status == (small if size == 100 else large)
    assert (await store.send("GET", path)).content == (body.data if reply.status == 200 else b"second")


@pytest.mark.parametrize("size", [100, 300_000], ids=["small", "large"])
@pytest.mark.parametrize("mount", [*ENGINES, "s3"])
@on_a_store()
async def test_of_two_creations_the_first_to_commit_succeeds(store: InProcess, mount: str, size: int) -> None:
    body = GatedUpload(b"x" * size)
    late = asyncio.create_task(store.send("PUT", f"/{mount}/key", body, {"if-none-match": "*"}))
    await body.halfway.wait()
    assert (await store.send("PUT", f"/{mount}/key", b"won", {"if-none-match": "*"})).status == 201
    body.gate.set()
    assert (await late).status == 412
    assert (await store.send("GET", f"/{mount}/key")).content == b"won"
