"""The login of the page, and what pages of other sites and stored documents can do to a user who has logged in."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Locator, Route, expect

from docstore import Tokens
from tests.http_client import Client
from tests.server_process import RunningServer
from tests.web.tab import WAITS_MS, Tab
from tests.web.test_accessibility import check

MOUNT = "--mount=docs=memory:"


@contextmanager
def store_with_tokens(folder: Path, *arguments: str) -> Iterator[tuple[RunningServer, Client, str]]:
    """A server with the document /docs/a, a client for it that sends an administrator's token, and that token."""
    token = Tokens(folder).create(rights=["all"], note="laptop").text
    with RunningServer(folder, "--auth", "tokens", MOUNT, *arguments) as server, Client(server) as client:
        plain, authorization = client.ask, {"Authorization": f"Bearer {token}"}
        client.ask = lambda method, path, content=None, headers=None: plain(  # type: ignore[method-assign]
            method, path, content, {**authorization, **(headers or {})}
        )
        assert client.ask("PUT", "/docs/a", b"old", {"Content-Type": "text/plain"}).status == 201
        yield server, client, token


def log_in_with(tab: Tab, place: Locator, text: str) -> None:
    place.get_by_label("Token").fill(text)
    place.get_by_role("button", name="Log in").click()


def test_a_user_logs_in_where_the_page_asks_and_out_again(tab: Tab, tmp_path: Path) -> None:
    with store_with_tokens(tmp_path) as (server, client, token):
        user = Tab(tab.browser, server)
        user.expect(401)
        user.page.goto("/docs/?delimiter=")
        main = user.page.locator("main")
        log_in_with(user, main, token[:-1])
        expect(user.page.get_by_role("alert")).to_have_text("the token is unknown, revoked or expired")
        log_in_with(user, main, token)
        user.wait_for_keys("a")
        assert user.page.url.endswith("/docs/?delimiter=")
        expect(user.page.locator("#login")).to_have_text("Logged in as laptop")
        user.open_document("/docs/", "a")
        user.press("Delete")
        user.wait_for_keys()
        assert client.ask("GET", "/docs/a").status == 404
        # The token is nowhere, and scripts can't read the cookie.
        kept = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, document.body.innerHTML])"
        assert token.split("_")[2] not in user.page.evaluate(kept)
        assert user.page.evaluate("document.cookie") == ""
        [cookie] = user.context.cookies()
        assert (cookie["name"], cookie["path"], cookie["httpOnly"], cookie["sameSite"]) == (
            *(f"docstore-session-{server.port}", "/", True, "Strict"),
        )
        user.page.locator("#login").click()
        expect(main).to_contain_text("You have logged in with the token laptop.")
        user.page.get_by_role("button", name="Log out").click()
        expect(user.page.get_by_role("button", name="Log in")).to_be_visible()
        assert user.context.cookies() == []
        user.page.goto("/docs/")
        expect(user.page.get_by_label("Token")).to_be_focused()
        user.close()
        user.check()


def test_a_user_logs_in_without_javascript(tab: Tab, tmp_path: Path) -> None:
    with store_with_tokens(tmp_path) as (server, _, token):
        user = Tab(tab.browser, server, java_script_enabled=False)
        user.expect(401)
        user.page.goto("/docs/")
        log_in_with(user, user.page.locator("main"), token)
        expect(user.page.locator("#documents tbody a")).to_have_text(["a"])
        user.page.get_by_role("link", name="Logged in as laptop").click()
        user.page.get_by_role("button", name="Log out").click()
        expect(user.page.get_by_role("button", name="Log in")).to_be_visible()
        assert user.context.cookies() == []
        user.close()
        user.check()


def test_back_shows_nothing_after_the_logout(tab: Tab, tmp_path: Path) -> None:
    with store_with_tokens(tmp_path) as (server, _, token):
        user = Tab(tab.browser, server)
        user.expect(401)
        user.log_in(token)
        user.open("/docs/")
        user.wait_for_keys("a")
        user.page.locator("#login").click()
        user.page.get_by_role("button", name="Log out").click()
        expect(user.page.get_by_role("button", name="Log in")).to_be_visible()
        for _ in range(3):
            user.page.go_back()
            expect(user.page.get_by_label("Token")).to_be_visible()
            expect(user.page.locator("#documents")).to_have_count(0)
        user.close()


