"""Share: the page makes a signed link to a document, shows it once and revokes it."""

import time
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import expect

from docstore import Tokens
from docstore.links import SignedLink
from docstore.server.security.state_files import CHECK_INTERVAL_S
from tests.http_client import Answer, ask
from tests.server_process import RunningServer
from tests.web.tab import Tab
from tests.web.test_accessibility import check
from tests.web.test_login import store_with_tokens


def by_link(server: RunningServer, method: str, url: str, content: bytes | None = None) -> Answer:
    parts = urlsplit(url)
    return ask(server, method, f"{parts.path}?{parts.query}", content)


def test_a_user_makes_a_link_for_some_time_and_some_methods_and_revokes_it(tab: Tab, tmp_path: Path) -> None:
    with store_with_tokens(tmp_path) as (server, client, token):
        assert client.ask("PUT", "/docs/caf%C3%A9%20%3F%23", b"text", {"Content-Type": "text/plain"}).status == 201
        user = Tab(tab.browser, server)
        user.log_in(token)
        user.open_document("/docs/", "café ?#")
        user.page.keyboard.press("s")
        expect(user.dialog.get_by_label("Read")).to_be_checked()
        check(user, "share: the form")
        for words, said in (("soon", "Invalid time"), ("2 y", "Invalid time"), ("0", "Invalid time")):
            user.dialog.get_by_label("For").fill(words)
            user.press("Make a link")
            expect(user.dialog.get_by_role("alert")).to_contain_text(said)
        user.dialog.get_by_label("For").fill("2 h")
        user.dialog.get_by_label("Read").uncheck()
        user.press("Make a link")
        expect(user.dialog.get_by_role("alert")).to_contain_text("Choose what the link is for")
        user.dialog.get_by_label("Read").check()
        user.dialog.get_by_label("Store").check()
        user.press("Make a link")
        shown = user.dialog.get_by_label("Link", exact=True)
        expect(user.dialog).to_contain_text("shown this once")
        check(user, "share: the link")
        url = shown.input_value()
        assert url.startswith(f"http://{server.host}:{server.port}/docs/caf%C3%A9%20%3F%23?link=dsl_")
        link = SignedLink.parse(url.partition("link=")[2])
        assert user.dialog.get_by_label("Id", exact=True).input_value() == link.id
        assert (link.grant().methods, link.grant().once) == ({"GET", "PUT"}, None)
        assert 7000 < link.grant().until - time.time() < 7300
        assert by_link(server, "GET", url).content == b"text"
        assert by_link(server, "PUT", url, b"new").status == 200
        assert by_link(server, "DELETE", url).status == 403
        user.press("Revoke")
        expect(user.page.locator("dialog")).to_have_count(1)
        expect(user.page.locator("#announcement")).to_have_text("The link is revoked.")
        time.sleep(CHECK_INTERVAL_S)
        assert by_link(server, "GET", url).status == 403
        kept = "JSON.stringify([{...localStorage}, {...sessionStorage}, location.href, document.body.innerHTML])"
        assert "dsl_" not in user.page.evaluate(kept)
        user.close()
        user.check()


def test_a_user_shares_what_the_token_may_do_and_no_more(tab: Tab, tmp_path: Path) -> None:
    with store_with_tokens(tmp_path) as (server, _, _):
        reader = Tokens(tmp_path).create(rights=["read", "list"], mount="docs").text
        time.sleep(CHECK_INTERVAL_S)
        user = Tab(tab.browser, server)
        user.log_in(reader)
        user.open_document("/docs/", "a")
        user.press("Share")
        expect(user.dialog.get_by_role("checkbox")).to_have_count(2)
        user.dialog.get_by_label("Only once").check()
        user.press("Make a link")
        expect(user.dialog).to_contain_text("shown this once")
        url = user.dialog.get_by_label("Link", exact=True).input_value()
        assert [by_link(server, "GET", url).status for _ in range(2)] == [200, 403]
        user.press("Done")
        expect(user.page.locator("dialog")).to_have_count(1)
        user.close()
        user.check()


def test_without_a_login_there_is_nothing_to_share(tab: Tab) -> None:
    tab.store_document("/site/not-shared", "text")
    detail = tab.open_document("/site/", "not-shared")
    assert "Share" not in detail.locator(".body > .buttons button").all_inner_texts()
