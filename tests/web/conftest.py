"""The page in a real browser: Debian's Chromium, driven by Playwright, against a real server.

Each test process has one browser. Each test has a new context, which takes most of a second; modules with `SHARED_TAB`,
whose tests leave nothing behind in the browser, share one. Playwright's synchronous API keeps an event loop running in
its thread, where `asyncio.run` is refused; so the browser and all tests that use `tab` run in a separate thread.
"""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.server_process import RunningServer
from tests.web.tab import Tab

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]

Result = TypeVar("Result")


class BrowserThread:
    """A browser and the only thread that may use it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "browser")
        self.browser: Browser = self.run(self._open)

    def run(self, work: Callable[[], Result]) -> Result:
        return self._thread.submit(work).result()

    def _open(self) -> Browser:
        self._playwright = sync_playwright().start()
        return self._playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)

    def close(self) -> None:
        def end() -> None:
            self.browser.close()
            self._playwright.stop()

        self.run(end)
        self._thread.shutdown()


@pytest.fixture(scope="session")
def browser_thread() -> Iterator[BrowserThread]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium (Debian package: chromium)")
    thread = BrowserThread()
    yield thread
    thread.close()


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server shared by all tests, with a mount for each key rule. Each test uses different keys."""
    folder = tmp_path_factory.mktemp("page")
    mounts = ["docs=memory:", "site=memory:?keys=path", "many=memory:", "small=memory:?max_document=1000&keys=path"]
    mounts += [f"disk=sqlite:{folder}/docs.db", "names=memory:?keys=name"]
    mounts += [f"rows=sqlite:{folder}/rows.db?keys=name", f"files=file:{folder}/files"]
    mounts += [f"plain=file:{folder}/plain?keys=name"]
    with RunningServer(folder / "data", *(part for mount in mounts for part in ("--mount", mount))) as running:
        yield running


@pytest.fixture(scope="module")
def shared_tab(browser_thread: BrowserThread, store: RunningServer) -> Iterator[Tab]:
    opened = browser_thread.run(lambda: Tab(browser_thread.browser, store))
    yield opened
    browser_thread.run(opened.close)


@pytest.fixture
def tab(request: pytest.FixtureRequest, browser_thread: BrowserThread, store: RunningServer) -> Iterator[Tab]:
    """A new tab on the `store`. Errors that the browser reports fail the test."""
    if getattr(request.module, "SHARED_TAB", False):
        shared: Tab = request.getfixturevalue("shared_tab")
        browser_thread.run(shared.begin)
        yield shared
        shared.check()
        return
    opened = browser_thread.run(lambda: Tab(browser_thread.browser, store))
    yield opened
    browser_thread.run(opened.close)
    opened.check()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if "tab" not in pyfuncitem.fixturenames:
        return None
    thread = pyfuncitem.funcargs["browser_thread"]
    assert isinstance(thread, BrowserThread)
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    thread.run(lambda: pyfuncitem.obj(**arguments))
    return True
