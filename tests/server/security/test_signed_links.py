"""Signed links: what they allow, attacks on them, and how they end."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from docstore.errors import OutcomeUnknown
from docstore.links import Caveats, SignedLink
from docstore.server.security import signed_links
from docstore.server.security.ended import KEPT_S
from docstore.server.security.state_files import CHECK_INTERVAL_S
from docstore.server.security.tokens import Tokens
from tests.in_process import Chunked, InProcess, NeverRead, Reply, opened

TEXT = {"content-type": "text/plain"}


class LinkedStore:
    """A store with two mounts, `memory` and `docs`, and a client that signs."""

    def __init__(self, store: InProcess, tokens: Tokens) -> None:
        self.store, self.tokens = store, tokens
        self.made = tokens.create(rights=["all"], note="signer")
        self.headers = {"authorization": f"Bearer {self.made.text}"}

    async def ask(self, method: str, target: str, content: Any = b"", headers: dict[str, str] | None = None) -> Reply:
        """Send a request without a token."""
        return await self.store.send(method, target, content, headers or {})

    async def put(self, path: str, content: bytes = b"1") -> None:
        await self.store.prepare("PUT", path, content, {**self.headers, **TEXT})

    async def content(self, path: str) -> bytes | None:
        reply = await self.store.send("GET", path, headers=self.headers)
        return reply.content if reply.status == 200 else None

    async def request_link(self, path: str, headers: dict[str, str] | None = None, **members: Any) -> Reply:
        body = json.dumps({"path": path, **members}).encode()
        return await self.store.send("POST", "/-/links", body, self.headers if headers is None else headers)

    async def sign(self, path: str, headers: dict[str, str] | None = None, **members: Any) -> str:
        """Return the link itself."""
        reply = await self.request_link(path, headers, **members)
        assert reply.status == 201, reply
        return str(json.loads(reply.content)["url"]).partition("?link=")[2]


def run(test: Callable[[LinkedStore], Awaitable[None]], folder: Path, **options: Any) -> None:
    async def opens() -> None:
        tokens = Tokens(folder / "data")
        settings = {"anonymous": None, **options}
        async with opened(folder, ["memory", "docs"], **settings, tokens=tokens) as store:
            await test(LinkedStore(store, tokens))

    asyncio.run(opens())


def linked(**options: Any) -> Callable[[Callable[[LinkedStore], Awaitable[None]]], Callable[..., None]]:
    """Make `async def test(store)` a test for pytest."""

    def decorate(test: Callable[[LinkedStore], Awaitable[None]]) -> Callable[..., None]:
        def collected(tmp_path: Path) -> None:
            run(test, tmp_path, **options)

        collected.__name__, collected.__doc__ = test.__name__, test.__doc__
        return collected

    return decorate


def narrow(link: str, caveats: Caveats) -> str:
    return SignedLink.parse(link).narrowed(caveats).encode()


@linked()
async def test_a_link_is_a_url_that_allows_what_it_says_and_nothing_else(store: LinkedStore) -> None:
    await store.put("/memory/report", b"content")
    reply = await store.request_link("/memory/report", ttl=60)
    assert reply["cache-control"] == "no-store"
    answer = json.loads(reply.content)
    assert answer.keys() == {"id", "url", "expires"}
    assert answer["url"].startswith("/memory/report?link=dsl_")
    assert reply["location"] == f"/-/links/{answer['id']}"
    found = await store.ask("GET", answer["url"])
    assert (found.status, found.content) == (200, b"content")
    assert (await store.ask("HEAD", answer["url"])).status == 200
    assert (await store.ask("GET", answer["url"], headers={"range": "bytes=0-1"})).content == b"co"
    for method in ("PUT", "POST", "PATCH", "DELETE", "PROPFIND"):
        denied = await store.ask(method, answer["url"], NeverRead())
        assert (denied.status, denied.content) == (403, f"forbidden: the link does not allow {method}\n".encode())
    assert await store.content("/memory/report") == b"content"


@pytest.mark.parametrize(
    ("methods", "allowed"),
    [
        (["GET"], {"GET", "HEAD"}),
        (["PUT"], {"PUT"}),
        (["POST"], {"POST"}),
        (["DELETE"], {"DELETE"}),
        (["PATCH"], {"PATCH"}),
        (["GET", "PUT"], {"GET", "HEAD", "PUT"}),
    ],
)
def test_each_method_is_allowed_by_its_name(tmp_path: Path, methods: list[str], allowed: set[str]) -> None:
    @linked()
    async def test(store: LinkedStore) -> None:
        link = await store.sign("/memory/a", methods=methods)
        for method in ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"):
            await store.store.prepare("PUT", "/memory/a", b"{}", {**store.headers, "content-type": "application/json"})
            patch = {"content-type": "application/merge-patch+json"}
            body = b"{}" if method in ("PUT", "POST", "PATCH") else b""
            status = (
                await store.ask(method, f"/memory/a?link={link}", body, patch if method == "PATCH" else {})
            ).status
            assert status == (200 if method in allowed else 403), method
        options = await store.ask("OPTIONS", f"/memory/a?link={link}")
        assert set(options["allow"].split(", ")) - {"GET", "HEAD", "OPTIONS"} == allowed - {"GET", "HEAD"}

    test(tmp_path)


ESCAPES = [
    *("/memory/in/b", "/memory/in", "/memory/in/", "/memory/in/a/", "/memory/in/ab", "/memory/in/A", "/memory/out"),
    *("/memory/in/a%00", "/memory/in/a%20", "/memory/in//a", "/memory//in/a", "//memory/in/a", "/memory/in/a//"),
    *("/memory/in/a/../b", "/memory/in/a/%2e%2e/b", "/memory/in/a/..%2Fb", "/memory/in/a%2F..%2Fb", "/memory/in%2fb"),
    *("/memory/in/%61%2e", "/memory/in%252fa", "/memory/in/%2561", "/docs/in/a", "/", "/memory/", "/memory", "*"),
    *(
        "/-/",
        "/-/docs",
        "/-/openapi.json",
        "/-/ready",
        "/-/links",
        "/.well-known/api-catalog",
        "/memory/../docs/in/a",
    ),
    *("/memory/in/a;b", "/memory/in/a%3Flink", "/Memory/in/a", "/memory/in/%C3%A1", "/memory/in/%c0%af"),
]
SAME = ["/memory/in/a", "/memory/in/%61", "/memory/%69n/a", "/memory/in%2Fa", "/memory/in%2fa", "/memory/./in/x/../a"]


@linked()
async def test_no_spelling_of_a_path_leaves_the_key_and_every_spelling_of_the_key_is_the_key(
    store: LinkedStore,
) -> None:
    for key in ("in/a", "in/b", "out"):
        await store.put(f"/memory/{key}", key.encode())
    await store.put("/docs/in/a", b"docs")
    link = await store.sign("/memory/in/a", methods=["GET", "PUT", "DELETE"])
    for path in SAME:
        assert (await store.ask("GET", f"{path}?link={link}")).content == b"in/a", path
    for path in ESCAPES:
        for method in ("GET", "PUT", "POST", "DELETE", "PATCH"):
            reply = await store.ask(method, f"{path}?link={link}", NeverRead())
            assert reply.status in (400, 403, 404), (method, path, reply)
    for key in ("in/a", "in/b", "out"):
        assert await store.content(f"/memory/{key}") == key.encode()
    assert await store.content("/docs/in/a") == b"docs"


@linked()
async def test_a_link_for_a_prefix_is_for_the_keys_that_begin_with_it(store: LinkedStore) -> None:
    for key in ("in/a", "in/b", "inner", "out"):
        await store.put(f"/memory/{key}", key.encode())
    link = await store.sign("/memory/in/", methods=["GET", "PUT"])
    for path in ("/memory/in/a", "/memory/in/b", "/memory/in/x/../b"):
        assert (await store.ask("GET", f"{path}?link={link}")).status == 200
    for path in ("/memory/inner", "/memory/out", "/memory/in/../out", "/memory/in/..%2Fout", "/memory/in/%2e%2e/out"):
        assert (await store.ask("GET", f"{path}?link={link}")).status in (400, 404)
        assert (await store.ask("PUT", f"{path}?link={link}", NeverRead())).status in (400, 403)
    assert (await store.ask("PUT", f"/memory/in/new?link={link}", b"new", TEXT)).status == 201
    for path in ("/memory/in/", "/memory/", "/memory/?prefix=in/"):
        denied = await store.ask("GET", f"{path}{'&' if '?' in path else '?'}link={link}")
        assert denied.status == 403, path
    text = await store.sign("/memory/", prefix="in")
    assert (await store.ask("GET", f"/memory/inner?link={text}")).content == b"inner"


@linked()
async def test_a_prefix_is_listed_only_if_the_link_says_so(store: LinkedStore) -> None:
    for key in ("in/a", "in/b", "in/c", "out"):
        await store.put(f"/memory/{key}", key.encode())
    link = await store.sign("/memory/in/", methods=["LIST"])
    for path in ("/memory/in/?format=text&", "/memory/?format=text&"):
        assert (await store.ask("GET", f"{path}link={link}")).content == b"in/a\nin/b\nin/c\n"
    assert (await store.ask("GET", f"/memory/in/?format=json&link={link}")).status == 200
    assert (await store.ask("GET", f"/memory/in/a?link={link}")).status == 403
    assert (await store.ask("GET", f"/memory/in/?format=zip&link={link}")).status == 403
    both = await store.sign("/memory/in/", methods=["GET", "LIST"])
    page = json.loads((await store.ask("GET", f"/memory/in/?format=json&limit=2&link={both}")).content)
    assert [document["key"] for document in page["documents"]] == ["in/a", "in/b"]
    following = json.loads((await store.ask("GET", page["next"])).content)
    assert [document["key"] for document in following["documents"]] == ["in/c"]
    assert (await store.ask("GET", f"/memory/in/?format=zip&link={both}")).status == 200
    assert (await store.ask("GET", f"/?link={both}")).status == 403
    for accept in ("text/html", "*/*"):
        index = (await store.ask("GET", f"/memory/in/?link={both}", headers={"accept": accept})).content.decode()
        assert re.findall('href="([^"]*)"', index) == [f"{name}?link={both}" for name in "abc"]
        assert "<script" not in index


@linked()
async def test_uploads_are_limited_in_size_and_type(store: LinkedStore) -> None:
    link = await store.sign("/memory/a", methods=["PUT"], max_document=4, types=["text/csv", "Image/*"])
    csv = {"content-type": "text/csv; charset=utf-8"}
    assert (await store.ask("PUT", f"/memory/a?link={link}", b"1234", csv)).status == 201
    for body in (b"12345", Chunked([b"123", b"45"])):
        assert (await store.ask("PUT", f"/memory/a?link={link}", body, csv)).status == 413
    assert (await store.ask("PUT", f"/memory/a?link={link}", NeverRead(5), csv)).status == 413
    for kind in ("image/png", "IMAGE/PNG", "TEXT/CSV"):
        assert (await store.ask("PUT", f"/memory/a?link={link}", b"1", {"content-type": kind})).status == 200
    for kind in ("text/html", "text/csvx", "image", "text/csv, text/html", "text/html; text/csv", "imagex/png", "*/*"):
        denied = await store.ask("PUT", f"/memory/a?link={link}", NeverRead(1), {"content-type": kind})
        assert denied.status == 415, kind
        assert b"text/csv or image/*" in denied.content
    assert (await store.ask("PUT", f"/memory/a?link={link}", NeverRead(1))).status == 415
    two = [("content-type", "text/csv"), ("content-type", "text/html")]
    assert (await store.store.send("PUT", f"/memory/a?link={link}", b"1", two)).status in (400, 415)
    narrower = narrow(link, Caveats(types=("image/png",), max_document=2))
    assert (await store.ask("PUT", f"/memory/a?link={narrower}", b"1", csv)).status == 415
    assert (await store.ask("PUT", f"/memory/a?link={narrower}", b"123", {"content-type": "image/png"})).status == 413
    wider = narrow(narrower, Caveats(types=("*/*",), max_document=100))
    assert (await store.ask("PUT", f"/memory/a?link={wider}", b"1", csv)).status == 415
    assert (await store.ask("PUT", f"/memory/a?link={wider}", b"123", {"content-type": "image/png"})).status == 413


@linked()
async def test_a_patch_by_a_link_keeps_to_its_size(store: LinkedStore) -> None:
    await store.store.prepare("PUT", "/memory/a", b'{"a":1}', {**store.headers, "content-type": "application/json"})
    link = await store.sign("/memory/a", methods=["PATCH"], max_document=20)
    for change, status in ((b'{"b":2}', 200), (b'{"c":"01234567890"}', 422)):
        patch = {"content-type": "application/merge-patch+json"}
        assert (await store.ask("PATCH", f"/memory/a?link={link}", change, patch)).status == status
    assert await store.content("/memory/a") == b'{"a":1,"b":2}'


def forged(link: str) -> list[str]:
    """Links that are almost the given one."""
    parsed = SignedLink.parse(link)
    wider = Caveats("memory", prefix="", methods=("GET", "PUT", "DELETE"), until=2**40 - 1)
    blocks = [
        parsed.blocks[:-1],
        parsed.blocks[1:],
        (*parsed.blocks, wider.encode()),
        (wider.encode(), *parsed.blocks[1:]),
        parsed.blocks[::-1],
    ]
    texts = [SignedLink(parsed.id, each, parsed.signature).encode() for each in blocks if each]
    for position in range(len(link)):
        other = "A" if link[position] != "A" else "B"
        texts += [link[:position] + other + link[position + 1 :]]
    texts += [link[:size] for size in range(0, len(link), 7)]
    texts += [SignedLink(id, parsed.blocks, parsed.signature).encode() for id in ("0" * 36, parsed.id[::-1])]
    texts += [SignedLink(parsed.id, parsed.blocks, bytes(32)).encode()]
    return [*texts, link + "A", link + "=", "+" + link, link.replace("_", "%5F"), "x", "dst_" + link[4:]]


@linked()
async def test_forged_truncated_and_extended_links_are_rejected(store: LinkedStore) -> None:
    await store.put("/memory/a", b"secret")
    link = narrow(await store.sign("/memory/a"), Caveats(until=2**40 - 1))
    assert (await store.ask("GET", f"/memory/a?link={link}")).status == 200
    for text in forged(link):
        reply = await store.ask("GET", f"/memory/a?link={text}")
        assert reply.status == 403, text
        assert b"the link is not valid" in reply.content
        assert "www-authenticate" not in reply
        assert len(text) < 20 or text.encode() not in reply.content


@pytest.mark.parametrize("query", ["link={0}&link={0}", "link={0}&link=x", "link=x&link={0}", "link={0}&%6cink=x"])
def test_two_links_in_one_query_are_rejected(tmp_path: Path, query: str) -> None:
    @linked()
    async def test(store: LinkedStore) -> None:
        await store.put("/memory/a")
        link = await store.sign("/memory/a", methods=["GET", "PUT"])
        for method in ("GET", "PUT"):
            reply = await store.ask(method, f"/memory/a?{query.format(link)}", NeverRead())
            assert (reply.status, reply.content) == (400, b"invalid query: a URL has at most one link\n")

    test(tmp_path)


@pytest.mark.parametrize("query", ["LINK={}", "link%3D{}", "x=link={}", "xlink={}", "link;={}", "%EF%BD%8Cink={}"])
def test_another_name_is_no_link(tmp_path: Path, query: str) -> None:
    @linked()
    async def test(store: LinkedStore) -> None:
        await store.put("/memory/a")
        link = await store.sign("/memory/a")
        assert (await store.ask("GET", f"/memory/a?{query.format(link)}")).status == 401

    test(tmp_path)


@linked()
async def test_other_parameters_of_a_write_are_still_rejected(store: LinkedStore) -> None:
    link = await store.sign("/memory/a", methods=["PUT", "DELETE"])
    for query in (f"link={link}&uploads", f"x=1&link={link}"):
        assert (await store.ask("PUT", f"/memory/a?{query}", NeverRead())).status == 400
    override = {"x-http-method-override": "DELETE"}
    assert (await store.ask("PUT", f"/memory/a?link={link}", NeverRead(), override)).status == 400


@linked()
async def test_a_header_or_a_parameter_does_not_change_the_method(store: LinkedStore) -> None:
    await store.put("/memory/a")
    link = await store.sign("/memory/a")
    for headers in ({"x-http-method-override": "DELETE"}, {"x-http-method": "PUT"}, {"x-method-override": "DELETE"}):
        assert (await store.ask("GET", f"/memory/a?link={link}", headers=headers)).status == 200
        assert (await store.ask("POST", f"/memory/a?link={link}", NeverRead(), headers)).status == 403
    assert (await store.ask("GET", f"/memory/a?_method=DELETE&link={link}")).status == 200
    assert await store.content("/memory/a") == b"1"


@linked(anonymous="read")
async def test_a_link_counts_alone_whatever_else_the_request_has(store: LinkedStore) -> None:
    await store.put("/memory/a")
    link = await store.sign("/memory/a", methods=["PUT"])
    for headers in ({}, store.headers, {"authorization": "Bearer wrong"}):
        assert (await store.ask("GET", f"/memory/a?link={link}", headers=headers)).status == 403
        assert (await store.ask("DELETE", f"/memory/a?link={link}", headers=headers)).status == 403
        assert (await store.ask("PUT", f"/memory/a?link={link}", b"2", {**headers, **TEXT})).status == 200
        assert (await store.ask("GET", "/memory/a?link=x", headers=headers)).status == 403
    assert (await store.ask("GET", "/memory/a")).status == 200


@linked()
async def test_a_link_ends_at_its_time_whatever_the_clock_says_before(store: LinkedStore) -> None:
    await store.put("/memory/a")
    now_s = store.store.clock() // 10**9
    link = await store.sign("/memory/a", ttl=60)
    for moment_s, status in ((0, 200), (now_s + 59, 200), (now_s + 60, 403), (10**10, 403), (now_s, 200)):
        store.store.clock.set_ns(moment_s * 10**9)
        reply = await store.ask("GET", f"/memory/a?link={link}")
        assert reply.status == status
        assert status == 200 or reply.content == b"forbidden: the link has expired\n"
    shorter = narrow(link, Caveats(until=now_s + 10))
    longer = narrow(shorter, Caveats(until=now_s + 1000))
    store.store.clock.set_ns((now_s + 10) * 10**9)
    for text in (shorter, longer):
        assert (await store.ask("GET", f"/memory/a?link={text}")).status == 403
    assert (await store.ask("GET", f"/memory/a?link={link}")).status == 200


@linked()
async def test_a_link_dies_with_its_token(store: LinkedStore) -> None:
    await store.put("/memory/a")
    made = store.tokens.create(rights=["read"], mount="memory", expires="1h")
    headers = {"authorization": f"Bearer {made.text}"}
    await asyncio.sleep(CHECK_INTERVAL_S)
    link = await store.sign("/memory/a", headers, ttl=86_400)
    narrowed = narrow(link, Caveats(methods=("GET",)))
    assert (await store.ask("GET", f"/memory/a?link={link}")).status == 200
    assert made.token.expires_ns is not None
    now_ns = store.store.clock()
    store.store.clock.set_ns(made.token.expires_ns)
    expired = await store.ask("GET", f"/memory/a?link={link}")
    assert expired.content == b"forbidden: the link has expired with the token that made it\n"
    store.store.clock.set_ns(now_ns)
    await asyncio.to_thread(store.tokens.revoke, made.token.id)
    await asyncio.sleep(CHECK_INTERVAL_S)
    for text in (link, narrowed):
        denied = await store.ask("GET", f"/memory/a?link={text}")
        assert (denied.status, b"the token that made it was revoked" in denied.content) == (403, True)


@linked()
async def test_another_token_with_the_same_id_revives_no_link(store: LinkedStore) -> None:
    await store.put("/memory/a")
    link = await store.sign("/memory/a")
    content = json.loads(store.tokens.path.read_bytes())
    content["tokens"][0]["sha256"] = "0" * 64
    store.tokens.path.write_text(json.dumps(content))
    await asyncio.sleep(CHECK_INTERVAL_S)
    assert (await store.ask("GET", f"/memory/a?link={link}")).status == 403


@linked()
async def test_a_link_has_no_more_rights_than_its_token_has_now(store: LinkedStore) -> None:
    await store.put("/memory/in/a")
    link = await store.sign("/memory/in/", methods=["GET", "LIST", "PUT", "DELETE"])
    content = json.loads(store.tokens.path.read_bytes())
    for rights, mount, prefix, statuses in (
        (["read", "list"], "memory", "", (200, 200, 403, 403)),
        (["read"], "memory", "in/", (200, 403, 403, 403)),
        (["create"], "memory", "", (404, 403, 403, 403)),
        (["read", "delete"], "memory", "in/a", (404, 403, 403, 403)),
        (["read", "delete"], "memory", "out", (404, 403, 403, 403)),
        (["read", "delete"], "docs", "", (403, 403, 403, 403)),
    ):
        content["tokens"][0] |= {"rights": rights, "mount": mount, "prefix": prefix}
        store.tokens.path.write_text(json.dumps(content))
        await asyncio.sleep(CHECK_INTERVAL_S)
        requests = (("GET", "in/a"), ("GET", "in/"), ("PUT", "in/a"), ("DELETE", "in/a"))
        found = [(await store.ask(method, f"/memory/{key}?link={link}")).status for method, key in requests]
        assert tuple(found) == statuses, (rights, mount, prefix)


@linked()
async def test_only_a_token_that_has_a_right_can_sign_it(store: LinkedStore) -> None:
    rights = {"read": "GET", "list": "LIST", "delete": "DELETE", "create": "PUT", "replace": "POST"}
    made = {right: store.tokens.create(rights=[right], mount="memory", prefix="in/") for right in rights}
    await asyncio.sleep(CHECK_INTERVAL_S)
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


@linked()
async def test_the_limits_of_the_token_hold_for_its_links(store: LinkedStore) -> None:
    made = store.tokens.create(rights=["create", "replace"], mount="memory", quota=10, max_document=8, rate="3/min")
    await asyncio.sleep(CHECK_INTERVAL_S)
    link = await store.sign("/memory/", {"authorization": f"Bearer {made.text}"}, methods=["PUT"], max_document=100)
    statuses = [
        (await store.ask("PUT", f"/memory/a{size}?link={link}", b"x" * size, TEXT)).status for size in (9, 8, 3)
    ]
    assert statuses == [413, 201, 429]


@linked()
async def test_the_quota_of_the_token_holds_for_its_links(store: LinkedStore) -> None:
    made = store.tokens.create(rights=["create"], mount="memory", quota=10)
    await asyncio.sleep(CHECK_INTERVAL_S)
    link = await store.sign("/memory/", {"authorization": f"Bearer {made.text}"}, methods=["PUT"])
    assert (await store.ask("PUT", f"/memory/a?link={link}", b"x" * 8, TEXT)).status == 201
    assert (await store.ask("PUT", f"/memory/b?link={link}", b"x" * 3, TEXT)).status == 507
    assert (await store.ask("PUT", f"/memory/a?link={link}", b"x", TEXT)).status == 403


@linked()
async def test_a_link_for_one_use_is_used_up_by_one_success(store: LinkedStore) -> None:
    link = await store.sign("/memory/a", methods=["GET", "PUT"], once=True, max_document=4)
    url = f"/memory/a?link={link}"
    for method, body, headers, status in (
        ("GET", b"", {}, 404),
        ("HEAD", b"", {}, 404),
        ("PUT", b"12345", TEXT, 413),
        ("PUT", Chunked([b"123", b"45"]), TEXT, 413),
        ("PUT", b"1", {"content-digest": "sha-256=:AAAA:"}, 400),
        ("PUT", b"1", {"if-match": '"x"'}, 412),
        ("DELETE", b"", {}, 403),
        ("OPTIONS", b"", {}, 204),
        ("PUT", b"1", TEXT, 201),
        ("PUT", b"2", TEXT, 403),
        ("GET", b"", {}, 403),
        ("HEAD", b"", {}, 403),
    ):
        reply = await store.ask(method, url, body, headers)
        assert reply.status == status, (method, body, reply)
    assert reply.content == b""
    used = await store.ask("GET", url)
    assert used.content == b"forbidden: the link was used, and it can be used only once\n"
    assert await store.content("/memory/a") == b"1"


@linked()
async def test_a_holder_makes_links_for_one_use_which_do_not_use_up_each_other(store: LinkedStore) -> None:
    await store.put("/memory/a")
    link = await store.sign("/memory/a")
    one, other = (narrow(link, Caveats(once=digits * 16)) for digits in "12")
    longer = narrow(one, Caveats(methods=("GET",)))
    assert (await store.ask("GET", f"/memory/a?link={longer}")).status == 200
    assert [(await store.ask("GET", f"/memory/a?link={text}")).status for text in (one, longer)] == [403, 403]
    assert (await store.ask("GET", f"/memory/a?link={narrow(one, Caveats(once='3' * 16))}")).status == 403
    for text, status in ((other, 200), (other, 403), (link, 200), (link, 200)):
        assert (await store.ask("GET", f"/memory/a?link={text}")).status == status


@linked()
async def test_of_many_uses_at_once_one_succeeds(store: LinkedStore) -> None:
    for _ in range(5):
        link = await store.sign("/docs/a", methods=["PUT"], once=True)
        uses = [store.ask("PUT", f"/docs/a?link={link}", Chunked([b"%d" % number]), TEXT) for number in range(8)]
        statuses = [reply.status for reply in await asyncio.gather(*uses)]
        assert sorted(statuses)[1:] == [403] * 7
        assert min(statuses) in (200, 201)


@linked()
async def test_a_link_stays_used_if_nobody_knows_what_was_done(store: LinkedStore) -> None:
    link = await store.sign("/memory/a", methods=["PUT"], once=True)
    engine = store.store.engines["memory"]
    put = engine.put

    async def lose(request: Any) -> Any:
        await put(request)
        raise OutcomeUnknown("lost")

    vars(engine)["put"] = lose
    assert (await store.ask("PUT", f"/memory/a?link={link}", b"1", TEXT)).status == 503
    vars(engine).pop("put")
    assert (await store.ask("PUT", f"/memory/a?link={link}", b"2", TEXT)).status == 403
    assert await store.content("/memory/a") == b"1"


@linked()
async def test_a_revoked_link_ends_at_once_with_all_that_were_narrowed_from_it(store: LinkedStore) -> None:
    await store.put("/memory/a")
    link, other = await store.sign("/memory/a"), await store.sign("/memory/a")
    narrowed = narrow(link, Caveats(methods=("GET",)))
    id = SignedLink.parse(link).id
    assert (await store.ask("GET", f"/memory/a?link={link}")).status == 200
    for _ in range(2):
        assert (await store.store.send("DELETE", f"/-/links/{id}", headers=store.headers)).status == 200
    for text in (link, narrowed):
        reply = await store.ask("GET", f"/memory/a?link={text}")
        assert (reply.status, reply.content) == (403, b"forbidden: the link was revoked\n")
    assert (await store.ask("GET", f"/memory/a?link={other}")).status == 200


@linked()
async def test_a_token_revokes_its_own_links_and_an_administrator_all(store: LinkedStore) -> None:
    made = [store.tokens.create(rights=["read"], mount="memory") for _ in range(2)]
    await asyncio.sleep(CHECK_INTERVAL_S)
    one, other = ({"authorization": f"Bearer {each.text}"} for each in made)
    ids = [SignedLink.parse(await store.sign("/memory/a", one)).id for _ in range(2)]
    for headers, id, status in (
        (other, ids[0], 403),
        (one, ids[0], 200),
        (store.headers, ids[1], 200),
        (one, "0" * 36, 403),
        (one, ids[0][:-1], 404),
        (one, ids[0].upper(), 404),
        (one, "..%2f..%2ftokens.json", 404),
        (one, ids[0] + "/", 404),
    ):
        assert (await store.store.send("DELETE", f"/-/links/{id}", headers=headers)).status == status, id


@pytest.mark.parametrize("damage", [b"", b"x", b"\0" * 97])
def test_a_damaged_key_closes_links_and_nothing_else(tmp_path: Path, damage: bytes) -> None:
    @linked()
    async def test(store: LinkedStore) -> None:
        await store.put("/memory/a")
        link = await store.sign("/memory/a")
        key = tmp_path / "data" / "signing.key"
        good = key.read_bytes()
        key.write_bytes(damage)
        await asyncio.sleep(CHECK_INTERVAL_S)
        assert (await store.ask("GET", f"/memory/a?link={link}")).status == 503
        assert (await store.request_link("/memory/a")).status == 503
        assert await store.content("/memory/a") == b"1"
        key.write_bytes(good)
        await asyncio.sleep(CHECK_INTERVAL_S)
        assert (await store.ask("GET", f"/memory/a?link={link}")).status == 200
        key.unlink()
        await asyncio.sleep(CHECK_INTERVAL_S)
        assert (await store.ask("GET", f"/memory/a?link={link}")).status == 403

    test(tmp_path)


@linked()
async def test_a_link_before_there_is_a_key_is_rejected(store: LinkedStore) -> None:
    other = SignedLink("0" * 36, (Caveats("memory", "a", methods=("GET",), until=2**40 - 1).encode(),), bytes(32))
    assert (await store.ask("GET", f"/memory/a?link={other.encode()}")).status == 403


def test_links_that_ended_are_looked_up_or_rejected(tmp_path: Path) -> None:
    @linked()
    async def test(store: LinkedStore) -> None:
        link = await store.sign("/memory/a")
        (tmp_path / "data" / "ended").write_text("no folder")
        assert (await store.ask("GET", f"/memory/a?link={link}")).status == 503
        assert (await store.store.send("DELETE", f"/-/links/{'0' * 36}", headers=store.headers)).status == 503

    test(tmp_path)


@linked(sweep_interval_s=0.01)
async def test_the_sweeper_removes_what_ended_long_ago(store: LinkedStore) -> None:
    links = store.store.store._links
    assert links is not None
    link = await store.sign("/memory/a", ttl=5)
    id = SignedLink.parse(link).id
    await store.store.send("DELETE", f"/-/links/{id}", headers=store.headers)
    store.store.store.start()
    await asyncio.sleep(0.05)
    assert links.revoked.has(id)
    store.store.clock.set_ns(store.store.clock() + (6 + KEPT_S) * 10**9)
    while links.revoked.has(id):  # noqa: ASYNC110 - no event says so
        await asyncio.sleep(0.01)


@linked()
async def test_responses_by_a_link_stay_out_of_shared_caches_and_send_no_referrer(store: LinkedStore) -> None:
    headers = {**store.headers, **TEXT, "docstore-cache-control": "public, max-age=3600"}
    await store.store.prepare("PUT", "/memory/a", b"1", headers)
    assert "public" in (await store.store.send("GET", "/memory/a", headers=store.headers))["cache-control"]
    link = await store.sign("/memory/a")
    reply = await store.ask("GET", f"/memory/a?link={link}")
    assert reply["cache-control"] == "private, no-cache"
    assert reply["referrer-policy"] == "no-referrer"
    again = await store.ask("GET", f"/memory/a?link={link}", headers={"if-none-match": reply["etag"]})
    assert (again.status, again["cache-control"]) == (304, "private, no-cache")
    await store.store.prepare("PUT", "/memory/a", b"1", {**headers, "docstore-cache-control": "no-store"})
    assert (await store.ask("GET", f"/memory/a?link={link}"))["cache-control"] == "no-store"


@linked()
async def test_no_response_repeats_a_link_but_the_pages_of_its_listing(store: LinkedStore) -> None:
    await store.put("/memory/a/b")
    link = await store.sign("/memory/", methods=["GET", "PUT", "PATCH", "DELETE"])
    for accept in ("text/html", "application/json", "text/plain"):
        for method in ("GET", "PUT", "PATCH", "DELETE", "POST", "PROPFIND"):
            for path in ("/memory/a", "/memory/none", "/memory/", "/memory", "/none", "/-/docs", "/memory/%"):
                reply = await store.ask(method, f"{path}?link={link}", b"1", {"accept": accept})
                assert link not in repr(reply), (method, path)


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
    for body in (b"", b"[]", b"null", b"{", b"\xff", b"{}", b"[" * 10_000, b'{"path":"/memory/a","path":1}'):
        assert (await store.store.send("POST", "/-/links", body, store.headers)).status == 400
    large = Chunked([b" " * 40_000] * 2)
    assert (await store.store.send("POST", "/-/links", large, store.headers)).status == 413
    assert (await store.store.send("GET", "/-/links", headers=store.headers)).status == 405
    assert (await store.store.send("GET", f"/-/links/{'0' * 36}", headers=store.headers)).status == 405


def test_signatures_are_compared_in_constant_time_whatever_the_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[int] = []

    def compare(first: bytes, second: bytes) -> bool:
        compared.append(len(first))
        return first == second

    fake = SimpleNamespace(compare_digest=compare)
    monkeypatch.setattr(signed_links, "hmac", fake)

    @linked()
    async def test(store: LinkedStore) -> None:
        link = SignedLink.parse(await store.sign("/memory/a"))
        for other in (link, SignedLink("0" * 36, link.blocks, link.signature)):
            await store.ask("GET", f"/memory/a?link={other.encode()}")
        assert compared == [32, 32]

    test(tmp_path)


@linked()
async def test_a_server_remembers_a_bounded_number_of_links(store: LinkedStore) -> None:
    await store.put("/memory/a")
    access = store.store.store._access
    assert access is not None
    links = [await store.sign("/memory/a") for _ in range(3)]
    old = access._link_views
    for link in links:
        assert (await store.ask("GET", f"/memory/a?link={link}")).status == 200
    assert len(old) == 3
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("docstore.server.security.access.LINK_VIEWS", 3)
        for _ in range(5):
            link = await store.sign("/memory/a")
            assert (await store.ask("GET", f"/memory/a?link={link}")).status == 200
            assert len(access._link_views) == 3
    for text in forged(narrow(link, Caveats(methods=("GET",)))):
        await store.ask("GET", f"/memory/a?link={text}")
    assert len(access._link_views) == 3
