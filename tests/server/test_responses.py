"""Stored fields that are sent back with a document, and the cache fields of every response."""

import gzip
import json
from dataclasses import replace

import pytest

from docstore.http.message import NO_CONTENT, header_lines
from docstore.http.stored_headers import META_LIMIT, STORED_SIZE_LIMIT
from docstore.model import Fields, Meta
from docstore.server import responses
from docstore.server.app import Store
from docstore.server.mounts import Mount
from docstore.server.responses import CACHED_BLOCK_COUNT, document_headers, full_response, not_modified_response
from tests.engine_urls import ENGINES
from tests.in_process import InProcess, Reply, on_a_store

each_mount = pytest.mark.parametrize("mount", ENGINES)

EVERY_FIELD = {
    "content-type": 'Text/Plain; Charset="utf-8"',
    "content-encoding": "gzip",
    "content-language": "de-CH, en",
    "content-disposition": "attachment; filename=\"a, b.txt\"; filename*=UTF-8''%c3%a4",
    "cache-control": "public, max-age=60, immutable",
    "meta-author": "Ada; Lovelace",
    "meta-empty": "",
    "meta-Case-Of-Names": "kept in lower case",
}
SENT = {"docstore-cache-control" if name == "cache-control" else name: value for name, value in EVERY_FIELD.items()} | {
    "cache-control": "max-age=259200"
}
"""The headers of a write that store EVERY_FIELD; a proxy has added a Cache-Control."""
CONTENT = gzip.compress(b"the text", mtime=0)


def stored_fields(reply: Reply) -> dict[str, str]:
    return {name: value for name, value in reply.headers if name in {field.lower() for field in EVERY_FIELD}}


@each_mount
@on_a_store()
async def test_every_response_with_the_document_has_all_stored_fields(store: InProcess, mount: str) -> None:
    path, fields = f"/{mount}/key", {name.lower(): value for name, value in EVERY_FIELD.items()}
    await store.prepare("PUT", path, CONTENT, SENT)
    for method, asked, status in [
        ("GET", {}, 200),
        ("HEAD", {}, 200),
        ("GET", {"range": "bytes=1-3"}, 206),
        ("PUT", SENT | {"prefer": "return=representation"}, 200),
    ]:
        reply = await store.send(method, path, CONTENT if method == "PUT" else b"", asked)
        assert (reply.status, stored_fields(reply)) == (status, fields)
    several = await store.send("GET", path, headers={"range": "bytes=0-0,2-3"})
    assert stored_fields(several) == fields | {"content-type": several["content-type"]}
    assert several.content.count(b"Content-Type: " + EVERY_FIELD["content-type"].encode()) == 2
    short = await store.send("GET", path, headers={"if-none-match": "*"})
    assert stored_fields(short) == {"cache-control": fields["cache-control"]}
    [described] = json.loads((await store.send("GET", f"/{mount}/?format=json")).content)["documents"]
    assert described["media_type"] == fields.pop("content-type")
    assert described["fields"] == fields


@each_mount
@on_a_store()
async def test_a_write_replaces_all_stored_fields(store: InProcess, mount: str) -> None:
    path = f"/{mount}/key"
    tags = {(await store.send("PUT", path, CONTENT, SENT))["etag"]}
    tags.add((await store.send("PUT", path, CONTENT))["etag"])
    assert len(tags) == 2, "the fields are part of the representation, so of its ETag"
    reply = await store.send("GET", path)
    assert stored_fields(reply) == {"content-type": "application/gzip", "cache-control": "no-cache"}


@each_mount
@on_a_store()
async def test_the_collection_stores_fields_too(store: InProcess, mount: str) -> None:
    location = (await store.send("POST", f"/{mount}/", CONTENT, SENT))["location"]
    reply = await store.send("GET", location)
    assert stored_fields(reply) == {name.lower(): value for name, value in EVERY_FIELD.items()}


