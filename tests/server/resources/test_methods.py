"""Every method on every kind of resource: the status, Allow, and the framing of a request."""

import re

import pytest

from docstore.server.resources.resource import KNOWN_METHODS
from tests.engine_urls import ENGINES
from tests.http_client import Client
from tests.in_process import Chunked, InProcess, Reply, on_a_store
from tests.server_process import MOUNTS, RunningServer

each_mount = pytest.mark.parametrize("mount", ENGINES)

DOCUMENT = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
COLLECTION = "GET, HEAD, OPTIONS, POST, PUT"
READABLE = "GET, HEAD, OPTIONS"

PLACES = {
    # path: Allow, and the status of each method that is allowed
    "/memory/there": (
        DOCUMENT,
        {"GET": 200, "HEAD": 200, "PUT": 200, "POST": 200, "PATCH": 200, "DELETE": 200, "OPTIONS": 204},
    ),
    "/memory/missing": (
        DOCUMENT,
        {"GET": 404, "HEAD": 404, "PUT": 201, "POST": 201, "PATCH": 404, "DELETE": 404, "OPTIONS": 204},
    ),
    "/memory/": (COLLECTION, {"GET": 200, "HEAD": 200, "PUT": 201, "POST": 201, "OPTIONS": 204}),
    "/memory": (READABLE, {"GET": 308, "HEAD": 308, "OPTIONS": 204}),
    "/": (READABLE, {"GET": 200, "HEAD": 200, "OPTIONS": 204}),
    "*": ("OPTIONS", {"OPTIONS": 204}),
    "/-/": (READABLE, {"GET": 200, "HEAD": 200, "OPTIONS": 204}),
    "/-": (READABLE, {"GET": 308, "HEAD": 308, "OPTIONS": 204}),
    "/-/health": (READABLE, {"GET": 200, "HEAD": 200, "OPTIONS": 204}),
    "/-/web/docstore.css": (READABLE, {"GET": 200, "HEAD": 200, "OPTIONS": 204}),
}
NOWHERE = ["/nowhere", "/nowhere/", "/nowhere/key", "/-/nothing", "/.well-known/", "/*", "/Memory/there"]
BAD_KEYS = ["/memory/a.b", "/memory/a/b", "/memory//", "/memory/there/", "/memory/%", "/memory/%ff"]


async def tried(store: InProcess, method: str, path: str) -> Reply:
    """The response to a request that is valid except, perhaps, for its method."""
    await store.prepare("PUT", "/memory/there", b"{}", {"content-type": "application/json"})
    await store.prepare("DELETE", "/memory/missing")
    patch = {"content-type": "application/merge-patch+json"} if method == "PATCH" else {}
    return await store.send(method, path, b"{}", patch)


@pytest.mark.parametrize("path", PLACES)
@pytest.mark.parametrize("method", sorted(KNOWN_METHODS))
@on_a_store("memory")
async def test_each_method_has_its_status_and_others_are_405_with_allow(
    store: InProcess, path: str, method: str
) -> None:
    allow, statuses = PLACES[path]
    reply = await tried(store, method, path)
    assert reply.status == statuses.get(method, 405)
    if reply.status in (204, 405):
        assert reply["allow"] == allow
    assert sorted(statuses) == allow.split(", ")


@pytest.mark.parametrize("method", sorted(KNOWN_METHODS))
@on_a_store("memory", keys="name")
async def test_an_unknown_path_is_404_and_an_invalid_key_400_for_each_method(store: InProcess, method: str) -> None:
    assert {path: (await tried(store, method, path)).status for path in NOWHERE} == dict.fromkeys(NOWHERE, 404)
    assert {path: (await tried(store, method, path)).status for path in BAD_KEYS} == dict.fromkeys(BAD_KEYS, 400)


@pytest.mark.parametrize(
    "method", ["PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH"]
)
@on_a_store("memory")
async def test_a_method_of_webdav_is_405_with_allow(store: InProcess, method: str) -> None:
    for path, (allow, _) in PLACES.items():
        reply = await store.send(method, path)
        assert (reply.status, reply["allow"]) == (405, allow), path


