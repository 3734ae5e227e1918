"""Uploads: by button and by drop, with progress, cancel, retry, and a question before a document is replaced."""

from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from tests.web.tab import Tab


def file(name: str, content: bytes = b"new", media_type: str = "text/plain") -> dict[str, object]:
    return {"name": name, "mimeType": media_type, "buffer": content}


def expect_status(tab: Tab, text: str) -> None:
    expect(tab.page.locator("#uploads b")).to_have_text(text)


def test_file_names_become_valid_keys(tab: Tab) -> None:
    tab.open("/names/?prefix=upload-")
    names = ["upload-as_it-is", "upload-My Photo (1).jpg", "upload-My Photo +1+.jpg"]
    tab.choose(*[file(name, media_type="text/x-a") for name in names])
    expect(tab.dialog.locator("label")).to_have_text(names[1:])
    proposed = [control.input_value() for control in tab.dialog.locator("input").all()]
    assert proposed == ["upload-My-Photo-1-jpg", "upload-My-Photo-1-jpg-2"]
    tab.dialog.locator("input").last.fill("not a key")
    tab.press("Upload")
    expect(tab.dialog.get_by_role("alert")).to_contain_text('"not a key" is not a valid key here')
    tab.dialog.locator("input").last.fill("upload-chosen")
    tab.press("Upload")
    tab.wait_for_keys("upload-My-Photo-1-jpg", "upload-as_it-is", "upload-chosen")
    expect_status(tab, "3 of 3 stored")
    answer = tab.stored("/names/upload-My-Photo-1-jpg")
    expected = (b"new", "text/plain; charset=utf-8", "no-cache")
    assert (answer.content, answer["content-type"], answer["cache-control"]) == expected, "guessed by the server"


def test_a_dropped_folder_keeps_its_paths(tab: Tab, tmp_path: Path) -> None:
    names = ["a.txt", "b/c.md", "b/d/\u00e9 e.json", *(f"many/{number}" for number in range(120))]
    for name in names:
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_text(name)
    tab.open("/site/?delimiter=/&prefix=dropped/")
    devtools = tab.context.new_cdp_session(tab.page)
    data = {"items": [], "files": [str(tmp_path / "tree"), str(tmp_path / "tree" / "a.txt")], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        devtools.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})
    expect_status(tab, "124 of 124 stored")
    tab.wait_for_keys("tree/", "a.txt")
    keys = tab.client.ask("GET", "/site/?prefix=dropped/&format=text").content.decode().splitlines()
    assert keys == sorted([f"dropped/tree/{name}" for name in names] + ["dropped/a.txt"], key=str.encode)
    answer = tab.stored("/site/dropped/tree/b/d/\u00e9 e.json")
    assert (answer.content.decode(), answer["content-type"]) == ("b/d/\u00e9 e.json", "application/json")


def test_three_uploads_run_at_once_and_each_can_be_cancelled(tab: Tab) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.method == "PUT":
            held.append(route)
        else:
            route.continue_()

    tab.open("/site/?prefix=flight")
    tab.page.route("**/site/flight*", hold)
    tab.choose(*[file(f"flight-{number}") for number in range(5)])
    bars = tab.page.get_by_role("progressbar")
    expect(bars).to_have_count(3)
    tab.wait_for_held(held, 3)
    tab.page.wait_for_timeout(200)
    assert len(held) == 3, "no more than three"
    tab.press("Cancel flight-1")
    expect(tab.page.get_by_role("progressbar", name="Upload of flight-3")).to_be_visible()
    expect(bars).to_have_count(3)
    tab.wait_for_held(held, 4)
    for route in (held[0], held[2], held[3]):
        route.continue_()
    expect(tab.page.get_by_role("progressbar", name="Upload of flight-4")).to_be_visible()
    tab.wait_for_held(held, 5)
    held[4].continue_()
    expect_status(tab, "4 of 5 stored, 1 cancelled")
    keys = tab.client.ask("GET", "/site/?prefix=flight-&format=text").content.decode().split()
    assert keys == ["flight-0", "flight-2", "flight-3", "flight-4"]


def test_progress_is_shown_and_a_cancelled_upload_is_not_stored(tab: Tab) -> None:
    tab.open("/site/")
    devtools = tab.context.new_cdp_session(tab.page)
    conditions = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 500_000}
    devtools.send("Network.enable")
    devtools.send("Network.emulateNetworkConditions", conditions)
    tab.choose(file("slow.bin", bytes(4_000_000)))
    tab.wait_until("(b => b && b.max > 4e6 - 1 && b.value > 0 && b.value < b.max)(document.querySelector('progress'))")
    tab.press("Cancel all")
    expect_status(tab, "0 of 1 stored, 1 cancelled")
    assert tab.stored("/site/slow.bin").status == 404
    tab.press("Close")
    expect(tab.page.locator("#uploads")).to_be_hidden()


