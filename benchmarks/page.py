"""Measure the page in Chromium. `make bench-page`; it needs the Chromium of the tests.

    python -m benchmarks.page [--keys 200,1000000] [--rounds 9]

For a sqlite mount of each size: the first paint of its first page, the time until its script has taken over the 200
rows, and the time in which the script draws 200 rows in another order. Times are medians in milliseconds, from the
start of the navigation. The page, the server and the benchmark run on one machine.
"""

import argparse
import asyncio
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, sync_playwright

from benchmarks.many import fill
from docstore.engines.registry import EngineURL, open_engine
from docstore.testing.server import ServerProcess

PAINTED: Final = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
READY: Final = "() => document.querySelector('#search') && performance.now()"
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


def measure(browser: Browser, url: str, rounds: int) -> dict[str, float]:
    """Return the medians in milliseconds by the name of what is measured."""
    times: dict[str, list[float]] = {"first paint": [], "script ready": [], "200 rows drawn": []}
    for number in range(rounds + 1):
        context = browser.new_context()  # with an empty cache, as on the first visit
        page = context.new_page()
        page.goto(f"{url}?limit=200", wait_until="commit")
        ready = page.wait_for_function(READY, polling=1).json_value()
        painted = page.wait_for_function(PAINTED, polling=1).json_value()
        page.wait_for_selector(".sort")
        drawn = page.evaluate(DRAWN)
        context.close()
        if number:  # the first round starts processes of the browser
            for name, time_ms in zip(times, (painted, ready, drawn), strict=True):
                times[name].append(time_ms)
    return {name: statistics.median(values) for name, values in times.items()}


async def fill_store(url: EngineURL, size: int) -> None:
    engine = open_engine(url)
    await fill(engine, size)
    await engine.close()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--keys", default="200,1000000")
    arguments.add_argument("--rounds", type=int, default=9)
    given = arguments.parse_args()
    sizes = [int(text) for text in given.keys.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        engines = {size: EngineURL("sqlite", f"{folder}/{size}.db") for size in sizes}
        for size, url in engines.items():
            asyncio.run(fill_store(url, size))
        mounts = [f"--mount=m{size}={url}" for size, url in engines.items()]
        with ServerProcess(Path(folder), *mounts, "--log-level", "warning") as server, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            for size in sizes:
                figures = measure(browser, f"{server.url}/m{size}/", given.rounds)
                print(f"{size:>12,} keys", *(f"{name} {time_ms:.0f} ms" for name, time_ms in figures.items()), sep="  ")
            browser.close()


if __name__ == "__main__":
    main()
