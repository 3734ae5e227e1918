"""The editor: new documents, existing text, and changes by others meanwhile."""

import json

import pytest
from playwright.sync_api import Route, expect

from tests.web.tab import Tab

MOUNTS = ("/disk/", "/files/", "/rows/", "/plain/")
"""sqlite and file, with keys=path and keys=name."""


def edit(tab: Tab, mount: str, key: str) -> None:
    tab.open_document(mount, key)
    tab.page.keyboard.press("e")
    expect(tab.dialog.get_by_role("heading", name=f"Edit {key}")).to_be_visible()


def test_a_new_document_needs_an_unused_key(tab: Tab) -> None:
    tab.expect(412)
    tab.store_document("/site/new/taken", "there")
    tab.open("/site/?delimiter=/&prefix=new/")
    tab.page.keyboard.press("n")
    key = tab.dialog.get_by_label("Key")
    expect(key).to_be_focused()
    expect(key).to_have_value("new/")
    tab.press("Store")
    expect(tab.dialog.get_by_role("alert")).to_contain_text("Invalid key. Keys here are names separated by /")
    key.fill("new/taken")
    tab.dialog.get_by_label("Content").fill("first\nsecond")
    tab.press("Store")
    expect(tab.dialog.get_by_role("alert")).to_contain_text("The key new/taken is already used.")
    key.fill("new/note.md")
    tab.dialog.get_by_text("Type, TTL, fields").click()
    tab.dialog.get_by_label("TTL").fill("2 h")
    tab.page.keyboard.press("Control+s")
    expect(tab.page.locator("dialog.detail").last.locator(".markdown")).to_have_text("first\nsecond")
    tab.wait_for_keys("note.md", "taken")
    answer = tab.stored("/site/new/note.md")
    assert (answer.content, answer["content-type"]) == (b"first\nsecond", "text/markdown; charset=utf-8")
    assert answer["sunset"]
    assert tab.stored("/site/new/taken").content == b"there"


TEXTS = {
    # key: (stored content, typed text, content stored by the save)
    "unix": (b"a\nb\n", "a\nc\n", b"a\nc\n"),
    "windows": (b"a\r\nb\r\n", "a\nc\n", b"a\r\nc\r\n"),
    "mark": (b"\xef\xbb\xbfa", "\ufeffb", b"\xef\xbb\xbfb"),
    "mixed": (b"a\r\nb\n", "a\nc\n", b"a\nc\n"),
}


def test_text_is_edited_in_place(tab: Tab) -> None:
    fields = {"content_type": "text/x-a", "meta_author": "Ann", "docstore_cache_control": "max-age=9", "ttl": "9000"}
    for key, (content, typed, stored) in TEXTS.items():
        tab.store_document(f"/docs/edit-{key}", content, **fields)
        edit(tab, "/docs/", f"edit-{key}")
        expect(tab.dialog.get_by_text("This text has several kinds of line endings")).to_have_count(int(key == "mixed"))
        tab.dialog.get_by_label("Content").fill(typed)
        tab.page.keyboard.press("Control+s")
        expect(tab.page.locator("dialog.wide")).to_have_count(0)
        answer = tab.stored(f"/docs/edit-{key}")
        assert answer.content == stored
        stored_fields = [answer[name] for name in ("content-type", "meta-author", "cache-control")]
        assert stored_fields == ["text/x-a", "Ann", "max-age=9"]
        assert answer["sunset"]
        tab.leave()


def test_two_clicks_on_edit_open_one_editor(tab: Tab) -> None:
    tab.store_document("/docs/twice", "x", content_type="text/plain")
    tab.open_document("/docs/", "twice")
    tab.page.locator("[data-key=e]").evaluate("(button) => { button.click(); button.click(); }")
    expect(tab.dialog.get_by_role("heading", name="Edit twice")).to_be_visible()
    assert tab.page.locator("dialog.wide").count() == 1
    tab.page.keyboard.press("Escape")
    tab.leave()


def conflict(tab: Tab, key: str, theirs: str | None) -> None:
    """Edit a document, let another client change it, and save."""
    tab.expect(412)
    tab.store_document(f"/docs/{key}", "one\ntwo\nthree\n", content_type="text/plain")
    edit(tab, "/docs/", key)
    tab.dialog.get_by_label("Content").fill("one\nmine\nthree\n")
    if theirs is None:
        tab.client.prepare("DELETE", f"/docs/{key}")
    else:
        tab.store_document(f"/docs/{key}", theirs, content_type="text/markdown")
    tab.press("Save")
    expect(tab.dialog.get_by_role("alert")).to_contain_text("This document changed while you were editing.")


