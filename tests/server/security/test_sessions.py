"""Sessions: how they begin and end, what their cookie looks like, and what it is good for."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docstore import Tokens
from docstore.content import BytesContent
from docstore.http.message import Headers, Request
from docstore.server.resources.login import read_form
from docstore.server.security.ended import make_endable_id
from docstore.server.security.sessions import CLOCK_DIFFERENCE_S, SESSION_S, Sessions
from docstore.server.security.signing_key import mac
from docstore.server.security.tokens import Token
from tests.http_client import Client
from tests.in_process import Chunked, InProcess, NeverRead, opened
from tests.server.security.test_access import CHALLENGES, bearer
from tests.server_process import RunningServer

ORIGIN = {"host": "store.example", "origin": "http://store.example"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
JSON = {"content-type": "application/json"}
PEOPLE = {"accept": "text/html"}
CLEARED = "docstore-session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"


def on_a_store(folder: Path, test: Callable[[InProcess, Tokens], Awaitable[None]], **options: object) -> None:
    """Run `test` on a store that asks for tokens, whose data folder is `folder`."""

    async def run() -> None:
        tokens = Tokens(folder)
        async with opened(folder, ["memory"], **{"anonymous": None, **options}, tokens=tokens) as store:
            await test(store, tokens)

    asyncio.run(run())


async def log_in(store: InProcess, text: str, **more: str) -> dict[str, str]:
    """Log in and return the header with the cookie."""
    reply = await store.send("POST", "/-/login", json.dumps({"token": text}).encode(), {**JSON, **ORIGIN, **more})
    assert reply.status == 200, reply
    return {"cookie": reply["set-cookie"].partition(";")[0]}


def test_a_form_and_json_begin_a_session_that_has_the_rights_of_the_token(tmp_path: Path) -> None:
    async def test(store: InProcess, tokens: Tokens) -> None:
        made = tokens.create(rights=["read", "list", "create"], note="laptop")
        about = {"token": {"id": made.token.id, "note": "laptop"}}
        for content, headers, status in (
            (urlencode({"token": made.text, "next": "/memory/?limit=1"}).encode(), {**FORM, **PEOPLE}, 303),
            (urlencode({"token": f" {made.text}\n"}).encode(), FORM, 200),
            (json.dumps({"token": made.text, "else": [1]}).encode(), JSON, 200),
            (json.dumps({"token": made.text}).encode(), {**JSON, **PEOPLE}, 303),
        ):
            reply = await store.send("POST", "/-/login", content, {**headers, **ORIGIN})
            assert (reply.status, made.text in str(reply), reply["cache-control"]) == (status, False, "no-store")
            if status == 200:
                assert json.loads(reply.content) == about
            cookie = {"cookie": reply["set-cookie"].partition(";")[0]}
            assert json.loads((await store.send("GET", "/-/login", headers=cookie)).content) == about
            assert (await store.send("GET", "/memory/", headers=cookie)).status == 200
            assert (await store.send("POST", "/memory/", b"x", {**cookie, **ORIGIN})).status == 201
            reply = await store.send("DELETE", "/memory/a", headers={**cookie, **ORIGIN})
            assert (reply.status, b"lacks the right: delete" in reply.content) == (403, True)
        # Nothing was kept about them.
        assert not (tmp_path / "ended").exists()

    on_a_store(tmp_path, test)


@pytest.mark.parametrize(
    ("next", "location"),
    [
        ("/memory/a%20b?x=1&y", "/memory/a%20b?x=1&y"),
        *((text, "/") for text in ("", "//evil.example", "/\\evil.example", "\\/evil", "https://evil.example/", "x")),
        *((text, "/") for text in ("javascript:alert(1)", "/a\r\nset-cookie: a=b", "/\t/evil", "/é", " /a", "/a b")),
    ],
)
def test_after_the_login_the_browser_goes_to_a_path_of_the_store(tmp_path: Path, next: str, location: str) -> None:
    async def test(store: InProcess, tokens: Tokens) -> None:
        content = urlencode({"token": tokens.create(rights=["list"]).text, "next": next}).encode()
        reply = await store.send("POST", "/-/login", content, {**FORM, **PEOPLE, **ORIGIN})
        assert (reply.status, reply["location"]) == (303, location)
        failed = await store.send("POST", "/-/login", urlencode({"next": next}).encode(), {**FORM, **PEOPLE, **ORIGIN})
        assert (failed.status, b"evil" in failed.content) == (401, False)

    on_a_store(tmp_path, test)


def test_a_login_with_anything_else_is_rejected(tmp_path: Path) -> None:
    async def test(store: InProcess, tokens: Tokens) -> None:
        text = tokens.create(rights=["all"]).text
        expired = tokens.create(rights=["all"], expires="1h")
        other = text[:-1] + ("0" if text[-1] != "0" else "1")
        texts = ["", "x", other, text[:-1], text + "0", text.upper(), f"dst_{'0' * 10}_{'0' * 48}", f"Bearer {text}"]
        contents = [(json.dumps({"token": token}), JSON) for token in [*texts, None, [text], {"token": text}]]
        contents += [(urlencode({"token": token}), FORM) for token in texts]
        contents += [(content, JSON) for content in ("", "{", "[]", text, f'{{"token": "{text}", "token": "x"}}')]
        contents += [(content, FORM) for content in ("&" * 99, f"Token={text}", "token=%ff", "token=%00")]
        for content, headers in contents:
            for accept in ({}, PEOPLE):
                reply = await store.send("POST", "/-/login", content.encode(), {**headers, **ORIGIN, **accept})
                assert (reply.status, "set-cookie" in reply) == (401, False), content
                assert reply.all("www-authenticate") == (CHALLENGES[:1] if accept else CHALLENGES)
        store.clock.set_ns(expired.token.expires_ns)
        reply = await store.send("POST", "/-/login", json.dumps({"token": expired.text}).encode(), {**JSON, **ORIGIN})
        assert reply.status == 401
        for headers, size, status in (({}, 1, 415), ({"content-type": "text/plain"}, 1, 415), (JSON, 10_000, 413)):
            assert (await store.send("POST", "/-/login", NeverRead(size), {**headers, **ORIGIN})).status == status
        # A query would be in logs.
        assert (await store.send("POST", f"/-/login?token={text}", b"", {**FORM, **ORIGIN})).status == 400
        assert (await store.send("GET", f"/-/login?token={text}", b"", {**FORM, **ORIGIN})).content == (
            b'{"token": null}\n'
        )

    on_a_store(tmp_path, test)


def test_logins_that_are_not_sent_to_the_end_keep_nobody_from_uploading(tmp_path: Path) -> None:
    """They need no token, and uploads do."""

    async def test(store: InProcess, tokens: Tokens) -> None:
        made, come = tokens.create(rights=["all"]), asyncio.Event()
        store.store._upload_limit = 1
        waits = [store.send("POST", f"/-/{path}", Waiting(come), JSON) for path in ("login", "logout", "login")]
        waiting = [asyncio.create_task(wait) for wait in waits]
        await asyncio.sleep(0.1)
        upload = Chunked([b"1", b"2"])
        assert (await store.send("PUT", "/memory/a", upload, bearer(made.text))).status == 201
        assert (await store.send("POST", "/-/login", Chunked([b"x" * 5000] * 2), JSON)).status == 413
        come.set()
        assert [reply.status for reply in await asyncio.gather(*waiting)] == [401, 204, 401]

    on_a_store(tmp_path, test)


@dataclass(frozen=True)
class Waiting:
    """A body of which nothing comes until the event."""

    event: asyncio.Event
    size: int = 2

    async def __aiter__(self) -> AsyncIterator[bytes]:
        await self.event.wait()
        yield b"{}"


def test_a_page_of_another_site_cannot_log_its_visitors_in_or_out(tmp_path: Path) -> None:
    async def test(store: InProcess, tokens: Tokens) -> None:
        text = tokens.create(rights=["list"]).text
        cookie = await log_in(store, text)
        for foreign in ({"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "same-site"}):
            headers = {**ORIGIN, **foreign}
            reply = await store.send("POST", "/-/login", NeverRead(9), {**JSON, **headers})
            assert (reply.status, "set-cookie" in reply) == (403, False)
            reply = await store.send("POST", "/-/logout", NeverRead(9), {**cookie, **headers})
            assert (reply.status, "set-cookie" in reply) == (403, False)
        assert (await store.send("POST", "/-/logout", b"", cookie)).status == 403
        assert (await store.send("GET", "/memory/", headers=cookie)).status == 200

    on_a_store(tmp_path, test)


@pytest.mark.parametrize(
    ("scheme", "more", "secure"),
    [
        ("", {}, False),
        ("http", {"origin": "http://store.example"}, False),
        ("https", {}, True),
        ("https", {"origin": "https://store.example"}, True),
        ("", {"origin": "https://store.example"}, True),
    ],
)
def test_the_cookie_is_for_this_host_and_out_of_reach_of_scripts(
    tmp_path: Path, scheme: str, more: dict[str, str], secure: bool
) -> None:
    async def test(store: InProcess, tokens: Tokens) -> None:
        made = tokens.create(rights=["list"])
        content = json.dumps({"token": made.text}).encode()
        reply = await store.send("POST", "/-/login", content, {**JSON, "host": "store.example", **more}, scheme)
        pair, *attributes = reply["set-cookie"].split("; ")
        name, _, value = pair.partition("=")
        assert name == ("__Host-docstore-session" if secure else "docstore-session")
        assert attributes == ["Path=/", f"Max-Age={SESSION_S}", "HttpOnly", "SameSite=Strict", *["Secure"] * secure]
        assert made.text.split("_")[2] not in value
        cookie = {"cookie": f"a=b; {pair};c"}
        assert (await store.send("GET", "/memory/", headers=cookie, scheme=scheme)).status == 200
        # A cookie without the prefix can come from another host of the domain, and over plain http.
        assert (await store.send("GET", "/memory/", headers=cookie, scheme="https")).status == (200 if secure else 401)

    on_a_store(tmp_path, test)


def test_stores_at_two_ports_of_a_host_do_not_log_each_other_out(tmp_path: Path) -> None:
    """Browsers send the cookies of a host to all of its ports."""

    async def test(store: InProcess, tokens: Tokens) -> None:
        text = tokens.create(rights=["list"]).text
        cookie = await log_in(store, text, host="localhost:8080", origin="http://localhost:8080")
        assert cookie["cookie"].startswith("docstore-session-8080=")
        for host, status in (("localhost:8080", 200), ("localhost:8081", 401), ("localhost", 401), ("[::1]", 401)):
            reply = await store.send("GET", "/memory/", headers={**cookie, "host": host})
            assert (reply.status, "set-cookie" in reply) == (status, False)
            old = {"cookie": f"{cookie['cookie']}; docstore-session-8081=old"}
            reply = await store.send("GET", "/memory/", headers={**old, "host": host})
            cleared = [CLEARED.replace("=", "-8081=", 1)] * (host == "localhost:8081")
            assert (reply.status, reply.all("set-cookie")) == (status, cleared)

    on_a_store(tmp_path, test)


def test_a_session_dies_with_its_token_and_has_the_rights_that_it_has_now(tmp_path: Path) -> None:
    async def test(store: InProcess, tokens: Tokens) -> None:
        made = tokens.create(rights=["list"])
        cookie = await log_in(store, made.text)
        assert (await store.send("GET", "/memory/", headers=cookie)).status == 200
        state = json.loads(tokens.path.read_text())
        for rights, status in ((["read"], 403), (["list"], 200)):
            state["tokens"][0]["rights"] = rights
            tokens.path.write_text(json.dumps(state))
            store.store._access._file.current(check=True)
            assert (await store.send("GET", "/memory/", headers=cookie)).status == status
        # Another secret under the same id is another token.
        state["tokens"][0]["sha256"] = "0" * 64
        for text in (json.dumps(state), '{"version": 1, "tokens": []}'):
            tokens.path.write_text(text)
            store.store._access._file.current(check=True)
            reply = await store.send("GET", "/memory/", headers=cookie)
            assert (reply.status, reply["set-cookie"]) == (401, CLEARED)

    on_a_store(tmp_path, test)


def test_a_session_ends_in_time_whatever_the_clock_says(tmp_path: Path) -> None:
    async def test(store: InProcess, tokens: Tokens) -> None:
        start_ns = store.clock()
        cookie = await log_in(store, tokens.create(rights=["list"]).text)
        end_ns = (start_ns // 10**9 + SESSION_S) * 10**9
        for moment_ns, status in (
            (end_ns - 1, 200),
            (end_ns, 401),
            (end_ns + 10**18, 401),
            (start_ns, 200),
            # The session began on another server, whose clock is ahead.
            (start_ns - CLOCK_DIFFERENCE_S * 10**9, 200),
            # The clock was years ahead when the session began.
            (start_ns - (CLOCK_DIFFERENCE_S + 1) * 10**9, 401),
            (0, 401),
        ):
            store.clock.set_ns(moment_ns)
            assert (await store.send("GET", "/memory/", headers=cookie)).status == status, moment_ns

    on_a_store(tmp_path, test)


def test_a_session_ends_with_its_token_at_the_latest(tmp_path: Path) -> None:
    async def test(store: InProcess, tokens: Tokens) -> None:
        made = tokens.create(rights=["list"], expires="1h")
        assert made.token.expires_ns is not None
        store.clock.set_ns(made.token.expires_ns - 60 * 10**9)
        content = json.dumps({"token": made.text}).encode()
        reply = await store.send("POST", "/-/login", content, {**JSON, **ORIGIN})
        assert "Max-Age=60;" in reply["set-cookie"] or "Max-Age=59;" in reply["set-cookie"]
        assert json.loads(reply.content)["token"].keys() == {"id", "note", "expires"}
        cookie = {"cookie": reply["set-cookie"].partition(";")[0]}
        assert (await store.send("GET", "/memory/", headers=cookie)).status == 200
        store.clock.set_ns(made.token.expires_ns)
        assert (await store.send("GET", "/memory/", headers=cookie)).status == 401

    on_a_store(tmp_path, test)


def forged(data: Path, value: str, token: Token, other: Token, now_s: int) -> list[str]:
    """Values like that of a cookie of `token`; `other` is another token of the store."""
    id, signature = value.split(".")
    key = bytes.fromhex((data / "signing.key").read_text().split()[-1])
    digit = "0" if signature[0] != "0" else "1"
    later = make_endable_id(token.id, now_s + SESSION_S)
    signed = f"{id}.{token.sha256}".encode()
    return [
        *("", ".", id, signature, f"{id}.", f".{signature}", f"{signature}.{id}", value[:-1], value + "0", value + "."),
        *(f"{id}.{digit}{signature[1:]}", f"{later}.{signature}", f"{other.id}{id[10:]}.{signature}", value.upper()),
        *(f"{id}.{mac(key, purpose, signed).hex()}" for purpose in (b"link", b"sessions", b"")),
        *(f"{id}.{mac(known, b'session', signed).hex()}" for known in (b"", bytes(32))),
        f"{id}.{mac(key, b'session', f'{id}.{other.sha256}'.encode()).hex()}",
        f"{id}.{mac(key, b'session', id.encode()).hex()}",
        *(f'"{value}"', f" {value} x", value.replace(".", "%2e"), f"{value},{value}", "\xff", "0" * 50_000),
    ]


def test_a_damaged_foreign_or_old_cookie_is_no_credential_and_is_removed(tmp_path: Path) -> None:
    async def test(store: InProcess, tokens: Tokens) -> None:
        made, other = tokens.create(rights=["all"]), tokens.create(rights=["all"])
        cookie = (await log_in(store, made.text))["cookie"]
        value = cookie.partition("=")[2]
        now_s = store.clock() // 10**9
        values = [f"docstore-session={one}" for one in forged(tmp_path, value, made.token, other.token, now_s)]
        for text in (*values, f"{cookie}; {cookie}", f"{cookie}; docstore-session=", "docstore-session"):
            for method in ("GET", "PUT", "OPTIONS"):
                reply = await store.send(method, "/memory/a", NeverRead(1), {"cookie": text, **ORIGIN})
                assert (reply.status, reply["set-cookie"], len(reply.content) < 200) == (401, CLEARED, True), text
            # It is not an error where no credentials are needed.
            assert (await store.send("GET", "/-/login", headers={"cookie": text})).content == b'{"token": null}\n'
        reply = await store.send("GET", "/memory/a", headers={"cookie": f"__Host-docstore-session=x; {cookie}"})
        assert (reply.status, len(reply.all("set-cookie"))) == (401, 2)
        for text in ("", ";", "=", "Docstore-Session=x", f"x{cookie}", "a=b", "docstore-session-8080=x"):
            reply = await store.send("GET", "/memory/a", headers={"cookie": text})
            assert (reply.status, "set-cookie" in reply) == (401, False)

    on_a_store(tmp_path, test)


@given(
    value=st.one_of(st.binary(max_size=120), st.from_regex(rb"docstore-session=[0-9a-f.;= ]{0,120}", fullmatch=True))
)
def test_no_cookie_raises_or_is_a_session_by_accident(value: bytes) -> None:
    class NoSessions(Sessions):
        def __init__(self) -> None:
            pass

        def _is_valid(self, id: str, signature: str, token: Token) -> bool:
            raise AssertionError("there is no token")

    request = Request("GET", "/", "", Headers([(b"cookie", value)]))
    assert NoSessions().authenticate(request, {}) is None
    assert request.session in (None, "")


@given(data=st.one_of(st.binary(max_size=200), st.from_regex(rb"[{&]?.?token.?[=:].{0,80}", fullmatch=True)))
def test_no_content_of_a_login_raises_anything_but_a_problem(data: bytes) -> None:
    for media_type in (FORM["content-type"], JSON["content-type"]):
        headers = Headers([(b"content-type", media_type.encode())])
        request = Request("POST", "/-/login", "", headers, BytesContent(data))
        form = asyncio.run(read_form(request))
        assert all(isinstance(value, str) for value in form.values())


def test_everybody_who_may_read_without_credentials_may_with_an_old_cookie(tmp_path: Path) -> None:
    async def test(store: InProcess, tokens: Tokens) -> None:
        await store.prepare("PUT", "/memory/a", b"x", bearer(tokens.create(rights=["all"]).text))
        reply = await store.send("GET", "/memory/a", headers={"cookie": "docstore-session=old"})
        assert (reply.status, reply["set-cookie"], reply["cache-control"]) == (200, CLEARED, "no-cache, private")
        assert (await store.send("GET", "/memory/a"))["cache-control"] == "no-cache"

    on_a_store(tmp_path, test, anonymous="read")


def test_while_the_key_or_the_tokens_cannot_be_read_nobody_is_let_in_or_logged_out(tmp_path: Path) -> None:
    async def test(store: InProcess, tokens: Tokens) -> None:
        text = tokens.create(rights=["all"]).text
        cookie = await log_in(store, text)
        key = (tmp_path / "signing.key").read_bytes()
        sessions = store.store._access.sessions
        for damage, status in ((key[:-2], 503), (b"docstore signing key 1: %s\n" % (b"0" * 64), 503), (key, 200)):
            (tmp_path / "signing.key").write_bytes(damage)
            sessions._key._file.current(check=True)
            reply = await store.send("GET", "/memory/", headers=cookie)
            assert (reply.status, "set-cookie" in reply) == (status, False)
            assert (await store.send("GET", "/memory/", headers=bearer(text))).status == 200
        listed = tokens.path.read_bytes()
        for state, status in ((listed[:-3], 503), (listed, 200)):
            tokens.path.write_bytes(state)
            store.store._access._file.current(check=True)
            reply = await store.send("GET", "/memory/", headers=cookie)
            assert (reply.status, "set-cookie" in reply) == (status, False)
        (tmp_path / "signing.key").unlink()
        sessions._key._file.current(check=True)
        assert (await store.send("GET", "/memory/", headers=cookie)).status == 401
        assert (await store.send("GET", "/memory/", headers=await log_in(store, text))).status == 200

    on_a_store(tmp_path, test)


SAME_ORIGIN = {
    # Sec-Fetch-Site, Origin: whether the cookie counts for a write
    (None, None): False,
    ("same-origin", None): True,
    ("same-origin", "http://store.example"): True,
    (None, "http://store.example"): True,
    ("none", None): False,
    ("same-site", None): False,
    ("same-site", "http://store.example"): False,
    ("cross-site", None): False,
    ("same-origin", "null"): False,
    ("same-origin", "http://app.example"): False,
    (None, "http://app.example"): False,
    (None, "http://store.example:81"): False,
    (None, "null"): False,
    ("", "http://store.example"): False,
}


@pytest.mark.parametrize(("site", "origin"), SAME_ORIGIN)
def test_only_pages_of_the_store_write_with_the_cookie(tmp_path: Path, site: str | None, origin: str | None) -> None:
    """That is so for a page of a site that CORS allows, too."""

    async def test(store: InProcess, tokens: Tokens) -> None:
        text = tokens.create(rights=["all"]).text
        cookie = await log_in(store, text)
        await store.prepare("PUT", "/memory/a", b"{}", bearer(text))
        given = {"host": "store.example", "sec-fetch-site": site, "origin": origin}
        headers = {**cookie, **{name: value for name, value in given.items() if value is not None}}
        allowed = SAME_ORIGIN[site, origin]
        for method, path in (("PUT", "/memory/a"), ("POST", "/memory/"), ("POST", "/memory/a"), ("PATCH", "/memory/a")):
            more = {"content-type": "application/merge-patch+json"}
            reply = await store.send(method, path, b"{}" if allowed else NeverRead(2), {**headers, **more})
            assert (reply.status in (200, 201), reply.status == 403) == (allowed, not allowed)
        assert (await store.send("GET", "/memory/a", headers=headers)).status == 200
        assert (await store.send("DELETE", "/memory/a", headers=headers)).status == (200 if allowed else 403)

    on_a_store(tmp_path, test, cors=("http://app.example",))


def test_beside_authorization_the_cookie_is_ignored(tmp_path: Path) -> None:
    async def test(store: InProcess, tokens: Tokens) -> None:
        admin, reader = tokens.create(rights=["all"]).text, tokens.create(rights=["read", "list"]).text
        cookie = await log_in(store, admin)
        for headers, statuses in (
            ({**cookie, **bearer("x")}, (401, 401)),
            ({**cookie, **bearer(reader)}, (200, 403)),
            ({**cookie, "authorization": ""}, (401, 401)),
            # It needs no Origin, because no browser has added the credentials.
            ({"cookie": "docstore-session=old", **bearer(admin)}, (200, 201)),
        ):
            replies = (
                await store.send("GET", "/memory/", headers=headers),
                await store.send("PUT", "/memory/a", b"x", headers),
            )
            assert tuple(reply.status for reply in replies) == statuses
            assert not any("set-cookie" in reply for reply in replies)

    on_a_store(tmp_path, test)


def test_a_logout_ends_the_session_for_all_workers_and_all_copies_of_the_cookie(tmp_path: Path) -> None:
    async def test(store: InProcess, tokens: Tokens) -> None:
        text = tokens.create(rights=["all"]).text
        first, second = await log_in(store, text), await log_in(store, text)
        async with opened(tmp_path / "else", ["memory"], anonymous=None, tokens=tokens) as worker:
            worker.clock.set_ns(store.clock())
            for one in (store, worker):
                assert (await one.send("GET", "/memory/", headers=first)).status == 200
            reply = await store.send("POST", "/-/logout", b"", {**first, **ORIGIN})
            assert (reply.status, reply["set-cookie"]) == (204, CLEARED)
            for one in (store, worker):
                reply = await one.send("GET", "/memory/", headers=first)
                assert (reply.status, reply["set-cookie"]) == (401, CLEARED)
                assert (await one.send("GET", "/memory/", headers=second)).status == 200
        # For people, and again: it can be repeated.
        for cookie in (second, second, {}):
            reply = await store.send("POST", "/-/logout", b"", {**cookie, **ORIGIN, **PEOPLE})
            assert (reply.status, reply["location"]) == (303, "/-/login")
        assert (await store.send("GET", "/memory/", headers=bearer(text))).status == 200

    on_a_store(tmp_path, test)


def test_a_logout_that_cannot_be_recorded_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(store: InProcess, tokens: Tokens) -> None:
        cookie = await log_in(store, tokens.create(rights=["all"]).text)
        (tmp_path / "ended").write_bytes(b"no folder")
        assert (await store.send("POST", "/-/logout", b"", {**cookie, **ORIGIN})).status == 503

    on_a_store(tmp_path, test)


@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        ("max-age=60", "max-age=60, private"),
        ("s-maxage=60", "s-maxage=60, private"),
        ("no-store", "no-store"),
        ("private, max-age=60", "private, max-age=60"),
        ("Public, max-age=60", "Public, max-age=60"),
        ('no-cache="private"', 'no-cache="private", private'),
    ],
)
def test_no_cache_shares_what_a_session_may_read(tmp_path: Path, stored: str, sent: str) -> None:
    async def test(store: InProcess, tokens: Tokens) -> None:
        text = tokens.create(rights=["all"]).text
        await store.prepare("PUT", "/memory/a", b"x", {"docstore-cache-control": stored, **bearer(text)})
        cookie = await log_in(store, text)
        for headers in ({}, {"range": "bytes=0-0"}, {"if-none-match": "*"}):
            assert (await store.send("GET", "/memory/a", headers={**cookie, **headers}))["cache-control"] == sent

    on_a_store(tmp_path, test)


def test_no_browser_keeps_pages_and_listings_of_a_session(tmp_path: Path) -> None:
    async def test(store: InProcess, tokens: Tokens) -> None:
        cookie = await log_in(store, tokens.create(rights=["all"]).text)
        for path in ("/", "/memory/", "/memory/?format=json", "/-/openapi.json", "/-/docs"):
            for accept in ("text/html", "*/*"):
                reply = await store.send("GET", path, headers={**cookie, "accept": accept})
                assert (reply.status, reply["cache-control"]) == (200, "no-store")

    on_a_store(tmp_path, test)


def test_browsers_are_shown_the_login_and_programs_both_challenges(tmp_path: Path) -> None:
    async def test(store: InProcess, tokens: Tokens) -> None:
        browsers = ({"sec-fetch-mode": "cors"}, {"x-requested-with": "fetch"}, {"cookie": "a=b"}, PEOPLE)
        for headers in (*browsers, {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}):
            for method in ("GET", "HEAD", "PUT"):
                reply = await store.send(method, "/memory/a", NeverRead(1), headers)
                assert (reply.status, reply.all("www-authenticate")) == (401, CHALLENGES[:1])
                is_form = b'<form method="post" action="/-/login">' in reply.content
                assert is_form == (method != "HEAD" and "text/html" in headers.get("accept", ""))
        for headers in ({}, {"accept": "*/*"}, {"accept": "application/json"}, {"accept": "text/html;q=0.9, */*"}):
            reply = await store.send("GET", "/memory/a", headers=headers)
            assert (reply.status, reply.all("www-authenticate")) == (401, CHALLENGES)

    on_a_store(tmp_path, test)


def test_the_login_leads_back_and_escapes_what_it_shows(tmp_path: Path) -> None:
    async def test(store: InProcess, tokens: Tokens) -> None:
        note = '<b>"note"</b>'
        text = tokens.create(rights=["all"], note=note).text
        for target, shown in (
            ("/memory/a?x=1", 'value="/memory/a?x=1"'),
            ("/memory/%22%3E?q='<script>", 'value="/memory/%22%3E?q=&#39;&lt;script&gt;"'),
            ("/memory//evil", 'value="/memory//evil"'),
            ("//evil.example/", None),
            ("/\\evil.example/", None),
        ):
            page = (await store.send("GET", target, headers=PEOPLE)).content.decode()
            assert (shown in page) if shown else "evil" not in page
            assert "<script" not in page
        cookie = await log_in(store, text)
        for path in ("/", "/memory/", "/-/login"):
            page = (await store.send("GET", path, headers={**cookie, **PEOPLE})).content.decode()
            assert ("&lt;b&gt;&#34;note&#34;&lt;/b&gt;" in page, note in page) == (True, False)

    on_a_store(tmp_path, test)


def test_pages_name_the_login_only_where_there_is_one(tmp_path: Path) -> None:
    async def test(store: InProcess, tokens: Tokens) -> None:
        for path in ("/", "/memory/"):
            assert ">Log in<" in (await store.send("GET", path, headers=PEOPLE)).content.decode()

    async def open_to_all() -> None:
        async with opened(tmp_path, ["memory"]) as store:
            for path in ("/", "/memory/"):
                assert b"/-/login" not in (await store.send("GET", path, headers=PEOPLE)).content
            assert (await store.send("GET", "/-/login")).content == b'{"token": null}\n'
            assert b"<form" not in (await store.send("GET", "/-/login", headers=PEOPLE)).content
            assert (await store.send("POST", "/-/login", NeverRead(9), JSON)).status == 404
            assert (await store.send("GET", "/memory/", headers={"cookie": "docstore-session=x"})).status == 200

    on_a_store(tmp_path, test, anonymous="read")
    asyncio.run(open_to_all())


def test_two_workers_share_sessions_and_no_log_has_a_cookie(tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    made = Tokens(tmp_path / "data").create(rights=["all"])
    arguments = ("--auth", "tokens", "--workers", "2", "--audit", str(audit), "--log-level", "debug")
    with RunningServer(tmp_path / "data", f"--mount=docs=sqlite:{tmp_path}/docs.db", *arguments) as server:
        origin = {"Origin": server.url}
        with Client(server) as client:
            wrong = json.dumps({"token": made.text[:-1] + "x"}).encode()
            assert client.ask("POST", "/-/login", wrong, {"Content-Type": "application/json", **origin}).status == 401
            right = json.dumps({"token": made.text}).encode()
            answer = client.ask("POST", "/-/login", right, {"Content-Type": "application/json", **origin})
            cookie = {"Cookie": answer["set-cookie"].partition(";")[0]}
            assert client.ask("PUT", "/docs/a", b"1", {**cookie, **origin}).status == 201
        for _ in range(6):  # each a new connection, to any worker
            with Client(server) as client:
                assert client.ask("GET", "/docs/a", None, cookie).content == b"1"
        with Client(server) as client:
            assert client.ask("POST", "/-/logout", b"", {**cookie, **origin}).status == 204
        for _ in range(6):
            with Client(server) as client:
                assert client.ask("GET", "/docs/a", None, cookie).status == 401
        assert server.stop() == 0
        log = "".join(server.errors) + audit.read_text()
    signature = cookie["Cookie"].rpartition(".")[2]
    for secret in (signature, made.text.split("_")[2], "docstore-session"):
        assert secret not in log
    logins = [line for line in map(json.loads, audit.read_text().splitlines()) if line["path"].startswith("/-/log")]
    assert [(line["path"], line["status"], line["token"]) for line in logins] == [
        ("/-/login", 401, None),
        ("/-/login", 200, made.token.id),
        ("/-/logout", 204, made.token.id),
    ]
