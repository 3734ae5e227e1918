"""How the list is shown: order, folders or flat, words inside keys, images, and what changed meanwhile."""

from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Route, expect

from tests.web.tab import Tab
from tests.web.test_listing import RED

NAMES = "links => links.map(link => link.textContent)"


def names(tab: Tab) -> list[str]:
    found: list[str] = tab.page.locator("#documents tbody a").evaluate_all(NAMES)
    return found


@pytest.mark.parametrize("mount", ["disk", "plain"])
def test_columns_are_sorted_and_the_order_is_remembered(tab: Tab, mount: str) -> None:
    for name, size, media_type in (("order-a", 30, "text/c"), ("order-b", 10, "text/a"), ("order-c", 20, "text/b")):
        tab.store_document(f"/{mount}/{name}", "x" * size, content_type=media_type)
    tab.open(f"/{mount}/?prefix=order-")
    count = tab.page.locator("#count")
    for column, order in (("Size", "bca"), ("Size", "acb"), ("Type", "bca"), ("Key", "abc"), ("Key", "cba")):
        tab.page.get_by_role("button", name=column, exact=True).click()
        tab.wait_for_keys(*[f"order-{letter}" for letter in order])
    expect(count).to_have_text("3 keys, 60 bytes; sorted by key")
    expect(tab.page.get_by_role("columnheader", name="Key")).to_have_attribute("aria-sort", "descending")
    tab.page.reload()
    tab.wait_for_keys("order-c", "order-b", "order-a")
    tab.open(f"/{mount}/?prefix=order-&limit=2")
    tab.wait_for_keys("order-b", "order-a")
    expect(count).to_have_text("First 2 keys, 40 bytes; sorted by key within this page")


@pytest.mark.parametrize("mount", ["disk", "files"])
def test_the_flat_list_is_remembered_for_the_mount(tab: Tab, mount: str) -> None:
    tab.store_document(f"/{mount}/flat/a/b")
    tab.open(f"/{mount}/flat/")
    assert names(tab) == ["a/"]
    tab.page.get_by_role("link", name="as a flat list").click()
    tab.wait_for_keys("a/b")
    tab.open(f"/{mount}/flat/")
    tab.wait_for_keys("a/b")
    tab.page.get_by_role("link", name="by folders").click()
    tab.wait_for_keys("a/")
    tab.open(f"/{mount}/flat/")
    assert names(tab) == ["a/"]
    tab.page.get_by_role("link", name="a/", exact=True).click()
    tab.wait_for_keys("b")
    expect(tab.page.locator("#crumbs")).to_have_text("All folders flat/ a/")
    tab.page.get_by_role("link", name="all folders").click()
    expect(tab.page.locator("#crumbs a")).to_have_count(0)


@pytest.mark.parametrize("mount", ["disk", "files"])
def test_words_inside_keys_are_searched_below_the_folder(tab: Tab, mount: str) -> None:
    for key in ("words/2026/Report-final.txt", "words/final/2025.txt", "words/other", "words-outside/final/2026"):
        tab.store_document(f"/{mount}/{key}")
    tab.open(f"/{mount}/words/")
    tab.page.get_by_label("Filter keys by").select_option("contains")
    tab.page.keyboard.type("FINAL 20")
    tab.wait_for_keys("2026/Report-final.txt", "final/2025.txt")
    expect(tab.page.locator("#count")).to_have_text("2 keys, 2 bytes; searched all 3 keys of words/")
    tab.wait_until("location.search === '?words=FINAL+20'")
    tab.page.reload()
    tab.wait_for_keys("2026/Report-final.txt", "final/2025.txt")
    expect(tab.page.locator("#search")).to_have_value("FINAL 20")
    tab.page.fill("#search", "nowhere")
    expect(tab.page.get_by_text("No matching keys.")).to_be_visible()
    tab.page.get_by_label("Filter keys by").select_option("starts with")
    tab.page.fill("#search", "o")
    tab.wait_for_keys("other")


def answer_with_many_keys(route: Route) -> None:
    """Answer as a mount with 10,500 keys."""
    query = parse_qs(urlsplit(route.request.url).query)
    limit, after = int(query["limit"][0]), query.get("after", [""])[0]
    keys = [key for key in (f"bound-{number:05}" for number in range(10_500)) if key > after]
    fields = {"version": "v" * 32, "size": 1, "media_type": "text/plain", "modified": "2026-01-01T00:00:00Z"}
    documents = [{"key": key, **fields} for key in keys[:limit]]
    link = f"/many/?after={keys[limit - 1]}" if len(keys) > limit else None
    route.fulfill(json={"mount": "/many/", "documents": documents, "next": link})


def test_a_search_that_fills_its_page_in_the_last_keys_goes_on(tab: Tab) -> None:
    fields = {"version": "v" * 32, "size": 1, "media_type": "text/plain", "modified": "2026-01-01T00:00:00Z"}
    pages = [
        {"documents": [{"key": f"a{number:04}", **fields} for number in range(1000)], "next": "/many/?after=a0999"},
        {"documents": [], "next": "/many/?after=b", "hidden": 500},  # names that the mount can't show
        {"documents": [{"key": f"hit{number:03}", **fields} for number in range(150)], "next": None},
    ]
    answers = {"": pages[0], "a0999": pages[1], "b": pages[2], "hit099": {**pages[2], "documents": []}}

    def answer(route: Route) -> None:
        after = parse_qs(urlsplit(route.request.url).query).get("after", [""])[0]
        route.fulfill(json={"mount": "/many/", **answers[after]})

    tab.page.route("**/many/?*limit=1000*", answer)
    tab.open("/many/?words=hit")
    expect(tab.page.locator("#count")).to_contain_text("searched the first 1,600 keys")
    expect(tab.page.locator("#documents tbody tr")).to_have_count(100)
    tab.page.get_by_role("link", name="Search the next keys").click()
    tab.wait_until("location.search.includes('after=hit099')")


