"""Prefer (RFC 7240): a client chooses the content of the response to a write."""

import pytest

from tests.engine_urls import ENGINES
from tests.in_process import InProcess, on_a_store

each_mount = pytest.mark.parametrize("mount", ENGINES)

JSON = {"content-type": "application/json", "meta-a": "1"}
WRITES = {
    # method, key below the mount, content, fields: whether it creates a document
    "PUT over one": ("PUT", "there", b'{"n":1}', JSON, False),
    "PUT of a new one": ("PUT", "missing", b'{"n":1}', JSON, True),
    "POST over one": ("POST", "there", b'{"n":1}', JSON, False),
    "POST of a new one": ("POST", "missing", b'{"n":1}', JSON, True),
    "PATCH": ("PATCH", "there", b'{"n":1}', {"content-type": "application/merge-patch+json"}, False),
    "POST to the collection": ("POST", "", b'{"n":1}', JSON, True),
    "PUT to the collection": ("PUT", "", b'{"n":1}', JSON, True),
}
each_write = pytest.mark.parametrize("name", WRITES)


@each_mount
@each_write
@on_a_store()
async def test_the_response_to_minimal_has_no_content(store: InProcess, mount: str, name: str) -> None:
    method, key, content, fields, creates = WRITES[name]
    await store.prepare("PUT", f"/{mount}/there", b"{}", JSON)
    reply = await store.send(method, f"/{mount}/{key}", content, fields | {"prefer": "return=minimal"})
    assert (reply.status, reply.content) == (201 if creates else 204, b"")
    assert reply["preference-applied"] == "return=minimal"
    path = reply["location"] if creates else f"/{mount}/{key}"
    stored = await store.send("GET", path)
    assert (stored.content, stored["etag"]) == (content, reply["etag"])


@each_mount
@each_write
@on_a_store()
async def test_the_response_to_representation_is_the_document(store: InProcess, mount: str, name: str) -> None:
    method, key, content, fields, creates = WRITES[name]
    await store.prepare("PUT", f"/{mount}/there", b"{}", JSON)
    reply = await store.send(method, f"/{mount}/{key}", content, fields | {"prefer": "return=representation"})
    assert (reply.status, reply.content) == (201 if creates else 200, content)
    assert reply["preference-applied"] == "return=representation"
    assert ("location" in reply) == creates
    stored = await store.send("GET", reply["content-location"])
    of_the_answer = ("preference-applied", "content-location", "location")
    assert sorted(pair for pair in reply.headers if pair[0] not in of_the_answer) == sorted(stored.headers)
    if key:
        assert reply["content-location"] == f"/{mount}/{key}"


UNKNOWN = [
    "respond-async",
    "return=everything",
    "return",
    "wait=10",
    "handling=strict",
    "",
    ";;,=",
    'foo="return=minimal"',
]


@pytest.mark.parametrize("preference", UNKNOWN)
@each_write
@on_a_store("memory")
async def test_unknown_preferences_are_ignored(store: InProcess, name: str, preference: str) -> None:
    method, key, content, fields, creates = WRITES[name]
    await store.prepare("PUT", "/memory/there", b"{}", JSON)
    reply = await store.send(method, f"/memory/{key}", content, fields | {"prefer": preference})
    assert reply.status == (201 if creates else 200)
    assert reply.content.endswith(b"\n")
    assert "preference-applied" not in reply


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["return=minimal, return=representation"], 204),
        (["return=representation", "return=minimal"], 200),
        (["foo, return=minimal"], 204),
        (["RETURN=Minimal"], 204),
        (['return="minimal"; x=y'], 204),
        (["return=odd, return=minimal"], 200),
    ],
)
@on_a_store("memory")
async def test_the_first_of_a_name_counts(store: InProcess, lines: list[str], status: int) -> None:
    await store.prepare("PUT", "/memory/key", b"x")
    assert (await store.send("PUT", "/memory/key", b"y", [("prefer", line) for line in lines])).status == status


@on_a_store("memory")
async def test_errors_reads_and_deletions_apply_no_preference(store: InProcess) -> None:
    await store.prepare("PUT", "/memory/key", b"x")
    for prefer in ("return=minimal", "return=representation"):
        for method, fields, status in [
            ("PUT", {"if-none-match": "*"}, 412),
            ("PUT", {"ttl": "x"}, 400),
            ("GET", {}, 200),
            ("HEAD", {}, 200),
            ("OPTIONS", {}, 204),
        ]:
            reply = await store.send(method, "/memory/key", b"", fields | {"prefer": prefer})
            assert (reply.status, "preference-applied" in reply) == (status, False)
        assert "preference-applied" not in await store.send("DELETE", "/memory/key", headers={"prefer": prefer})
        await store.prepare("PUT", "/memory/key", b"x")


@on_a_store("memory")
async def test_a_document_that_expires_at_once_cannot_be_sent_back(store: InProcess) -> None:
    reply = await store.send("PUT", "/memory/key", b"x", {"ttl": "0", "prefer": "return=representation"})
    assert (reply.status, reply.content) == (201, b"key\n")
    assert "preference-applied" not in reply