NEVER_STORED = {
    "authorization": "Basic eDp5", "cookie": "a=b", "user-agent": "x/1", "accept": "text/x", "prefer": "wait=1",
    "content-location": "/elsewhere", "last-modified": "Mon, 01 Jan 2001 00:00:00 GMT", "etag": '"mine"',
    "server": "x",
    "vary": "*", "access-control-allow-origin": "*", "set-cookie": "a=b", "link": "</>; rel=up", "x-meta-a": "1",
    "content-security-policy": "default-src *", "x-content-type-options": "sniff", "location": "/x", "age": "1",
    "expires": "Mon, 01 Jan 2035 00:00:00 GMT", "sunset": "Mon, 01 Jan 2035 00:00:00 GMT", "date": "now",
}  # fmt: skip


@on_a_store("memory")
async def test_headers_of_the_message_are_not_stored(store: InProcess) -> None:
    bare = await store.send("PUT", "/memory/key", b"x")
    plain = await store.send("GET", "/memory/key")
    assert (await store.send("PUT", "/memory/key", b"x", NEVER_STORED))["etag"] == bare["etag"]
    assert await store.send("GET", "/memory/key") == plain


@each_mount
@on_a_store()
async def test_stored_fields_at_the_size_limit_are_accepted_and_one_byte_more_is_431(
    store: InProcess, mount: str
) -> None:
    room = STORED_SIZE_LIMIT - len("content-type" + "text/x" + "meta-a")
    fields = {"content-type": "text/x", "meta-a": "x" * room}
    assert (await store.send("PUT", f"/{mount}/key", b"", fields)).status == 201
    reply = await store.send("GET", f"/{mount}/key")
    assert reply["meta-a"] == fields["meta-a"]
    for more in ({"meta-a": "x" * (room + 1)}, {"meta-b": ""}):
        refused = await store.send("PUT", f"/{mount}/key", b"new", fields | more)
        assert refused.status == 431
        assert b"meta-a" in refused.content
    assert await store.send("GET", f"/{mount}/key") == reply


@on_a_store("memory")
async def test_stored_fields_at_the_count_limit_are_accepted_and_one_more_is_431(store: InProcess) -> None:
    own = [(f"meta-{number}", "x") for number in range(META_LIMIT + 1)]
    assert (await store.send("PUT", "/memory/key", b"", own[:-1])).status == 201
    assert (await store.send("PUT", "/memory/key", b"", own)).status == 431


BAD_FIELDS = [
    *(
        ("content-type", value)
        for value in ("", "text", "text/", "/x", "text/x y", "a/b; c", "text/*", "*/*", "t\xe4/x")
    ),
    *(("content-encoding", value) for value in ("gz ip", "gzip;q=1")),
    *(("content-language", value) for value in ("de_CH", "*")),
    *(("content-disposition", value) for value in ("", "attachment filename=x", 'inline; filename="\xe4"')),
    *(("docstore-cache-control", value) for value in ("max age=1", "max-age=", 'a="x')),
    *(("meta-a", value) for value in ("\xe4", "a\x00b", "a\x7fb")),
]


@pytest.mark.parametrize(("name", "value"), BAD_FIELDS)
@on_a_store("memory")
async def test_a_field_that_could_not_be_sent_back_is_400_and_named(store: InProcess, name: str, value: str) -> None:
    for path in ("/memory/key", "/memory/"):
        reply = await store.send("PUT", path, b"x", {name: value})
        assert (reply.status, reply.content.split(b": ")[:2]) == (400, [b"invalid header field", name.encode()])
    assert (await store.send("GET", "/memory/?format=text")).content == b""


@pytest.mark.parametrize(
    "name",
    ["content-type", "content-disposition", "content-language", "docstore-cache-control", "content-encoding", "meta-a"],
)
@pytest.mark.parametrize("end", ["\r\n", "\r", "\n", "\x00", "\x0b", "\x85"])
@on_a_store("memory")
async def test_a_stored_field_cannot_inject_another_header_line(store: InProcess, name: str, end: str) -> None:
    """A proxy may unfold lines, so `handle` checks values too."""
    value = f"text/x{end}Set-Cookie: a=b" if name == "content-type" else f"x{end}Set-Cookie: a=b"
    assert (await store.send("PUT", "/memory/key", b"x", {name: value})).status == 400


