"""The list: rows from the server and from the script, search, paging, folders, keyboard."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Route, expect

from docstore.server.pages import format_age
from docstore.units import format_size
from tests.web.tab import WAIT_MS, Tab

RED = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003010100c9fe92ef"
    "0000000049454e44ae426082"
)
"""A PNG of one red pixel."""


def rows(tab: Tab) -> list[str]:
    """Return the markup of each row."""
    return [row.evaluate("row => row.outerHTML") for row in tab.page.locator("#documents tbody tr").all()]


def test_the_script_renders_the_same_rows_as_the_server(tab: Tab) -> None:
    for index, size in enumerate((0, 1, 2, 1023, 1024, 10_239, 10_240, 1_048_575, 1_048_576)):
        tab.store_document(f"/disk/same-{index}", b"x" * size, content_type='text/plain; charset="utf-8"')
    tab.store_document("/disk/same-y", RED, content_type="image/png")
    tab.store_document("/disk/same-z", b"x", ttl="90000")
    tab.open("/disk/?prefix=same-")
    rendered, count = rows(tab), tab.page.inner_text("#count")
    assert [len(rendered), count] == [11, "11 keys, 2.0 MiB"]
    tab.page.evaluate("document.querySelector('#documents tbody').replaceChildren()")
    with tab.page.expect_response(re.compile("format=json")):
        tab.page.fill("#search", "same")
    tab.wait_until("document.querySelectorAll('#documents tbody tr').length === 11")
    assert rows(tab) == rendered
    assert tab.page.inner_text("#count") == count
    numbers = [0, 1, 59, 60, 999, 3600, 1023, 1024, 10_239, 86_399, 86_400, 31_535_999, 31_536_000, 10**6, 2**30, 2**53]
    script = """async (all) => {
      const { formatSize: size, formatAge: span } = await import("/-/web/format.js");
      return all.map((number) => [size(number), span(number)]);
    }"""
    assert tab.page.evaluate(script, numbers) == [[format_size(number), format_age(number)] for number in numbers]


def test_without_javascript_the_page_is_a_list_of_links(tab: Tab) -> None:
    tab.store_document("/site/plain/a b", "there", content_type="text/plain")
    context = tab.page.context.browser.new_context(java_script_enabled=False, base_url=tab.store.url)
    page = context.new_page()
    page.goto("/site/?prefix=plain/&delimiter=")
    expect(page.get_by_text("Keys with the prefix plain/")).to_be_visible()
    page.get_by_role("link", name="by folders").click()
    page.get_by_role("link", name="all folders").click()
    page.get_by_role("link", name="plain/").click()
    page.wait_for_url("**/site/plain/")
    expect(page.locator("#crumbs")).to_have_text("All folders plain/")
    assert page.locator("#documents input").count() == 0
    expect(page.locator("#documents .select").first).to_be_hidden()
    with page.expect_download() as started:
        page.get_by_role("link", name="zip").click()
    assert started.value.suggested_filename == "plain.zip"
    page.get_by_role("link", name="a b").click()
    page.wait_for_url("**/site/plain/a%20b")
    assert page.inner_text("body") == "there"
    page.goto("/")
    page.get_by_role("link", name="/site/").click()
    page.wait_for_url("**/site/")
    context.close()


def test_search_filters_by_prefix_while_typing(tab: Tab) -> None:
    for key in ("find-a", "find-ab", "find-b"):
        tab.store_document(f"/docs/{key}")
    tab.open("/docs/")
    tab.page.keyboard.press("/")
    tab.page.keyboard.type("find-a", delay=20)
    tab.wait_for_keys("find-a", "find-ab")
    expect(tab.page.get_by_role("status").first).to_have_text("2 keys, 2 bytes")
    assert urlsplit(tab.page.url).query == "prefix=find-a"
    tab.page.keyboard.type("bc")
    expect(tab.page.get_by_text("No matching keys.")).to_be_visible()
    tab.page.reload()
    expect(tab.page.locator("#search")).to_have_value("find-abc")


def test_paging_goes_both_ways_and_holds_one_page(tab: Tab) -> None:
    for number in range(250):
        tab.store_document(f"/many/page-{number:03}")
    tab.open("/many/")
    pages = []
    for link in ("Next page", "Next page", "Previous page", "Previous page"):
        pages.append((tab.keys()[0], len(tab.keys())))
        tab.page.get_by_role("link", name=link).click()
        expect(tab.page.locator("tbody a").first).not_to_have_text(pages[-1][0])
    pages.append((tab.keys()[0], len(tab.keys())))
    assert pages == [("page-000", 100), ("page-100", 100), ("page-200", 50), ("page-100", 100), ("page-000", 100)]
    asked = [parse_qs(urlsplit(request.url).query) for request in tab.requests if "format=json" in request.url]
    assert [(query["limit"], "after" in query) for query in asked] == [(["100"], True)] * 3 + [(["100"], False)]
    tab.page.go_back()
    tab.wait_for_keys(*[f"page-{number}" for number in range(100, 200)])
    tab.page.reload()
    assert tab.keys()[0] == "page-100"


def test_the_url_of_a_folder_shows_the_folder(tab: Tab) -> None:
    for number in range(120):
        tab.store_document(f"/site/url/ü 1/{number:03}")
    tab.store_document("/site/url/ü 1/z/deep")
    tab.open("/site/url/")
    assert tab.keys() == ["ü 1/"]
    tab.page.get_by_role("link", name="ü 1/", exact=True).click()
    expect(tab.page.locator("tbody a").first).to_have_text("000")
    assert urlsplit(tab.page.url).path == "/site/url/%C3%BC%201/"
    tab.page.reload()
    tab.page.get_by_role("link", name="Next page").click()
    expect(tab.page.locator("tbody a").first).to_have_text("z/")
    assert len(tab.keys()) == 21
    tab.page.get_by_role("link", name="z/", exact=True).click()
    tab.wait_for_keys("deep")
    tab.page.go_back()
    expect(tab.page.locator("tbody a").first).to_have_text("z/")
    tab.page.go_back()
    tab.page.fill("#search", "01")
    tab.wait_for_keys(*[f"01{digit}" for digit in range(10)])
    assert parse_qs(urlsplit(tab.page.url).query) == {"prefix": ["01"]}
    tab.page.reload()
    expect(tab.page.locator("#search")).to_have_value("01")
    tab.page.get_by_role("link", name="012", exact=True).click()
    expect(tab.page.get_by_role("dialog")).to_contain_text("url/ü 1/012")


def test_folders_can_be_opened_and_left(tab: Tab) -> None:
    for key in ("walk/a/1", "walk/a/b/2", "walk/c"):
        tab.store_document(f"/site/{key}")
    tab.open("/site/?delimiter=/&prefix=walk/")
    assert tab.keys() == ["a/", "c"]
    tab.page.get_by_role("link", name="a/", exact=True).click()
    tab.wait_for_keys("b/", "1")
    expect(tab.page.locator("#crumbs")).to_contain_text("walk/ a/")
    tab.page.get_by_role("link", name="walk/", exact=True).click()
    tab.wait_for_keys("a/", "c")
    tab.page.fill("#search", "a/b")
    tab.wait_for_keys("b/")
    tab.page.fill("#search", "a/b/")
    tab.wait_for_keys("2")


def test_a_request_for_a_folder_that_was_left_changes_nothing_when_it_fails(tab: Tab) -> None:
    tab.expect("ERR_CONNECTION_REFUSED")
    for key in ("left/first/1", "left/second/2"):
        tab.store_document(f"/site/{key}")
    held: list[Route] = []
    tab.page.route("**/site/left/first/any", lambda route: held.append(route))
    tab.open("/site/?delimiter=/&prefix=left/")
    tab.page.get_by_role("link", name="first/", exact=True).click()
    tab.wait_for_keys("1")
    while not held:
        tab.page.wait_for_timeout(WAIT_MS)
    tab.page.get_by_role("link", name="left/", exact=True).click()
    tab.page.get_by_role("link", name="second/", exact=True).click()
    tab.wait_for_keys("2")
    expect(tab.page.get_by_role("button", name="New", exact=True)).to_be_visible()
    with tab.page.expect_event("requestfailed"):
        held[0].abort("connectionrefused")
    tab.page.evaluate("() => new Promise((resolve) => setTimeout(resolve))")
    expect(tab.page.get_by_role("alert")).to_have_count(0)


def test_the_arrow_keys_move_through_the_list(tab: Tab) -> None:
    for key in ("keyboard-a", "keyboard-b", "keyboard-c"):
        tab.store_document(f"/docs/{key}")
    tab.open("/docs/?prefix=keyboard-")
    focused = "document.activeElement.textContent || document.activeElement.id"
    tab.page.keyboard.press("/")
    found = [tab.page.evaluate(focused)]
    for key in ("ArrowDown", "ArrowDown", "End", "ArrowDown", "Home", "ArrowUp"):
        tab.page.keyboard.press(key)
        found.append(tab.page.evaluate(focused))
    assert found == ["search", "keyboard-a", "keyboard-b", "keyboard-c", "keyboard-c", "keyboard-a", "search"]
    tab.page.keyboard.press("Enter")
    expect(tab.dialog.get_by_role("heading")).to_have_text("keyboard-a")
    tab.leave()


@pytest.mark.usefixtures("new_tab")
def test_ages_and_expiry_times_are_updated_while_the_page_is_open(tab: Tab) -> None:
    tab.store_document("/docs/clock", ttl="9000")
    tab.page.clock.install()
    tab.open("/docs/?prefix=clock")
    cells = tab.page.locator("#documents time")
    assert cells.all_inner_texts() == ["now", "2 h"]
    tab.page.clock.fast_forward(61 * 60 * 1000)
    expect(cells.first).to_have_text("1 h")
    assert cells.all_inner_texts() == ["1 h", "1 h"]
