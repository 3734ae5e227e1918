"""The view of a document: space, next and previous documents, tables, Markdown, colours, zoom, and failures."""

import pytest
from playwright.sync_api import Locator, expect

from tests.web.tab import Tab
from tests.web.test_preview import png

MOUNTS = ("/disk/", "/files/", "/rows/", "/plain/")
"""sqlite and file, with keys=path and keys=name."""


def content(detail: Locator) -> Locator:
    return detail.locator("section.preview .content")


def test_the_preview_takes_the_space_that_the_window_has(tab: Tab) -> None:
    tab.store_document("/docs/space", "word " * 5000, content_type="text/plain")
    for width, height, least_width, least_height in ((1280, 800, 800, 560), (390, 844, 340, 500)):
        tab.page.set_viewport_size({"width": width, "height": height})
        box = content(tab.open_document("/docs/", "space")).bounding_box()
        assert box is not None
        assert (box["width"] >= least_width, box["height"] >= least_height) == (True, True), box
        tab.leave()
    tab.page.set_viewport_size({"width": 1000, "height": 700})


@pytest.mark.parametrize("mount", MOUNTS)
def test_keys_and_buttons_show_the_next_and_the_previous_document(tab: Tab, mount: str) -> None:
    for number in range(4):
        tab.store_document(f"{mount}step-{number}", f"number {number}", content_type="text/plain")
    tab.open(f"{mount}?prefix=step-&limit=2")
    tab.page.get_by_role("link", name="step-0").click()
    shown = tab.page.locator("dialog.detail h2").last  # the view of the document before may still be closing
    expect(content(tab.dialog)).to_have_text("number 0")
    # The list shows two of them; step-2 comes from the page that follows.
    for press, key in (("j", 1), ("ArrowLeft", 0), ("ArrowRight", 1), ("k", 0), ("j", 1), ("j", 2)):
        tab.page.keyboard.press(press)
        expect(shown).to_have_text(f"step-{key}")
        expect(content(tab.dialog)).to_have_text(f"number {key}")
    tab.page.keyboard.press("Escape")
    expect(tab.page.locator("dialog")).to_have_count(0)
    tab.page.get_by_role("link", name="Next page").click()
    tab.page.get_by_role("link", name="step-2").click()
    expect(content(tab.dialog)).to_have_text("number 2")
    for press, key in (("j", 3), ("k", 2), ("k", 1)):
        tab.page.keyboard.press(press)
        expect(content(tab.dialog)).to_have_text(f"number {key}")
    tab.page.keyboard.press("Escape")
    expect(tab.page.locator("dialog")).to_have_count(0)
    tab.page.get_by_role("link", name="step-2").click()
    tab.press("Next document")
    expect(shown).to_have_text("step-3")
    expect(tab.dialog.get_by_role("button", name="Next document")).to_be_focused()
    tab.press("Next document")
    expect(tab.page.locator("#announcement")).to_have_text("This is the last document.")
    tab.press("Previous document")
    expect(shown).to_have_text("step-2")
    tab.page.keyboard.press("Escape")
    expect(tab.page.get_by_role("link", name="step-2")).to_be_focused()


CSV = 'city,area,note\n"Ulm, Donau",118.7,"said ""hi"""\nBern,51.6,\n\n"two\nlines",1,x,extra\n'


def test_csv_is_a_table_that_says_how_much_it_shows(tab: Tab) -> None:
    tab.store_document("/files/table.csv", CSV)
    detail = tab.open_document("/files/", "table.csv")
    assert detail.locator("th[scope=col]").all_inner_texts() == ["city", "area", "note", ""]
    rows = [row.locator("td").all_text_contents() for row in detail.locator("section.preview tbody tr").all()]
    assert rows == [
        ["Ulm, Donau", "118.7", 'said "hi"', ""],
        ["Bern", "51.6", "", ""],
        ["two\nlines", "1", "x", "extra"],
    ]
    expect(detail).to_contain_text("3 rows, 4 columns")
    expect(detail.locator("td.number").first).to_have_text("118.7")
    tab.press("Source")
    assert detail.locator("pre").text_content() == CSV
    tab.leave()
    for separator, ending in ((";", "csv"), ("\t", "tsv"), ("|", "csv")):
        lines = [separator.join((f"a{number}", "b,c", "d")) for number in range(601)]
        tab.store_document(f"/files/separated.{ending}", "\r\n".join(lines))
        detail = tab.open_document("/files/", f"separated.{ending}")
        expect(detail).to_contain_text("The first 500 of 600 rows, 3 columns")
        assert detail.locator("section.preview tbody tr").count() == 500
        assert detail.locator("section.preview tr").last.locator("td").all_inner_texts() == ["a500", "b,c", "d"]
        tab.leave()
    tab.store_document("/files/long.csv", "a,b\n" + "1,2\n" * 40_000)
    expect(tab.open_document("/files/", "long.csv")).to_contain_text("The first 500 of 16,383 or more rows")