BOUNDED = {
    # stored value: the value sent while 90 s remain
    "max-age=60": "max-age=60",
    "max-age=3600": "max-age=90",
    "public, max-age=90, immutable": "public, max-age=90, immutable",
    "public, Max-Age=91, S-MaxAge=7200": "public, Max-Age=90, S-MaxAge=90",
    'max-age="3600"': "max-age=90",
    f"max-age={'9' * 500}": "max-age=90",
    "max-age=soon": "max-age=soon",
    "max-age=10, stale-while-revalidate=3600, stale-if-error=3600": "max-age=10",
    "stale-if-error=3600": "no-cache",
    "no-store": "no-store",
    "No-Cache, public": "No-Cache, public",
    # Without a lifetime a cache may use a heuristic one (RFC 9111 §4.2.2).
    "public": "public, max-age=90",
    "s-maxage=7200, immutable": "s-maxage=90, immutable, max-age=90",
    'private="set-cookie, max-age=3600"': 'private="set-cookie, max-age=3600", max-age=90',
}


@pytest.mark.parametrize("given", BOUNDED)
@on_a_store("memory")
async def test_no_cache_may_keep_a_document_beyond_its_expiry(store: InProcess, given: str) -> None:
    await store.prepare("PUT", "/memory/lasting", b"x", {"docstore-cache-control": given})
    await store.prepare("PUT", "/memory/ending", b"x", {"docstore-cache-control": given, "ttl": "100"})
    store.clock.advance_s(9.5)
    for asked in ({}, {"if-none-match": "*"}, {"range": "bytes=0-0"}):
        assert (await store.send("GET", "/memory/lasting", headers=asked))["cache-control"] == given
        assert (await store.send("GET", "/memory/ending", headers=asked))["cache-control"] == BOUNDED[given]
    assert (await store.send("HEAD", "/memory/ending"))["cache-control"] == BOUNDED[given]


@each_mount
@on_a_store(cache_control="public, max-age=300")
async def test_a_mount_has_a_default_for_documents_without_cache_control(store: InProcess, mount: str) -> None:
    path, default, own = f"/{mount}/key", "public, max-age=300", "max-age=5"
    plain = await store.send("PUT", path, b"abc", {"prefer": "return=representation", "cache-control": "no-store"})
    assert plain["cache-control"] == default
    requests: list[tuple[str, dict[str, str], int]] = [
        ("GET", {}, 200), ("HEAD", {}, 200), ("GET", {"range": "bytes=1-"}, 206), ("GET", {"if-none-match": "*"}, 304),
    ]  # fmt: skip
    for headers, expected in [
        ({}, default),
        ({"ttl": "100"}, "public, max-age=100"),
        ({"docstore-cache-control": own}, own),
        ({"docstore-cache-control": "no-cache"}, "no-cache"),
    ]:
        await store.prepare("PUT", path, b"abc", headers)
        for method, asked, status in requests:
            reply = await store.send(method, path, headers=asked)
            assert (reply.status, reply["cache-control"]) == (status, expected)
    assert (await store.send("GET", f"/{mount}/missing"))["cache-control"] == "no-store"
    assert (await store.send("GET", f"/{mount}/"))["cache-control"] == "no-cache"


@on_a_store("memory", cache_control="private, no-cache")
async def test_a_private_default_leaves_a_stored_cache_control_alone(store: InProcess) -> None:
    await store.prepare("PUT", "/memory/key", b"x", {"docstore-cache-control": "public, max-age=9"})
    assert (await store.send("GET", "/memory/key"))["cache-control"] == "public, max-age=9"


@on_a_store("memory")
async def test_each_mount_has_its_own_default(store: InProcess) -> None:
    engine = store.engines["memory"]
    mounts = [Mount("plain", engine), Mount("cached", engine, cache_control="max-age=9")]
    both = InProcess(Store(mounts, clock=store.clock), store.clock)
    await both.prepare("PUT", "/plain/key", b"x")
    for name, expected in [("plain", "no-cache"), ("cached", "max-age=9")] * 2:
        assert (await both.send("GET", f"/{name}/key"))["cache-control"] == expected


