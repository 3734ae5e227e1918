"""What others store, and what goes wrong: nothing of it runs, and all of it is said."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from tests.http_client import ask
from tests.server.security.test_browser_safety import HOSTILE_KEYS
from tests.server_process import RunningServer
from tests.web.tab import Tab

RUNS = "<img src=x onerror=alert(1)>"
LONG = "/".join([*["<b>" * 85] * 3, "<" * 251])
"""With `evil/` before it, 1,024 bytes."""
TYPES = ["text/html", "image/svg+xml", "text/javascript", "image/png", f'text/plain; x="{RUNS[:-1]}"']


@pytest.fixture
def keys(tab: Tab) -> list[str]:
    """Hostile keys, below a folder of hostile name too, with hostile content of types that lie."""
    more = (RUNS, LONG, "`${alert(1)}`", "a\u2028b", "%3Cscript%3E", "\\", " a ")
    made = [f"evil/{key}" for key in (*HOSTILE_KEYS, *more)]
    content = f'{RUNS}<script>alert(1)</script><svg xmlns="x" onload="alert(1)"/>'
    fields = {"meta_a": RUNS, "content_disposition": f'inline; filename="{RUNS}"'}
    for index, key in enumerate(made):
        tab.store_document(f"/site/{key}", content, content_type=TYPES[index % len(TYPES)], **fields)
    return sorted(made, key=str.encode)


def test_hostile_keys_and_contents_are_shown_and_run_nothing(tab: Tab, keys: list[str]) -> None:
    tab.page.on("dialog", lambda dialog: (tab.complaints.append(f"it ran: {dialog.message}"), dialog.dismiss()))
    tab.open("/site/?prefix=evil/")
    names = "links => links.map(link => link.textContent)"
    assert tab.page.locator("#documents tbody a").evaluate_all(names) == keys
    with tab.page.expect_response(re.compile("format=json")):
        tab.page.fill("#search", "evil")
    tab.wait_until("new URLSearchParams(location.search).get('prefix') === 'evil'")
    assert tab.page.locator("#documents tbody a").evaluate_all(names) == keys
    hrefs = tab.page.locator("#documents tbody a").evaluate_all("links => links.map(link => link.href)")
    assert all(href.startswith(f"{tab.store.url}/site/evil/") for href in hrefs)
    # One of each type, a path of 1,024 bytes among them.
    for link in tab.page.locator("#documents tbody a").all()[:: len(keys) // (2 * len(TYPES))]:
        link.click()
        expect(tab.dialog.locator("dl")).to_be_visible()
        expect(tab.dialog.locator("[aria-label=Preview] > *").first).to_be_attached()
        tab.leave()
    tab.store_document("/site/turned/\u202egnp.exe")
    heading = tab.sheet("/site/", "turned/\u202egnp.exe").get_by_role("heading")
    expect(heading).to_have_text("turned/\u27e8U+202E\u27e9gnp.exe")
    tab.open("/site/?delimiter=/&prefix=evil/")
    assert tab.page.evaluate("document.querySelectorAll('main img, main svg, main script, main base').length") == 0


def test_markup_that_got_into_the_page_could_not_load_a_stored_script(tab: Tab) -> None:
    """As if a template had failed to escape: the nonce is what keeps `/docs/evil` out, being of the same origin."""
    tab.store_document("/docs/evil", "document.title = 'run'", content_type="text/javascript")
    injected = '<script src="/docs/evil"></script><script>document.title = "run"</script><b onclick="document.title=1">'

    def inject(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace("<main", f"{injected}<main"))

    tab.allow("Loading the script")
    tab.allow("Executing inline")
    tab.allow("This document requires 'TrustedHTML'")
    tab.page.route("**/docs/", inject)
    tab.open("/docs/")
    tab.page.locator("b").first.dispatch_event("click")
    assert tab.page.title() == "/docs/ \u00b7 Docstore"
    with pytest.raises(Exception, match="TrustedHTML"):
        tab.page.evaluate("document.body.innerHTML = '<b>'")


PROBLEM = "application/problem+json"
NO_ROOM = json.dumps({"title": "no space left", "detail": "7 bytes", "advice": "Delete documents."})
FAILURES = [
    (428, "text/html", "<h1>428</h1>", "the server wants a condition with every write. Load the page again"),
    (413, "text/html", "<h1>413</h1>", "it is too large for this store. Send less"),
    (502, "text/html", "", "the server behind this address does not answer. Try again"),
    (418, "text/plain", "", "the server answered 418. Its log says more."),
    (507, PROBLEM, NO_ROOM, "no space left: 7 bytes. Delete documents."),
    (503, PROBLEM, '{"title": "no', "the storage can't be reached now. Try again"),
]
"""What a server or a proxy may answer to a write, and what the page makes of it."""


def test_what_goes_wrong_is_said_with_what_to_do(tab: Tab) -> None:
    tab.open("/docs/")
    tab.press("New")
    tab.dialog.get_by_label("Key").fill("failing")
    for status, media_type, body, words in FAILURES:
        tab.expect(status)
        tab.answer_with("PUT", "**/docs/failing", status=status, content_type=media_type, body=body)
        tab.press("Store")
        expect(tab.dialog.get_by_role("alert")).to_contain_text(words)


def test_a_store_that_can_not_be_reached_is_said(tab: Tab) -> None:
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
    expect(tab.dialog.get_by_role("alert")).to_contain_text("the store can't be reached. Look whether it runs")
    tab.page.unroute("**/docs/offline")
    tab.press("Store")
    expect(tab.page.locator("dialog.sheet dl")).to_be_visible()
    tab.page.keyboard.press("Escape")
    tab.context.set_offline(True)
    tab.page.fill("#search", "o")
    expect(tab.page.locator("#count")).to_contain_text("this machine is offline")


def test_a_write_that_stands_still_is_given_up(tab: Tab) -> None:
    tab.page.clock.install()
    tab.open("/docs/")
    held: list[Route] = []
    tab.page.route("**/docs/still", lambda route: held.append(route))
    tab.press("New")
    tab.dialog.get_by_label("Key").fill("still")
    with tab.page.expect_request("**/docs/still"):
        tab.press("Store")
    tab.page.clock.fast_forward(61_000)
    expect(tab.dialog.get_by_role("alert")).to_contain_text(
        "no answer came in time. Try again; what you typed is still here."
    )
    held[0].abort()


def test_who_may_only_read_is_told_so_and_offered_nothing_else(tab: Tab, tmp_path: Path) -> None:
    with RunningServer(tmp_path / "data") as server:
        assert ask(server, "PUT", "/docs/there", b"text", {"Content-Type": "text/plain"}).status == 201
        assert server.stop() == 0
    with RunningServer(tmp_path / "data", "--anonymous", "read") as server:
        reader = Tab(tab.browser, server)
        reader.open("/docs/")
        expect(reader.page.locator("#tools")).to_contain_text("This store is open for reading only.")
        sheet = reader.sheet("/docs/", "there")
        expect(sheet).to_contain_text("This store is open for reading only.")
        reader.page.keyboard.press("Delete")
        names = [one.get_attribute("aria-label") or one.inner_text() for one in sheet.get_by_role("button").all()]
        assert names == ["Close", "Copy Link", "Copy curl", "Copy Python"]
        reader.close()
        reader.check()
