"""CORS: off unless a mount enables it, then on responses of every status; a preflight needs no permission."""

import asyncio
import base64
from pathlib import Path

import pytest

from docstore import Tokens
from docstore.server.security.cors import PREFLIGHT_LIFETIME_S
from tests.http_client import ask
from tests.in_process import InProcess, NeverRead, Reply, on_a_store, opened
from tests.server_process import RunningServer

UNSAFE = ("PUT", "POST", "PATCH", "DELETE")

APP, OTHER = "https://app.example", "https://other.example"
NAMED, STARRED = (APP, "http://localhost:3000"), ("*",)
OF_CORS = "access-control-"


def cors_fields(reply: Reply) -> dict[str, str]:
    return {name.removeprefix(OF_CORS): value for name, value in reply.headers if name.startswith(OF_CORS)}


ANSWERS = {
    # method, path, fields: status
    ("GET", "/memory/key", ""): 200,
    ("HEAD", "/memory/key", ""): 200,
    ("GET", "/memory/key", "range: bytes=0-0"): 206,
    ("GET", "/memory/key", "if-none-match: *"): 304,
    ("GET", "/memory/a//b", ""): 400,
    ("GET", "/memory/missing", ""): 404,
    ("TRACE", "/memory/key", ""): 405,
    ("GET", "/memory/", "accept: image/png"): 406,
    ("GET", "/memory/", ""): 200,
    ("PUT", "/memory/key", 'if-match: "x"'): 412,
    ("PUT", "/memory/key", ""): 200,
    ("POST", "/memory/", ""): 201,
    ("PATCH", "/memory/key", ""): 415,
    ("GET", "/memory/key", "range: bytes=9-"): 416,
    ("DELETE", "/memory/key", ""): 200,
    ("OPTIONS", "/memory/key", ""): 204,
}
each_answer = pytest.mark.parametrize("asked", ANSWERS, ids=" ".join)


async def answered(store: InProcess, asked: tuple[str, str, str], origin: str | None) -> Reply:
    method, path, field = asked
    await store.prepare("PUT", "/memory/key", b"x", {"meta-a": "1"})
    name, _, value = field.partition(": ")
    fields = ({"origin": origin} if origin else {}) | ({name: value} if field else {}) | {"host": "store.example"}
    return await store.send(method, path, b"y" if method in UNSAFE else b"", fields)


@each_answer
@on_a_store("memory")
async def test_cors_is_off_unless_a_mount_enables_it(store: InProcess, asked: tuple[str, str, str]) -> None:
    for origin in (None, APP):
        reply = await answered(store, asked, origin)
        assert cors_fields(reply) == {}
        assert not any("Origin" in value for value in reply.all("vary"))
    preflight = {"origin": APP, "access-control-request-method": "PUT", "access-control-request-headers": "ttl"}
    assert cors_fields(await store.send("OPTIONS", "/memory/key", headers=preflight)) == {}


@each_answer
@on_a_store("memory", cors=NAMED)
async def test_an_allowed_origin_can_read_every_response_with_credentials(
    store: InProcess, asked: tuple[str, str, str]
) -> None:
    reply = await answered(store, asked, APP)
    assert reply.status == ANSWERS[asked]
    fields = cors_fields(reply)
    exposed = set(fields.pop("expose-headers").split(", "))
    assert fields == {"allow-origin": APP, "allow-credentials": "true"}
    assert {"ETag", "Location", "Link", "Content-Range", "Accept-Patch", "Repr-Digest", "Sunset"} <= exposed
    assert ("meta-a" in exposed) == ("meta-a" in reply)
    assert reply["vary"].split(", ") in (["Origin"], ["Accept", "Origin"])


@each_answer
@on_a_store("memory", cors=NAMED)
async def test_another_origin_can_read_and_write_nothing(store: InProcess, asked: tuple[str, str, str]) -> None:
    for origin in (OTHER, "null", "https://app.example.evil", "https://app.example:8443", "http://app.example", "*"):
        reply = await answered(store, asked, origin)
        assert reply.status == (403 if asked[0] in UNSAFE else ANSWERS[asked])
        assert cors_fields(reply) == {}
        assert "Origin" in reply["vary"]
    alone = await answered(store, asked, None)
    assert (alone.status, cors_fields(alone)) == (ANSWERS[asked], {})
    assert "Origin" in alone["vary"], "a cache must not give this answer to a page"