CACHED = {
    # method, path, fields: status, Cache-Control, Vary
    ("GET", "/memory/there", ""): (200, "no-cache", None),
    ("HEAD", "/memory/there", ""): (200, "no-cache", None),
    ("GET", "/memory/there", "if-none-match: *"): (304, "no-cache", None),
    ("GET", "/memory/there", "range: bytes=0-0"): (206, "no-cache", None),
    ("GET", "/memory/there", "range: bytes=0-0,2-2"): (206, "no-cache", None),
    ("GET", "/memory/there", "range: bytes=99-"): (416, "no-store", "Accept"),
    ("GET", "/memory/there", 'if-match: "x"'): (412, "no-store", "Accept"),
    ("GET", "/memory/there", "accept: image/png"): (200, "no-cache", None),
    ("PUT", "/memory/there", ""): (200, "no-store", None),
    ("PUT", "/memory/missing", ""): (201, "no-store", None),
    ("PUT", "/memory/there", "prefer: return=minimal"): (204, "no-store", None),
    ("PUT", "/memory/missing", "prefer: return=minimal"): (201, "no-store", None),
    ("PUT", "/memory/there", "ttl: x"): (400, "no-store", "Accept"),
    ("PUT", "/memory/there", "sec-fetch-site: cross-site"): (403, "no-store", "Accept"),
    ("POST", "/memory/", ""): (201, "no-store", None),
    ("DELETE", "/memory/there", ""): (200, "no-store", None),
    ("PATCH", "/memory/there", ""): (415, "no-store", "Accept"),
    ("OPTIONS", "/memory/there", ""): (204, "no-store", None),
    ("OPTIONS", "/memory/", ""): (204, "no-store", None),
    ("TRACE", "/memory/there", ""): (405, "no-store", "Accept"),
    ("BREW", "/memory/there", ""): (501, "no-store", "Accept"),
    ("GET", "/memory/missing", ""): (404, "no-store", "Accept"),
    ("GET", "/memory/", ""): (200, "no-cache", "Accept"),
    ("GET", "/memory/?format=json", ""): (200, "no-cache", "Accept"),
    ("GET", "/memory/", "accept: application/x-ndjson"): (200, "no-cache", "Accept"),
    ("HEAD", "/memory/", ""): (200, "no-cache", "Accept"),
    ("GET", "/memory/", "accept: image/png"): (406, "no-store", "Accept"),
    ("GET", "/memory/?limit=0", ""): (400, "no-store", "Accept"),
    ("GET", "/memory", ""): (308, "no-cache", None),
    ("GET", "/", ""): (200, "no-cache", "Accept"),
    ("GET", "/", "accept: image/png"): (406, "no-store", "Accept"),
    ("GET", "/-/health", ""): (200, "no-store", None),
    ("GET", "/-/web/docstore.css", ""): (200, "no-cache", "Accept-Encoding"),
    ("GET", "/nowhere", ""): (404, "no-store", "Accept"),
    ("GET", "/memory/%", ""): (400, "no-store", "Accept"),
}


@pytest.mark.parametrize("asked", CACHED, ids=" ".join)
@on_a_store("memory")
async def test_every_response_has_cache_control_and_vary(store: InProcess, asked: tuple[str, str, str]) -> None:
    method, path, field = asked
    await store.prepare("PUT", "/memory/there", b"{}1", {"content-type": "text/x"})
    name, _, value = field.partition(": ")
    reply = await store.send(method, path, b"", {name: value} if field else {})
    status, cached, vary = CACHED[asked]
    assert (reply.status, reply["cache-control"], reply.all("vary")) == (status, cached, [vary] if vary else [])


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, "text/plain; charset=utf-8"),
        ("*/*", "text/plain; charset=utf-8"),
        ("image/png", "text/plain; charset=utf-8"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
        ("application/json", "application/problem+json"),
        ("application/problem+json", "application/problem+json"),
        ("application/*;q=0.9, text/html;q=0.8", "application/problem+json"),
        ("text/html;q=0, */*;q=0.1", "text/plain; charset=utf-8"),
    ],
)
@on_a_store("memory")
async def test_a_problem_has_the_media_type_that_the_client_accepts(
    store: InProcess, accept: str | None, media_type: str
) -> None:
    reply = await store.send("GET", "/memory/missing", headers={"accept": accept} if accept else {})
    assert (reply.status, reply["content-type"]) == (404, media_type)
    if media_type == "application/problem+json":
        problem = json.loads(reply.content)
        assert (problem["status"], problem["title"], problem["type"]) == (404, "not found", "/-/problems#not-found")
        assert problem["detail"]
        assert problem["advice"]