def versions(tab: Tab) -> list[list[str]]:
    """Wait for the comparison, and return its rows: the kind of change, base, mine, theirs."""
    expect(tab.dialog.locator(".versions mark").first).to_be_visible()
    rows = tab.dialog.locator(".versions tbody tr").all()
    return [row.locator("th, td").all_inner_texts() for row in rows]


def test_after_a_conflict_three_versions_are_shown_with_marks_and_can_be_merged(tab: Tab) -> None:
    conflict(tab, "merge", "one\ntheirs\nthree\n")
    assert tab.stored("/docs/merge").content == b"one\ntheirs\nthree\n"
    expect(tab.dialog.get_by_label("Content")).to_have_value("one\nmine\nthree\n")
    assert versions(tab) == [
        ["", "one", "one", "one"],
        ["changed by both", "two", "mine", "theirs"],
        ["", *["three\n"] * 3],
    ]
    assert tab.dialog.locator("mark").all_inner_texts() == ["two", "mine", "theirs"]
    expect(tab.dialog).to_contain_text("1 change of the same lines: merge by hand below.")
    tab.dialog.get_by_label("Content").fill("one\nmine\ntheirs\nthree\n")
    tab.store_document("/docs/merge", "even\nlater", content_type="text/markdown")
    tab.press("Save")
    # Now the base is the version that was shown before.
    expect(tab.dialog.locator("mark").last).to_have_text("later")
    assert tab.dialog.locator("td[data-version=Base] mark").all_inner_texts()[:2] == ["one", "theirs"]
    tab.press("Save")
    expect(tab.page.locator("dialog.wide")).to_have_count(0)
    answer = tab.stored("/docs/merge")
    assert (answer.content, answer["content-type"]) == (b"one\nmine\ntheirs\nthree\n", "text/markdown")


@pytest.mark.parametrize("mount", MOUNTS)
def test_changes_that_do_not_overlap_are_merged_on_demand(tab: Tab, mount: str) -> None:
    tab.expect(412)
    lines = [f"line {number}" for number in range(20)]
    tab.store_document(f"{mount}both", "\n".join(lines), content_type="text/plain")
    edit(tab, mount, "both")
    mine, theirs = [*lines[:2], "my line", *lines[2:]], [*lines[:-1], "their line"]
    tab.dialog.get_by_label("Content").fill("\n".join(mine))
    tab.store_document(f"{mount}both", "\n".join(theirs), content_type="text/plain")
    tab.press("Save")
    kinds = [row[0] for row in versions(tab)]
    assert [kind for kind in kinds if kind.startswith("changed")] == ["changed by me", "changed by others"]
    expect(tab.dialog).to_contain_text("11 equal lines")
    tab.press("Use theirs")
    expect(tab.dialog.get_by_label("Content")).to_have_value("\n".join(theirs))
    tab.press("Use mine")
    expect(tab.dialog.get_by_label("Content")).to_have_value("\n".join(mine))
    tab.press("Merge both")
    tab.press("Save")
    expect(tab.page.locator("dialog.wide")).to_have_count(0)
    assert tab.stored(f"{mount}both").content.decode().split("\n") == [*mine[:-1], "their line"]


def test_after_a_conflict_theirs_can_be_used_and_a_deleted_document_stored_again(tab: Tab) -> None:
    conflict(tab, "theirs", "theirs")
    tab.press("Use theirs")
    expect(tab.dialog.get_by_label("Content")).to_have_value("theirs")
    tab.press("Cancel")
    expect(tab.page.locator("dialog.wide")).to_have_count(0)
    assert tab.stored("/docs/theirs").content == b"theirs"
    conflict(tab, "deleted", None)
    expect(tab.dialog).to_contain_text("This document was deleted.")
    tab.press("Save")
    expect(tab.page.locator("dialog.wide")).to_have_count(0)
    assert tab.stored("/docs/deleted").content == b"one\nmine\nthree\n"


def test_only_a_changed_document_is_a_conflict_of_versions(tab: Tab) -> None:
    tab.expect(409)
    tab.store_document("/docs/obstructed", "old", content_type="text/plain")
    edit(tab, "/docs/", "obstructed")
    tab.dialog.get_by_label("Content").fill("mine")
    for name, title in (("obstructed", "path conflict"), ("changed-meanwhile", "changed meanwhile")):
        problem = json.dumps({"type": f"/-/problems#{name}", "title": title, "status": 409, "advice": "Do this."})
        tab.answer_with("PUT", "**/docs/obstructed", status=409, content_type="application/problem+json", body=problem)
        if name == "changed-meanwhile":
            tab.store_document("/docs/obstructed", "theirs", content_type="text/plain")
        tab.press("Save")
        words = "This document changed" if name == "changed-meanwhile" else "path conflict. Do this."
        expect(tab.dialog.get_by_role("alert")).to_contain_text(words)
        expect(tab.dialog.locator(".versions")).to_have_count(int(name == "changed-meanwhile"))
        expect(tab.dialog.get_by_label("Content")).to_have_value("mine")
        tab.page.unroute_all()


