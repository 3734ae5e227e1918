"""The page in a real browser: Debian's Chromium, driven by Playwright, against a real server.

Each test process has one browser, and each file one tab, which is emptied for each test: a new one takes most of a
second. A test that sets the clock of the browser, which can't be reset, uses the fixture `new_tab` for one of its own.
Playwright's synchronous API keeps an event loop running in its thread, where `asyncio.run` is refused; so the browser
and all tests that use `tab` run in a separate thread.
"""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
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


MOUNTS = {
    "docs": "memory:",
    "site": "memory:?keys=path",
    "many": "memory:",
    "small": "memory:?max_document=1000&keys=path",
    "names": "memory:?keys=name",
    "disk": "sqlite:{}/docs.db",
    "rows": "sqlite:{}/rows.db?keys=name",
    "files": "file:{}/files",
    "plain": "file:{}/plain?keys=name",
}


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server shared by all tests, with a mount for each key rule. Each test uses different keys."""
    with store_with(tmp_path_factory.mktemp("page"), *MOUNTS) as running:
        yield running


def store_with(folder: Path, *names: str) -> RunningServer:
    """A server with some of MOUNTS: the documentation of the API lists all operations of each, which costs time."""
    return RunningServer(folder / "data", *(f"--mount={name}={MOUNTS[name].format(folder)}" for name in names))


@pytest.fixture(scope="module")
def shared_tab(browser_thread: BrowserThread, store: RunningServer) -> Iterator[Tab]:
    opened = browser_thread.run(lambda: Tab(browser_thread.browser, store))
    yield opened
    browser_thread.run(opened.close)


@pytest.fixture
def new_tab(browser_thread: BrowserThread, store: RunningServer) -> Iterator[Tab]:
    """The `tab` of a test that uses this fixture is a new one."""
    opened = browser_thread.run(lambda: Tab(browser_thread.browser, store))
    yield opened
    browser_thread.run(opened.close)


@pytest.fixture
def tab(request: pytest.FixtureRequest, browser_thread: BrowserThread) -> Iterator[Tab]:
    """A tab on the `store`, as if it were new. Errors that the browser reports fail the test."""
    given: Tab = request.getfixturevalue("new_tab" if "new_tab" in request.fixturenames else "shared_tab")
    browser_thread.run(given.begin)
    yield given
    browser_thread.run(lambda: given.page.wait_for_timeout(1))  # what the browser has reported arrives
    given.check()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if "tab" not in pyfuncitem.fixturenames:
        return None
    thread = pyfuncitem.funcargs["browser_thread"]
    assert isinstance(thread, BrowserThread)
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    thread.run(lambda: pyfuncitem.obj(**arguments))
    return True