def test_uploads_go_on_after_a_new_login(tab: Tab, tmp_path: Path) -> None:
    with store_with_tokens(tmp_path) as (server, client, token):
        user = Tab(tab.browser, server)
        user.log_in(token)
        user.open("/docs/")
        user.context.clear_cookies()
        user.expect(401)
        names = [f"file{number}.txt" for number in range(5)]
        user.choose(*({"name": name, "mimeType": "text/plain", "buffer": name.encode()} for name in names))
        expect(user.dialog.get_by_role("heading")).to_have_text("Your login has ended")
        log_in_with(user, user.dialog, token)
        user.wait_for_keys("a", *names)
        assert [client.ask("GET", f"/docs/{name}").content.decode() for name in names] == names
        user.close()
        user.check()


def test_when_the_session_ends_nothing_that_was_typed_is_lost(tab: Tab, tmp_path: Path) -> None:
    with store_with_tokens(tmp_path) as (server, client, token):
        user = Tab(tab.browser, server)
        user.log_in(token)
        user.open_document("/docs/", "a")
        user.press("Edit")
        typed = user.page.locator("dialog.wide").get_by_label("Content")
        typed.fill("typed for hours")
        [cookie] = user.context.cookies()
        headers = {"Cookie": f"{cookie['name']}={cookie['value']}", "Origin": server.url}
        assert user.client.ask("POST", "/-/logout", b"", headers).status == 204
        user.expect(401)
        user.page.keyboard.press("Control+s")
        expect(user.dialog.get_by_role("heading")).to_have_text("Your login has ended")
        # Without the login, the save fails and the text is still there.
        user.page.keyboard.press("Escape")
        expect(user.dialog.get_by_role("alert")).to_contain_text("unauthorized")
        expect(typed).to_have_value("typed for hours")
        user.page.keyboard.press("Control+s")
        expect(user.dialog.get_by_role("heading")).to_have_text("Your login has ended")
        log_in_with(user, user.dialog, "dst_wrong")
        expect(user.dialog.get_by_role("alert")).to_have_text("the token is unknown, revoked or expired")
        assert client.ask("GET", "/docs/a").content == b"old"
        log_in_with(user, user.dialog, token)
        expect(user.page.locator("dialog.wide")).to_have_count(0)
        assert client.ask("GET", "/docs/a").content == b"typed for hours"
        user.close()
        user.check()


def test_axe_finds_no_violation_in_the_login(tab: Tab, tmp_path: Path) -> None:
    with store_with_tokens(tmp_path) as (server, _, token):
        user = Tab(tab.browser, server)
        user.expect(401)
        user.page.goto("/docs/")
        log_in_with(user, user.page.locator("main"), "wrong")
        expect(user.page.get_by_role("alert")).to_be_visible()
        check(user, "login")
        user.log_in(token)
        check(user, "start")
        user.open("/docs/")
        check(user, "list")
        user.context.clear_cookies()
        user.page.fill("#search", "a")
        expect(user.dialog.get_by_role("heading")).to_have_text("Your login has ended")
        check(user, "ended")
        user.page.goto("/-/login")
        log_in_with(user, user.page.locator("main"), token)
        expect(user.page.locator("#login")).to_contain_text("Logged in as")
        user.page.goto("/-/login")
        expect(user.page.get_by_role("button", name="Log out")).to_be_visible()
        check(user, "logout")
        user.close()
        user.check()


def test_requests_that_fail_together_ask_once(tab: Tab, tmp_path: Path) -> None:
    with store_with_tokens(tmp_path, "--mount=more=memory:", "--mount=third=memory:") as (server, _, token):
        user = Tab(tab.browser, server)
        user.log_in(token)
        states = user.page.locator(".state")
        expect(states).to_have_text(["ready; 1 document, 3 bytes", "ready; empty", "ready; empty"])
        user.context.clear_cookies()
        user.expect(401)
        with (
            user.page.expect_response("**/docs/?*"),
            user.page.expect_response("**/more/?*"),
            user.page.expect_response("**/third/?*"),
        ):
            user.page.evaluate("dispatchEvent(new Event('focus'))")
        expect(user.page.locator("dialog")).to_have_count(1)
        log_in_with(user, user.dialog, token)
        expect(user.page.locator("dialog")).to_have_count(0)
        expect(states).to_have_text(["ready; 1 document, 3 bytes", "ready; empty", "ready; empty"])
        user.close()
        user.check()


