"""The page of a client with a token shows what the token may see, and offers what it may do."""

from pathlib import Path

from playwright.sync_api import expect

from docstore import Tokens
from tests.http_client import Client
from tests.server_process import RunningServer
from tests.web.tab import Tab


def test_the_page_shows_and_offers_what_the_token_allows(tab: Tab, tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    admin, reader = (
        tokens.create(rights=["all"]).text,
        tokens.create(rights=["read", "list"], mount="docs", prefix="in/").text,
    )
    mounts = ("--mount=docs=memory:", "--mount=secret=memory:")
    with RunningServer(tmp_path, "--auth", "tokens", *mounts) as server, Client(server) as client:
        for path in ("/docs/in/old", "/docs/out/old", "/secret/old"):
            headers = {"Authorization": f"Bearer {admin}", "Content-Type": "text/plain"}
            assert client.ask("PUT", path, b"text", headers).status == 201
        signed_in = Tab(tab.browser, server)
        signed_in.log_in(reader)
        expect(signed_in.page.locator("main")).to_contain_text("/docs/")
        expect(signed_in.page.locator("main")).not_to_contain_text("secret")
        signed_in.open("/docs/?delimiter=")
        links = signed_in.page.locator("#documents tbody a")
        assert links.evaluate_all("links => links.map(link => link.textContent)") == ["in/old"]
        expect(signed_in.page.locator("#tools")).to_contain_text("You may only read here.")
        detail = signed_in.open_document("/docs/", "in/old")
        expect(detail).to_contain_text("You may only read this document.")
        before = client.ask("GET", "/docs/?format=json", None, {"Authorization": f"Bearer {admin}"}).content
        # A script in the page has no more rights than the page.
        script = "async ([method, path, body]) => (await fetch(path, {method, body: body ?? undefined})).status"
        attempts = [
            ("PUT", "/docs/in/old", "x", 403),
            ("PUT", "/docs/in/new", "x", 403),
            ("DELETE", "/docs/in/old", None, 403),
            ("GET", "/docs/out/old", None, 404),
            ("GET", "/secret/old", None, 404),
        ]
        for *request, status in attempts:
            signed_in.expect(status)
            assert signed_in.page.evaluate(script, request) == status
        assert client.ask("GET", "/docs/?format=json", None, {"Authorization": f"Bearer {admin}"}).content == before
        signed_in.close()
        signed_in.check()


def test_a_token_for_a_part_of_the_keys_may_write_there(tab: Tab, tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    admin = {"Authorization": f"Bearer {tokens.create(rights=['all']).text}", "Content-Type": "text/plain"}
    member = tokens.create(rights=["all"], mount="docs", prefix="in/").text
    with RunningServer(tmp_path, "--auth", "tokens", "--mount=docs=memory:") as server, Client(server) as client:
        assert client.ask("PUT", "/docs/in/old", b"text", admin).status == 201
        signed_in = Tab(tab.browser, server)
        signed_in.log_in(member)
        signed_in.open("/docs/")
        expect(signed_in.page.locator("#tools")).to_contain_text("You may only read here.")
        signed_in.page.get_by_role("link", name="in/").click()
        expect(signed_in.page.locator("#tools button")).to_have_text(["New", "Upload", "Upload folder"])
        signed_in.page.go_back()
        expect(signed_in.page.locator("#tools")).to_contain_text("You may only read here.")
        # In a flat list, the first document tells. A document is asked for itself.
        signed_in.open("/docs/?delimiter=")
        expect(signed_in.page.locator("#tools button")).to_have_text(["New", "Upload", "Upload folder"])
        detail = signed_in.open_document("/docs/", "in/old")
        expect(detail.locator(".body > .buttons button")).to_have_text(["Edit", "Rename", "Fields", "Share", "Delete"])
        signed_in.press("Delete")
        expect(signed_in.page.locator("#notes li")).to_contain_text("Deleted in/old.")
        signed_in.press("Undo")
        expect(signed_in.page.locator("#notes li")).to_have_count(0)
        assert client.ask("GET", "/docs/in/old", None, admin).content == b"text"
        signed_in.close()
        signed_in.check()


BUTTONS = {
    # rights besides read and list: buttons of the page, and of a document
    "create replace": (["New", "Upload", "Upload folder"], ["Edit", "Fields", "Share"]),
    "delete": ([], ["Share", "Delete"]),
}


def test_the_page_has_only_the_buttons_of_what_the_token_may_do(tab: Tab, tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    admin = {"Authorization": f"Bearer {tokens.create(rights=['all']).text}", "Content-Type": "text/plain"}
    made = {rights: tokens.create(rights=["read", "list", *rights.split()]).text for rights in BUTTONS}
    with RunningServer(tmp_path, "--auth", "tokens", "--mount=docs=memory:") as server, Client(server) as client:
        assert client.ask("PUT", "/docs/a", b"text", admin).status == 201
        for rights, (of_page, of_document) in BUTTONS.items():
            signed_in = Tab(tab.browser, server)
            signed_in.log_in(made[rights])
            detail = signed_in.open_document("/docs/", "a")
            assert signed_in.page.locator("#tools button").all_inner_texts() == of_page
            assert detail.locator(".body > .buttons button").all_inner_texts() == of_document
            if rights == "delete":
                signed_in.press("Delete")
                expect(signed_in.dialog).to_contain_text("It can't be undone")
                signed_in.press("Delete permanently")
                expect(signed_in.page.locator("dialog")).to_have_count(0)
                assert client.ask("GET", "/docs/a", None, admin).status == 404
            signed_in.close()
            signed_in.check()
