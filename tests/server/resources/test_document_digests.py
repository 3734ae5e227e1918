"""Digests through the store: content that does not match is not stored, and requested digests are sent."""

import base64
import hashlib
from collections.abc import Callable

import pytest

from docstore.content import BytesContent, Upload
from tests.engine_urls import ENGINES
from tests.in_process import Chunked, InProcess, on_a_store

each_mount = pytest.mark.parametrize("mount", ENGINES)


def encoded(algorithm: str, content: bytes) -> str:
    return base64.b64encode(hashlib.new(algorithm, content).digest()).decode()


FIELDS: dict[str, Callable[[bytes], dict[str, str]]] = {
    "Content-Digest": lambda content: {"content-digest": f"sha-256=:{encoded('sha256', content)}:"},
    "Content-Digest, sha-512": lambda content: {"content-digest": f"sha-512=:{encoded('sha512', content)}:"},
    "Repr-Digest": lambda content: {"repr-digest": f"sha-256=:{encoded('sha256', content)}:"},
    "Content-MD5": lambda content: {"content-md5": encoded("md5", content)},
    "Digest": lambda content: {"digest": f"SHA-256={encoded('sha256', content)}"},
    "Digest, md5": lambda content: {"digest": f"md5={encoded('md5', content)}"},
    "one that is right beside one that is not known": lambda content: {
        "content-digest": f"sha-256=:{encoded('sha256', content)}:, crc32c=:AAAAAA==:"
    },
    "several": lambda content: {
        "content-digest": f"sha-512=:{encoded('sha512', content)}:",
        "repr-digest": f"sha-256=:{encoded('sha256', content)}:",
        "content-md5": encoded("md5", content),
    },
}
each_field = pytest.mark.parametrize("name", FIELDS)

SIZES = {"nothing": 0, "small": 5, "more than goes inline": 100_000, "several pieces": 3_000_000}


def bodies(content: bytes) -> list[Upload]:
    return [BytesContent(content), Chunked([content[: len(content) // 2], content[len(content) // 2 :]])]


@each_mount
@each_field
@on_a_store()
async def test_content_that_does_not_match_its_digest_changes_nothing(store: InProcess, mount: str, name: str) -> None:
    path = f"/{mount}/key"
    await store.prepare("PUT", path, b"as it was")
    before = await store.send("GET", f"/{mount}/?format=json")
    for size in SIZES.values():
        content = b"x" * size
        for body in bodies(content + b"!"):
            for method, target in (("PUT", path), ("PUT", f"/{mount}/new"), ("POST", f"/{mount}/")):
                reply = await store.send(method, target, body, FIELDS[name](content))
                assert (reply.status, reply.content.split(b":")[0]) == (400, b"digest mismatch")
    assert await store.send("GET", f"/{mount}/?format=json") == before
    assert (await store.send("GET", path)).content == b"as it was"


@each_mount
@each_field
@on_a_store()
async def test_content_that_matches_its_digest_is_stored(store: InProcess, mount: str, name: str) -> None:
    for size in SIZES.values():
        content = b"x" * size
        for body in bodies(content):
            assert (await store.send("PUT", f"/{mount}/key", body, FIELDS[name](content))).status in (200, 201)
            assert (await store.send("GET", f"/{mount}/key")).content == content


@each_mount
@on_a_store()
async def test_the_digest_of_a_patch_is_of_the_patch(store: InProcess, mount: str) -> None:
    patch, fields = b'{"a":1}', {"content-type": "application/merge-patch+json"}
    await store.prepare("PUT", f"/{mount}/key", b"{}")
    wrong = await store.send("PATCH", f"/{mount}/key", patch, fields | FIELDS["Content-Digest"](b"{}"))
    assert (wrong.status, (await store.send("GET", f"/{mount}/key")).content) == (400, b"{}")
    right = await store.send("PATCH", f"/{mount}/key", patch, fields | FIELDS["Content-Digest"](patch))
    assert (right.status, (await store.send("GET", f"/{mount}/key")).content) == (200, patch)


IGNORED = {
    "an algorithm that is not known": {"content-digest": "crc32c=:AAAAAA==:"},
    "no dictionary": {"content-digest": "sha-256=;;"},
    "no byte sequence": {"repr-digest": "sha-256=1"},
    "an older one that is not known": {"digest": "adler32=03da0195"},
}


@pytest.mark.parametrize("name", IGNORED)
@on_a_store("memory")
async def test_unknown_digests_are_ignored(store: InProcess, name: str) -> None:
    assert (await store.send("PUT", "/memory/key", b"x", IGNORED[name])).status == 201


@each_mount
@pytest.mark.parametrize("size", [10, 200_000], ids=["small", "large"])
@on_a_store()
async def test_wanted_digests_are_sent(store: InProcess, mount: str, size: int) -> None:
    path, content = f"/{mount}/key", bytes(n % 251 for n in range(size))
    await store.prepare("PUT", path, content)
    whole, wish = f"sha-256=:{encoded('sha256', content)}:", "sha-512=3, sha-256=10"
    fields = {"want-repr-digest": wish, "want-content-digest": wish, "want-digest": "md5;q=1, sha-256;q=0.5"}
    get = await store.send("GET", path, headers=fields)
    assert (get["repr-digest"], get["content-digest"]) == (whole, whole)
    assert get["digest"] == f"sha-256={encoded('sha256', content)}"
    head = await store.send("HEAD", path, headers=fields)
    assert (head["repr-digest"], head["digest"]) == (whole, get["digest"])
    assert "content-digest" not in head, "it has no content"
    part = await store.send("GET", path, headers=fields | {"range": "bytes=2-5"})
    assert (part.status, part["repr-digest"]) == (206, whole)
    if size == 10 or "content-digest" in part:
        assert part["content-digest"] == f"sha-256=:{encoded('sha256', content[2:6])}:"
    several = await store.send("GET", path, headers=fields | {"range": "bytes=2-5,7-8"})
    assert (several.status, several["repr-digest"]) == (206, whole)
    told = several.all("content-digest")
    assert told in ([], [f"sha-256=:{encoded('sha256', several.content)}:"])


@pytest.mark.parametrize("wish", ["sha-256=0", "sha-512=10", "sha-256=11", "sha-256=x", "", "sha-256"])
@on_a_store("memory")
async def test_a_request_for_an_unsupported_digest_is_ignored(store: InProcess, wish: str) -> None:
    await store.prepare("PUT", "/memory/key", b"x")
    reply = await store.send("GET", "/memory/key", headers={"want-repr-digest": wish, "want-content-digest": wish})
    assert reply.status == 200
    assert "repr-digest" not in reply
    assert "content-digest" not in reply


@on_a_store("memory")
async def test_digests_are_not_sent_unless_wanted(store: InProcess) -> None:
    await store.prepare("PUT", "/memory/key", b"x", FIELDS["several"](b"x"))
    reply = await store.send("GET", "/memory/key")
    assert not {"repr-digest", "content-digest", "digest", "content-md5"} & {name for name, _ in reply.headers}
