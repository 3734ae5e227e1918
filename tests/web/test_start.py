"""The start: a card for each mount, and a search over all of them; also when one fails."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.http_client import Client
from tests.server_process import RunningServer
from tests.web.conftest import BrowserThread
from tests.web.tab import Tab


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose mounts hold only what this module stores."""
    folder = tmp_path_factory.mktemp("start")
    mounts = [f"docs=sqlite:{folder}/docs.db", f"files=file:{folder}/files", f"plain=file:{folder}/plain?keys=name"]
    mounts += ["cache/ac=memory:?max_bytes=1MiB&evict=lru", f"full=sqlite:{folder}/full.db?max_bytes=1MiB&keys=name"]
    with RunningServer(folder / "data", *(part for mount in mounts for part in ("--mount", mount))) as running:
        with Client(running) as client:
            for path, size in (
                ("/docs/reports/2026.txt", 1000),
                ("/docs/reports/old/2025.txt", 500),
                ("/files/reports/2026.txt", 10),
                ("/plain/report-1", 20),
                ("/cache/ac/report", 512 * 1024),
            ):
                client.prepare("PUT", path, bytes(size))
            for _ in range(3):
                client.prepare("GET", "/cache/ac/report")
            assert client.ask("GET", "/cache/ac/none").status == 404
        yield running


def card(tab: Tab, mount: str) -> Locator:
    return tab.page.locator(".mounts li", has=tab.page.get_by_role("link", name=mount, exact=True))


def test_a_card_shows_documents_bytes_quota_hits_and_health(tab: Tab) -> None:
    tab.open("/")
    expect(card(tab, "/docs/").locator(".state.ready")).to_have_text("ready; 2 documents, 1.4 KiB")
    expect(card(tab, "/docs/")).to_contain_text("one SQLite database, the durable default; writes survive kill")
    expect(card(tab, "/plain/")).to_contain_text("keys are plain names")
    expect(card(tab, "/plain/").locator(".state")).to_have_text("ready; 1 document, 20 bytes")
    cache = card(tab, "/cache/ac/")
    expect(cache).to_contain_text("513 KiB of 1.0 MiB; evicts when full")
    expect(cache).to_contain_text("1 document; 75 % of 4 reads hit; 0 evictions")
    expect(cache.locator(".state")).to_have_text("ready")
    assert 0.5 < cache.locator("meter").evaluate("meter => meter.value / meter.max") < 0.51
    expect(card(tab, "/full/")).to_contain_text("0 bytes of 1.0 MiB; rejects writes when full")
    card(tab, "/docs/").click()
    tab.page.wait_for_url("**/docs/")


def test_a_search_finds_keys_of_all_mounts_and_says_what_it_searched(tab: Tab) -> None:
    tab.open("/")
    tab.page.keyboard.press("/")
    tab.page.keyboard.type("2026 report")
    status = tab.page.locator("#tools [role=status]")
    expect(status).to_have_text("2 keys in 2 mounts. Searched all keys.")
    assert tab.page.locator("#found li a").all_inner_texts() == ["reports/2026.txt"] * 2
    tab.page.fill("#search", "rep")
    expect(status).to_have_text("5 keys in 4 mounts. Searched all keys.")
    tab.page.reload()
    expect(tab.page.locator("#search")).to_have_value("rep")
    expect(status).to_have_text("5 keys in 4 mounts. Searched all keys.")
    tab.page.get_by_role("link", name="reports/old/2025.txt").click()
    expect(tab.page.locator("dialog.detail").get_by_role("heading").first).to_have_text("reports/old/2025.txt")
    tab.page.go_back()
    tab.page.fill("#search", "nothing-like-it")
    expect(status).to_have_text("No key. Searched all keys.")
    tab.page.fill("#search", "")
    expect(tab.page.locator("#found")).to_be_hidden()


def test_a_search_in_a_large_mount_is_bounded(tab: Tab) -> None:
    fields = {"version": "v" * 32, "size": 1, "media_type": "text/plain", "modified": "2026-01-01T00:00:00Z"}
    documents = [{"key": f"r{number:04}", **fields} for number in range(1000)]
    tab.page.route(
        "**/files/?*limit=1000*",
        lambda route: route.fulfill(json={"mount": "/files/", "documents": documents, "next": "/files/?after=r0999"}),
    )
    tab.open("/")
    expect(card(tab, "/files/").locator(".state")).to_have_text("ready; more than 1,000 documents")
    tab.page.fill("#search", "r0")
    status = tab.page.locator("#tools [role=status]")
    expect(status).to_contain_text("20 keys")
    expect(status).to_contain_text("Searched the start of all keys, and the first 1,000 keys of each mount for words.")
    tab.page.get_by_role("link", name="all in /files/").click()
    tab.page.wait_for_url("**/files/?words=r0")


@pytest.mark.parametrize(
    ("status", "words"), [(401, "authentication is required."), (503, "the storage is unavailable.")]
)
def test_a_failing_mount_is_named_and_the_others_are_searched(tab: Tab, status: int, words: str) -> None:
    tab.expect(status)
    tab.answer_with("GET", "**/docs/?*", status=status, content_type="text/html", body="")
    tab.open("/")
    expect(card(tab, "/docs/").locator(".state.failed")).to_contain_text(words)
    expect(card(tab, "/files/").locator(".state.ready")).to_be_visible()
    # Screen readers announce what fails, and not each mount that responds.
    expect(tab.page.locator(".mounts [role=status]")).to_have_count(0)
    expect(tab.page.locator(".mounts [role=alert]")).to_contain_text([words])
    tab.page.fill("#search", "2026")
    expect(tab.page.locator("#found .alert")).to_contain_text(f"/docs/ was not searched: {words}")
    expect(tab.page.locator("#found li a")).to_have_text(["reports/2026.txt"])
    tab.page.unroute_all()
    tab.page.evaluate("dispatchEvent(new Event('focus'))")
    expect(card(tab, "/docs/").locator(".state.ready")).to_be_visible()


def test_an_offline_browser_says_so_and_keeps_the_text(tab: Tab) -> None:
    tab.expect("ERR_INTERNET_DISCONNECTED")
    tab.open("/")
    tab.context.set_offline(True)
    tab.page.fill("#search", "2026")
    expect(tab.page.locator("#found .alert").first).to_contain_text("this machine is offline")
    expect(tab.page.locator("#search")).to_have_value("2026")


def test_the_mount_of_a_removed_folder_is_shown_as_failed(browser_thread: BrowserThread, tmp_path: Path) -> None:
    with RunningServer(tmp_path / "data", "--mount", f"files=file:{tmp_path}/files") as server:
        (tmp_path / "files").rename(tmp_path / "away")

        def look() -> None:
            tab = Tab(browser_thread.browser, server)
            tab.expect(503)
            tab.open("/")
            expect(card(tab, "/files/").locator(".state.failed")).to_contain_text("storage unavailable")
            tab.close()
            tab.check()

        browser_thread.run(look)
        (tmp_path / "away").rename(tmp_path / "files")
