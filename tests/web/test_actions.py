"""Actions on a document: rename, delete, undo, edit fields and TTL."""

import urllib.parse

import pytest
from playwright.sync_api import Route, expect

from docstore.http.stored_headers import STORED_HEADERS
from tests.web.tab import Tab

FIELDS = {"content_type": "application/x-a", "meta_author": "Ann", "content_disposition": "inline", "ttl": "9000"}


def read_fields(tab: Tab, path: str) -> list[str]:
    answer = tab.stored(path)
    return [answer[name] for name in ("content-type", "meta-author", "content-disposition", "sunset")]


def test_a_rename_keeps_fields_and_ttl_and_overwrites_nothing(tab: Tab) -> None:
    tab.expect(412)
    tab.store_document("/site/rename/a", b"\x00\xff", **FIELDS)
    tab.store_document("/site/rename/b", b"other")
    before = read_fields(tab, "/site/rename/a")
    tab.open_document("/site/", "rename/a")
    tab.press("Rename")
    tab.dialog.get_by_label("Key").fill("rename/b")
    tab.press("Rename")
    expect(tab.dialog.get_by_role("alert")).to_contain_text("The key rename/b is already used.")
    tab.dialog.get_by_label("Key").fill("rename/c d")
    tab.press("Rename")
    expect(tab.page.get_by_role("heading", name="rename/c d")).to_be_visible()
    assert urllib.parse.urlsplit(tab.page.url).fragment == "rename/c%20d"
    assert [tab.stored(f"/site/rename/{key}").status for key in ("a", "b", "c d")] == [404, 200, 200]
    assert tab.stored("/site/rename/c d").content == b"\x00\xff"
    after = read_fields(tab, "/site/rename/c d")
    assert after[:3] == before[:3]
    assert abs(int(after[3][-6:-4]) - int(before[3][-6:-4])) in (0, 1, 59)


def test_a_delete_can_be_undone(tab: Tab) -> None:
    tab.store_document("/docs/undo", b"\x00\xff", **FIELDS)
    before = read_fields(tab, "/docs/undo")
    tab.open_document("/docs/", "undo")
    tab.page.keyboard.press("Delete")
    expect(tab.page.locator("dialog")).to_have_count(0)
    assert tab.stored("/docs/undo").status == 404
    tab.press("Undo")
    expect(tab.page.locator("#notes li")).to_have_count(0)
    assert tab.stored("/docs/undo").content == b"\x00\xff"
    assert read_fields(tab, "/docs/undo")[:3] == before[:3]


def test_an_undo_does_not_overwrite_a_newer_document(tab: Tab) -> None:
    tab.expect(412)
    tab.store_document("/docs/undone", b"old")
    tab.open("/docs/?prefix=undone")
    tab.page.get_by_role("link", name="undone").focus()
    tab.page.keyboard.press("Delete")
    expect(tab.page.locator("#notes li")).to_contain_text("Deleted undone.")
    tab.store_document("/docs/undone", b"another")
    tab.press("Undo")
    expect(tab.page.locator("#notes li")).to_contain_text("The key undone is used by another document now.")
    assert tab.stored("/docs/undone").content == b"another"


@pytest.mark.parametrize("is_reachable", [True, False])
def test_a_delete_whose_response_is_lost_can_be_undone(tab: Tab, is_reachable: bool) -> None:
    tab.expect("ERR_CONNECTION_RESET", 404)
    tab.store_document("/docs/lost", b"kept")

    def lose(route: Route) -> None:
        if route.request.method == "DELETE":
            route.fetch()
            route.abort("connectionreset")
        else:
            route.fallback()

    tab.open_document("/docs/", "lost")
    tab.page.route("**/docs/lost", lose)
    if not is_reachable:
        tab.page.route("**/docs/?*format=json*", lambda route: route.abort("connectionreset"))
    tab.press("Delete")
    if not is_reachable:
        expect(tab.dialog.get_by_role("alert")).to_contain_text("the store can't be reached")
        tab.page.unroute_all()
        tab.page.keyboard.press("Escape")
    expect(tab.page.locator("dialog")).to_have_count(0)
    note = "Deleted lost." if is_reachable else "lost may be deleted: no response."
    expect(tab.page.locator("#notes li")).to_contain_text(note)
    assert tab.stored("/docs/lost").status == 404
    tab.press("Undo")
    expect(tab.page.locator("#notes li")).to_have_count(0)
    assert tab.stored("/docs/lost").content == b"kept"


def test_an_undo_of_what_was_not_deleted_changes_nothing(tab: Tab) -> None:
    tab.expect("ERR_CONNECTION_RESET", 412)
    tab.store_document("/docs/still-there", b"kept")
    tab.open_document("/docs/", "still-there")
    tab.page.route(
        "**/docs/still-there",
        lambda route: route.abort("connectionreset") if route.request.method == "DELETE" else route.fallback(),
    )
    tab.press("Delete")
    expect(tab.dialog.get_by_role("alert")).to_contain_text("the store can't be reached")
    tab.page.unroute_all()
    tab.page.keyboard.press("Escape")
    tab.press("Undo")
    expect(tab.page.locator("#notes li")).to_have_count(0)
    assert tab.stored("/docs/still-there").content == b"kept"