@pytest.mark.parametrize("method", ["get", "Put", "BREW", "propfind", "X" * 300, "G-E.T"])
@on_a_store("memory")
async def test_an_unknown_method_is_501_on_every_path(store: InProcess, method: str) -> None:
    for path in (*PLACES, *NOWHERE, *BAD_KEYS):
        assert (await tried(store, method, path)).status == 501


@on_a_store("memory", collection_put=False)
async def test_a_mount_may_refuse_put_to_its_collection(store: InProcess) -> None:
    reply = await store.send("PUT", "/memory/", b"x")
    assert (reply.status, reply["allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    assert (await store.send("OPTIONS", "/memory/"))["allow"] == "GET, HEAD, OPTIONS, POST"


@on_a_store("memory")
async def test_options_lists_the_methods_of_a_resource_and_ignores_conditions(store: InProcess) -> None:
    for path in ("/memory/there", "/memory/missing"):
        reply = await store.send("OPTIONS", path, headers={"if-match": '"x"', "if-none-match": "*"})
        assert (reply.status, reply.content) == (204, b"")
        assert reply["accept-patch"] == "application/merge-patch+json, application/json-patch+json"
        assert reply["accept-ranges"] == "bytes"
        assert "content-length" not in reply


READS = {
    "a document": ("/memory/there", {}),
    "a document of no bytes": ("/memory/empty", {}),
    "a document that is not there": ("/memory/missing", {}),
    "a document that the reader has": ("/memory/there", {"if-none-match": "*"}),
    "a document that is another": ("/memory/there", {"if-match": '"x"'}),
    "a document with its digest": ("/memory/there", {"want-repr-digest": "sha-256=1", "want-digest": "sha-256"}),
    "the page": ("/memory/", {"accept": "text/html"}),
    "the listing in JSON": ("/memory/", {"accept": "application/json"}),
    "the listing as a stream": ("/memory/", {"accept": "application/x-ndjson"}),
    "the listing in lines": ("/memory/", {"accept": "text/plain"}),
    "a page with a next": ("/memory/?limit=1", {}),
    "a listing that nobody has": ("/memory/", {"accept": "image/png"}),
    "a wrong query": ("/memory/?limit=0", {}),
    "no slash": ("/memory?limit=1", {}),
    "the root": ("/", {}),
    "nowhere": ("/nowhere", {"accept": "application/json"}),
    "health": ("/-/health", {}),
    "the style sheet": ("/-/web/docstore.css", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", READS)
@on_a_store("memory")
async def test_head_is_get_without_its_content(store: InProcess, name: str) -> None:
    path, fields = READS[name]
    await store.prepare("PUT", "/memory/there", b"12345", {"content-type": "text/x", "meta-a": "1", "ttl": "60"})
    await store.prepare("PUT", "/memory/empty")
    get, head = await store.send("GET", path, headers=fields), await store.send("HEAD", path, headers=fields)
    assert (head.status, settled(head), head.content) == (get.status, settled(get), b"")


def settled(reply: Reply) -> list[tuple[str, str]]:
    """The fields, without the nonce, which is new in each response."""
    return [(name, re.sub(r"'nonce-[\w-]{24}'", "", value)) for name, value in reply.headers]


@on_a_store("memory")
async def test_head_ignores_range(store: InProcess) -> None:
    await store.prepare("PUT", "/memory/there", b"12345")
    for asked in ("bytes=1-2", "bytes=9-", "bytes=0-0,2-3"):
        reply = await store.send("HEAD", "/memory/there", headers={"range": asked})
        assert (reply.status, reply["content-length"]) == (200, "5")
        assert "content-range" not in reply


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize("key", ["key", ""])
@on_a_store(max_document=1000)
async def test_content_at_the_limit_is_accepted_and_one_byte_more_is_rejected(
    store: InProcess, method: str, key: str
) -> None:
    for mount in MOUNTS:
        path = f"/{mount}/{key}"
        for content in (b"x" * 1000, Chunked([b"x" * 999, b"x"])):
            assert (await store.send(method, path, content)).status in (200, 201)
        listed = (await store.send("GET", f"/{mount}/?format=json")).content
        for content in (b"y" * 1001, Chunked([b"y" * 1000, b"y"]), Chunked([b"y" * 2000])):
            reply = await store.send(method, path, content)
            assert (reply.status, reply.content) == (
                413,
                b"content too large: a document here is at most 1000 bytes\n",
            )
        assert (await store.send("GET", f"/{mount}/?format=json")).content == listed


@each_mount
@pytest.mark.parametrize("sizes", [[], [0], [1], [3, 0, 5], [70_000, 1], [300_000, 300_000]])
@on_a_store()
async def test_content_of_unknown_size_is_stored_completely(store: InProcess, mount: str, sizes: list[int]) -> None:
    chunks = [bytes([number]) * size for number, size in enumerate(sizes)]
    assert (await store.send("PUT", f"/{mount}/chunked", Chunked(chunks))).status == 201
    assert (await store.send("GET", f"/{mount}/chunked")).content == b"".join(chunks)


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize("path", ["/memory/there", "/memory/missing", "/memory/"])
@on_a_store("memory")
async def test_a_put_with_content_range_is_rejected(store: InProcess, method: str, path: str) -> None:
    await store.prepare("PUT", "/memory/there", b"whole")
    reply = await store.send(method, path, b"par", {"content-range": "bytes 0-2/5"})
    assert (reply.status, reply.content.split(b":")[0]) == (400, b"partial content rejected")
    assert (await store.send("GET", "/memory/?format=text")).content == b"there\n"
    assert (await store.send("GET", "/memory/there")).content == b"whole"


EXPECTATIONS = {
    "100-continue": 201,
    "100-Continue": 201,
    "200-ok": 417,
    "": 417,
    "100-continue, x": 417,
    "x" * 500: 417,
}


@pytest.mark.parametrize("expectation", EXPECTATIONS)
@on_a_store("memory")
async def test_an_unknown_expectation_is_417(store: InProcess, expectation: str) -> None:
    for path in ("/memory/key", "/memory/"):
        reply = await store.send("PUT", path, b"x", {"expect": expectation})
        assert reply.status == EXPECTATIONS[expectation]
        assert len(reply.content) < 300


DOTTED = [
    "/x/../memory/key",
    "/memory/./key",
    "/memory/x/../key",
    "/%2e/memory/key",
    "/a/%2E%2e/memory/key",
    "/../memory/key",
]


@pytest.mark.parametrize("path", DOTTED)
@on_a_store("memory")
async def test_dot_segments_are_removed_before_routing(store: InProcess, path: str) -> None:
    reply = await store.send("PUT", path, b"1")
    assert (reply.status, reply["location"]) == (201, "/memory/key")
    assert (await store.send("GET", "/memory/key")).content == b"1"
    assert (await store.send("DELETE", path)).status == 200


@pytest.mark.parametrize("path", ["/memory/x/..", "/memory/.", "/memory/x/%2e%2e", "/memory/%2E"])
@on_a_store("memory")
async def test_a_dot_segment_at_the_end_names_the_collection(store: InProcess, path: str) -> None:
    assert (await store.send("GET", path)).status == 200
    assert (await store.send("DELETE", path)).status == 405


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
def test_an_unexpected_body_does_no_harm(server: RunningServer, mount: str, method: str, chunked: bool) -> None:
    body = b"PUT /docs/smuggled HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx" * 100
    path = f"/{mount}/with-a-body"
    with Client(server) as client:
        for _ in range(3):
            client.prepare("PUT", path, b"as it was")
            sent = iter([body[:100], body[100:]]) if chunked else body
            bare = client.ask(method, path, sent)
            assert bare.status == (204 if method == "OPTIONS" else 200)
            assert bare.content == (b"as it was" if method == "GET" else b"")
            assert client.ask("GET", f"/{mount}/smuggled").status == 404
            assert client.ask("PUT", path, b"and on").status in (200, 201)
        client.prepare("DELETE", path)


def test_options_of_the_server_itself_is_answered(server: RunningServer) -> None:
    with Client(server) as client:
        answer = client.ask("OPTIONS", "*")
        assert (answer.status, answer["allow"]) == (204, "OPTIONS")
