"""A browser tab with the page, the store behind it, and the complaints of the browser."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, Route, ViewportSize, expect

from tests.http_client import Answer, Client
from tests.server_process import RunningServer

WAITS_MS = 20_000
WAIT_MS = 25
expect.set_options(timeout=WAITS_MS)
VIEWPORT: ViewportSize = {"width": 1000, "height": 700}
STATUS = re.compile(r"the server responded with a status of (\d+)|net::(ERR_\w+)")


class Tab:
    """A tab driven by a test. Script errors, violations of the policy and requests to other hosts are complaints."""

    def __init__(self, browser: Browser, store: RunningServer, **options: Any) -> None:
        self.store = store
        self.browser = browser
        self.client = Client(store)
        self.complaints: list[str] = []
        self.requests: list[Request] = []
        self._expected: set[str] = set()
        self._allowed: list[str] = []
        self.context = browser.new_context(base_url=store.url, viewport=VIEWPORT, **options)
        self.context.set_default_timeout(WAITS_MS)
        self.context.on("request", self._request)
        self.page: Page = self.context.new_page()
        self._devtools = self.context.new_cdp_session(self.page)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))

    def expect(self, *failures: int | str) -> None:
        """Accept these statuses or network error names from now on."""
        self._expected |= {str(failure) for failure in failures}

    def allow(self, prefix: str) -> None:
        """Accept console messages with this prefix: they prove that the browser blocks something."""
        self._allowed.append(prefix)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning") or message.text.startswith(tuple(self._allowed)):
            return
        failure = STATUS.search(message.text)
        if failure is None or not {failure[1], failure[2]} & self._expected:
            self.complaints.append(f"{message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        self.requests.append(request)
        host = urlsplit(request.url)
        # The PDF viewer of the browser is an extension.
        if host.scheme not in ("blob", "chrome-extension", "chrome") and host.netloc != urlsplit(self.store.url).netloc:
            self.complaints.append(f"a request to another host: {request.url}")

    def begin(self) -> None:
        """Reset the tab for another test, as if it were new."""
        self.page.unroute_all()
        self.page.goto("about:blank")
        self.context.set_offline(False)
        self.context.clear_permissions()
        self.page.set_viewport_size(VIEWPORT)
        self.page.emulate_media(color_scheme="null", reduced_motion="null")
        self._devtools.send("Storage.clearDataForOrigin", {"origin": self.store.url, "storageTypes": "all"})
        self._devtools.send("Network.clearBrowserCache")
        for record in (self.complaints, self.requests, self._allowed):
            record.clear()
        self._expected.clear()

    def check(self) -> None:
        assert not self.complaints, "\n".join(self.complaints)

    def close(self) -> None:
        self.context.close()
        self.client.close()

    # The store

    def store_document(self, path: str, content: bytes | str = b"x", **fields: str) -> Answer:
        """PUT a document. The path is not quoted yet; `fields` have `_` for `-`."""
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        data = content.encode() if isinstance(content, str) else content
        answer = self.client.ask("PUT", quote(path), data, headers)
        assert answer.status in (200, 201), answer
        return answer

    def stored(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.client.ask("GET", quote(path), headers=headers)

    # The page

    def open(self, path: str) -> None:
        """Open a collection and wait for its script."""
        self.page.goto(path)
        self.page.wait_for_selector("html[data-ready]", state="attached")

    def log_in(self, token: str) -> None:
        """Log in on the page for it."""
        self.page.goto("/-/login")
        self.page.get_by_label("Token").fill(token)
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page.locator("#login")).to_contain_text("Logged in as")

    def open_document(self, mount: str, key: str) -> Locator:
        """Open the detail view of a document and wait for its preview."""
        self.open(f"{mount}#{quote(key)}")
        detail = self.page.locator("dialog.detail")
        expect(detail.locator("dl")).to_be_visible()
        expect(detail.locator("section[aria-label=Preview] > *").first).to_be_attached()
        return detail

    def leave(self) -> None:
        """Wait for the detail view, close it, and wait for the URL to change."""
        expect(self.page.locator("dialog.detail[open] dl")).to_be_visible()
        self.page.keyboard.press("Escape")
        expect(self.page.locator("dialog")).to_have_count(0)
        self.wait_until("location.hash === ''")

    @property
    def dialog(self) -> Locator:
        """Return the topmost dialog."""
        return self.page.locator("dialog").last

    def press(self, name: str) -> None:
        """Click a button of the topmost dialog, or of the page if no dialog is open."""
        # One locator, so that a dialog that is just closing or opening is waited for.
        self.page.locator("body, dialog").last.get_by_role("button", name=name, exact=True).click()

    def wait_until(self, script: str) -> None:
        """Wait until an expression is true. Playwright's own wait needs eval, which the policy of the page blocks."""
        for _ in range(WAITS_MS // WAIT_MS):
            if self.page.evaluate(script):
                return
            self.page.wait_for_timeout(WAIT_MS)
        raise AssertionError(f"timeout: {script}")

    def keys(self) -> list[str]:
        return self.page.locator("#documents tbody a").all_inner_texts()

    def wait_for_keys(self, *keys: str) -> None:
        expect(self.page.locator("#documents tbody a")).to_have_text(list(keys))

    def wait_for_held(self, held: list[Route], count: int) -> None:
        """Wait until the handler of a route has kept so many requests."""
        for _ in range(WAITS_MS // WAIT_MS):
            if len(held) >= count:
                return
            self.page.wait_for_timeout(WAIT_MS)
        raise AssertionError(f"{len(held)} of {count} requests")

    def answer_with(self, method: str, pattern: str, **answer: Any) -> None:
        """Answer matching requests with this response instead of the store's."""

        def instead(route: Route) -> None:
            if route.request.method == method:
                route.fulfill(**answer)
            else:
                route.continue_()

        self.page.route(pattern, instead)

    def choose(self, *files: Path | dict[str, Any]) -> None:
        """Choose files for the button Upload."""
        self.page.locator("#files").set_input_files(list(files))
