"""Web apps: where the sandbox of documents is lifted, and what else exists there."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from docstore import Tokens
from docstore.config import MountSettings, Settings
from docstore.engines.registry import EngineURL, open_engine
from docstore.errors import SetupError
from docstore.server.app import Store
from docstore.server.mounts import Mount
from docstore.server.security.proxies import TrustedProxies
from docstore.testing.clock import SetClock
from tests.http_client import Client
from tests.in_process import InProcess, Reply
from tests.server.security.test_access import bearer
from tests.server.security.test_sessions import log_in
from tests.server_process import RunningServer

HOME, APPS = {"host": "store.example"}, {"host": "Apps.example:8080"}
PAGE = b"<script>document.title = 'runs'</script>"
KEPT = {
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
}


def on_a_store(test: Callable[[InProcess], Awaitable[None]], *, tokens: Tokens | None = None, app_host: str) -> None:
    """Run `test` on a store with data at /docs/ and /app/docs/, and a web app at /app/."""
    clock = SetClock()
    app = Mount("app", open_engine(EngineURL.parse("memory:"), clock), content="app", app_host=app_host, index=True)
    mounts = [app, *(Mount(name, open_engine(EngineURL.parse("memory:"), clock)) for name in ("docs", "app/docs"))]

    async def run() -> None:
        store = Store(mounts, clock=clock, tokens=tokens, anonymous=None if tokens else "write")
        try:
            await test(InProcess(store, clock))
        finally:
            await store.close()

    asyncio.run(run())


async def documents(store: InProcess, path: str, host: dict[str, str]) -> list[Reply]:
    """Store a page, and return all responses with it or a part of it."""
    given = {**host, "content-type": "text/html", "prefer": "return=representation"}
    replies = [await store.prepare("PUT", path, PAGE, given)]
    for method, fields in (
        ("GET", {}),
        ("HEAD", {}),
        ("GET", {"range": "bytes=1-2"}),
        ("GET", {"want-repr-digest": "x"}),
    ):
        replies.append(await store.send(method, path, headers={**host, **fields}))
    return replies


def is_sandboxed(replies: list[Reply]) -> bool:
    """Whether all responses have the sandbox; False if none has. The other safety headers are always there."""
    for reply in replies:
        assert {name: reply[name] for name in KEPT} == KEPT
    found = {tuple(reply.all("content-security-policy")) for reply in replies}
    assert found in ({("sandbox",)}, {()})
    return found == {("sandbox",)}


def test_an_app_without_a_host_is_not_sandboxed_and_all_other_mounts_are() -> None:
    async def test(store: InProcess) -> None:
        for host in (HOME, APPS, {}):
            replies = await documents(store, "/app/index.html", host)
            assert (is_sandboxed(replies), {reply["cache-control"] for reply in replies}) == (False, {"no-store"})
            assert not is_sandboxed([await store.send("GET", "/app/", headers={**host, "accept": "text/html"})])
            assert is_sandboxed(await documents(store, "/docs/index.html", host))
            assert is_sandboxed(await documents(store, "/app/docs/index.html", host))

    on_a_store(test, app_host="")


def test_an_app_with_a_host_is_sandboxed_everywhere_else() -> None:
    async def test(store: InProcess) -> None:
        elsewhere = ({"host": name} for name in ("apps.example.", "x.apps.example", "example", "apps.example@x", ""))
        for host in (HOME, {}, *elsewhere):
            assert is_sandboxed(await documents(store, "/app/index.html", host))
            assert is_sandboxed(await documents(store, "/docs/index.html", host))
        for name in ("apps.example", "APPS.EXAMPLE:443", "apps.example:"):
            replies = await documents(store, "/app/index.html", {"host": name})
            assert (is_sandboxed(replies), "no-cache" in {reply["cache-control"] for reply in replies}) == (False, True)

    on_a_store(test, app_host="apps.example")


def test_at_the_host_of_an_app_no_other_mount_exists() -> None:
    async def test(store: InProcess) -> None:
        await documents(store, "/docs/a", HOME)
        await documents(store, "/app/docs/a", HOME)
        for path in ("/docs/a", "/docs/", "/docs", "/app/docs/a", "/app/docs/", "/app/../docs/a", "/%64ocs/a"):
            for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
                assert (await store.send(method, path, b"x", APPS)).status == 404, (method, path)
        for path in ("/-/login", "/-/logout", "/-/links", "/-/openapi.json", "/-/docs", "/-/ready", "/-/", "/-"):
            for method in ("GET", "POST", "DELETE"):
                assert (await store.send(method, path, headers=APPS)).status == 404, path
        assert (await store.send("GET", "/-/health", headers=APPS)).status == 200
        for path in ("/", "/?format=json", "/nowhere"):
            reply = await store.send("GET", path, headers={**APPS, "accept": "application/json, text/html;q=0.5"})
            assert b"/docs" not in reply.content.replace(b"/-/docs", b"")
        assert (await store.send("GET", "/docs/a", headers=HOME)).content == PAGE

    on_a_store(test, app_host="apps.example")


@pytest.mark.parametrize(
    ("host", "forwarded", "status"),
    [
        ("apps.example", "store.example", 400),
        ("Apps.example:80", "other.example", 400),
        ("apps.example", "two.example", 400),
        ("store.example", "apps.example", 400),
        ("store.example:80", "APPS.example", 400),
        ("store.example", "other.example", 200),
        ("upstream", "apps.example", 200),
        ("upstream", "store.example", 200),
        ("apps.example", "apps.example", 200),
    ],
)
def test_fields_that_a_proxy_passes_on_lead_neither_to_an_app_nor_away_from_it(
    host: str, forwarded: str, status: int
) -> None:
    """A script can send them, and a cache keeps the response for Host."""

    async def run() -> None:
        clock = SetClock()
        engines = [open_engine(EngineURL.parse("memory:"), clock) for _ in range(2)]
        mounts = [
            Mount(name, engine, content="app", app_host=f"{name}.example")
            for name, engine in zip(("apps", "two"), engines, strict=True)
        ]
        proxies, origins = TrustedProxies(["unix"]), frozenset({"http://store.example"})
        store = Store(mounts, clock=clock, proxies=proxies, public_origins=origins)
        try:
            inside = InProcess(store, clock)
            await inside.prepare("PUT", "/apps/page", PAGE, {"content-type": "text/html", **HOME})
            for name, value in (("x-forwarded-host", forwarded), ("forwarded", f'host="{forwarded}"')):
                reply = await inside.send("GET", "/apps/page", headers={"host": host, name: value})
                assert reply.status == status
                assert is_sandboxed([reply]) is ("apps" not in forwarded.lower()) or status == 400
        finally:
            await store.close()

    asyncio.run(run())


def test_a_token_has_no_more_rights_at_the_host_of_an_app(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    admin, reader = (bearer(tokens.create(rights=rights).text) for rights in (["all"], ["read"]))

    async def test(store: InProcess) -> None:
        for path in ("/-/login", "/-/links"):
            content = json.dumps({"token": admin["authorization"].split()[1], "path": "/docs/"}).encode()
            headers = {**APPS, **admin, "content-type": "application/json"}
            assert (await store.send("POST", path, content, headers)).status == 404
        cookie = {"cookie": (await log_in(store, admin["authorization"].split()[1]))["cookie"]}
        assert (await store.send("GET", "/app/", headers={**HOME, **cookie})).status == 200
        reply = await store.send("GET", "/app/", headers={**APPS, **cookie})
        assert (reply.status, "set-cookie" in reply) == (401, False)
        for headers, statuses in (
            ({}, {"/app/a": 401, "/docs/a": 401}),
            (admin, {"/app/a": 201, "/docs/a": 404}),
            (reader, {"/app/a": 403, "/docs/a": 403}),
        ):
            for path, status in statuses.items():
                assert (await store.send("PUT", path, b"x", {**APPS, **headers})).status == status
        assert (await store.send("GET", "/app/a", headers={**HOME, **reader})).content == b"x"

    on_a_store(test, app_host="apps.example", tokens=tokens)


@pytest.mark.parametrize("app_host", ["", "apps.example"])
def test_only_an_app_with_a_host_of_its_own_has_service_workers(app_host: str) -> None:
    async def test(store: InProcess) -> None:
        for host in (HOME, APPS):
            own = host is APPS and app_host != ""
            await documents(store, "/app/worker.js", host)
            script = {**host, "service-worker": "script"}
            assert (await store.send("GET", "/app/worker.js", headers=script)).status == (200 if own else 403)
            for path in ("/docs/worker.js", "/-/web/page.js", "/docs/", "/"):
                assert own or (await store.send("GET", path, headers=script)).status == 403

    on_a_store(test, app_host=app_host)


def test_an_app_writes_from_its_own_host_and_not_from_there_to_the_store() -> None:
    async def test(store: InProcess) -> None:
        app = {"origin": "http://apps.example:8080"}
        assert (await store.send("PUT", "/app/a", b"x", {**APPS, **app})).status == 201
        assert (await store.send("PUT", "/docs/a", b"x", {**HOME, **app})).status == 403
        assert (await store.send("PUT", "/app/a", b"x", {**HOME, **app})).status == 403
        assert (await store.send("PUT", "/app/a", b"x", {**APPS, "origin": "http://store.example"})).status == 403

    on_a_store(test, app_host="apps.example")


@pytest.mark.parametrize(
    ("options", "settings", "message"),
    [
        ("content=web", {}, "content=web of mount 'app': must be data or app"),
        ("content=app&app_host=http://apps.example", {}, "must be the name of a host"),
        ("content=app&app_host=apps.example:80", {}, "must be the name of a host"),
        ("app_host=apps.example", {}, "needs content=app"),
        ("content=app", {"auth": "tokens"}, "content=app needs a host of its own"),
        ("content=app", {"host": "0.0.0.0"}, "content=app needs a host of its own"),
        ("content=app&app_host=APPS.example", {"public_urls": ("https://apps.example/x",)}, "of the store itself"),
        ("content=app&app_host=localhost", {"host": "localhost"}, "of the store itself"),
    ],
)
def test_what_is_not_safe_is_refused_before_anything_is_opened(
    options: str, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(SetupError, match=message):
        Settings(mounts=(MountSettings.parse(f"app=memory:?{options}"),), **settings).checked()


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ("content=app", {}),
        ("content=app", {"host": "0.0.0.0", "auth": "open"}),
        ("content=app&app_host=apps.example", {"auth": "tokens"}),
        ("content=data", {"auth": "tokens"}),
    ],
)
def test_what_is_safe_is_accepted(options: str, settings: dict[str, object]) -> None:
    Settings(mounts=(MountSettings.parse(f"app=memory:?{options}"),), **settings).checked()


def test_a_store_on_loopback_answers_to_the_hosts_of_its_apps(tmp_path: Path) -> None:
    mounts = ("--mount=app=memory:?content=app&app_host=apps.localhost", "--mount=docs=memory:")
    with RunningServer(tmp_path, *mounts) as server, Client(server) as client:
        for host, path, status in (
            ("apps.localhost:1", "/app/", 200),
            ("apps.localhost:1", "/docs/", 404),
            ("localhost", "/docs/", 200),
            ("other.localhost", "/docs/", 421),
        ):
            assert client.ask("GET", path, None, {"Host": host}).status == status
