"""Changing documents: new ones, editing in place, somebody who was faster, rename, delete and undo, fields and life."""

import urllib.parse

from playwright.sync_api import expect

from tests.web.tab import Tab

SHARES_A_TAB = True


def edit(tab: Tab, mount: str, key: str) -> None:
    tab.sheet(mount, key)
    tab.page.keyboard.press("e")
    expect(tab.dialog.get_by_role("heading", name=f"Edit {key}")).to_be_visible()


def test_a_new_document_is_stored_under_a_key_that_is_free(tab: Tab) -> None:
    tab.expect(412)
    tab.store_document("/site/new/taken", "there")
    tab.open("/site/?delimiter=/&prefix=new/")
    tab.page.keyboard.press("n")
    key = tab.dialog.get_by_label("Key")
    expect(key).to_be_focused()
    expect(key).to_have_value("new/")
    tab.press("Store")
    expect(tab.dialog.get_by_role("alert")).to_contain_text("A key here is names with / between them")
    key.fill("new/taken")
    tab.dialog.get_by_label("Content").fill("first\nsecond")
    tab.press("Store")
    expect(tab.dialog.get_by_role("alert")).to_contain_text("There is a document new/taken already.")
    key.fill("new/note.md")
    tab.dialog.get_by_text("Type, life, fields").click()
    tab.dialog.get_by_label("Lives for").fill("2 h")
    tab.page.keyboard.press("Control+s")
    expect(tab.page.locator("dialog.sheet pre")).to_have_text("first\nsecond")
    tab.wait_for_keys("note.md", "taken")
    answer = tab.stored("/site/new/note.md")
    assert (answer.content, answer["content-type"]) == (b"first\nsecond", "text/plain; charset=utf-8")
    assert answer["sunset"]
    assert tab.stored("/site/new/taken").content == b"there"


TEXTS = {
    # key: what is stored, what a person makes of it, what is stored then
    "unix": (b"a\nb\n", "a\nc\n", b"a\nc\n"),
    "windows": (b"a\r\nb\r\n", "a\nc\n", b"a\r\nc\r\n"),
    "mark": (b"\xef\xbb\xbfa", "\ufeffb", b"\xef\xbb\xbfb"),
    "mixed": (b"a\r\nb\n", "a\nc\n", b"a\nc\n"),
}


def test_text_is_edited_in_place(tab: Tab) -> None:
    fields = {"content_type": "text/x-a", "meta_author": "Ann", "cache_control": "max-age=9", "ttl": "9000"}
    for key, (content, typed, stored) in TEXTS.items():
        tab.store_document(f"/docs/edit-{key}", content, **fields)
        edit(tab, "/docs/", f"edit-{key}")
        expect(tab.dialog.get_by_text("Its line ends are of several kinds")).to_have_count(int(key == "mixed"))
        tab.dialog.get_by_label("Content").fill(typed)
        tab.page.keyboard.press("Control+s")
        expect(tab.page.locator("dialog.wide")).to_have_count(0)
        answer = tab.stored(f"/docs/edit-{key}")
        assert answer.content == stored
        told = [answer[name] for name in ("content-type", "meta-author", "cache-control")]
        assert told == ["text/x-a", "Ann", "max-age=9"]
        assert answer["sunset"]
        tab.leave()


def test_an_editor_that_is_asked_for_twice_opens_once(tab: Tab) -> None:
    tab.store_document("/docs/twice", "x", content_type="text/plain")
    tab.sheet("/docs/", "twice")
    tab.page.locator("[data-key=e]").evaluate("(button) => { button.click(); button.click(); }")
    expect(tab.dialog.get_by_role("heading", name="Edit twice")).to_be_visible()
    assert tab.page.locator("dialog.wide").count() == 1
    tab.page.keyboard.press("Escape")
    tab.leave()


def conflict(tab: Tab, key: str, theirs: str | None) -> None:
    """I edit, another is faster, I save."""
    tab.expect(412)
    tab.store_document(f"/docs/{key}", "one\ntwo\nthree\n", content_type="text/plain")
    edit(tab, "/docs/", key)
    tab.dialog.get_by_label("Content").fill("one\nmine\nthree\n")
    if theirs is None:
        tab.client.ask("DELETE", f"/docs/{key}")
    else:
        tab.store_document(f"/docs/{key}", theirs, content_type="text/markdown")
    tab.press("Save")
    expect(tab.dialog.get_by_role("alert")).to_contain_text("Somebody else was faster.")


