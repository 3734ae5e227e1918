"""Who signs links, and which links are not signed."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from docstore.links import SignedLink
from tests.in_process import Chunked, NeverRead, opened
from tests.linked_store import LinkedStore, linked


@linked()
async def test_only_a_token_that_has_a_right_can_sign_it(store: LinkedStore) -> None:
    rights = {"read": "GET", "list": "LIST", "delete": "DELETE", "create": "PUT", "replace": "POST"}
    made = {right: store.tokens.create(rights=[right], mount="memory", prefix="in/") for right in rights}
    for right, method in rights.items():
        headers = {"authorization": f"Bearer {made[right].text}"}
        for name in ("GET", "LIST", "DELETE", "PUT", "POST", "PATCH"):
            fine = name == method or (right in ("create", "replace") and name in ("PUT", "POST"))
            reply = await store.request_link("/memory/in/", headers, methods=[name])
            assert reply.status == (201 if fine else 403), (right, name)
            assert fine or b"the token lacks the right" in reply.content
        for path, more in (("/memory/", {"prefix": "in"}), ("/memory/", {}), ("/memory/out", {}), ("/memory/in", {})):
            assert (await store.request_link(path, headers, methods=[method], **more)).status in (400, 403)
        assert (await store.request_link("/docs/in/", headers, methods=[method])).status == 404
    assert (await store.request_link("/memory/a", {})).status == 401


@linked()
async def test_a_link_signs_no_links_and_revokes_none(store: LinkedStore) -> None:
    link = await store.sign("/memory/", methods=["GET", "LIST", "PUT", "POST", "DELETE"])
    id = SignedLink.parse(link).id
    body = json.dumps({"path": "/memory/a"}).encode()
    assert (await store.ask("POST", f"/-/links?link={link}", body)).status == 403
    assert (await store.ask("DELETE", f"/-/links/{id}?link={link}")).status == 403
    assert (await store.ask("DELETE", f"/-/links/{id}")).status == 401


@linked(anonymous="write")
async def test_clients_without_a_token_sign_nothing(store: LinkedStore) -> None:
    reply = await store.request_link("/memory/a", {})
    assert (reply.status, reply.content) == (403, b"forbidden: signing and revoking links needs a token\n")
    assert (await store.ask("DELETE", f"/-/links/{'0' * 36}")).status == 403


@pytest.mark.parametrize("anonymous", ["write", "read"])
def test_an_open_store_has_no_links(tmp_path: Path, anonymous: str) -> None:
    async def opens() -> None:
        async with opened(tmp_path, ["memory"], anonymous=anonymous) as store:
            for method, path in (("POST", "/-/links"), ("DELETE", f"/-/links/{'0' * 36}")):
                reply = await store.send(method, path, NeverRead())
                assert reply.status == (404 if anonymous == "write" else 403)
                assert anonymous == "read" or b"this server asks for no tokens" in reply.content
            assert (await store.send("GET", "/memory/?format=text&link=dsl_x")).status == 200

    asyncio.run(opens())


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"path": 1}, "path"),
        ({"path": "memory/a"}, "start with"),
        ({"path": "/memory/%zz"}, "hexadecimal"),
        ({"path": "/memory/é"}, "percent-encoded"),
        ({"path": "/memory/€"}, "percent-encoded"),
        ({"path": "/memory/\ud800"}, "percent-encoded"),
        ({"path": "/"}, "no such mount"),
        ({"path": "/none/a"}, "no such mount"),
        ({"path": "/-/links"}, "no such mount"),
        ({"path": "/memory/a//b"}, "segment"),
        ({"path": "/memory/a//"}, "no key begins"),
        ({"rights": ["read"]}, "unknown member 'rights'"),
        ({"methods": "GET"}, "methods is of another type"),
        ({"methods": []}, "methods"),
        ({"methods": ["get"]}, "unknown method 'get'"),
        ({"methods": ["HEAD"]}, "unknown method 'HEAD'"),
        ({"methods": ["LIST"]}, "only a prefix"),
        ({"ttl": 0}, "ttl"),
        ({"ttl": -1}, "ttl"),
        ({"ttl": 10**9}, "ttl"),
        ({"ttl": 1.5}, "ttl is of another type"),
        ({"ttl": True}, "ttl is of another type"),
        ({"max_document": -1}, "too small"),
        ({"max_document": 10**30}, "too large"),
        ({"types": []}, "types"),
        ({"types": ["text"]}, "types"),
        ({"types": ["text/" + "x" * 4000]}, "4,096"),
        ({"once": 1}, "once is of another type"),
        ({"prefix": True}, "prefix is of another type"),
        ({"prefix": "b"}, "path ends with a slash"),
        ({"path": "/memory/", "prefix": "../b"}, "no key begins"),
        ({"path": "/memory/", "prefix": "\ud800"}, "no key begins"),
    ],
)
def test_a_link_that_cannot_be_is_not_signed(tmp_path: Path, members: dict[str, Any], said: str) -> None:
    @linked()
    async def test(store: LinkedStore) -> None:
        reply = await store.request_link(**{"path": "/memory/a", **members})
        assert reply.status in (400, 404)
        assert said in reply.content.decode()

    test(tmp_path)


@linked()
async def test_content_that_is_no_request_for_a_link_is_rejected(store: LinkedStore) -> None:
    for body in (b"", b"[]", b"null", b"{", b"\xff", b"{}", b"[" * 10_000):
        assert (await store.store.send("POST", "/-/links", body, store.headers)).status == 400
    twice = await store.store.send("POST", "/-/links", b'{"path":"/memory/b","path":"/memory/a"}', store.headers)
    assert (twice.status, b"twice" in twice.content) == (400, True)
    large = Chunked([b" " * 40_000] * 2)
    assert (await store.store.send("POST", "/-/links", large, store.headers)).status == 413
    assert (await store.store.send("GET", "/-/links", headers=store.headers)).status == 405
    assert (await store.store.send("GET", f"/-/links/{'0' * 36}", headers=store.headers)).status == 405