MARKDOWN = """---
title: x
---
# A *title*

Some **bold _and_ more** `co<b>de` ~~gone~~ snake_case 2 * 3 * 4
wrapped\x20\x20
broken [far](https://example.org/a_(b)) [near](other.md) [up](<../../-/web/page.css>) [jump](#part-two) \\*kept\\*

1. one
2. two
   - nested

- [x] done
- [ ] open

> quoted

```python
x = "s"  # comment
```

| a | b |
|---|--:|
| 1 | 2 |

Part two
--------
![drawn](picture.png)
"""


def test_markdown_is_rendered_and_its_links_are_safe(tab: Tab) -> None:
    tab.store_document("/files/md/read.md", MARKDOWN)
    tab.store_document("/files/md/other.md", "the *other*")
    tab.store_document("/files/md/picture.png", png())
    detail = tab.open_document("/files/", "md/read.md")
    shown = detail.locator(".markdown")
    expected = {
        "h3": ["A title"],
        "h4": ["Part two"],
        "strong": ["bold and more"],
        "strong em": ["and"],
        "p code": ["co<b>de"],
        "s": ["gone"],
        "ol > li": ["one", "two\nnested"],
        "li li": ["nested"],
        "blockquote": ["quoted"],
        "pre .string": ['"s"'],
        "pre .comment": ["# comment"],
        "td": ["1", "2"],
        "p > br": [""],
    }
    assert {name: shown.locator(name).all_inner_texts() for name in expected} == expected
    assert [box.is_checked() for box in shown.get_by_role("checkbox").all()] == [True, False]
    links = {link.inner_text(): link.get_attribute("href") for link in shown.locator("a").all()}
    page_css = f"{tab.store.url}/-/web/page.css"
    assert links == {"far": "https://example.org/a_(b)", "near": "#md/other.md", "up": page_css}
    expect(shown.get_by_role("link", name="far")).to_have_attribute("rel", "noopener noreferrer nofollow")
    expect(shown).to_contain_text("2 * 3 * 4")
    expect(shown).to_contain_text("*kept*")
    tab.wait_until("document.querySelector('.markdown img').naturalWidth === 40")
    shown.get_by_role("button", name="jump").click()
    expect(shown.locator("h4")).to_be_focused()
    tab.press("Source")
    assert detail.locator("pre").text_content() == MARKDOWN
    tab.press("Rendered")
    shown.get_by_role("link", name="near").click()
    expect(tab.page.locator("dialog.detail").last.locator("h2")).to_have_text("md/other.md")
    expect(tab.page.locator("dialog.detail").last.locator(".markdown em")).to_have_text("other")


HOSTILE = ["[", "*", "**a ", "`", "[a](", "> ", "- ", "| a\n|-\n", "_a *b ", "<http://", "![a](b)["]


