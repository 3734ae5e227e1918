"""Measure the page in Chromium. `make bench-page`; it needs the Chromium of the tests.

    python -m benchmarks.page [--keys 1000,1000000] [--rounds 9]

First paints with an empty cache: of a document of a few bytes of HTML, which is what the browser and the machine take
for any page; of the start; and of the first page of a sqlite mount of each size. For each mount also the time until the
next page is drawn after a click, the time in which the script draws 200 rows in another order, and the time in which
the server answers with a page in the middle of all keys and with a page of folders.

Times are medians in milliseconds. The rounds of all measurements take turns, so that the load of the machine is the
same for each. Documents are inserted with SQL: ten million take a few minutes and 3 GB in TMPDIR.
"""

import argparse
import shutil
import statistics
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page, sync_playwright

from docstore.engines.sqlite.schema import open_writing
from docstore.model import Fields, version_of
from docstore.testing.server import ServerProcess

PAINTED: Final = """() => new Promise((resolve) => new PerformanceObserver((list) => {
  const paint = list.getEntriesByName("first-contentful-paint")[0];
  if (paint) resolve(paint.startTime);
}).observe({ type: "paint", buffered: true }))"""
TURNED: Final = """() => new Promise((resolve) => {
  const begin = performance.now();
  new MutationObserver(() => {
    document.querySelector("#documents").getBoundingClientRect();
    resolve(performance.now() - begin);
  }).observe(document.querySelector("#documents tbody"), { childList: true });
  document.querySelector("#pages [rel=next]").click();
})"""
DRAWN: Final = """async () => {
  const sort = document.querySelector(".sort");
  const draw = () => { sort.click(); document.querySelector("#documents").getBoundingClientRect(); };
  draw();
  await new Promise((resolve) => setTimeout(resolve, 500));
  const begin = performance.now();
  draw();
  return performance.now() - begin;
}"""
"""The first click loads what the order needs; the second one draws."""

FOLDERS: Final = 1000
INSERT: Final = """
WITH RECURSIVE numbers (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i + 1 < :documents)
INSERT INTO documents (key, version, size, digest, fields, modified_ns, data)
SELECT printf('%03d/%08d', i * :folders / :documents, i), :version, 1, :digest, :fields, :now_ns, x'78' FROM numbers"""


def fill(path: Path, documents: int) -> None:
    """Create a store of documents of one byte, in folders of the same size."""
    fields, digest = Fields.make("text/plain", {}), sha256(b"x").digest()
    values = {"documents": documents, "folders": FOLDERS, "version": version_of(digest, fields), "digest": digest}
    connection = open_writing(path)
    connection.pragma("synchronous", "OFF")
    connection.execute(INSERT, {**values, "fields": fields.pack(), "now_ns": time.time_ns()})
    connection.close()


def load(browser: Browser, url: str, then: Callable[[Page], float]) -> float:
    """Open a page in a new context, as on the first visit, and return what `then` measures."""
    context = browser.new_context(bypass_csp=True)  # stored HTML is sandboxed
    page = context.new_page()
    page.goto(url, wait_until="load")
    time_ms = then(page)
    context.close()
    return time_ms


def painted(page: Page) -> float:
    return float(page.evaluate(PAINTED))


def drawn(script: str) -> Callable[[Page], float]:
    def measure(page: Page) -> float:
        page.wait_for_selector("html[data-ready]", state="attached")
        return float(page.evaluate(script))

    return measure


def answer_time_ms(server: ServerProcess, path: str) -> float:
    begin = time.perf_counter()
    request = urllib.request.Request(server.url + path, headers={"Accept": "text/html"})
    with urllib.request.urlopen(request) as response:
        response.read()
    return (time.perf_counter() - begin) * 1000


def measurements(server: ServerProcess, browser: Browser, sizes: list[int]) -> dict[str, Callable[[], float]]:
    """Return what to measure, by name."""
    tiny = b"<!doctype html><html lang=en><title>Tiny</title><p>Text"
    headers = {"Content-Type": "text/html; charset=utf-8"}
    urllib.request.urlopen(urllib.request.Request(f"{server.url}/tiny/page", tiny, headers, method="PUT")).close()

    def in_browser(path: str, then: Callable[[Page], float]) -> Callable[[], float]:
        return lambda: load(browser, server.url + path, then)

    def on_server(path: str) -> Callable[[], float]:
        return lambda: answer_time_ms(server, path)

    found = {"first paint of tiny HTML": in_browser("/tiny/page", painted)}
    found["first paint of the start"] = in_browser("/", painted)
    for size in sizes:
        mount, name = f"/m{size}/", f"{size:,} keys"
        found[f"{name}: first paint"] = in_browser(f"{mount}?delimiter=", painted)
        found[f"{name}: next page drawn"] = in_browser(f"{mount}?delimiter=", drawn(TURNED))
        found[f"{name}: 200 rows drawn"] = in_browser(f"{mount}?delimiter=&limit=200", drawn(DRAWN))
        found[f"{name}: answer, a page in the middle"] = on_server(f"{mount}?delimiter=&after=500%2F")
        found[f"{name}: answer, a page of folders"] = on_server(mount)
        found[f"{name}: answer, a folder"] = on_server(f"{mount}500/")
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--keys", default="1000,1000000")
    arguments.add_argument("--rounds", type=int, default=9)
    given = arguments.parse_args()
    sizes = [int(text) for text in given.keys.split(",")]
    times: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        mounts = ["--mount=tiny=memory:"]
        for size in sizes:
            begin = time.perf_counter()
            fill(Path(folder) / f"{size}.db", size)
            print(f"inserted {size:,} documents in {time.perf_counter() - begin:.0f} s", flush=True)
            mounts.append(f"--mount=m{size}=sqlite:{folder}/{size}.db")
        with ServerProcess(Path(folder), *mounts, "--log-level", "warning") as server, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            measures = measurements(server, browser, sizes)
            for number in range(given.rounds + 1):
                for name, measure in measures.items():
                    time_ms = measure()
                    if number:  # the first round fills caches and starts processes of the browser
                        times[name].append(time_ms)
            browser.close()
    tiny_ms = statistics.median(times["first paint of tiny HTML"])
    for name, values in times.items():
        time_ms = statistics.median(values)
        ratio = f"  {time_ms / tiny_ms:4.1f} of tiny HTML" if "first paint" in name else ""
        print(f"{name:48} {time_ms:6.1f} ms{ratio}")


if __name__ == "__main__":
    main()
