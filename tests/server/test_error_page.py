"""The page of a problem names the path and the nearest mount, and links to what a person can do next."""

import asyncio
import re
from html import unescape
from pathlib import Path

import pytest

from docstore.content import BytesContent
from docstore.engines.contract import PutRequest
from docstore.engines.memory import Memory
from docstore.errors import StorageUnavailable
from docstore.http.message import Headers, Request
from docstore.model import Fields, Meta
from docstore.server.app import Store
from docstore.server.mounts import Mount
from docstore.testing.clock import SetClock
from docstore.units import parse_rate
from tests.http_client import Client
from tests.server_process import RunningServer

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
LINK = re.compile(r'<li><a href="([^"]*)">([^<]*)</a> <small><bdi>([^<]*)</bdi></small></li>')


def links(page: str) -> list[tuple[str, str, str]]:
    """The links of the page: text, path, target."""
    return [(text, unescape(path), unescape(href)) for href, text, path in LINK.findall(page)]


ALL_MOUNTS = ("See all mounts", "/", "/")
CASES = {
    # path: status, what the page contains, and its links without the last
    "/site/notes/2026/a b": (
        404,
        "/site/notes/2026/a%20b",
        [
            ("Create it here", "/site/notes/2026/a b", "/site/notes/#notes/2026/a%20b"),
            ("Open the nearest folder", "/site/notes/", "/site/notes/"),
            ("Open the nearest mount", "/site/", "/site/"),
        ],
    ),
    "/site/nothing/here/": (404, "no key begins with this path", [("Open the nearest mount", "/site/", "/site/")]),
    "/rows/absent": (
        404,
        "/rows/absent",
        [("Create it here", "/rows/absent", "/rows/#absent"), ("Open the nearest mount", "/rows/", "/rows/")],
    ),
    "/plain/not a key": (
        400,
        "1 to 255 characters of A-Z a-z 0-9 _ -",
        [("Open the nearest mount", "/plain/", "/plain/")],
    ),
    "/stie/x": (
        404,
        "there is no mount at /stie/",
        [("Open the same path in a similar mount", "/site/x", "/site/x")],
    ),
    "/cache/ca/": (404, "/cache/ca/", [("Open the nearest mount", "/cache/ac/", "/cache/ac/")]),
    "/xyzzy/": (
        404,
        "there is no mount at /xyzzy/",
        [("Open a mount", path, path) for path in ("/docs/", "/site/", "/rows/", "/plain/", "/cache/ac/", "/read/")],
    ),
    "/read/absent": (404, "/read/absent", [("Open the nearest mount", "/read/", "/read/")]),
    '/site/<b>"': (
        404,
        "/site/%3Cb%3E%22",
        [
            ("Create it here", '/site/<b>"', "/site/#%3Cb%3E%22"),
            ("Open the nearest mount", "/site/", "/site/"),
        ],
    ),
}


def test_the_page_names_the_path_and_what_to_click(tmp_path: Path) -> None:
    mounts = [
        f"docs=sqlite:{tmp_path}/docs.db",
        f"site=file:{tmp_path}/site",
        f"rows=sqlite:{tmp_path}/rows.db?keys=name",
    ]
    mounts += [f"plain=file:{tmp_path}/plain?keys=name", "cache/ac=memory:", "read=memory:?readonly=yes"]
    with (
        RunningServer(tmp_path / "data", *(f"--mount={mount}" for mount in mounts)) as server,
        Client(server) as client,
    ):
        client.prepare("PUT", "/site/notes/there", b"x")
        for path, (status, words, expected) in CASES.items():
            target = path.replace(" ", "%20").replace("<", "%3C").replace(">", "%3E").replace('"', "%22")
            answer = client.ask("GET", target, headers=BROWSER)
            page = answer.content.decode()
            assert (answer.status, words in page) == (status, True), path
            assert links(page) == [*expected, ALL_MOUNTS], path
            for _, _, href in links(page):
                place = href.partition("#")[0]
                assert client.ask("GET", place, headers=BROWSER).status in (200, 404) if place == "/site/x" else 200
        start = ("Open the start of the service", "/-/", "/-/")
        assert links(client.ask("GET", "/-/nothing", headers=BROWSER).content.decode())[0] == start
        not_allowed = client.ask("DELETE", "/site/", headers=BROWSER).content.decode()
        assert "DELETE <bdi>/site/</bdi>" in not_allowed
        assert "Methods that are allowed here: GET, HEAD, OPTIONS, POST, PUT." in not_allowed
        long = client.ask("GET", "/site/" + "a" * 2000, headers=BROWSER)
        assert (long.status, f"{'a' * 294}\u2026" in long.content.decode()) == (400, True)


class Failing(Memory):
    """An engine whose storage is unavailable."""

    async def head(self, key: str) -> Meta | None:
        raise StorageUnavailable("the disk is gone")

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        raise StorageUnavailable("the disk is gone")


def test_the_page_of_a_storage_that_fails_links_to_the_path_and_to_the_state_of_all(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run() -> None:
        clock = SetClock()
        store = Store([Mount("ill", Failing(clock))], clock=clock)
        headers = Headers([(b"accept", BROWSER["accept"].encode())])
        response = await store.handle(Request("GET", "/ill/a/", "", headers, BytesContent(b"")))
        assert response.status == 503
        token = f"dst_{'0' * 10}_{'1' * 48}"
        await store.handle(Request("GET", f"/ill/{token}", "", headers, BytesContent(b"")))
        assert [token in record.getMessage() for record in caplog.records] == [False, False]
        page = response.content.data.decode()
        assert links(page) == [
            ("Try again", "/ill/a/", "/ill/a/"),
            ("See whether every storage responds", "/-/ready", "/-/ready"),
            ("Open the nearest mount", "/ill/", "/ill/"),
            ALL_MOUNTS,
        ]

    asyncio.run(run())


def test_the_page_of_a_request_that_is_not_admitted_shows_nothing_of_the_store() -> None:
    async def run() -> None:
        clock = SetClock()
        engine = Memory(clock)
        await engine.put(PutRequest("folder/a", BytesContent(b"x"), Fields()))
        store = Store(
            [Mount("secret", engine)], clock=clock, hosts=frozenset({"localhost"}), address_rate=parse_rate("1/d")
        )
        for host, status in (("evil.example", 421), ("localhost", 404), ("localhost", 429)):
            headers = Headers([(b"accept", BROWSER["accept"].encode()), (b"host", host.encode())])
            response = await store.handle(Request("GET", "/secret/folder/b", "", headers, BytesContent(b"")))
            shown = links(response.content.data.decode())
            assert (response.status, shown == [ALL_MOUNTS]) == (status, status != 404)

    asyncio.run(run())
