"""The start of the service, and the forms of the API's documentation that send requests to the store itself."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, expect

from tests.server_process import RunningServer
from tests.web.conftest import store_with
from tests.web.tab import Tab

MOUNTS = ("disk", "files", "rows", "plain")
"""sqlite and file, with keys=path and keys=name."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with store_with(tmp_path_factory.mktemp("tried"), *MOUNTS) as running:
        yield running


def form(tab: Tab, operation: str) -> Locator:
    """Unfold an operation and return its form."""
    details = tab.page.locator(f"[id='{operation}']")
    if not details.evaluate("node => node.open"):
        details.locator("summary").first.click()
    expect(details.locator("form")).to_have_count(1)
    return details.locator("form")


def send(shown: Locator, fields: dict[str, str]) -> Locator:
    """Fill in the form, send it, and return the response."""
    for label, text in fields.items():
        shown.get_by_role("textbox", name=label, exact=True).fill(text)
    shown.get_by_role("button").click()
    answer = shown.get_by_label("Response")
    expect(answer.locator("b")).to_be_visible()
    return answer


def test_the_start_of_the_service_leads_to_its_resources(tab: Tab) -> None:
    tab.page.goto("/-")
    expect(tab.page.get_by_role("heading")).to_have_text("Service")
    links = [link.get_attribute("href") for link in tab.page.locator("main a").all()]
    services = ("health", "ready", "openapi.json", "docs", "problems", "login")
    assert sorted(str(link) for link in links) == sorted(
        [*(f"/-/{name}" for name in services), "/.well-known/api-catalog"]
    )
    assert all(tab.client.ask("GET", str(link)).status == 200 for link in links)
    tab.page.get_by_role("link", name="/-/docs").click()
    expect(tab.page.get_by_role("heading", level=1)).to_contain_text("API")


@pytest.mark.parametrize("mount", MOUNTS)
def test_each_operation_can_be_tried_against_the_store(tab: Tab, mount: str) -> None:
    tab.expect(404, 412)
    tab.page.goto("/-/docs")
    put = form(tab, f"document.{mount}.put")
    put.get_by_label("key (path)").fill("tried")
    put.locator("summary").click()
    put.get_by_label("Content-Language (header)").fill("de")
    answer = send(put, {"Content": "<b>hallo</b>"})
    expect(answer.locator("b")).to_have_text("201 Created")
    expect(answer.get_by_label("Headers")).to_contain_text("etag: ")
    stored = tab.stored(f"/{mount}/tried")
    assert (stored.content, stored["content-language"]) == (b"<b>hallo</b>", "de")
    put.get_by_label("If-None-Match (header)").fill("*")
    put.get_by_role("button").click()
    expect(answer.locator("b")).to_contain_text("412")
    expect(put.get_by_role("textbox", name="Content", exact=True)).to_have_value("<b>hallo</b>")
    answer = send(form(tab, f"document.{mount}.get"), {"key (path)": "tried"})
    expect(answer.locator("b")).to_have_text("200 OK")
    expect(answer.get_by_label("Content")).to_have_text("<b>hallo</b>")
    assert answer.get_by_label("Content").locator("b").count() == 0
    answer = send(form(tab, f"document.{mount}.delete"), {"key (path)": "tried"})
    expect(answer.locator("b")).to_have_text("200 OK")
    answer = send(form(tab, f"document.{mount}.head"), {"key (path)": "tried"})
    expect(answer.locator("b")).to_have_text("404 Not Found")
    listing = form(tab, f"collection.{mount}.get")
    listing.locator("summary").click()
    answer = send(listing, {"format (query)": "json", "prefix (query)": "tri"})
    expect(answer.get_by_label("Content")).to_contain_text('"documents":[]')


def test_binary_content_and_failures_are_reported_and_keep_what_was_typed(tab: Tab) -> None:
    tab.expect("ERR_INTERNET_DISCONNECTED", 503, 507, 401)
    tab.store_document("/files/bytes", bytes(range(256)))
    tab.page.goto("/-/docs")
    get = form(tab, "document.files.get")
    expect(send(get, {"key (path)": "bytes"})).to_contain_text("256 bytes of binary content.")
    put = form(tab, "document.files.put")
    put.get_by_label("key (path)").fill("kept")
    put.get_by_label("Content", exact=True).fill("typed")
    for status in (503, 507, 401):
        tab.answer_with("PUT", "**/files/kept", status=status, content_type="text/plain", body="it failed")
        put.get_by_role("button").click()
        expect(put.get_by_label("Response").locator("b")).to_contain_text(str(status))
        expect(put.get_by_label("Response").get_by_label("Content")).to_have_text("it failed")
    tab.page.unroute_all()
    tab.context.set_offline(True)
    put.get_by_role("button").click()
    expect(put.get_by_role("alert")).to_contain_text("the store can't be reached: this machine is offline.")
    expect(put.get_by_role("textbox", name="Content", exact=True)).to_have_value("typed")
    tab.context.set_offline(False)
    put.get_by_role("button").click()
    expect(put.get_by_label("Response").locator("b")).to_have_text("201 Created")


def test_a_description_that_can_not_be_loaded_can_be_requested_again(tab: Tab) -> None:
    tab.expect("ERR_CONNECTION_REFUSED")
    tab.page.route("**/-/openapi.json", lambda route: route.abort("connectionrefused"))
    tab.page.goto("/-/docs")
    details = tab.page.locator("[id='document.files.get']")
    details.locator("summary").first.click()
    expect(details.get_by_role("alert")).to_contain_text("the store can't be reached")
    tab.page.unroute_all()
    details.get_by_role("button", name="Try again").click()
    expect(details.locator("form")).to_have_count(1)


def test_an_error_page_leads_to_a_document_that_can_be_created(tab: Tab) -> None:
    tab.expect(404)
    for mount in MOUNTS:
        tab.page.goto(f"/{mount}/from-the-error")
        expect(tab.page.get_by_role("heading")).to_have_text("not found")
        tab.page.get_by_role("link", name="Create it here").click()
        tab.press("Create it")
        tab.dialog.get_by_label("Content").fill("made")
        tab.press("Store")
        expect(tab.page.locator("dialog.detail pre")).to_have_text("made")
        assert tab.stored(f"/{mount}/from-the-error").content == b"made"