SECOND_NS = 10**9
NOW_NS = 1_000 * SECOND_NS
META = Meta("key", "v" * 32, 5, b"d" * 32, Fields.make("text/plain", {"meta-a": "b"}), NOW_NS - SECOND_NS)


def lines_of(meta: Meta, now_ns: int = NOW_NS) -> bytes:
    return full_response(meta, NO_CONTENT, now_ns, "no-cache").lines()


def made_anew(meta: Meta, now_ns: int = NOW_NS) -> bytes:
    return header_lines([*document_headers(meta, now_ns, "no-cache"), (b"content-length", b"%d" % meta.size)])


@pytest.mark.parametrize(
    "meta",
    [
        META,
        replace(META, version="w" * 32, size=6, fields=Fields.make("a/b", {"cache-control": "max-age=9"})),
        replace(META, modified_ns=NOW_NS - 2 * SECOND_NS),
        replace(META, modified_ns=NOW_NS),
        replace(META, modified_ns=NOW_NS + SECOND_NS),
        replace(META, expires_ns=NOW_NS + 60 * SECOND_NS),
        replace(META, version="x" * 32, fields=Fields.make("a/b", {"meta-long": "x" * 5000})),
    ],
    ids=["plain", "other version", "written before", "written now", "from the future", "expires", "large"],
)
def test_fields_that_are_ready_are_those_made_anew(meta: Meta) -> None:
    assert lines_of(META) == made_anew(META)
    for _ in range(2):
        assert lines_of(meta) == made_anew(meta)
        assert full_response(meta, NO_CONTENT, NOW_NS, "no-cache").headers == [
            *document_headers(meta, NOW_NS, "no-cache"),
            (b"content-length", b"%d" % meta.size),
        ]
        # RFC 9110 §15.4.5: a 304 has the headers of the 200 that caches use.
        sent_again = {b"cache-control", b"etag", b"last-modified", b"sunset"}
        assert not_modified_response(meta, NOW_NS, "no-cache").headers == [
            pair for pair in document_headers(meta, NOW_NS, "no-cache") if pair[0] in sent_again
        ]


def test_what_depends_on_the_time_is_not_kept() -> None:
    expiring = replace(
        META, expires_ns=NOW_NS + 60 * SECOND_NS, fields=Fields.make("a/b", {"cache-control": "max-age=99"})
    )
    assert [b"max-age=%d" % left in lines_of(expiring, NOW_NS + (60 - left) * SECOND_NS) for left in (60, 9)] == [
        True,
        True,
    ]
    future = replace(META, version="f" * 32, modified_ns=NOW_NS + 5 * SECOND_NS)
    assert lines_of(future) != lines_of(future, NOW_NS + 5 * SECOND_NS) == made_anew(future, NOW_NS + 5 * SECOND_NS)


def test_only_so_many_versions_are_kept() -> None:
    for number in range(CACHED_BLOCK_COUNT + 10):
        full_response(replace(META, version=f"{number:032}"), NO_CONTENT, NOW_NS, "no-cache")
    assert len(responses._blocks) == CACHED_BLOCK_COUNT
    assert (200, f"{CACHED_BLOCK_COUNT + 9:032}", META.modified_ns, "no-cache") in responses._blocks


def test_large_fields_are_not_kept() -> None:
    large = replace(META, version="l" * 32, fields=Fields.make("a/b", {"meta-long": "x" * 5000}))
    assert lines_of(large) == made_anew(large)
    assert (200, large.version, large.modified_ns, "no-cache") not in responses._blocks
