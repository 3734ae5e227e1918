"""JSON in the editor: where it is broken, formatting, and the question before broken JSON is stored as JSON."""

import json

import pytest
from playwright.sync_api import expect

from tests.web.tab import Tab
from tests.web.test_editing import MOUNTS, edit

BROKEN = {
    # text: line, column and what is wrong there
    '{\n  "a": 1,\n}': "Line 3, column 1: a name in quotes is expected here.",
    '{"a": 1 "b": 2}': "Line 1, column 9: a comma or } is expected here.",
    '{"a" 1}': "Line 1, column 6: a colon is expected here.",
    "[1,\n 2": "Line 2, column 3: the text ends where a comma or ] is expected.",
    "[01]": "Line 1, column 2: a value or ] is expected here.",
    "[1] x": "Line 1, column 5: the end is expected here.",
    '["\\x"]': "Line 1, column 3: this escape is not allowed in a string.",
    '["\u00e9\U0001f600\n"]': "Line 1, column 5: a string is not closed on its line.",
    "['a']": "Line 1, column 2: a value or ] is expected here.",
    "": None,
}


def test_an_editor_says_where_json_is_broken(tab: Tab) -> None:
    tab.store_document("/files/where.json", "{}")
    edit(tab, "/files/", "where.json")
    status = tab.dialog.locator(".json-tools [role=status]")
    expect(status).to_have_text("Valid JSON")
    for text, words in BROKEN.items():
        tab.dialog.get_by_label("Content").fill(text)
        if words is not None:
            expect(status).to_have_text(words)
            with pytest.raises(json.JSONDecodeError):
                json.loads(text)
    for valid in ("[1e5, -0.0, null]", ' {"a": {"b": []}, "": "\\u00e9"} ', "1", "[" * 5000 + "]" * 5000):
        tab.dialog.get_by_label("Content").fill(valid)
        expect(status).to_have_text("Valid JSON")
    tab.page.keyboard.press("Escape")
    tab.press("Leave")


def test_formatting_keeps_the_order_and_the_spelling_of_numbers(tab: Tab) -> None:
    tab.store_document("/files/format.json", '{"b":12345678901234567890.10,"a":[],"c":[{"d":"x:,{"},1E+2]}')
    edit(tab, "/files/", "format.json")
    tab.press("Format")
    text = (
        '{\n  "b": 12345678901234567890.10,\n  "a": [],\n  "c": [\n    {\n      "d": "x:,{"\n    },\n    1E+2\n  ]\n}\n'
    )
    expect(tab.dialog.get_by_label("Content")).to_have_value(text)
    tab.page.keyboard.press("Control+z")
    expect(tab.dialog.get_by_label("Content")).to_have_value(
        '{"b":12345678901234567890.10,"a":[],"c":[{"d":"x:,{"},1E+2]}'
    )
    tab.press("Format")
    tab.press("Save")
    expect(tab.page.locator("dialog.wide")).to_have_count(0)
    assert tab.stored("/files/format.json").content == text.encode()


@pytest.mark.parametrize("mount", MOUNTS)
def test_broken_json_is_not_stored_as_json_without_a_question(tab: Tab, mount: str) -> None:
    tab.store_document(f"{mount}asked", "{}", content_type="application/json")
    for answer, content, media_type in (
        ("Keep editing", b"{}", "application/json"),
        ("Save as JSON anyway", b'{"a": }', "application/json"),
        ("Save as text/plain", b'{"a": }', "text/plain; charset=utf-8"),
    ):
        edit(tab, mount, "asked")
        tab.dialog.get_by_label("Content").fill('{"a": }')
        tab.press("Save")
        expect(tab.dialog.get_by_role("heading")).to_have_text("This is not valid JSON")
        expect(tab.dialog).to_contain_text("Line 1, column 7: a value is expected here.")
        tab.press(answer)
        if answer == "Keep editing":
            expect(tab.dialog.get_by_label("Content")).to_be_focused()
            assert tab.page.evaluate("document.activeElement.selectionStart") == 6
            expect(tab.dialog.get_by_label("Content")).to_have_value('{"a": }')
            tab.page.keyboard.press("Escape")
            tab.press("Leave")
        expect(tab.page.locator("dialog.wide")).to_have_count(0)
        answered = tab.stored(f"{mount}asked")
        assert (answered.content, answered["content-type"]) == (content, media_type)
        tab.leave()


def test_a_new_document_and_a_new_type_are_asked_about_too(tab: Tab) -> None:
    tab.open("/files/")
    for key, typed in (("new.json", ""), ("new", "application/vnd.x+json")):
        tab.press("New")
        tab.dialog.get_by_label("Key").fill(key)
        tab.dialog.get_by_label("Content").fill("[1,")
        tab.dialog.get_by_text("Type, TTL, fields").click()
        tab.dialog.get_by_label("Type").fill(typed)
        tab.press("Store")
        expect(tab.dialog).to_contain_text("Line 1, column 4: the text ends where a value is expected.")
        assert tab.stored(f"/files/{key}").status == 404
        tab.press("Save as text/plain")
        expect(tab.page.locator("dialog.detail pre")).to_have_text("[1,")
        assert tab.stored(f"/files/{key}")["content-type"] == "text/plain; charset=utf-8"
        tab.leave()
    tab.open_document("/files/", "new")
    tab.press("Fields")
    tab.dialog.get_by_label("Type").fill("application/json")
    tab.press("Save")
    tab.press("Keep editing")
    expect(tab.dialog.get_by_label("Type")).to_have_value("application/json")
    assert tab.stored("/files/new")["content-type"] == "text/plain; charset=utf-8"
    tab.press("Save")
    tab.press("Save as JSON anyway")
    expect(tab.page.locator("dialog")).to_have_count(1)
    assert tab.stored("/files/new")["content-type"] == "application/json"


def test_text_that_is_too_large_to_check_becomes_json_after_a_question(tab: Tab) -> None:
    tab.store_document("/files/huge", b"[" + b" " * 2**24 + b"]", content_type="text/plain")
    tab.open_document("/files/", "huge")
    tab.press("Fields")
    tab.dialog.get_by_label("Type").fill("application/json")
    tab.press("Save")
    expect(tab.dialog.get_by_role("heading")).to_have_text("This may not be valid JSON")
    expect(tab.dialog).to_contain_text("It is too large to be checked here.")
    tab.press("Save as JSON anyway")
    expect(tab.page.locator("dialog")).to_have_count(1)
    assert tab.stored("/files/huge")["content-type"] == "application/json"