def test_when_another_was_faster_both_are_shown_and_can_be_merged(tab: Tab) -> None:
    conflict(tab, "merge", "one\ntheirs\nthree\n")
    assert tab.stored("/docs/merge").content == b"one\ntheirs\nthree\n"
    expect(tab.dialog.get_by_label("Content")).to_have_value("one\nmine\nthree\n")
    assert tab.dialog.locator("pre").text_content() == "one\ntheirs\nthree\n\n"
    assert tab.dialog.locator("mark").all_inner_texts() == ["theirs"]
    tab.dialog.get_by_label("Content").fill("one\nmine\ntheirs\nthree\n")
    tab.store_document("/docs/merge", "even\nlater", content_type="text/markdown")
    tab.press("Save")
    expect(tab.dialog.locator("mark")).to_have_text(["even", "later"])
    tab.press("Save")
    expect(tab.page.locator("dialog.wide")).to_have_count(0)
    answer = tab.stored("/docs/merge")
    assert (answer.content, answer["content-type"]) == (b"one\nmine\ntheirs\nthree\n", "text/markdown")


def test_theirs_can_be_taken_instead_and_what_was_deleted_stored_again(tab: Tab) -> None:
    conflict(tab, "theirs", "theirs")
    tab.press("Use theirs")
    expect(tab.dialog.get_by_label("Content")).to_have_value("theirs")
    tab.press("Cancel")
    expect(tab.page.locator("dialog.wide")).to_have_count(0)
    assert tab.stored("/docs/theirs").content == b"theirs"
    conflict(tab, "deleted", None)
    expect(tab.dialog).to_contain_text("It was deleted.")
    tab.press("Save")
    expect(tab.page.locator("dialog.wide")).to_have_count(0)
    assert tab.stored("/docs/deleted").content == b"one\nmine\nthree\n"


def test_what_is_not_saved_is_not_lost_unasked(tab: Tab) -> None:
    tab.store_document("/docs/unsaved", "old", content_type="text/plain")
    edit(tab, "/docs/", "unsaved")
    tab.dialog.get_by_label("Content").fill("new")
    for _ in range(2):
        tab.page.keyboard.press("Escape")
        expect(tab.dialog.get_by_role("heading")).to_have_text("Leave without saving?")
        tab.press("Go on editing")
        expect(tab.dialog.get_by_label("Content")).to_have_value("new")
    tab.page.keyboard.press("Escape")
    tab.press("Leave")
    expect(tab.page.locator("dialog.wide")).to_have_count(0)
    assert tab.stored("/docs/unsaved").content == b"old"


def test_what_is_no_utf_8_is_not_edited_and_what_is_newer_not_deleted(tab: Tab) -> None:
    tab.expect(412)
    tab.store_document("/docs/latin", b"caf\xe9", content_type="text/plain")
    sheet = tab.sheet("/docs/", "latin")
    tab.press("Edit")
    expect(sheet.get_by_role("alert")).to_contain_text("Only UTF-8 text can be edited here.")
    tab.store_document("/docs/latin", b"newer", content_type="text/plain")
    tab.press("Delete")
    expect(sheet.get_by_role("alert")).to_contain_text("precondition failed")
    assert tab.stored("/docs/latin").content == b"newer"


FIELDS = {"content_type": "application/x-a", "meta_author": "Ann", "content_disposition": "inline", "ttl": "9000"}


def told(tab: Tab, path: str) -> list[str]:
    answer = tab.stored(path)
    return [answer[name] for name in ("content-type", "meta-author", "content-disposition", "sunset")]


