"""PATCH through the store: each failure has its status and changes nothing, and no change of another client is lost."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from docstore.http import json_patch as operations
from docstore.server.resources.patch import PATCH_LIMIT, PATCHED_LIMIT
from tests.engine_urls import ENGINES
from tests.http_client import Client
from tests.in_process import Chunked, InProcess, on_a_store
from tests.server_process import MOUNTS, RunningServer

each_mount = pytest.mark.parametrize("mount", ENGINES)

MERGE, OPERATIONS = "application/merge-patch+json", "application/json-patch+json"
FIELDS = {
    "content-type": "application/vnd.example+json",
    "content-language": "de",
    "cache-control": "max-age=5",
    "meta-a": "1",
}
DOCUMENT = b'{"a": [1, 2.50], "b": {"c": "d"}, "n": 12345678901234567890}'


def patches(media_type: str) -> dict[str, str]:
    return {"content-type": media_type}


FAILURES: dict[str, tuple[str, bytes, int, str]] = {
    # media type, patch: status, and the start of the line
    "no JSON": (MERGE, b"{", 400, "invalid patch"),
    "nothing": (MERGE, b"", 400, "invalid patch"),
    "no UTF-8": (MERGE, b'{"a":"\xff"}', 400, "invalid patch"),
    "a name twice": (MERGE, b'{"a":1,"a":2}', 400, "invalid patch"),
    "NaN": (MERGE, b'{"a":NaN}', 400, "invalid patch"),
    "too deep": (MERGE, b'{"a":' * 3000 + b"1" + b"}" * 3000, 400, "invalid patch"),
    "no array": (OPERATIONS, b"{}", 400, "invalid patch"),
    "no operation": (OPERATIONS, b"[1]", 400, "invalid patch"),
    "an unknown operation": (OPERATIONS, b'[{"op":"spam","path":"/a"}]', 400, "invalid patch"),
    "a broken pointer": (OPERATIONS, b'[{"op":"remove","path":"a"}]', 400, "invalid patch"),
    "no value": (OPERATIONS, b'[{"op":"add","path":"/x"}]', 400, "invalid patch"),
    "a failed test": (OPERATIONS, b'[{"op":"test","path":"/b/c","value":"e"}]', 409, "patch"),
    "a test of nothing": (OPERATIONS, b'[{"op":"test","path":"/x","value":null}]', 409, "patch"),
    "a missing member": (OPERATIONS, b'[{"op":"remove","path":"/x"}]', 409, "patch"),
    "a missing parent": (OPERATIONS, b'[{"op":"add","path":"/x/y","value":1}]', 409, "patch"),
    "a missing index": (OPERATIONS, b'[{"op":"replace","path":"/a/2","value":1}]', 409, "patch"),
    "a missing source": (OPERATIONS, b'[{"op":"move","from":"/x","path":"/y"}]', 409, "patch"),
    "a member of a scalar": (OPERATIONS, b'[{"op":"add","path":"/n/y","value":1}]', 409, "patch"),
    "a move into itself": (OPERATIONS, b'[{"op":"move","from":"/b","path":"/b/c"}]', 422, "patch not applicable"),
    "no document left": (OPERATIONS, b'[{"op":"remove","path":""}]', 422, "patch not applicable"),
    "too many operations": (
        OPERATIONS,
        json.dumps([{"op": "test", "path": "/b/c", "value": "d"}] * (operations.OPERATIONS_LIMIT + 1)).encode(),
        422,
        "patch not applicable",
    ),
    "a bomb of copies": (
        OPERATIONS,
        json.dumps([{"op": "copy", "from": "", "path": "/a/-"}] * 40).encode(),
        422,
        "patch not applicable",
    ),
    "a result over the limit": (MERGE, b'{"a":"%s"}' % (b"x" * 5000), 422, "patch not applicable"),
    "a failure after changes": (
        OPERATIONS,
        b'[{"op":"add","path":"/x","value":1},{"op":"remove","path":"/a"},{"op":"test","path":"/x","value":2}]',
        409,
        "patch",
    ),
    "JSON, but no patch": ("application/json", b"{}", 415, "unsupported media type"),
    "no type": ("", b"{}", 415, "unsupported media type"),
}


@each_mount
@on_a_store(max_document=5000)
async def test_each_failure_has_its_status_and_changes_nothing(store: InProcess, mount: str) -> None:
    path = f"/{mount}/key"
    await store.prepare("PUT", path, DOCUMENT, FIELDS | {"ttl": "60"})
    before = await store.send("GET", path)
    for name, (media_type, patch, status, said) in FAILURES.items():
        for body in (patch, Chunked([patch[:3], patch[3:]])):
            reply = await store.send("PATCH", path, body, patches(media_type) if media_type else {})
            assert (reply.status, reply.content.decode().startswith(said)) == (status, True), (name, reply)
            assert ("accept-patch" in reply) == (status == 415), name
            assert len(reply.content) < 500, name
            assert await store.send("GET", path) == before, name


@on_a_store("memory")
async def test_415_names_the_accepted_types(store: InProcess) -> None:
    await store.prepare("PUT", "/memory/key", DOCUMENT)
    reply = await store.send("PATCH", "/memory/key", b"{}", patches("text/plain"))
    assert (reply.status, reply["accept-patch"]) == (415, f"{MERGE}, {OPERATIONS}")
    coded = await store.send("PATCH", "/memory/key", b"{}", patches(MERGE) | {"content-encoding": "gzip"})
    assert (coded.status, coded["accept-encoding"]) == (415, "identity")


@pytest.mark.parametrize("media_type", [MERGE.upper(), f"{MERGE}; charset=utf-8", f" {MERGE} "])
@on_a_store("memory")
async def test_the_type_of_a_patch_may_be_written_in_any_way(store: InProcess, media_type: str) -> None:
    await store.prepare("PUT", "/memory/key", b"{}")
    assert (await store.send("PATCH", "/memory/key", b"{}", patches(media_type))).status == 200


@pytest.mark.parametrize("document", [b"", b"hello", b"{", b"\xff", b'{"a":1,"a":2}'])
@on_a_store("memory")
async def test_a_document_that_is_not_json_is_a_conflict(store: InProcess, document: bytes) -> None:
    await store.prepare("PUT", "/memory/key", document)
    for media_type, patch in ((MERGE, b"{}"), (OPERATIONS, b"[]")):
        reply = await store.send("PATCH", "/memory/key", patch, patches(media_type))
        assert (reply.status, b"not JSON" in reply.content) == (409, True)


@on_a_store("memory")
async def test_a_patch_at_the_limit_is_accepted_and_one_byte_more_is_rejected(store: InProcess) -> None:
    await store.prepare("PUT", "/memory/key", b"{}")
    patch = b"{}" + b" " * (PATCH_LIMIT - 2)
    for body in (patch, Chunked([patch[:-1], patch[-1:]])):
        assert (await store.send("PATCH", "/memory/key", body, patches(MERGE))).status == 200
    for body in (patch + b" ", Chunked([patch, b" "])):
        assert (await store.send("PATCH", "/memory/key", body, patches(MERGE))).status == 413


@on_a_store("memory")
async def test_a_document_is_patched_up_to_its_limit(store: InProcess) -> None:
    document = b'"' + b"x" * (PATCHED_LIMIT - 2) + b'"'
    await store.prepare("PUT", "/memory/key", document)
    assert (await store.send("PATCH", "/memory/key", b"[]", patches(OPERATIONS))).status == 200
    await store.prepare("PUT", "/memory/key", document + b" ")
    assert (await store.send("PATCH", "/memory/key", b"[]", patches(OPERATIONS))).status == 422
    await store.prepare("PUT", "/memory/key", document[:-3] + b'"')
    longer = b'[{"op":"add","path":"","value":{"a":%s}}]'
    assert (await store.send("PATCH", "/memory/key", longer % b'"b"', patches(OPERATIONS))).status == 200


@each_mount
@on_a_store()
async def test_a_patched_document_keeps_its_fields_and_the_order_and_spelling_of_its_content(
    store: InProcess, mount: str
) -> None:
    path = f"/{mount}/key"
    before = await store.send("PUT", path, DOCUMENT, FIELDS | {"docstore-cache-control": FIELDS["cache-control"]})
    sent = {**patches(MERGE), "content-language": "en", "meta-a": "2", "meta-b": "3"}
    sent["docstore-cache-control"] = "no-store"
    reply = await store.send("PATCH", path, b'{"b":{"e":1.0}}', sent)
    assert (reply.status, reply.content) == (200, b"key\n")
    after = await store.send("GET", path)
    assert after.content == b'{"a":[1,2.50],"b":{"c":"d","e":1.0},"n":12345678901234567890}'
    assert {name: after[name] for name in FIELDS} == FIELDS
    assert "meta-b" not in after
    assert before["etag"] != after["etag"] == reply["etag"]


@each_mount
@on_a_store()
async def test_a_patch_keeps_the_expiry_or_sets_a_new_one(store: InProcess, mount: str) -> None:
    path = f"/{mount}/key"
    await store.prepare("PUT", path, b"{}", {"ttl": "100"})
    store.clock.advance_s(50)
    await store.prepare("PATCH", path, b'{"a":1}', patches(MERGE))
    assert (await store.send("GET", path))["sunset"] == "Tue, 14 Nov 2023 22:15:00 GMT"
    await store.prepare("PATCH", path, b'{"a":2}', patches(MERGE) | {"ttl": "100"})
    store.clock.advance_s(99.999)
    assert (await store.send("GET", path)).content == b'{"a":2}'
    store.clock.advance_s(0.001)
    assert (await store.send("GET", path)).status == 404
    assert (await store.send("PATCH", path, b"{}", patches(MERGE))).status == 404


@each_mount
@on_a_store()
async def test_a_patch_may_be_conditional_on_one_version(store: InProcess, mount: str) -> None:
    path = f"/{mount}/key"
    first = (await store.send("PUT", path, b'{"a":1}'))["etag"]
    second = await store.send("PATCH", path, b'{"a":2}', patches(MERGE) | {"if-match": first})
    assert second.status == 200
    late = await store.send("PATCH", path, b'{"a":3}', patches(MERGE) | {"if-match": first})
    assert (late.status, late["etag"]) == (412, second["etag"])
    assert (await store.send("GET", path)).content == b'{"a":2}'


@each_mount
@on_a_store()
async def test_a_large_document_is_patched_too(store: InProcess, mount: str) -> None:
    members = {f"member {number}": "x" * 100 for number in range(5000)}
    await store.prepare("PUT", f"/{mount}/key", json.dumps(members).encode())
    reply = await store.send("PATCH", f"/{mount}/key", b'{"member 4999":null}', patches(MERGE))
    assert reply.status == 200
    del members["member 4999"]
    assert json.loads((await store.send("GET", f"/{mount}/key")).content) == members


CLIENTS, INCREMENTS = 6, 8


@pytest.mark.parametrize("mount", MOUNTS)
def test_no_increment_by_test_and_replace_is_lost(server: RunningServer, mount: str) -> None:
    path = f"/{mount}/counter"
    with Client(server) as client:
        client.prepare("PUT", path, b'{"n":0}')

    def count(_: int) -> None:
        with Client(server) as client:
            for _ in range(INCREMENTS):
                while True:
                    n = json.loads(client.ask("GET", path).content)["n"]
                    change = [
                        {"op": "test", "path": "/n", "value": n},
                        {"op": "replace", "path": "/n", "value": n + 1},
                    ]
                    status = client.ask("PATCH", path, json.dumps(change).encode(), patches(OPERATIONS)).status
                    assert status in (200, 409)
                    if status == 200:
                        break

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(count, range(CLIENTS)))
    with Client(server) as client:
        assert json.loads(client.ask("GET", path).content) == {"n": CLIENTS * INCREMENTS}


@pytest.mark.parametrize("mount", MOUNTS)
def test_no_member_of_concurrent_merges_is_lost(server: RunningServer, mount: str) -> None:
    path = f"/{mount}/members"
    with Client(server) as client:
        client.prepare("PUT", path, b"{}")

    def merge(number: int) -> None:
        with Client(server) as client:
            for n in range(INCREMENTS):
                patch = b'{"client %d":{"%d":true}}' % (number, n)
                assert client.ask("PATCH", path, patch, patches(MERGE)).status == 200

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(merge, range(CLIENTS)))
    members = {str(n): True for n in range(INCREMENTS)}
    with Client(server) as client:
        merged = json.loads(client.ask("GET", path).content)
    assert merged == {f"client {number}": members for number in range(CLIENTS)}
