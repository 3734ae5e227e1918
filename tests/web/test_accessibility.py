"""Accessibility: axe finds no violation in any view, dialogs handle the focus, nothing is wider than a phone."""

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import expect

from tests.server_process import RunningServer
from tests.web.conftest import store_with
from tests.web.tab import Tab
from tests.web.test_preview import png

VIEWS = ("mounts", "found", "folders", "selection", "move", "failures", "words", "empty", "detail", "new")
VIEWS += ("fields", "conflict", "question", "shortcuts")
DOCUMENTS = {
    "a.md": "# A\n\n[a](b.md) `c`\n\n- [x] d\n\n| e | f |\n|---|---|\n| g | h |\n\n```js\nlet a = 1; // b\n```\n\n> i",
    "a.csv": "a,b\n1,2\n" * 200,
    "a.py": "def f(): return 'a', 1  # b",
    "a.yaml": "a: true",
    "broken.json": "[1,",
    "image.png": png(),
    "absent": None,
}
PAGES = ("/-/", "/-/docs", "/-/problems", "/site/nothing", "/nowhere/", "/names/not%20valid")
SCREENS: tuple[tuple[Literal["light", "dark"], int], ...] = (("light", 1000), ("dark", 390))
RUN_AXE = "axe.run({resultTypes: ['violations']}).then((results) => results.violations)"
OVERFLOW_WIDTH = """Math.max(...[document.scrollingElement, ...document.querySelectorAll("dialog")]
    .map((box) => box.scrollWidth - box.clientWidth))"""
FOCUS_IS_INSIDE = "document.activeElement === document.body || Boolean(document.activeElement.closest('dialog'))"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with store_with(tmp_path_factory.mktemp("accessible"), "docs", "site", "files", "names") as running:
        yield running


def show(tab: Tab, view: str) -> None:
    for key in ("seen/a.json", "seen/b/c", f"seen/{'long' * 60}"):
        tab.store_document(f"/site/{key}", '{"a": [1, {}]}', content_type="application/json", ttl="9000")
    match view:
        case "mounts":
            tab.page.goto("/")
        case "found":
            tab.open("/?search=seen")
            expect(tab.page.locator("#found li").first).to_be_visible()
        case "selection" | "move" | "failures":
            tab.open("/site/seen/")
            tab.page.get_by_role("checkbox", name="Select a.json").check()
            tab.page.get_by_role("checkbox", name="Select b/").check()
            if view != "selection":
                tab.press("Move")
                expect(tab.dialog).to_be_visible()
            if view == "failures":
                tab.expect(503)
                tab.answer_with("PUT", "**/site/**", status=503, body="")
                tab.dialog.get_by_label("Folder").fill("unseen")
                tab.press("Move")
                expect(tab.dialog.get_by_role("alert")).to_contain_text("unavailable")
        case "words":
            tab.open("/site/seen/?words=b%20c")
            expect(tab.page.locator("#count")).to_contain_text("searched")
        case "folders":
            tab.open("/site/?delimiter=/&prefix=seen/b/")
        case "empty":
            tab.open("/site/?prefix=nothing")
        case "detail" | "fields" | "conflict":
            tab.open_document("/site/", "seen/a.json")
            if view == "fields":
                tab.press("Fields")
            elif view == "conflict":
                tab.expect(412)
                tab.press("Edit")
                tab.dialog.get_by_label("Content").fill('"mine"')
                tab.store_document("/site/seen/a.json", "theirs", content_type="text/plain")
                tab.press("Save")
                expect(tab.dialog.locator("mark").first).to_be_visible()
        case _:
            tab.open("/site/?delimiter=&prefix=seen/")
            if view == "new":
                tab.press("New")
            elif view == "shortcuts":
                tab.page.keyboard.press("?")
            elif view == "question":
                tab.expect(412)
                tab.store_document("/site/seen.txt")
                tab.choose({"name": "seen.txt", "mimeType": "text/plain", "buffer": b"x"})
                expect(tab.dialog).to_be_visible()


def check(tab: Tab, view: str) -> None:
    """Run axe in light and in dark, on a desktop and on a phone."""
    tab.page.evaluate(AXE_SCRIPT)
    for scheme, width in SCREENS:
        tab.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        tab.page.set_viewport_size({"width": width, "height": 844})
        found: list[Any] = tab.page.evaluate(RUN_AXE)
        faults = [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]
        assert faults == [], (view, scheme)
        assert tab.page.evaluate(OVERFLOW_WIDTH) <= 0, (view, width)


@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_no_violation_in_any_view(tab: Tab, view: str) -> None:
    tab.page.emulate_media(reduced_motion="reduce")
    show(tab, view)
    check(tab, view)


def test_axe_finds_no_violation_in_any_preview(tab: Tab) -> None:
    for key, content in DOCUMENTS.items():
        if content is not None:
            tab.store_document(f"/files/axe/{key}", content)
        tab.page.goto("about:blank")
        tab.open(f"/files/axe/#axe/{key}")
        expect(tab.page.locator("dialog.detail .content, dialog.detail .primary").first).to_be_visible()
        check(tab, key)


def test_axe_finds_no_violation_in_the_pages_of_the_service_and_of_errors(tab: Tab) -> None:
    tab.expect(404, 400)
    for path in PAGES:
        tab.page.goto(path)
        if path == "/-/docs":
            for operation in ("document.files.get", "document.files.put"):
                tab.page.locator(f"[id='{operation}'] > summary").click()
            form = tab.page.locator("[id='document.files.get'] form")
            form.locator("summary").click()
            form.get_by_label("key (path)").fill("axe/a.md")
            form.get_by_role("button").click()
            expect(form.get_by_label("Headers")).to_be_visible()
        check(tab, path)


def test_focus_moves_into_a_dialog_and_returns_when_it_closes(tab: Tab) -> None:
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
    expect(
        tab.page.get_by_text("This collection is empty.").or_(tab.page.get_by_text("No matching keys."))
    ).to_be_visible()
    expect(tab.page.locator("#announcement")).to_have_text("Deleted focus. Undo is at the end of the page.")
    assert tab.page.evaluate("document.activeElement.id") == "search"


def test_escape_closes_the_detail_view_without_focus(tab: Tab) -> None:
    tab.store_document("/docs/nowhere", "one", content_type="text/plain")
    detail = tab.open_document("/docs/", "nowhere")
    detail.locator("dt").first.click()
    tab.page.evaluate("document.activeElement.blur()")
    tab.leave()