def test_a_version_that_could_not_be_read_is_not_overwritten(tab: Tab) -> None:
    tab.expect(412, 503)
    tab.store_document("/docs/unread", "old", content_type="text/plain")
    edit(tab, "/docs/", "unread")
    tab.dialog.get_by_label("Content").fill("mine")
    tab.store_document("/docs/unread", "theirs", content_type="text/plain")
    tab.answer_with("GET", "**/docs/unread", status=503, content_type="text/plain", body="no")
    tab.press("Save")
    expect(tab.dialog.get_by_role("alert")).to_contain_text("the storage is unavailable. Try again in a moment.")
    tab.page.unroute_all()
    tab.press("Save")
    expect(tab.dialog.get_by_role("alert")).to_contain_text("This document changed while you were editing.")
    assert tab.dialog.locator("mark").all_inner_texts() == ["old", "mine", "theirs"]
    assert tab.stored("/docs/unread").content == b"theirs"


def test_closing_an_editor_with_changes_asks_first(tab: Tab) -> None:
    tab.store_document("/docs/unsaved", "old", content_type="text/plain")
    edit(tab, "/docs/", "unsaved")
    tab.dialog.get_by_label("Content").fill("new")
    for _ in range(2):
        tab.page.keyboard.press("Escape")
        expect(tab.dialog.get_by_role("heading")).to_have_text("Leave without saving?")
        tab.press("Keep editing")
        expect(tab.dialog.get_by_label("Content")).to_have_value("new")
    tab.page.keyboard.press("Escape")
    tab.press("Leave")
    expect(tab.page.locator("dialog.wide")).to_have_count(0)
    assert tab.stored("/docs/unsaved").content == b"old"


def test_closing_a_new_document_with_fields_asks_first(tab: Tab) -> None:
    tab.open("/docs/")
    tab.press("New")
    tab.dialog.get_by_text("Type, TTL, fields").click()
    tab.dialog.get_by_label("Other fields").fill("Meta-Author: Ann")
    tab.press("Cancel")
    expect(tab.dialog.get_by_role("heading")).to_have_text("Leave without saving?")
    tab.press("Leave")
    expect(tab.page.locator("dialog")).to_have_count(0)


def test_only_utf_8_is_edited_and_only_the_version_shown_is_deleted(tab: Tab) -> None:
    tab.expect(412)
    tab.store_document("/docs/latin", b"caf\xe9", content_type="text/plain")
    detail = tab.open_document("/docs/", "latin")
    tab.press("Edit")
    expect(detail.get_by_role("alert")).to_contain_text("Only UTF-8 text can be edited here.")
    tab.store_document("/docs/latin", b"newer", content_type="text/plain")
    tab.press("Delete")
    expect(detail.get_by_role("alert")).to_contain_text("precondition failed")
    assert tab.stored("/docs/latin").content == b"newer"


FAILURES = {
    503: "the storage is unavailable. Try again in a moment.",
    507: "no space left in the store.",
    401: "authentication is required. Log in to this store, then try again.",
    0: "the store can't be reached",
}


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_save_that_fails_says_why_and_keeps_the_text(tab: Tab, mount: str) -> None:
    tab.expect(*FAILURES, "ERR_INTERNET_DISCONNECTED")
    tab.store_document(f"{mount}failing", "old", content_type="text/plain")
    edit(tab, mount, "failing")
    content = tab.dialog.get_by_label("Content")
    content.fill("typed for an hour")
    for status, words in FAILURES.items():
        if status:
            tab.answer_with("PUT", f"**{mount}failing", status=status, content_type="text/html", body="<h1>no</h1>")
        else:
            tab.context.set_offline(True)
        tab.press("Save")
        expect(tab.dialog.get_by_role("alert")).to_contain_text(words)
        expect(content).to_have_value("typed for an hour")
        assert tab.stored(f"{mount}failing").content == b"old"
        tab.page.unroute_all()
    tab.context.set_offline(False)
    held: list[Route] = []
    tab.page.route(f"**{mount}failing", lambda route: held.append(route))
    with tab.page.expect_request(f"**{mount}failing"):
        tab.press("Save")
    expect(tab.dialog.get_by_role("button", name="Save")).to_be_disabled()
    content.focus()
    # What is typed now would be lost when the editor closes.
    tab.page.keyboard.type("more")
    expect(content).to_have_value("typed for an hour")
    held[0].continue_()
    expect(tab.page.locator("dialog.wide")).to_have_count(0)
    assert tab.stored(f"{mount}failing").content == b"typed for an hour"
