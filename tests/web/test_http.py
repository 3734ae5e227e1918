"""What the page shows when a request fails."""

import json

import pytest
from playwright.sync_api import Route, expect

from tests.web.tab import Tab

PROBLEM = "application/problem+json"
NO_ROOM = json.dumps({"title": "no space left", "detail": "7 bytes", "advice": "Delete documents."})
FAILURES = [
    (428, "text/html", "<h1>428</h1>", "the server requires a condition on every write. Reload the page"),
    (413, "text/html", "<h1>413</h1>", "too large for this store. Send less"),
    (502, "text/html", "", "the server behind the proxy does not respond. Try again"),
    (418, "text/plain", "", "the server responded with 418. See the log of the server."),
    (507, PROBLEM, NO_ROOM, "no space left: 7 bytes. Delete documents."),
    (503, PROBLEM, '{"title": "no', "the storage is unavailable. Try again"),
]
"""Status, media type and body of a failed write, and the text that the page shows."""


def test_a_failed_write_shows_the_problem_and_advice(tab: Tab) -> None:
    tab.open("/docs/")
    tab.press("New")
    tab.dialog.get_by_label("Key").fill("failing")
    for status, media_type, body, words in FAILURES:
        tab.expect(status)
        tab.answer_with("PUT", "**/docs/failing", status=status, content_type=media_type, body=body)
        tab.press("Store")
        expect(tab.dialog.get_by_role("alert")).to_contain_text(words)


def test_an_unreachable_store_is_reported(tab: Tab) -> None:
    tab.expect("ERR_INTERNET_DISCONNECTED", "ERR_CONNECTION_REFUSED", "ERR_FAILED")
    tab.open("/docs/")
    tab.press("New")
    tab.dialog.get_by_label("Key").fill("offline")
    tab.context.set_offline(True)
    tab.press("Store")
    expect(tab.dialog.get_by_role("alert")).to_contain_text("the store can't be reached: this machine is offline.")
    tab.context.set_offline(False)
    tab.page.route("**/docs/offline", lambda route: route.abort("connectionrefused"))
    tab.press("Store")
    expect(tab.dialog.get_by_role("alert")).to_contain_text("the store can't be reached. Check that it runs")
    tab.page.unroute("**/docs/offline")
    tab.press("Store")
    expect(tab.page.locator("dialog.detail dl")).to_be_visible()
    tab.page.keyboard.press("Escape")
    tab.context.set_offline(True)
    tab.page.fill("#search", "o")
    expect(tab.page.locator("#count")).to_contain_text("this machine is offline")


@pytest.mark.usefixtures("new_tab")
def test_a_stalled_write_times_out(tab: Tab) -> None:
    tab.page.clock.install()
    tab.open("/docs/")
    held: list[Route] = []
    tab.page.route("**/docs/still", lambda route: held.append(route))
    tab.press("New")
    tab.dialog.get_by_label("Key").fill("still")
    with tab.page.expect_request("**/docs/still"):
        tab.press("Store")
    tab.page.clock.fast_forward(61_000)
    expect(tab.dialog.get_by_role("alert")).to_have_text("no response in time. Try again.")
    held[0].abort()
