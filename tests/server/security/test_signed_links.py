"""Signed links: what they allow, and attacks on them."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from docstore.links import Caveats, SignedLink
from docstore.server.security import signed_links
from tests.in_process import Chunked, NeverRead
from tests.linked_store import TEXT, LinkedStore, forged, linked, narrow


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
async def test_a_document_is_read_only_by_a_link_with_get(store: LinkedStore) -> None:
    """PATCH needs the right to read, and LIST the methods GET and HEAD."""
    await store.put("/memory/in/a", b"[]")
    link = await store.sign("/memory/in/", methods=["LIST", "PATCH"])
    for method in ("GET", "HEAD"):
        assert (await store.ask(method, f"/memory/in/a?link={link}")).status == 403
    for query in ("format=zip", "format=tar", "format=zip&keys=a"):
        reply = await store.ask("GET", f"/memory/in/?{query}&link={link}")
        assert (reply.status, b"[]" in reply.content) == (403, False), query
    assert (await store.ask("GET", f"/memory/in/?format=text&link={link}")).content == b"in/a\n"
    change, patch = b'[{"op":"add","path":"/-","value":1}]', {"content-type": "application/json-patch+json"}
    assert (await store.ask("PATCH", f"/memory/in/a?link={link}", change, patch)).status == 200
    assert await store.content("/memory/in/a") == b"[1]"


@linked()
async def test_a_link_that_was_narrowed_to_a_key_lists_nothing(store: LinkedStore) -> None:
    for key in ("in/a", "in/a/b", "in/ab"):
        await store.put(f"/memory/{key}", key.encode())
    whole = await store.sign("/memory/", methods=["GET", "LIST"])
    link = narrow(whole, Caveats("memory", key="in/a"))
    assert (await store.ask("GET", f"/memory/in/a?link={link}")).content == b"in/a"
    for path in ("/memory/", "/memory/in/", "/memory/in/a/"):
        for query in ("format=text", "format=json", "prefix=a", "format=zip", "format=tar", "format=zip&keys=in/"):
            reply = await store.ask("GET", f"{path}?{query}&link={link}")
            assert (reply.status, b"ab" in reply.content) == (403, False), (path, query)
    again = narrow(link, Caveats("memory", prefix=""))
    assert (await store.ask("GET", f"/memory/?format=text&link={again}")).status == 403


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
async def test_the_limits_of_the_token_hold_for_its_links(store: LinkedStore) -> None:
    made = store.tokens.create(rights=["create", "replace"], mount="memory", quota=10, max_document=8, rate="3/min")
    link = await store.sign("/memory/", {"authorization": f"Bearer {made.text}"}, methods=["PUT"], max_document=100)
    statuses = [
        (await store.ask("PUT", f"/memory/a{size}?link={link}", b"x" * size, TEXT)).status for size in (9, 8, 3)
    ]
    assert statuses == [413, 201, 429]


@linked()
async def test_the_quota_of_the_token_holds_for_its_links(store: LinkedStore) -> None:
    made = store.tokens.create(rights=["create"], mount="memory", quota=10)
    link = await store.sign("/memory/", {"authorization": f"Bearer {made.text}"}, methods=["PUT"])
    assert (await store.ask("PUT", f"/memory/a?link={link}", b"x" * 8, TEXT)).status == 201
    assert (await store.ask("PUT", f"/memory/b?link={link}", b"x" * 3, TEXT)).status == 507
    assert (await store.ask("PUT", f"/memory/a?link={link}", b"x", TEXT)).status == 403


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
    for stored, sent in {
        "no-store": "no-store",
        "must-understand, No-Store, public": "no-store",
        "public, max-age=60, x-no-store": "private, no-cache",
        'public, max-age=60, x="no-store"': "private, no-cache",
        'public, max-age=60, no-store="a"': "private, no-cache",
    }.items():
        await store.store.prepare("PUT", "/memory/a", b"1", {**headers, "docstore-cache-control": stored})
        assert (await store.ask("GET", f"/memory/a?link={link}"))["cache-control"] == sent


@linked()
async def test_listings_and_downloads_by_a_link_stay_out_of_caches(store: LinkedStore) -> None:
    await store.put("/memory/in/a")
    link = await store.sign("/memory/", methods=["GET", "LIST", "PUT"])
    for query in ("format=html", "format=json", "format=text", "format=zip", "format=tar", "limit=1"):
        reply = await store.ask("GET", f"/memory/in/?{query}&link={link}")
        assert (reply.status, reply["cache-control"]) == (200, "no-store"), query
    for method, path in (("GET", "/memory/none"), ("PUT", "/memory/in/a"), ("OPTIONS", "/memory/in/a")):
        assert (await store.ask(method, f"{path}?link={link}"))["cache-control"] == "no-store"


@linked()
async def test_no_response_repeats_a_link_but_the_pages_of_its_listing(store: LinkedStore) -> None:
    await store.put("/memory/a/b")
    link = await store.sign("/memory/", methods=["GET", "PUT", "PATCH", "DELETE"])
    for accept in ("text/html", "application/json", "text/plain"):
        for method in ("GET", "PUT", "PATCH", "DELETE", "POST", "PROPFIND"):
            for path in ("/memory/a", "/memory/none", "/memory/", "/memory", "/none", "/-/docs", "/memory/%"):
                reply = await store.ask(method, f"{path}?link={link}", b"1", {"accept": accept})
                assert link not in repr(reply), (method, path)


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
        for other, status in ((link, 404), (SignedLink("0" * 36, link.blocks, link.signature), 403)):
            assert (await store.ask("GET", f"/memory/a?link={other.encode()}")).status == status
        assert len(compared) >= 2
        assert set(compared) == {32}

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
        assert (await store.ask("GET", f"/memory/a?link={text}")).status == 403
    assert len(access._link_views) == 3
