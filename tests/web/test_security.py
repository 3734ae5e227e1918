"""Nothing that others store runs in the page, and read-only clients get no buttons to write."""

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
"""1,024 bytes with `evil/` before it, the longest key."""
TYPES = ["text/html", "image/svg+xml", "text/javascript", "image/png", f'text/plain; x="{RUNS[:-1]}"']


@pytest.fixture
def keys(tab: Tab) -> list[str]:
    """Store hostile content under hostile keys, with media types that do not match, and return the keys."""
    more = (RUNS, LONG, "`${alert(1)}`", "a\u2028b", "%3Cscript%3E", "\\", " a ")
    made = [f"evil/{key}" for key in (*HOSTILE_KEYS, *more)]
    content = f'{RUNS}<script>alert(1)</script><svg xmlns="x" onload="alert(1)"/>'
    fields = {"meta_a": RUNS, "content_disposition": f'inline; filename="{RUNS}"'}
    for index, key in enumerate(made):
        tab.store_document(f"/site/{key}", content, content_type=TYPES[index % len(TYPES)], **fields)
    return sorted(made, key=str.encode)


def test_hostile_keys_and_contents_are_shown_and_nothing_runs(tab: Tab, keys: list[str]) -> None:
    tab.page.on("dialog", lambda dialog: (tab.complaints.append(f"it ran: {dialog.message}"), dialog.dismiss()))
    tab.open("/site/?delimiter=&prefix=evil/")
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
    heading = tab.open_document("/site/", "turned/\u202egnp.exe").get_by_role("heading")
    expect(heading).to_have_text("turned/\u27e8U+202E\u27e9gnp.exe")
    tab.open("/site/?delimiter=/&prefix=evil/")
    assert tab.page.evaluate("document.querySelectorAll('main img, main svg, main script, main base').length") == 0


SCRIPTS = {
    # key: content that would run, or load something, if it became markup or an address
    "md": f"""# {RUNS}
[run](javascript:alert(1)) [data](data:text/html,x) ![img](https://elsewhere.example/x.png)
<a href="javascript:alert(1)">
[tab](java\tscript:alert(1)) <javascript:alert(1)> ![x](javascript:alert(1)) [out](../-/web/page.js) `{RUNS}`

| {RUNS} | b |
|---|---|
| [c](vbscript:x) | {RUNS} |

- [ ] {RUNS}
> {RUNS}
```html
{RUNS}<script>alert(1)</script>
```""",
    "csv": f'{RUNS},"<script>alert(1)</script>"\n=1+1,{RUNS}\n',
    "json": f'{{"{RUNS}": "{RUNS}<script>alert(1)</script>", "__proto__": {{"onclick": "alert(1)"}}}}',
    "html": f"{RUNS}<script>alert(1)</script>",
    "js": f"document.body.innerHTML = `{RUNS}`; alert(1)",
    "py": f"x = '''{RUNS}''' # <script>alert(1)</script>",
}


def test_stored_markup_stays_text_in_every_preview(tab: Tab) -> None:
    tab.page.on("dialog", lambda dialog: (tab.complaints.append(f"it ran: {dialog.message}"), dialog.dismiss()))
    for ending, content in SCRIPTS.items():
        tab.store_document(f"/files/runs.{ending}", content)
        preview = tab.open_document("/files/", f"runs.{ending}").locator("section.preview")
        for view in ("Rendered", "Table", "Tree", "Source"):
            if preview.get_by_role("button", name=view, exact=True).count():
                tab.press(view)
            if view == "Tree" and ending == "json":
                tab.press("Unfold all")
            assert preview.locator("script, img, svg, iframe, [onerror], [onclick], [style]").count() == 0, (
                ending,
                view,
            )
            assert RUNS in (preview.text_content() or ""), (ending, view)
            targets = [link.get_attribute("href") or "" for link in preview.locator("a").all()]
            assert all(target.startswith(("https://elsewhere.example/", f"{tab.store.url}/")) for target in targets)
        tab.leave()


def test_injected_markup_cannot_load_a_stored_script(tab: Tab) -> None:
    """Simulate a template that fails to escape. `/docs/evil` has the same origin; only the nonce blocks it."""
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


def test_a_read_only_client_gets_no_buttons_to_write(tab: Tab, tmp_path: Path) -> None:
    with RunningServer(tmp_path / "data") as server:
        assert ask(server, "PUT", "/docs/there", b"text", {"Content-Type": "text/plain"}).status == 201
        assert server.stop() == 0
    with RunningServer(tmp_path / "data", "--anonymous", "read") as server:
        reader = Tab(tab.browser, server)
        reader.open("/docs/")
        expect(reader.page.locator("#tools")).to_contain_text("You may only read here.")
        detail = reader.open_document("/docs/", "there")
        expect(detail).to_contain_text("You may only read this document.")
        reader.page.keyboard.press("Delete")
        names = [one.get_attribute("aria-label") or one.inner_text() for one in detail.get_by_role("button").all()]
        assert names == ["Previous document", "Next document", "Close", "Copy Link", "Copy curl", "Copy Python"]
        reader.close()
        reader.check()