def test_an_upload_to_a_used_key_asks_first(tab: Tab) -> None:
    tab.expect(412)
    tab.open("/site/?delimiter=/&prefix=ask/")
    cases = (("Replace", b"new", None), ("Keep both", b"old", b"new"), ("Skip", b"old", None))
    for number, (answer, old, new) in enumerate(cases, 1):
        key = answer.replace(" ", "-")
        tab.store_document(f"/site/ask/{key}.txt", b"old", content_type="text/x-old")
        tab.choose(file(f"{key}.txt"))
        expect(tab.dialog.get_by_role("heading")).to_have_text(f"ask/{key}.txt already exists")
        expect(tab.dialog).to_contain_text("Stored: 3 bytes, text/x-old, age now. New file: 3 bytes.")
        assert tab.stored(f"/site/ask/{key}.txt").content == b"old"
        tab.press(answer)
        expect_status(tab, f"{number} of {number} stored" if answer != "Skip" else "2 of 3 stored, 1 skipped")
        second = tab.stored(f"/site/ask/{key}-2.txt")
        assert tab.stored(f"/site/ask/{key}.txt").content == old
        assert (second.content if second.status == 200 else None) == new
        sent = len([request for request in tab.requests if request.method == "PUT"])
    # A large file is not sent before the question.
    tab.choose({**file("Skip.txt"), "buffer": bytes(2**20 + 1)})
    tab.press("Skip")
    expect_status(tab, "2 of 4 stored, 2 skipped")
    assert len([request for request in tab.requests if request.method == "PUT"]) == sent


def test_one_answer_can_apply_to_all_files(tab: Tab) -> None:
    tab.expect(412)
    for number in range(6):
        tab.store_document(f"/docs/all-{number}", b"old")
    tab.open("/docs/?prefix=all-")
    tab.choose(*[file(f"all-{number}") for number in range(6)])
    tab.dialog.get_by_role("checkbox", name="Do the same for all following files").check()
    tab.press("Replace")
    expect_status(tab, "6 of 6 stored")
    assert {tab.stored(f"/docs/all-{number}").content for number in range(6)} == {b"new"}


def test_the_question_is_asked_again_if_the_document_changed_meanwhile(tab: Tab) -> None:
    tab.expect(412)
    tab.store_document("/docs/overtaken", b"old")
    tab.open("/docs/?prefix=overtaken")
    tab.choose(file("overtaken"))
    expect(tab.dialog).to_contain_text("Stored: 3 bytes")
    tab.store_document("/docs/overtaken", b"newer")
    tab.press("Replace")
    expect(tab.dialog).to_contain_text("Stored: 5 bytes")
    tab.press("Replace")
    expect_status(tab, "1 of 1 stored")
    assert tab.stored("/docs/overtaken").content == b"new"


def test_a_failed_upload_gives_the_reason_and_can_be_retried(tab: Tab) -> None:
    tab.expect(413)
    tab.open("/small/")
    tab.choose(file("large", bytes(1001)), file("fits", bytes(1000)))
    expect_status(tab, "1 of 2 stored, 1 failed")
    failed = tab.page.locator("#uploads li.alert")
    expect(failed).to_contain_text("content too large: ")
    expect(failed).to_contain_text("Send less, or use a mount with a higher limit.")
    tab.press("Try large again")
    expect_status(tab, "1 of 2 stored, 1 failed")
    assert tab.stored("/small/fits").status == 200


FAILURES = {
    0: "the store can't be reached",
    401: "authentication is required. Log in to this store",
    503: "the storage is unavailable. Try again in a moment.",
    507: "no space left in the store.",
}


@pytest.mark.parametrize("mount", ["/disk/", "/files/", "/rows/", "/plain/"])
def test_what_became_of_each_file_stays_until_it_is_closed(tab: Tab, mount: str) -> None:
    tab.expect(*FAILURES, "ERR_CONNECTION_REFUSED")
    tab.open(f"{mount}?prefix=stay-")
    for status in FAILURES:
        if status:
            tab.answer_with(
                "PUT", f"**{mount}stay-{status}", status=status, content_type="text/html", body="<h1>no</h1>"
            )
        else:
            tab.page.route(f"**{mount}stay-0", lambda route: route.abort("connectionrefused"))
    tab.choose(*(file(f"stay-{status}") for status in FAILURES), file("stay-fine"))
    expect_status(tab, "1 of 5 stored, 4 failed")
    tab.choose(file("stay-later"))
    expect_status(tab, "2 of 6 stored, 4 failed")
    lines = tab.page.locator("#uploads li")
    for status, words in FAILURES.items():
        expect(lines.filter(has_text=f"stay-{status}")).to_contain_text(words)
    expect(lines.filter(has_text="stay-fine")).to_contain_text("stored")
    box = tab.page.locator("#uploads").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 700, "it is within the window"
    lines.get_by_role("link", name="stay-fine").click()
    expect(tab.page.locator("dialog.detail h2")).to_have_text("stay-fine")
    tab.leave()
    tab.page.unroute_all()
    tab.press("Try stay-507 again")
    expect_status(tab, "3 of 6 stored, 3 failed")
    tab.press("Try all again")
    expect_status(tab, "6 of 6 stored")
    assert {tab.stored(f"{mount}stay-{status}").content for status in FAILURES} == {b"new"}
    tab.press("Close")
    expect(tab.page.locator("#uploads")).to_be_hidden()