@pytest.mark.parametrize(("name", "label"), [("Rename", "Key"), ("Fields", "Other fields"), ("Move", "Folder")])
def test_a_form_asks_before_it_discards_what_was_typed(tab: Tab, name: str, label: str) -> None:
    tab.store_document("/site/typed/a", b"x", content_type="text/plain")
    if name == "Move":
        tab.open("/site/typed/")
        tab.page.get_by_role("checkbox", name="Select a", exact=True).check()
    else:
        tab.open_document("/site/", "typed/a")
    tab.press(name)
    control = tab.dialog.get_by_label(label)
    control.fill("meta-author: Ann")
    for key in ("Escape", "Cancel"):
        if key == "Escape":
            tab.page.keyboard.press(key)
        else:
            tab.press(key)
        expect(tab.dialog.get_by_role("heading")).to_have_text("Leave without saving?")
        tab.press("Keep editing")
        expect(control).to_have_value("meta-author: Ann")
    tab.page.keyboard.press("Escape")
    expect(tab.dialog.get_by_role("heading")).to_have_text("Leave without saving?")
    tab.press("Leave")
    expect(control).to_have_count(0)


def test_a_form_without_changes_closes_at_once(tab: Tab) -> None:
    tab.store_document("/docs/untyped", b"x", content_type="text/plain")
    tab.open_document("/docs/", "untyped")
    tab.press("Fields")
    expect(tab.page.locator("dialog")).to_have_count(2)
    tab.page.keyboard.press("Escape")
    expect(tab.page.locator("dialog")).to_have_count(1)


def test_a_delete_without_undo_asks_first(tab: Tab) -> None:
    tab.store_document("/docs/coded", b"x", content_encoding="x-own")
    tab.open_document("/docs/", "coded")
    for answer, status in (("Cancel", 200), ("Delete permanently", 404)):
        tab.press("Delete")
        expect(tab.dialog.get_by_role("heading")).to_have_text("Delete coded?")
        tab.press(answer)
        expect(tab.page.locator("dialog")).to_have_count(int(status == 200))
        assert tab.stored("/docs/coded").status == status


def test_fields_and_ttl_can_be_changed(tab: Tab) -> None:
    tab.store_document("/docs/fields", b"same", **FIELDS)
    tab.open_document("/docs/", "fields")
    tab.page.keyboard.press("f")
    expect(tab.dialog.get_by_label("Type")).to_have_value("application/x-a")
    fields = tab.dialog.get_by_label("Other fields")
    expect(fields).to_have_value("content-disposition: inline\nmeta-author: Ann\n")
    wrong = {"x-other: 1": "Can't store the field", "Meta-A: \u2713": "invalid header field"}
    for line, problem in wrong.items():
        fields.fill(line)
        tab.press("Save")
        expect(tab.dialog.get_by_role("alert")).to_contain_text(problem)
    fields.fill("Meta-Reader: Bob\nCache-Control: max-age=5")
    tab.dialog.get_by_label("Type").fill("text/plain")
    tab.dialog.get_by_label("TTL").fill("a while")
    tab.press("Save")
    expect(tab.dialog.get_by_role("alert")).to_contain_text("Invalid TTL. Write a duration such as")
    tab.dialog.get_by_label("TTL").fill("")
    tab.press("Save")
    expect(tab.page.locator("dialog")).to_have_count(1)
    expect(tab.page.locator("dialog.detail").last.locator("pre")).to_have_text("same")
    answer = tab.stored("/docs/fields")
    assert (answer["content-type"], answer["meta-reader"], answer["cache-control"]) == (
        "text/plain",
        "Bob",
        "max-age=5",
    )
    assert [answer.headers[name] for name in ("sunset", "meta-author", "content-disposition")] == [None] * 3


def test_a_ttl_is_written_as_in_the_command(tab: Tab) -> None:
    tab.open("/docs/")
    texts = {"": None, "90": 90, "90 s": 90, "5m": 300, "5 min": 300, " 12 h ": 43_200, "7d": 604_800, "2w": 1_209_600}
    texts |= {"1h30m": 5400, "1 d 12 h": 129_600, "1 y": 31_536_000, "0": "invalid", "h": "invalid", "1.5 h": "invalid"}
    script = """async (texts) => {
      const { parseTTL, formatTTL } = await import("/-/web/format.js");
      const printed = [60, 90, 7200, 86_400, 604_800, 31_536_000].map(formatTTL);
      const parsed = texts.map(parseTTL).map((ttl) => (ttl === undefined ? "invalid" : ttl));
      return [parsed, printed];
    }"""
    parsed, printed = tab.page.evaluate(script, list(texts))
    assert parsed == list(texts.values())
    assert printed == ["1 min", "90 s", "2 h", "1 d", "7 d", "1 y"]


def test_the_page_offers_every_stored_header_but_the_coding(tab: Tab) -> None:
    tab.store_document("/docs/headers", "x", content_type="text/plain")
    tab.open_document("/docs/", "headers")
    tab.press("Fields")
    tab.dialog.get_by_label("Other fields").fill("Content-Encoding: gzip")
    tab.press("Save")
    offered = ", ".join(name for name in STORED_HEADERS if name != "content-encoding")
    expect(tab.dialog.get_by_role("alert")).to_contain_text(f"Use Meta-\u2026, {offered}.")