def test_a_rename_keeps_fields_and_life_and_overwrites_nothing(tab: Tab) -> None:
    tab.expect(412)
    tab.store_document("/site/rename/a", b"\x00\xff", **FIELDS)
    tab.store_document("/site/rename/b", b"other")
    before = told(tab, "/site/rename/a")
    tab.sheet("/site/", "rename/a")
    tab.press("Rename")
    tab.dialog.get_by_label("Key").fill("rename/b")
    tab.press("Rename")
    expect(tab.dialog.get_by_role("alert")).to_contain_text("There is a document rename/b already.")
    tab.dialog.get_by_label("Key").fill("rename/c d")
    tab.press("Rename")
    expect(tab.page.get_by_role("heading", name="rename/c d")).to_be_visible()
    assert urllib.parse.urlsplit(tab.page.url).fragment == "rename/c%20d"
    assert [tab.stored(f"/site/rename/{key}").status for key in ("a", "b", "c d")] == [404, 200, 200]
    assert tab.stored("/site/rename/c d").content == b"\x00\xff"
    after = told(tab, "/site/rename/c d")
    assert after[:3] == before[:3]
    assert abs(int(after[3][-6:-4]) - int(before[3][-6:-4])) in (0, 1, 59)


def test_a_delete_can_be_undone(tab: Tab) -> None:
    tab.store_document("/docs/undo", b"\x00\xff", **FIELDS)
    before = told(tab, "/docs/undo")
    tab.sheet("/docs/", "undo")
    tab.page.keyboard.press("Delete")
    expect(tab.page.locator("dialog")).to_have_count(0)
    assert tab.stored("/docs/undo").status == 404
    tab.press("Undo")
    expect(tab.page.locator("#notes li")).to_have_count(0)
    assert tab.stored("/docs/undo").content == b"\x00\xff"
    assert told(tab, "/docs/undo")[:3] == before[:3]


def test_an_undo_does_not_overwrite_what_came_meanwhile(tab: Tab) -> None:
    tab.expect(412)
    tab.store_document("/docs/undone", b"old")
    tab.open("/docs/?prefix=undone")
    tab.page.get_by_role("link", name="undone").focus()
    tab.page.keyboard.press("Delete")
    expect(tab.page.locator("#notes li")).to_contain_text("Deleted undone.")
    tab.store_document("/docs/undone", b"another")
    tab.press("Undo")
    expect(tab.page.locator("#notes li")).to_contain_text("Another document is undone now.")
    assert tab.stored("/docs/undone").content == b"another"


def test_what_can_not_be_kept_is_deleted_after_a_question(tab: Tab) -> None:
    tab.store_document("/docs/coded", b"x", content_encoding="x-own")
    tab.sheet("/docs/", "coded")
    for answer, status in (("Keep it", 200), ("Delete for good", 404)):
        tab.press("Delete")
        expect(tab.dialog.get_by_role("heading")).to_have_text("Delete coded?")
        tab.press(answer)
        expect(tab.page.locator("dialog")).to_have_count(int(status == 200))
        assert tab.stored("/docs/coded").status == status


def test_fields_and_life_can_be_changed(tab: Tab) -> None:
    tab.store_document("/docs/fields", b"same", **FIELDS)
    tab.sheet("/docs/", "fields")
    tab.page.keyboard.press("f")
    expect(tab.dialog.get_by_label("Type")).to_have_value("application/x-a")
    fields = tab.dialog.get_by_label("Other fields")
    expect(fields).to_have_value("content-disposition: inline\nmeta-author: Ann\n")
    wrong = {"x-other: 1": "is no field that is stored", "Meta-A: \u2713": "invalid header field"}
    for line, problem in wrong.items():
        fields.fill(line)
        tab.press("Save")
        expect(tab.dialog.get_by_role("alert")).to_contain_text(problem)
    fields.fill("Meta-Reader: Bob\nCache-Control: max-age=5")
    tab.dialog.get_by_label("Type").fill("text/plain")
    tab.dialog.get_by_label("Lives for").fill("a while")
    tab.press("Save")
    expect(tab.dialog.get_by_role("alert")).to_contain_text("A life is a number of s, min, h, d or y")
    tab.dialog.get_by_label("Lives for").fill("")
    tab.press("Save")
    expect(tab.page.locator("dialog")).to_have_count(1)
    expect(tab.page.locator("dialog.sheet pre")).to_have_text("same")
    answer = tab.stored("/docs/fields")
    assert (answer["content-type"], answer["meta-reader"], answer["cache-control"]) == (
        "text/plain",
        "Bob",
        "max-age=5",
    )
    assert [answer.headers[name] for name in ("sunset", "meta-author", "content-disposition")] == [None] * 3
