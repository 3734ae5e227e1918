"""A tab of the browser: the page, the store behind it, and everything that the browser complains of."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, Route, expect

from tests.http_client import Answer, Client
from tests.server_process import RunningServer

WAITS_MS = 20_000
WAIT_MS = 25
expect.set_options(timeout=WAITS_MS)
STATUS = re.compile(r"the server responded with a status of (\d+)|net::(ERR_\w+)")


class Tab:
    """What a test does in the browser. Errors, refusals by the policy and other hosts are complaints."""

    def __init__(self, browser: Browser, store: RunningServer, **options: Any) -> None:
        self.store = store
        self.browser = browser
        self.client = Client(store)
        self.complaints: list[str] = []
        self.requests: list[Request] = []
        self._expected: set[str] = set()
        self._allowed: list[str] = []
        self.context = browser.new_context(base_url=store.url, viewport={"width": 1000, "height": 700}, **options)
        self.context.set_default_timeout(WAITS_MS)
        self.context.on("request", self._request)
        self.page: Page = self.context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))

    def expect(self, *failures: int | str) -> None:
        """Statuses, or names of errors of the network, that this test is about."""
        self._expected |= {str(failure) for failure in failures}

    def allow(self, beginning: str) -> None:
        """A message that begins so, which shows that the browser refuses what it should."""
        self._allowed.append(beginning)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning") or message.text.startswith(tuple(self._allowed)):
            return
        failure = STATUS.search(message.text)
        if failure is None or not {failure[1], failure[2]} & self._expected:
            self.complaints.append(f"{message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        self.requests.append(request)
        host = urlsplit(request.url)
        # What a browser shows a PDF with is a part of it.
        if host.scheme not in ("blob", "chrome-extension", "chrome") and host.netloc != urlsplit(self.store.url).netloc:
            self.complaints.append(f"a request to another host: {request.url}")

    def begin(self) -> None:
        """Makes it as if nothing had been here, but for what a browser stores."""
        self.page.unroute_all()
        self.page.goto("about:blank")
        for told in (self.complaints, self.requests, self._allowed):
            told.clear()
        self._expected.clear()

    def check(self) -> None:
        assert not self.complaints, "\n".join(self.complaints)

    def close(self) -> None:
        self.context.close()
        self.client.close()

    # The store

    def store_document(self, path: str, content: bytes | str = b"x", **fields: str) -> Answer:
        """PUT, path unquoted; `fields` with `_` for `-`."""
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        data = content.encode() if isinstance(content, str) else content
        answer = self.client.ask("PUT", quote(path), data, headers)
        assert answer.status in (200, 201), answer
        return answer

    def stored(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.client.ask("GET", quote(path), headers=headers)

    # The page

    def open(self, path: str) -> None:
        """Shows a collection, with its script at work."""
        self.page.goto(path)
        self.page.wait_for_selector("html[data-ready]", state="attached")

    def sheet(self, mount: str, key: str) -> Locator:
        """The sheet of a document, with its preview there."""
        self.open(f"{mount}#{quote(key)}")
        sheet = self.page.locator("dialog.sheet")
        expect(sheet.locator("dl")).to_be_visible()
        expect(sheet.locator("section[aria-label=Preview] > *").first).to_be_attached()
        return sheet

    def leave(self) -> None:
        """Closes the sheet, once it is there, and waits until the address says so."""
        expect(self.page.locator("dialog.sheet dl")).to_be_visible()
        self.page.keyboard.press("Escape")
        expect(self.page.locator("dialog")).to_have_count(0)
        self.wait_until("location.hash === ''")

    @property
    def dialog(self) -> Locator:
        """The dialog on top."""
        return self.page.locator("dialog").last

    def press(self, name: str) -> None:
        """A button of the dialog on top, or of the page when there is none."""
        place = self.dialog if self.page.locator("dialog").count() else self.page.locator("body")
        place.get_by_role("button", name=name, exact=True).click()

    def wait_until(self, script: str) -> None:
        """Until an expression is true. Playwright's own way is an eval in the page, which the page's policy refuses."""
        for _ in range(WAITS_MS // WAIT_MS):
            if self.page.evaluate(script):
                return
            self.page.wait_for_timeout(WAIT_MS)
        raise AssertionError(f"it never came to {script}")

    def keys(self) -> list[str]:
        return self.page.locator("#documents tbody a").all_inner_texts()

    def wait_for_keys(self, *keys: str) -> None:
        expect(self.page.locator("#documents tbody a")).to_have_text(list(keys))

    def answer_with(self, method: str, pattern: str, **answer: Any) -> None:
        """From now on the browser sees this instead of what the store would say."""

        def instead(route: Route) -> None:
            if route.request.method == method:
                route.fulfill(**answer)
            else:
                route.continue_()

        self.page.route(pattern, instead)

    def choose(self, *files: Path | dict[str, Any]) -> None:
        """Files for the button Upload."""
        self.page.locator("#files").set_input_files(list(files))
