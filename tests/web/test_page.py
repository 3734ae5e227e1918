"""The page as a whole: shortcuts, and how much a browser loads."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from docstore.server.resources.assets import ASSETS, asset
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
    tab.open("/")
    tab.page.keyboard.press("/")
    assert tab.page.evaluate("document.activeElement.id") != "search"
    tab.open("/docs/")
    expect(tab.page.locator("dialog")).to_have_count(0)


@pytest.mark.parametrize("path", ["/", "/docs/", "/site/", "/docs/none/", "/-/", "/-/docs", "/-/problems"])
def test_pages_are_painted_from_their_html_alone(tab: Tab, path: str) -> None:
    held: list[Route] = []
    tab.expect(404, "ERR_FAILED")
    tab.page.route("**/-/web/**", lambda route: held.append(route))
    tab.page.goto(path, wait_until="commit")
    tab.wait_until("performance.getEntriesByName('first-contentful-paint').length === 1")
    tab.wait_until("getComputedStyle(document.body).maxWidth === '1024px'")
    for route in held:
        route.abort()


@pytest.mark.parametrize("path", ["/-/problems", "/-/docs"])
def test_no_table_is_cut_off_on_a_phone(tab: Tab, path: str) -> None:
    tab.page.set_viewport_size({"width": 390, "height": 780})
    tab.page.goto(path)
    tab.page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
    widths = tab.page.locator(".wide").evaluate_all("all => all.map((one) => [one.scrollWidth, one.clientWidth])")
    assert widths
    assert [pair for pair in widths if pair[0] > pair[1]] == []
    assert tab.page.evaluate("document.documentElement.scrollWidth") == 390


def test_the_list_loads_little_and_files_are_revalidated_by_etag(tab: Tab) -> None:
    for number in range(20):
        tab.store_document(f"/docs/light-{number}", content_type="text/plain")
    tab.open("/docs/?prefix=light-")
    answers = [request.response() for request in tab.requests]
    weights = {answer.url: int(answer.headers.get("content-length", 0)) for answer in answers if answer and answer.ok}
    assert any(url.endswith("/page.js") for url in weights)
    assert sum(weights.values()) < 45_000, weights
    assert sum(asset(name, gzipped=True)[0].size for name in ASSETS) < 120_000
    for answer in answers:
        if answer and "/-/web/" in answer.url:
            headers = {"if-none-match": answer.headers["etag"], "accept-encoding": "gzip"}
            assert tab.client.ask("GET", answer.url.removeprefix(tab.store.url), headers=headers).status == 304