ATTACK = """async (store) => {
    const results = {};
    const attempt = async (name, path, options) => {
        try {
            const answer = await fetch(store + path, { credentials: "include", ...options });
            results[name] = answer.type === "opaque" ? "opaque" : `${answer.status} ${await answer.text()}`;
        } catch (error) {
            results[name] = error.name;
        }
    };
    await attempt("read", "/docs/a");
    await attempt("list", "/docs/?format=json");
    await attempt("who", "/-/login");
    await attempt("put", "/docs/a", { method: "PUT", body: "evil" });
    await attempt("delete", "/docs/a", { method: "DELETE" });
    await attempt("post", "/docs/", { method: "POST", body: "evil", mode: "no-cors" });
    await attempt("post over", "/docs/a", { method: "POST", body: "evil", mode: "no-cors" });
    await attempt("logout", "/-/logout", { method: "POST", mode: "no-cors" });
    for (const [index, path] of ["/docs/", "/docs/a", "/-/logout", "/-/login"].entries()) {
        const frame = document.createElement("iframe");
        frame.name = `frame${index}`;
        document.body.append(frame);
        const form = document.createElement("form");
        Object.assign(form, { method: "POST", action: store + path, target: frame.name, enctype: "text/plain" });
        form.innerHTML = "<input name=token value=evil>";
        document.body.append(form);
        const loaded = new Promise((resolve) => { frame.onload = resolve; });
        form.submit();
        await loaded;
        try {
            results[path] = frame.contentDocument ? "seen" : "hidden";
        } catch (error) {
            results[path] = error.name;
        }
    }
    return results;
}"""
"""What a page of another site tries; each result is what it learns."""
UNREADABLE = ("TypeError", "opaque", "hidden", "SecurityError")


def test_pages_of_other_sites_neither_read_nor_write_with_the_session(tab: Tab, tmp_path: Path) -> None:
    with (
        store_with_tokens(tmp_path / "own") as (server, client, token),
        # The same host on another port is the same site, to which browsers send the cookie; another host is not.
        RunningServer(tmp_path / "evil", "--mount=evil=memory:?content=app") as evil,
        Client(evil) as elsewhere,
    ):
        assert elsewhere.ask("PUT", "/evil/page", b"<p>evil", {"Content-Type": "text/html"}).status == 201
        user = Tab(tab.browser, server)
        user.log_in(token)
        before = client.ask("GET", "/docs/?format=json").content
        page = user.context.new_page()
        page.set_default_timeout(WAITS_MS)
        for host in ("127.0.0.1", "localhost"):
            page.goto(f"http://{host}:{evil.port}/evil/page")
            results = page.evaluate(ATTACK, server.url)
            assert len(results) == 12
            assert {name: result for name, result in results.items() if result not in UNREADABLE} == {}
            assert client.ask("GET", "/docs/?format=json").content == before
        user.page.reload()
        expect(user.page.locator("#login")).to_have_text("Logged in as laptop")
        user.close()


def test_a_web_app_does_nothing_with_the_session_of_who_opens_it(tab: Tab, tmp_path: Path) -> None:
    """Its host belongs to the site of the store, so browsers send the cookie to the store, but not to the app."""
    app = "--mount=app=memory:?content=app&app_host=apps.store.localhost"
    arguments = (app, "--public-url", "http://store.localhost", "--anonymous", "read")
    with store_with_tokens(tmp_path, *arguments) as (server, client, token):
        page_of_app = b"<!doctype html><title>idle</title><script>document.title = 'runs'</script>"
        assert client.ask("PUT", "/app/page", page_of_app, {"Content-Type": "text/html"}).status == 201
        before = client.ask("GET", "/docs/?format=json").content
        store, apps = (f"http://{host}:{server.port}" for host in ("store.localhost", "apps.store.localhost"))
        user = Tab(tab.browser, server)
        page = user.page
        page.goto(f"{store}/-/login")
        log_in_with(user, page.locator("main"), token)
        page.goto(f"{store}/app/page")
        page.wait_for_load_state("networkidle")
        assert page.title() == "idle"
        page.goto(f"{apps}/app/page")
        assert page.title() == "runs"
        results = page.evaluate(ATTACK, store)
        assert {name: result for name, result in results.items() if result not in UNREADABLE} == {}
        assert client.ask("GET", "/docs/?format=json").content == before
        page.goto(f"{store}/docs/")
        expect(page.locator("#login")).to_have_text("Logged in as laptop")
        user.close()


