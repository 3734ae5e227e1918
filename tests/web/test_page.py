"""The page as a whole: shortcuts, and how much a browser loads."""

import re
from pathlib import Path

from playwright.sync_api import expect

from tests.web.tab import Tab

GUIDE = (Path(__file__).parents[2] / "docs" / "page.md").read_text()


def test_shortcuts_are_documented_and_single_keys_can_be_disabled(tab: Tab) -> None:
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


def test_the_list_loads_less_than_60_kb_and_files_are_revalidated_by_etag(tab: Tab) -> None:
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
