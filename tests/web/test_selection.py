"""Several documents at once: select, delete with undo, move, change fields, download; and what fails meanwhile."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from tests.http_client import prepare
from tests.server_process import RunningServer
from tests.web.tab import Tab

ON_DISK = pytest.mark.parametrize("mount", ["disk", "files"])
"""sqlite and file mounts with keys=path."""


def fill(tab: Tab, mount: str, folder: str, count: int = 4) -> list[str]:
    keys = [f"{folder}/{name}" for name in ("a.txt", "b.txt", "c.txt", "in/d.txt")][:count]
    for key in keys:
        tab.store_document(f"/{mount}/{key}", key, content_type="text/plain", meta_author="Ann")
    return keys


def select(tab: Tab, *names: str) -> None:
    for name in names:
        tab.page.get_by_role("checkbox", name=f"Select {name}", exact=True).check()
    expect(tab.page.locator("#selection b")).to_contain_text("Selected: ")


def press_and_wait(tab: Tab, name: str) -> None:
    """Press a button of the selection, and wait for its dialog."""
    tab.press(name)
    expect(tab.dialog).to_be_visible()


def statuses(tab: Tab, mount: str, keys: list[str]) -> list[int]:
    return [tab.stored(f"/{mount}/{key}").status for key in keys]


@ON_DISK
def test_a_selection_is_counted_and_all_rows_can_be_selected(tab: Tab, mount: str) -> None:
    fill(tab, mount, "count")
    tab.open(f"/{mount}/count/")
    bar = tab.page.locator("#selection")
    expect(bar).to_be_hidden()
    select(tab, "in/", "a.txt")
    expect(bar.locator("b")).to_have_text("Selected: 1 folder, 1 key, 11 bytes")
    draw_again = "body => body.replaceChildren(...[...body.rows].map((row) => row.cloneNode(true)))"
    tab.page.locator("#documents tbody").evaluate(draw_again)  # as a refresh does
    tab.page.get_by_role("checkbox", name="Select c.txt").click(modifiers=["Shift"])
    expect(bar.locator("b")).to_have_text("Selected: 1 folder, 3 keys, 33 bytes")
    everything = tab.page.get_by_role("checkbox", name="Select all on this page")
    expect(everything).to_be_checked()
    everything.uncheck()
    expect(bar).to_be_hidden()
    tab.page.get_by_role("link", name="b.txt").focus()
    tab.page.keyboard.press("x")
    expect(bar.locator("b")).to_have_text("Selected: 1 key, 11 bytes")
    tab.page.keyboard.press("Escape")
    expect(bar).to_be_hidden()
    select(tab, "a.txt")
    tab.page.fill("#search", "a")
    tab.wait_for_keys("a.txt")
    expect(bar).to_be_hidden()


@ON_DISK
def test_selected_documents_and_folders_are_deleted_and_restored(tab: Tab, mount: str) -> None:
    keys = fill(tab, mount, "delete")
    tab.open(f"/{mount}/delete/")
    select(tab, "in/", "a.txt", "b.txt")
    tab.page.keyboard.press("Delete")
    expect(tab.dialog.get_by_role("heading")).to_have_text("Delete 3 documents?")
    expect(tab.dialog).to_contain_text("delete/a.txt, delete/b.txt, delete/in/d.txt.")
    tab.press("Cancel")
    expect(tab.page.locator("dialog")).to_have_count(0)
    assert statuses(tab, mount, keys) == [200] * 4
    press_and_wait(tab, "Delete")
    tab.press("Delete")
    expect(tab.page.locator("#notes li")).to_contain_text("Deleted 3 documents.")
    tab.wait_for_keys("c.txt")
    assert statuses(tab, mount, keys) == [404, 404, 200, 404]
    tab.press("Undo")
    tab.wait_for_keys("in/", "a.txt", "b.txt", "c.txt")
    answer = tab.stored(f"/{mount}/delete/in/d.txt")
    assert (answer.content, answer["meta-author"]) == (b"delete/in/d.txt", "Ann")


def test_names_without_folders_are_deleted_but_not_moved(tab: Tab) -> None:
    for name in ("few-1", "few-2", "few-that-stays"):
        tab.store_document(f"/plain/{name}")
    tab.open("/plain/?prefix=few-")
    select(tab, "few-1", "few-2")
    expect(tab.page.get_by_role("button", name="Move")).to_have_count(0)
    press_and_wait(tab, "Delete")
    tab.press("Delete")
    tab.wait_for_keys("few-that-stays")


@ON_DISK
def test_a_move_into_a_folder_replaces_nothing(tab: Tab, mount: str) -> None:
    tab.expect(412)
    fill(tab, mount, "move")
    tab.store_document(f"/{mount}/moved/b.txt", "other")
    tab.open(f"/{mount}/move/")
    select(tab, "in/", "a.txt", "b.txt")
    press_and_wait(tab, "Move")
    tab.dialog.get_by_label("Folder").fill("a//b")
    tab.press("Move")
    expect(tab.dialog.get_by_role("alert")).to_contain_text("a//b/a.txt is not a valid key")
    tab.dialog.get_by_label("Folder").fill("moved")
    tab.press("Move")
    expect(tab.dialog.get_by_role("alert")).to_contain_text("1 document failed.")
    expect(tab.dialog.locator(".failures")).to_contain_text("move/b.txt: The key moved/b.txt is already used.")
    assert tab.stored(f"/{mount}/moved/b.txt").content == b"other"
    assert tab.stored(f"/{mount}/move/b.txt").content == b"move/b.txt"
    moved = tab.stored(f"/{mount}/moved/in/d.txt")
    assert (moved.content, moved["meta-author"]) == (b"move/in/d.txt", "Ann")
    assert tab.stored(f"/{mount}/move/a.txt").status == 404
    tab.client.prepare("DELETE", f"/{mount}/moved/b.txt")
    tab.press("Try again")
    expect(tab.page.locator("dialog")).to_have_count(0)
    assert tab.stored(f"/{mount}/moved/b.txt").content == b"move/b.txt"


@ON_DISK
def test_fields_of_several_documents_are_changed(tab: Tab, mount: str) -> None:
    keys = fill(tab, mount, "fields", 3)
    tab.store_document(f"/{mount}/fields/c.txt", "c", content_type="text/x-c", content_language="de", ttl="9000")
    tab.open(f"/{mount}/fields/")
    tab.page.get_by_role("checkbox", name="Select all on this page").check()
    press_and_wait(tab, "Fields")
    tab.press("Save")
    expect(tab.dialog.get_by_role("alert")).to_contain_text("Nothing to change")
    tab.dialog.get_by_label("TTL").fill("never")
    tab.dialog.get_by_label("Other fields").fill("Meta-Reader: Bob\nMeta-Author:\nX-No: 1")
    tab.press("Save")
    expect(tab.dialog.get_by_role("alert")).to_contain_text('Can\'t store the field "X-No: 1"')
    tab.dialog.get_by_label("Other fields").fill("Meta-Reader: Bob\nMeta-Author:")
    tab.press("Save")
    expect(tab.page.locator("dialog")).to_have_count(0)
    for key in keys:
        answer = tab.stored(f"/{mount}/{key}")
        assert (answer["meta-reader"], answer.headers["meta-author"], answer.headers["sunset"]) == ("Bob", None, None)
    assert tab.stored(f"/{mount}/{keys[0]}")["content-type"] == "text/plain"
    last = tab.stored(f"/{mount}/fields/c.txt")
    assert (last["content-type"], last["content-language"]) == ("text/x-c", "de")


def test_broken_json_does_not_become_json_unasked(tab: Tab) -> None:
    tab.store_document("/disk/json/broken.txt", '{"a": }', content_type="text/plain")
    tab.store_document("/disk/json/fine.txt", '{"a": 1}', content_type="text/plain")
    tab.open("/disk/json/")
    select(tab, "broken.txt", "fine.txt")
    press_and_wait(tab, "Fields")
    tab.dialog.get_by_label("Type").fill("application/json")
    tab.press("Save")
    expect(tab.dialog.get_by_role("alert")).to_contain_text("1 document failed.")
    expect(tab.dialog.locator(".failures")).to_contain_text("It is not valid JSON. Line 1, column 7")
    types = [tab.stored(f"/disk/json/{name}.txt")["content-type"] for name in ("broken", "fine")]
    assert types == ["text/plain", "application/json"]


def test_documents_can_be_restored_after_responses_were_lost(tab: Tab) -> None:
    tab.expect("ERR_CONNECTION_RESET")
    keys = fill(tab, "disk", "lost", 3)

    def lose(route: Route) -> None:
        if route.request.method == "DELETE":
            route.fetch()
        route.abort("connectionreset")

    tab.open("/disk/lost/")
    select(tab, "a.txt", "b.txt")
    press_and_wait(tab, "Delete")
    tab.page.route(
        "**/disk/lost/*", lambda route: lose(route) if route.request.method == "DELETE" else route.fallback()
    )
    tab.page.route("**/disk/?*format=json*", lose)
    tab.press("Delete")
    expect(tab.dialog.get_by_role("alert")).to_contain_text("the store can't be reached")
    assert statuses(tab, "disk", keys) == [404, 404, 200]
    tab.page.unroute_all()
    tab.press("Done")
    expect(tab.page.locator("#notes li")).to_contain_text("Deleted 0 documents. 2 others may be deleted.")
    tab.press("Undo")
    expect(tab.page.locator("#notes li")).to_have_count(0)
    assert statuses(tab, "disk", keys) == [200, 200, 200]


@ON_DISK
def test_a_selection_is_downloaded_as_one_file(tab: Tab, mount: str) -> None:
    fill(tab, mount, "load")
    tab.open(f"/{mount}/load/")
    select(tab, "in/", "b.txt")
    with tab.page.expect_download() as started:
        tab.press("Download zip")
    assert started.value.suggested_filename == "load.zip"
    with zipfile.ZipFile(started.value.path()) as opened:
        assert {name: opened.read(name) for name in opened.namelist()} == {
            "b.txt": b"load/b.txt",
            "in/d.txt": b"load/in/d.txt",
        }
    with tab.page.expect_download() as started:
        tab.page.get_by_role("link", name="tar", exact=True).click()
    with tarfile.open(fileobj=io.BytesIO(started.value.path().read_bytes())) as tar:
        assert tar.getnames()[:-1] == ["a.txt", "b.txt", "c.txt", "in/d.txt"]
    tab.expect(404)
    for key in ("load/b.txt", "load/in/d.txt"):
        tab.client.prepare("DELETE", f"/{mount}/{key}")
    tab.press("Download zip")
    expect(tab.dialog.get_by_role("alert")).to_contain_text("not found. The document was deleted, or it expired.")


@pytest.mark.parametrize(
    ("status", "words"), [(401, "authentication is required."), (503, "the storage is unavailable.")]
)
def test_a_download_that_fails_says_why(tab: Tab, status: int, words: str) -> None:
    tab.expect(status)
    fill(tab, "disk", "unloaded", 2)
    tab.open("/disk/unloaded/")
    tab.answer_with("HEAD", "**/disk/unloaded/?*", status=status, body="")
    select(tab, "a.txt")
    tab.press("Download zip")
    expect(tab.dialog.get_by_role("alert")).to_contain_text(words)
    tab.page.keyboard.press("Escape")
    tab.page.get_by_role("link", name="tar", exact=True).click()
    expect(tab.dialog.get_by_role("alert")).to_contain_text(words)
    tab.page.keyboard.press("Escape")
    expect(tab.page.get_by_role("checkbox", name="Select a.txt", exact=True)).to_be_checked()


def test_a_move_that_stored_but_did_not_delete_can_be_finished(tab: Tab) -> None:
    tab.expect(503)
    fill(tab, "files", "half", 2)
    tab.open("/files/half/")
    select(tab, "a.txt")
    press_and_wait(tab, "Move")
    tab.answer_with("DELETE", "**/files/**", status=503, body="")
    tab.dialog.get_by_label("Folder").fill("whole")
    tab.press("Move")
    expect(tab.dialog.get_by_role("alert")).to_contain_text("Stored as whole/a.txt, but half/a.txt was not deleted")
    assert statuses(tab, "files", ["half/a.txt", "whole/a.txt"]) == [200, 200]
    tab.page.unroute_all()
    tab.press("Try again")
    expect(tab.page.locator("dialog")).to_have_count(0)
    assert statuses(tab, "files", ["half/a.txt", "whole/a.txt"]) == [404, 200]


def test_a_document_that_changed_meanwhile_is_kept(tab: Tab) -> None:
    tab.expect(412)
    keys = fill(tab, "disk", "changed", 3)
    tab.open("/disk/changed/")
    select(tab, "a.txt", "b.txt")
    press_and_wait(tab, "Delete")
    tab.store_document("/disk/changed/b.txt", "newer")
    tab.press("Delete")
    expect(tab.dialog.get_by_role("alert")).to_contain_text("1 document failed.")
    expect(tab.dialog.locator(".failures")).to_contain_text("changed/b.txt: ")
    assert statuses(tab, "disk", keys) == [404, 200, 200]
    tab.press("Done")
    tab.wait_for_keys("b.txt", "c.txt")
    tab.press("Undo")
    tab.wait_for_keys("a.txt", "b.txt", "c.txt")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "authentication is required. Log in to this store"),
        (503, "the storage is unavailable. Try again in a moment."),
        (507, "no space left in the store."),
    ],
)
def test_a_failing_store_stops_and_nothing_is_lost(tab: Tab, status: int, words: str) -> None:
    tab.expect(status)
    keys = fill(tab, "disk", f"failing-{status}", 3)
    tab.open(f"/disk/failing-{status}/")
    tab.page.get_by_role("checkbox", name="Select all on this page").check()
    press_and_wait(tab, "Fields")
    tab.dialog.get_by_label("Type").fill("text/x-new")
    tab.answer_with("PUT", "**/disk/**", status=status, content_type="text/html", body="")
    tab.press("Save")
    expect(tab.dialog.get_by_role("alert")).to_contain_text(words)
    expect(tab.dialog.get_by_role("alert")).to_contain_text("3 documents not done.")
    tab.page.unroute_all()
    tab.press("Try again")
    expect(tab.page.locator("dialog")).to_have_count(0)
    assert {tab.stored(f"/disk/{key}")["content-type"] for key in keys} == {"text/x-new"}


def test_an_offline_browser_deletes_nothing_and_can_try_again(tab: Tab) -> None:
    tab.expect("ERR_INTERNET_DISCONNECTED")
    keys = fill(tab, "files", "offline", 3)
    tab.open("/files/offline/")
    select(tab, "a.txt", "b.txt")
    press_and_wait(tab, "Delete")
    tab.context.set_offline(True)
    tab.press("Delete")
    expect(tab.dialog.get_by_role("alert")).to_contain_text("the store can't be reached: this machine is offline.")
    tab.context.set_offline(False)
    assert statuses(tab, "files", keys) == [200] * 3
    tab.press("Try again")
    expect(tab.page.locator("dialog")).to_have_count(0)
    assert statuses(tab, "files", keys) == [404, 404, 200]


def test_a_slow_action_shows_progress_and_can_be_stopped(tab: Tab) -> None:
    for number in range(12):
        tab.store_document(f"/disk/slow/{number:02}", "x")
    held: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.method == "DELETE":
            held.append(route)
        else:
            route.continue_()

    tab.open("/disk/slow/")
    tab.page.get_by_role("checkbox", name="Select all on this page").check()
    press_and_wait(tab, "Delete")
    tab.page.route("**/disk/slow/**", hold)
    tab.press("Delete")
    expect(tab.dialog.get_by_role("status")).to_have_text("0 of 12 deleted")
    tab.wait_for_held(held, 4)
    tab.press("Stop")
    while held:
        held.pop().continue_()
    expect(tab.dialog.get_by_role("alert")).to_contain_text("Stopped. 8 documents not done.")
    expect(tab.dialog.get_by_role("status")).to_have_text("4 of 12 deleted")
    tab.press("Done")
    expect(tab.page.locator("#notes li")).to_contain_text("Deleted 4 documents.")
    expect(tab.page.locator("#documents tbody tr")).to_have_count(8)


def test_a_selection_that_cannot_be_looked_up_changes_nothing(tab: Tab) -> None:
    tab.expect(503)
    fill(tab, "disk", "unseen", 2)
    tab.open("/disk/unseen/")
    tab.answer_with("GET", "**/disk/?*format=json*", status=503, content_type="text/html", body="")
    tab.page.get_by_role("checkbox", name="Select a.txt", exact=True).check()
    expect(tab.page.locator("#selection b")).to_have_text("1 selected")
    press_and_wait(tab, "Delete")
    expect(tab.dialog.get_by_role("alert")).to_contain_text("the storage is unavailable")
    tab.page.keyboard.press("Escape")
    expect(tab.dialog).to_be_hidden()
    tab.page.unroute_all()
    press_and_wait(tab, "Delete")
    expect(tab.dialog.get_by_role("heading")).to_have_text("Delete 1 document?")
    tab.client.prepare("DELETE", "/disk/unseen/a.txt")


def test_a_client_that_may_only_read_can_select_and_download(tab: Tab, tmp_path: Path) -> None:
    with RunningServer(tmp_path / "data") as server:
        prepare(server, "PUT", "/docs/there", b"text")
        assert server.stop() == 0
    with RunningServer(tmp_path / "data", "--anonymous", "read") as server:
        reader = Tab(tab.browser, server)
        reader.open("/docs/")
        select(reader, "there")
        assert reader.page.locator("#selection button").all_inner_texts() == ["Download zip", "Download tar", "Clear"]
        reader.page.keyboard.press("Delete")
        expect(reader.page.locator("dialog")).to_have_count(0)
        with reader.page.expect_download() as started:
            reader.press("Download tar")
        assert started.value.suggested_filename == "docs.tar"
        reader.close()
        reader.check()
