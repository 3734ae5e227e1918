"""The detail view of a document: its URL, metadata and addresses."""

import json

from playwright.sync_api import expect

from tests.web.tab import Tab


def test_a_document_has_a_url_and_back_closes_the_view(tab: Tab) -> None:
    tab.store_document("/site/an address/100% #1?", "here")
    tab.open("/site/?delimiter=&prefix=an+address")
    tab.page.get_by_role("link", name="100% #1?").click()
    expect(tab.dialog.get_by_role("heading")).to_have_text("an address/100% #1?")
    tab.page.reload()
    expect(tab.dialog.locator("pre")).to_have_text("here")
    tab.page.go_back()
    expect(tab.page.locator("dialog")).to_have_count(0)


def test_metadata_is_shown_as_it_was_stored(tab: Tab) -> None:
    fields = {"docstore_cache_control": "max-age=60", "meta_author": "Ann <b>", "content_language": "en"}
    answer = tab.store_document("/docs/meta", b"x" * 2048, content_type="text/x-a", ttl="9000", **fields)
    detail = tab.open_document("/docs/", "meta")
    terms = dict(zip(detail.locator("dt").all_inner_texts(), detail.locator("dd").all_inner_texts(), strict=True))
    assert terms["Size"] == "2.0 KiB (2,048 bytes)"
    assert terms["Expires"].endswith("(2 h)")
    assert f'"{terms["Version"]}"' == answer["etag"]
    shown = {name: terms[name] for name in ("Type", "cache-control", "meta-author", "content-language")}
    assert list(shown.values()) == ["text/x-a", "max-age=60", "Ann <b>", "en"]


def test_a_document_whose_rights_are_unknown_can_be_edited(tab: Tab) -> None:
    tab.expect("ERR_CONNECTION_REFUSED")
    tab.store_document("/docs/unknown", "here")
    tab.page.route(
        "**/docs/unknown",
        lambda route: route.abort("connectionrefused") if route.request.method == "OPTIONS" else route.continue_(),
    )
    detail = tab.open_document("/docs/", "unknown")
    expect(detail.get_by_role("button", name="Edit", exact=True)).to_be_visible()


def test_link_curl_and_python_addresses_can_be_copied(tab: Tab) -> None:
    key = 'it\'s $(x) "q" \u202e\u00e9\U0001f600'
    tab.store_document(f"/site/{key}", "here")
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    detail = tab.open_document("/site/", key)
    copied = {}
    for name in ("Link", "curl", "Python"):
        tab.press(f"Copy {name}")
        expect(detail.get_by_role("button", name=f"Copy {name}")).to_have_text("Copied")
        copied[name] = tab.page.evaluate("navigator.clipboard.readText()")
    url = f"{tab.store.url}/site/it%27s%20%24%28x%29%20%22q%22%20%E2%80%AE%C3%A9%F0%9F%98%80"
    assert copied["Link"] == url
    assert copied["curl"] == f"curl '{url}'"
    start, _, called = copied["Python"].partition("; ")
    assert start == "from docstore import Client"
    base, _, named = called.removeprefix("Client(").removesuffix("]").partition(")[")
    assert (json.loads(base), eval(named)) == (f"{tab.store.url}/site/", key)
    assert "\u202e" not in copied["Python"]


FORM = "application/x-www-form-urlencoded"

FORMS = {
    # content of curl -d: the type that the page offers
    '{"n": 12345678901234567890}': "application/json",
    "[1, 2]": "application/json",
    "hello": "text/plain; charset=utf-8",
    "a = b": "text/plain; charset=utf-8",
    '{"n":': "text/plain; charset=utf-8",
    "a=1&b=2+3": None,
    "": None,
}


def test_the_type_that_curl_sends_can_be_corrected(tab: Tab) -> None:
    for number, (content, media_type) in enumerate(FORMS.items()):
        key = f"form-{number}"
        tab.store_document(
            f"/docs/{key}", content, content_type=FORM, meta_a="1", ttl="900", docstore_cache_control="a=1"
        )
        detail = tab.open_document("/docs/", key)
        expect(detail.locator("section[aria-label=Preview] pre")).to_have_count(1)
        button = detail.get_by_role("button", name="Change the type")
        if media_type is None:
            expect(button).to_have_count(0)
        else:
            kind = "JSON" if media_type == "application/json" else "text"
            expect(detail).to_contain_text(f"This looks like {kind}, but its type is that of a form")
            button.click()
            expect(detail.locator("dd").filter(has_text=media_type)).to_have_count(1)
            expect(button).to_have_count(0)
        answer = tab.stored(f"/docs/{key}")
        assert (answer.content, answer["content-type"]) == (content.encode(), media_type or FORM)
        assert (answer["meta-a"], "sunset" in answer.headers) == ("1", True)
        tab.leave()


def test_an_emptied_type_is_guessed(tab: Tab) -> None:
    tab.store_document("/docs/emptied", "{}", content_type="text/x-a")
    tab.open_document("/docs/", "emptied")
    tab.page.keyboard.press("f")
    tab.dialog.get_by_label("Type").fill("")
    tab.press("Save")
    expect(tab.page.locator("dialog")).to_have_count(1)
    expect(tab.page.locator("dialog.detail dd").filter(has_text="application/json")).to_have_count(1)
    assert tab.stored("/docs/emptied")["content-type"] == "application/json"
