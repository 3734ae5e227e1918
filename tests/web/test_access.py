"""For everybody: axe finds nothing in any view, focus is where it should be, a phone is wide enough, all is light."""

import re
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.web.tab import Tab

GUIDE = (Path(__file__).parents[2] / "docs" / "page.md").read_text()
VIEWS = ("mounts", "folders", "empty", "sheet", "new", "fields", "conflict", "question", "shortcuts")
HIDDEN_WIDTH = """Math.max(...[document.scrollingElement, ...document.querySelectorAll("dialog")]
    .map((box) => box.scrollWidth - box.clientWidth))"""
FOCUS_IS_INSIDE = "document.activeElement === document.body || Boolean(document.activeElement.closest('dialog'))"


def show(tab: Tab, view: str) -> None:
    tab.page.goto("about:blank")
    for key in ("seen/a.json", "seen/b/c", f"seen/{'long' * 60}"):
        tab.store_document(f"/site/{key}", '{"a": [1, {}]}', content_type="application/json", ttl="9000")
    match view:
        case "mounts":
            tab.page.goto("/")
        case "folders":
            tab.open("/site/?delimiter=/&prefix=seen/b/")
        case "empty":
            tab.open("/site/?prefix=nothing")
        case "sheet" | "fields" | "conflict":
            tab.sheet("/site/", "seen/a.json")
            if view == "fields":
                tab.press("Fields")
            elif view == "conflict":
                tab.expect(412)
                tab.press("Edit")
                tab.dialog.get_by_label("Content").fill("mine")
                tab.store_document("/site/seen/a.json", "theirs", content_type="text/plain")
                tab.press("Save")
                expect(tab.dialog.locator("mark")).to_be_visible()
        case _:
            tab.open("/site/?prefix=seen/")
            if view == "new":
                tab.press("New")
            elif view == "shortcuts":
                tab.page.keyboard.press("?")
            elif view == "question":
                tab.expect(412)
                tab.store_document("/site/seen.txt")
                tab.choose({"name": "seen.txt", "mimeType": "text/plain", "buffer": b"x"})
                expect(tab.dialog).to_be_visible()


def test_axe_finds_nothing_in_light_dark_and_on_a_phone(tab: Tab) -> None:
    tab.page.emulate_media(reduced_motion="reduce")
    axe = Axe()
    for view in VIEWS:
        show(tab, view)
        for scheme, width in (("light", 1000), ("dark", 390)):
            tab.page.emulate_media(color_scheme=scheme)
            tab.page.set_viewport_size({"width": width, "height": 844})
            found = axe.run(tab.page, options={"resultTypes": ["violations"]}).response["violations"]
            faults = [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]
            assert faults == [], (view, scheme)
            assert tab.page.evaluate(HIDDEN_WIDTH) <= 0, (view, width)


def test_focus_goes_into_a_dialog_stays_there_and_comes_back(tab: Tab) -> None:
    tab.store_document("/docs/focus", "text", content_type="text/plain")
    tab.open("/docs/?prefix=focus")
    tab.page.get_by_role("link", name="focus").focus()
    tab.page.keyboard.press("Enter")
    expect(tab.dialog.locator("pre")).to_be_visible()
    seen = set()
    for _ in range(30):
        seen.add(tab.page.evaluate(FOCUS_IS_INSIDE))
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert tab.page.evaluate(f"document.activeElement === document.body || {outline} !== 'none'")
        tab.page.keyboard.press("Tab")
    assert seen == {True}
    tab.press("Rename")
    expect(tab.dialog.get_by_label("Key")).to_be_focused()
    tab.page.keyboard.press("Escape")
    expect(tab.page.get_by_role("button", name="Rename", exact=True)).to_be_focused()
    tab.page.keyboard.press("Escape")
    expect(tab.page.get_by_role("link", name="focus")).to_be_focused()
    tab.page.keyboard.press("Delete")
    expect(tab.page.get_by_text("Nothing is stored here yet.").or_(tab.page.get_by_text("No key here"))).to_be_visible()
    expect(tab.page.locator("#said")).to_have_text("Deleted focus. Undo is offered at the end of the page.")
    assert tab.page.evaluate("document.activeElement.id") == "search"


def test_escape_closes_a_sheet_when_the_focus_is_nowhere(tab: Tab) -> None:
    tab.store_document("/docs/nowhere", "one", content_type="text/plain")
    sheet = tab.sheet("/docs/", "nowhere")
    sheet.locator("dt").first.click()
    tab.page.evaluate("document.activeElement.blur()")
    tab.leave()


def test_shortcuts_are_listed_and_those_of_letters_can_be_turned_off(tab: Tab) -> None:
    tab.open("/docs/")
    tab.page.keyboard.press("?")
    listed = zip(tab.dialog.locator("dt").all_inner_texts(), tab.dialog.locator("dd").all_inner_texts(), strict=True)
    documented = re.findall(r"^\| (`.+`) \| (.+) \|$", GUIDE.partition("## The keyboard")[2], re.MULTILINE)
    assert sorted(listed) == sorted((keys.replace("`", ""), text) for keys, text in documented)
    tab.dialog.get_by_role("checkbox").check()
    tab.page.keyboard.press("Escape")
    tab.open("/docs/")
    tab.page.keyboard.press("n")
    tab.page.keyboard.press("/")
    assert tab.page.evaluate("document.activeElement.id") != "search"
    expect(tab.page.locator("dialog")).to_have_count(0)


def test_the_list_is_light_and_comes_from_the_cache_the_second_time(tab: Tab) -> None:
    for number in range(20):
        tab.store_document(f"/docs/light-{number}", content_type="text/plain")
    tab.open("/docs/?prefix=light-")
    answers = [request.response() for request in tab.requests]
    weights = {answer.url: len(answer.body()) for answer in answers if answer and answer.status == 200}
    assert any(url.endswith("/page.js") for url in weights)
    assert sum(weights.values()) < 60_000, weights
    for answer in answers:
        if answer and "/-/web/" in answer.url:
            headers = {"if-none-match": answer.headers["etag"], "accept-encoding": "gzip"}
            assert tab.client.ask("GET", answer.url.removeprefix(tab.store.url), headers=headers).status == 304