def test_hostile_markdown_is_rendered_in_bounded_time_and_depth(tab: Tab) -> None:
    tab.expect(404)
    deep = "\n".join(" " * (2 * level) + "- a" for level in range(150)) + "\n" + "> " * 5000
    for number, text in enumerate([*(part * (60_000 // len(part)) for part in HOSTILE), deep]):
        tab.store_document(f"/docs/hostile-{number}.md", text)
        expect(tab.open_document("/docs/", f"hostile-{number}.md").locator(".markdown")).to_be_visible()
        tab.leave()


COLOURED = {
    "a.py": ('def f():\n    return """a\n"b""" + r"c" # d 1\n', {"keyword": ["def", "return"], "comment": ["# d 1"]}),
    "a.js": ("const a = `x${1}`; // 'no'\n/* two\n lines */ let b = 0x1f", {"number": ["0x1f"], "string": ["`x${1}`"]}),
    "a.sh": ('for a in "$b"; do # c\n  echo $b\ndone\n', {"keyword": ["for", "in", "do", "done"], "name": ["$b"]}),
    "a.html": (
        '<a href="b">don\'t &amp;</a><!-- c -->',
        {"string": ['"b"'], "comment": ["<!-- c -->"], "name": ["&amp;"]},
    ),
    "a.css": ("a:hover { color: #fff } /* c */ @media", {"name": ["color"], "number": ["#fff"], "keyword": ["@media"]}),
    "a.yaml": ('# c\nkey: "v"\n- other: true\n', {"name": ["key", "other"], "keyword": ["true"], "string": ['"v"']}),
    "a.sql": (
        "SELECT 'it''s' -- c\nfrom t",
        {"keyword": ["SELECT", "from"], "string": ["'it''s'"], "comment": ["-- c"]},
    ),
    "a.go": ('func f() { return "a" } // c', {"keyword": ["func", "return"], "string": ['"a"'], "comment": ["// c"]}),
    "a.ndjson": ('{"a": 1}\n{"a": "b"}\n', {"name": ['"a"', '"a"'], "number": ["1"], "string": ['"b"']}),
}


def test_code_is_coloured_and_stays_the_same_text(tab: Tab) -> None:
    for key, (text, parts) in COLOURED.items():
        tab.store_document(f"/files/code/{key}", text)
        pre = tab.open_document("/files/", f"code/{key}").locator("pre")
        assert pre.text_content() == text
        assert {kind: pre.locator(f".{kind}").all_text_contents() for kind in parts} == parts, key
        tab.leave()


def test_images_are_zoomed_by_click_button_and_key(tab: Tab) -> None:
    tab.store_document("/files/large.png", png(3000, 2000))
    detail = tab.open_document("/files/", "large.png")
    status = detail.get_by_role("status")
    expect(status).to_contain_text("3000 \u00d7 2000 pixels")
    fitting = "(([i, b]) => i.width <= b.clientWidth && i.height <= b.clientHeight)"
    fitting += "(['.media img', '.media'].map((one) => document.querySelector(one)))"
    tab.wait_until(fitting)
    detail.get_by_role("img").click()
    expect(status).to_have_text("3000 \u00d7 2000 pixels, 100 %")
    assert tab.page.evaluate("document.querySelector('.media img').width") == 3000
    tab.page.keyboard.press("+")
    expect(status).to_contain_text("150 %")
    tab.press("Zoom out")
    tab.page.keyboard.press("-")
    expect(status).to_contain_text("75 %")
    tab.page.keyboard.press("0")
    tab.wait_until(fitting)


def test_all_of_json_can_be_unfolded_and_more_of_a_long_list_shown(tab: Tab) -> None:
    tab.store_document("/files/deep.json", '{"a": {"b": {"c": {"d": [' + "1, " * 1200 + "1]}}}}")
    tree = tab.open_document("/files/", "deep.json").locator(".json")
    expect(tree.get_by_text('"d"')).to_have_count(0)
    tab.press("Unfold all")
    expect(tree.get_by_text('"d"')).to_be_visible()
    assert tree.locator("span.number").count() == 500
    tab.press("Show more of 701")
    assert tree.locator("span.number").count() == 1000
    tab.press("Fold all")
    expect(tree.get_by_text('"b"')).to_be_hidden()


def test_more_of_a_large_text_is_shown_on_demand(tab: Tab) -> None:
    tab.store_document("/files/much.txt", "line\n" * 100_000)
    detail = tab.open_document("/files/", "much.txt")
    assert len(content(detail).text_content() or "") == 65_536
    tab.press("Show the first 488 KiB")
    expect(detail.get_by_role("button", name="Show the first")).to_have_count(0)
    assert len(content(detail).text_content() or "") == 500_000


def test_broken_json_says_where(tab: Tab) -> None:
    tab.store_document("/files/broken.json", '{\n  "a": 1,\n}')
    detail = tab.open_document("/files/", "broken.json")
    expect(detail).to_contain_text("This is not valid JSON. Line 3, column 1: a name in quotes is expected here.")


def test_a_missing_document_can_be_created_where_it_is_missed(tab: Tab) -> None:
    for mount in MOUNTS:
        tab.open(f"{mount}#missed")
        expect(tab.dialog).to_contain_text("This document does not exist (any more).")
        tab.press("Create it")
        expect(tab.dialog.get_by_label("Key")).to_have_value("missed")
        tab.dialog.get_by_label("Content").fill("made")
        tab.press("Store")
        expect(tab.page.locator("dialog.detail").last.locator("pre")).to_have_text("made")
        assert tab.stored(f"{mount}missed").content == b"made"


FAILURES = {
    503: "the storage is unavailable. Try again in a moment.",
    507: "no space left in the store.",
    401: "authentication is required. Log in to this store, then try again.",
    412: "the document was changed meanwhile. Open it again",
    0: "the store can't be reached",
}


def test_a_preview_that_fails_says_why_and_can_be_repeated(tab: Tab) -> None:
    tab.store_document("/files/fails.txt", "here", content_type="text/plain")
    tab.expect(*FAILURES, "ERR_CONNECTION_REFUSED")
    tab.open("/files/?prefix=fails")
    for status, words in FAILURES.items():
        if status:
            tab.answer_with("GET", "**/files/fails.txt", status=status, content_type="text/html", body="<h1>no</h1>")
        else:
            tab.page.route("**/files/fails.txt", lambda route: route.abort("connectionrefused"))
        tab.page.get_by_role("link", name="fails.txt").click()
        expect(tab.dialog.locator("section.preview .alert")).to_contain_text(words)
        expect(tab.dialog.locator("dl")).to_contain_text("4 bytes")
        tab.page.unroute("**/files/fails.txt")
        tab.press("Try again")
        expect(content(tab.dialog)).to_have_text("here")
        tab.leave()