def test_a_search_for_words_is_bounded_and_goes_on(tab: Tab) -> None:
    tab.page.route("**/many/?*format=json*", answer_with_many_keys)
    tab.open("/many/?words=bound-10400")
    count = tab.page.locator("#count")
    expect(count).to_have_text("0 keys; searched the first 10,000 keys")
    tab.page.get_by_role("link", name="Search the next keys").click()
    tab.wait_for_keys("bound-10400")
    expect(count).to_have_text("1 key, 1 byte; searched the next 500 keys")
    tab.page.get_by_role("link", name="Previous page").click()
    expect(count).to_have_text("0 keys; searched the first 10,000 keys")
    tab.open("/many/?words=bound")
    expect(tab.page.locator("#documents tbody tr")).to_have_count(100)
    expect(count).to_have_text("100 keys, 100 bytes; searched the first 100 keys")
    tab.page.get_by_role("link", name="Search the next keys").click()
    expect(tab.page.locator("#documents tbody a").first).to_have_text("bound-00100")


def test_small_images_are_shown_and_large_or_broken_ones_are_icons(tab: Tab) -> None:
    tab.store_document("/disk/icons/a.png", RED, content_type="image/png")
    tab.store_document("/disk/icons/b.png", "no image", content_type="image/png")
    tab.store_document("/disk/icons/c.png", RED + bytes(300_000), content_type="image/png")
    tab.store_document("/disk/icons/d.svg", "<svg/>", content_type="image/svg+xml")
    tab.open("/disk/icons/")
    expect(tab.page.locator("#documents img")).to_have_count(1)
    tab.wait_until("document.querySelector('#documents img').naturalWidth === 1")
    icon = "row => getComputedStyle(row.querySelector('th'), '::before').getPropertyValue('--icon')"
    assert tab.page.locator("#documents tbody tr").nth(3).evaluate(icon) == "3"
    asked = {request.url.rpartition("/")[2][:5] for request in tab.requests if "version=" in request.url}
    assert asked == {"a.png", "b.png"}  # the browser may ask for a broken image again


@pytest.mark.usefixtures("new_tab")
def test_the_list_shows_what_changed_when_the_user_returns(tab: Tab) -> None:
    tab.page.clock.install()
    tab.store_document("/disk/fresh/a")
    tab.open("/disk/fresh/")
    tab.page.get_by_role("checkbox", name="Select a", exact=True).check()
    tab.store_document("/disk/fresh/b")
    tab.page.clock.fast_forward(10_000)
    tab.page.evaluate("dispatchEvent(new Event('focus'))")
    tab.wait_for_keys("a", "b")
    expect(tab.page.get_by_role("checkbox", name="Select a", exact=True)).to_be_checked()
    tab.expect("ERR_INTERNET_DISCONNECTED")
    tab.page.clock.fast_forward(10_000)
    tab.context.set_offline(True)
    tab.page.evaluate("dispatchEvent(new Event('focus'))")
    expect(tab.page.locator("#count")).to_contain_text("this machine is offline")
    assert names(tab) == ["a", "b"]
    tab.context.set_offline(False)
    tab.page.clock.fast_forward(10_000)
    tab.page.evaluate("dispatchEvent(new Event('focus'))")
    expect(tab.page.locator("#count")).to_have_text("2 keys, 2 bytes")


@pytest.mark.parametrize("status", [401, 503])
def test_a_failing_listing_keeps_the_rows_and_the_text(tab: Tab, status: int) -> None:
    tab.expect(status)
    tab.store_document("/files/kept/a")
    tab.open("/files/kept/")
    tab.answer_with("GET", "**/files/?*format=json*", status=status, content_type="text/html", body="")
    tab.page.fill("#search", "ab")
    words = {401: "authentication is required", 503: "the storage is unavailable"}[status]
    expect(tab.page.locator("#count")).to_contain_text(words)
    assert names(tab) == ["a"]
    expect(tab.page.locator("#search")).to_have_value("ab")


@pytest.mark.usefixtures("new_tab")
def test_a_slow_server_is_shown_as_loading_until_it_times_out(tab: Tab) -> None:
    tab.page.clock.install()
    tab.store_document("/disk/sluggish/a")
    tab.open("/disk/sluggish/")
    held: list[Route] = []
    tab.page.route("**/disk/?*format=json*", lambda route: held.append(route))
    with tab.page.expect_request("**/disk/?*format=json*"):
        tab.page.fill("#search", "a")
        tab.page.clock.fast_forward(200)
    tab.page.clock.fast_forward(1000)
    count = tab.page.locator("#count")
    expect(count).to_have_text("Loading…")
    tab.wait_for_held(held, 1)
    held.pop().continue_()
    expect(count).to_have_text("1 key, 1 byte")
    with tab.page.expect_request("**/disk/?*format=json*"):
        tab.page.fill("#search", "ab")
        tab.page.clock.fast_forward(200)
    tab.expect("ERR_TIMED_OUT")
    tab.wait_for_held(held, 1)
    held.pop().abort("timedout")
    expect(count).to_contain_text("the store can't be reached")
    assert names(tab) == ["a"]