def test_a_link_on_another_site_leads_to_the_page_after_one_more_click(tab: Tab, tmp_path: Path) -> None:
    with store_with_tokens(tmp_path) as (server, _, token):
        user = Tab(tab.browser, server)
        user.expect(401)
        user.log_in(token)
        elsewhere = f"http://elsewhere.localhost:{server.port}/"
        link = f'<a href="{server.url}/docs/?delimiter=">link</a>'
        user.context.route(elsewhere, lambda route: route.fulfill(content_type="text/html", body=link))
        page = user.page
        page.goto(elsewhere)
        page.get_by_role("link", name="link").click()
        expect(page.get_by_label("Token")).to_be_visible()
        page.get_by_role("link", name="continue").click()
        expect(page.locator("#login")).to_have_text("Logged in as laptop")
        assert page.url == f"{server.url}/docs/?delimiter="
        user.close()


def test_a_name_that_is_made_to_lead_to_the_store_has_no_session(tab: Tab, tmp_path: Path) -> None:
    """On loopback the store does not answer to the name (421); elsewhere the browser has no cookie for it (401)."""
    for host, status in (("127.0.0.1", 421), ("0.0.0.0", 401)):
        with store_with_tokens(tmp_path / host, "--host", host) as (server, client, token):
            server.url = f"http://127.0.0.1:{server.port}"
            user = Tab(tab.browser, server)
            user.log_in(token)
            page = user.context.new_page()
            evil = f"http://evil.localhost:{server.port}"

            def attack(route: Route) -> None:
                route.fulfill(status=200, content_type="text/html", body="<p>evil")

            page.route(f"{evil}/page", attack)
            page.goto(f"{evil}/page")
            ask = "async ([method, path, body]) => (await fetch(path, { method, body })).status"
            for method, path in (("GET", "/docs/a"), ("GET", "/-/login"), ("PUT", "/docs/a"), ("POST", "/docs/")):
                expected = 200 if (path, status) == ("/-/login", 401) else status
                assert page.evaluate(ask, [method, path, *["evil"] * (method != "GET")]) == expected
            if status == 401:
                text = page.evaluate("async () => (await fetch('/-/login')).text()")
                assert text == '{"token": null}\n'
            assert client.ask("GET", "/docs/a").content == b"old"
            user.close()


STORED = """<script>
try { document.title = "cookie: " + document.cookie; } catch (error) { document.title = "ran: " + error.name; }
fetch("/docs/a", { method: "PUT", body: "evil", credentials: "include" });
</script><img src=x onerror="document.title = 'ran'"><p>stored"""


def test_a_stored_document_does_nothing_with_the_session_of_who_opens_it(tab: Tab, tmp_path: Path) -> None:
    with store_with_tokens(tmp_path) as (server, client, token):
        for key, media_type in (("evil.html", "text/html"), ("evil.svg", "image/svg+xml")):
            content = (
                STORED if media_type == "text/html" else f'<svg xmlns="http://www.w3.org/2000/svg">{STORED[:230]}</svg>'
            )
            assert client.ask("PUT", f"/docs/{key}", content.encode(), {"Content-Type": media_type}).status == 201
        before = client.ask("GET", "/docs/?format=json").content
        user = Tab(tab.browser, server)
        user.allow("Blocked script execution")
        user.expect(401, 404)
        user.log_in(token)
        for key in ("evil.html", "evil.svg"):
            user.page.goto(f"/docs/{key}")
            user.page.wait_for_load_state("networkidle")
            assert not user.page.title().startswith(("cookie", "ran"))
            user.open_document("/docs/", key)
            if key == "evil.html":
                user.press("Show as page")
                expect(user.page.frame_locator("dialog iframe").locator("p")).to_have_text("stored")
            user.leave()
        assert user.page.evaluate("document.cookie") == ""
        assert client.ask("GET", "/docs/?format=json").content == before
        user.close()