@each_answer
@on_a_store("memory", cors=STARRED)
async def test_a_mount_for_all_origins_allows_no_credentials(store: InProcess, asked: tuple[str, str, str]) -> None:
    reply = await answered(store, asked, OTHER)
    fields = cors_fields(reply)
    del fields["expose-headers"]
    assert (reply.status, fields) == (ANSWERS[asked], {"allow-origin": "*"})
    assert not any("Origin" in value for value in reply.all("vary"))


def test_a_page_of_any_site_writes_only_with_a_token_that_it_knows_itself(tmp_path: Path) -> None:
    """A browser adds the password of its dialog to a form of another site, without a preflight."""
    text = Tokens(tmp_path).create(rights=["all"]).text
    basic = f"Basic {base64.b64encode(f'any:{text}'.encode()).decode()}"

    async def test() -> None:
        for cors, site, credentials, status in (
            (STARRED, OTHER, basic, 403),
            (STARRED, OTHER, f"Bearer {text}", 201),
            (STARRED, "https://store.example", basic, 201),
            (NAMED, APP, basic, 201),
        ):
            fields = {"origin": site, "host": "store.example", "authorization": credentials}
            async with opened(tmp_path, ["memory"], tokens=Tokens(tmp_path), anonymous=None, cors=cors) as store:
                assert (await store.send("POST", "/memory/", b"x", fields)).status == status

    asyncio.run(test())


@on_a_store("memory", cors=NAMED, anonymous="read")
async def test_a_preflight_is_answered_without_rights_and_exactly(store: InProcess) -> None:
    asked = "authorization,If-Match, meta-b, Meta-A,meta-a, meta-<>, x-else, meta-b\xe4"
    preflight = {"origin": APP, "access-control-request-method": "PUT", "access-control-request-headers": asked}
    for path, methods in (
        ("/memory/key", "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"),
        ("/memory/", "GET, HEAD, OPTIONS, POST, PUT"),
    ):
        reply = await store.send("OPTIONS", path, headers=preflight)
        fields = cors_fields(reply)
        allowed = fields.pop("allow-headers").split(", ")
        del fields["expose-headers"]
        assert (reply.status, reply.content) == (204, b"")
        assert fields == {
            "allow-origin": APP,
            "allow-credentials": "true",
            "allow-methods": methods,
            "max-age": str(PREFLIGHT_LIFETIME_S),
        }
        assert "Authorization" in allowed
        assert "*" not in allowed
        assert allowed[-2:] == ["meta-a", "meta-b"]
        assert {"If-Match", "If-None-Match", "TTL", "Prefer", "Content-Type", "Range", "Content-Digest"} <= set(allowed)
    assert (await store.send("PUT", "/memory/key", NeverRead(1), {"origin": APP})).status == 403


@on_a_store("memory", cors=NAMED)
async def test_a_preflight_of_another_site_gets_no_cors_headers(store: InProcess) -> None:
    preflight = {"origin": OTHER, "access-control-request-method": "PUT"}
    reply = await store.send("OPTIONS", "/memory/key", headers=preflight)
    assert (reply.status, cors_fields(reply), reply["vary"]) == (204, {}, "Origin")
    plain = await store.send("OPTIONS", "/memory/key", headers={"origin": APP})
    assert not {"allow-methods", "allow-headers", "max-age"} & cors_fields(plain).keys()


@on_a_store("memory", cors=NAMED)
async def test_cors_of_a_mount_does_not_apply_to_other_paths(store: InProcess) -> None:
    for path in ("/", "/-/health", "/nowhere", "/memory"):
        assert cors_fields(await store.send("GET", path, headers={"origin": APP})) == {}


def test_cors_is_an_option_of_a_mount(tmp_path: Path) -> None:
    mount = f"open=memory:?cors={APP},http://localhost:3000"
    with RunningServer(tmp_path / "data", "--mount", mount, "--mount", "closed=memory:") as server:
        fields = {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "cross-site"}
        assert ask(server, "PUT", "/open/key", b"x", fields).status == 201
        got = ask(server, "GET", "/open/key", headers=fields)
        assert got["access-control-allow-origin"] == "http://localhost:3000"
        assert ask(server, "PUT", "/closed/key", b"x", fields).status == 403
