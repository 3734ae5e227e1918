"""The page in a real browser: Debian's Chromium, driven by Playwright, against a real server.

There is one browser for each process of the tests, and a fresh context for each test, which takes most of a second; the
modules that say `SHARES_A_TAB`, whose tests leave nothing in a browser, have one for all of them. Playwright's
synchronous interface keeps an event loop running in the thread that it was started in, where `asyncio.run` is refused
then; so the browser has a thread of its own, in which tests that have a `tab` run as well.
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
    """A browser, and the one thread that may speak to it."""

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
        pytest.skip("the page is tested in Chromium: on Debian it is in the package chromium")
    thread = BrowserThread()
    yield thread
    thread.close()


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with a mount for each rule of keys, shared by all tests: each works on keys of its own."""
    folder = tmp_path_factory.mktemp("page")
    mounts = ["docs=memory:", "site=memory:?keys=path", "many=memory:", "small=memory:?max_document=1000&keys=path"]
    mounts += [f"disk=sqlite:{folder}/docs.db"]
    with RunningServer(folder / "data", *(part for mount in mounts for part in ("--mount", mount))) as running:
        yield running


@pytest.fixture(scope="module")
def shared_tab(browser_thread: BrowserThread, store: RunningServer) -> Iterator[Tab]:
    opened = browser_thread.run(lambda: Tab(browser_thread.browser, store))
    yield opened
    browser_thread.run(opened.close)


@pytest.fixture
def tab(request: pytest.FixtureRequest, browser_thread: BrowserThread, store: RunningServer) -> Iterator[Tab]:
    """A tab of a browser that was never here, on the `store`. What it complains of fails the test."""
    if getattr(request.module, "SHARES_A_TAB", False):
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
