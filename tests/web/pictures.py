"""Draw docs/pictures/ from a real server in a real browser (`make pictures`).

This is not a test. Names and contents are invented; the ages are modification times of files put into the folder.
"""

import math
import os
import shutil
import struct
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, Route, expect, sync_playwright

from tests.server_process import RunningServer
from tests.web.conftest import ARGUMENTS, CHROMIUM
from tests.web.png import shrunk
from tests.web.tab import Tab

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
DAY_S = 86_400

SETTINGS = b"""{"name": "docstore", "port": 8080, "limits": {"head_s": 10, "line_size": 16384},
"mounts": [{"name": "notes", "engine": "sqlite"}, {"name": "cache/ac", "engine": "memory"}], "largest": 5368709120}"""


def hills() -> bytes:
    """A PNG of hills before a sky."""
    width, height = 480, 300
    lines = []
    for y in range(height):
        line = bytearray(b"\0")
        for x in range(width):
            colour = (250 - y // 3, 214 - y // 6, 170 + y // 5)
            for number in range(3):
                if y > 120 + 55 * number + 28 * math.sin(x / (60 - 12 * number) + 2.1 * number):
                    colour = (96 - 34 * number, 140 - 34 * number, 128 - 30 * number)
            line += bytes(colour)
        lines.append(bytes(line))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))]
    chunks += [(b"IDAT", zlib.compress(b"".join(lines))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


FILES = {
    "build/app-1.4.1.tar.gz": (os.urandom(4_700_000), 12 * DAY_S),
    "build/app-1.4.2.tar.gz": (os.urandom(4_900_000), 2 * DAY_S),
    "notes/meeting.md": (b"# Meeting\n" * 90, 3 * 3600),
    "notes/shopping.txt": (b"milk\neggs\nbread\n", 40 * 60),
    "photos/hills.png": (hills(), 200 * DAY_S),
    "photos/lake.jpg": (os.urandom(2_300_000), 199 * DAY_S),
    "sensors/2026-11-22.ndjson": (b'{"t": 21.5}\n' * 9000, 60),
    "settings.json": (SETTINGS, 30 * DAY_S),
    "talks/opening.mp3": (os.urandom(9_800_000), 70 * DAY_S),
}


def fill(folder: Path) -> None:
    for name, (content, age_s) in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        os.utime(file, (time.time() - age_s,) * 2)


def mounts(tab: Tab) -> None:
    tab.store_document("/site/shared/link.json", b"{}", content_type="application/json", ttl="13000")
    for number in range(34):
        tab.store_document(f"/cache/ac/{number:02}", bytes(400_000))
        tab.stored(f"/cache/ac/{number // 2:02}")
    for number in range(9):
        tab.stored(f"/cache/ac/new-{number}")
    tab.page.set_viewport_size({"width": 1000, "height": 760})
    tab.open("/")
    expect(tab.page.locator(".state.ready")).to_have_count(4)


def collection(tab: Tab) -> None:
    tab.open("/site/")


def selection(tab: Tab) -> None:
    tab.open("/site/?delimiter=")
    for name in ("build/app-1.4.2.tar.gz", "notes/meeting.md", "photos/hills.png"):
        tab.page.get_by_role("checkbox", name=f"Select {name}").check()
    tab.page.mouse.move(0, 0)
    tab.wait_until("document.querySelector('#documents img').complete")
    expect(tab.page.locator("#selection b")).to_contain_text("Selected: 3 keys")


def dark(tab: Tab) -> None:
    tab.page.emulate_media(color_scheme="dark")
    tab.open("/site/")


def json_preview(tab: Tab) -> None:
    tab.open_document("/site/", "settings.json")


def image(tab: Tab) -> None:
    tab.open_document("/site/", "photos/hills.png")
    tab.page.wait_for_timeout(300)


held: list[Route] = []
"""Uploads that are held until the picture is taken."""


def upload(tab: Tab) -> None:
    tab.open("/site/?delimiter=/&prefix=notes/")

    def slow(route: Route) -> None:
        if route.request.method == "PUT" and not route.request.url.endswith("shopping.txt"):
            held.append(route)
        else:
            route.continue_()

    tab.page.route("**/site/**", slow)
    names = ("recipes.md", "shopping.txt", "journal.txt", "ideas.md", "garden.md")
    tab.choose(*({"name": name, "mimeType": "text/plain", "buffer": b"x" * 900} for name in names))
    expect(tab.dialog).to_be_visible()


def conflict(tab: Tab) -> None:
    tab.open_document("/site/", "notes/shopping.txt")
    tab.press("Edit")
    tab.dialog.get_by_role("textbox", name="Content").fill("milk\neggs\nbutter\n")
    tab.store_document("/site/notes/shopping.txt", "milk\n6 eggs\nbread\nsalt\n", content_type="text/plain")
    tab.press("Save")
    expect(tab.dialog.locator("mark").first).to_be_visible()


def phone(tab: Tab) -> None:
    tab.page.set_viewport_size({"width": 390, "height": 700})
    tab.open("/site/")


VIEWS: dict[str, Callable[[Tab], None]] = {
    "mounts": mounts,
    "collection": collection,
    "selection": selection,
    "collection-dark": dark,
    "json": json_preview,
    "image": image,
    "upload": upload,
    "conflict": conflict,
    "phone": phone,
}


def draw(page: Page, name: str) -> None:
    png = page.screenshot(animations="disabled", caret="hide")
    (PICTURES / f"{name}.png").write_bytes(min(shrunk(png), png, key=len))


def main() -> None:
    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir()
    folder = Path(tempfile.mkdtemp(prefix="docstore-pictures-"))
    fill(folder / "site")
    given = [
        "docs=sqlite:{}/docs.db",
        "site=file:{}/site?keys=path",
        "cache/ac=memory:?max_bytes=20MiB&evict=lru",
        "shelve=shelve:{}/shelve",
    ]
    arguments = [part for mount in given for part in ("--mount", mount.format(folder))]
    with RunningServer(folder / "data", *arguments) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for name, view in VIEWS.items():
            tab = Tab(browser, server)
            view(tab)
            draw(tab.page, name)
            while held:
                held.pop().abort()
            tab.close()
            print(name)
        browser.close()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
