"""The system paths: health, documentation, problem types."""

import asyncio
import gzip
import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from docstore.content import BytesContent
from docstore.engines.memory import Memory
from docstore.errors import StorageUnavailable
from docstore.http.message import Headers, Request
from docstore.model import Meta
from docstore.server.app import Store
from docstore.server.errors import PROBLEM_TYPES, TYPE_BASE
from docstore.server.mounts import Mount
from docstore.server.resources import system
from docstore.server.resources.assets import ASSETS
from docstore.testing.clock import SetClock
from tests.in_process import InProcess, on_a_store

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "problems.md"
PAGES = [
    "/-/",
    "/-/health",
    "/-/ready",
    "/-/openapi.json",
    "/-/docs",
    "/-/problems",
    "/-/web/docstore.css",
    "/-/web/page.js",
]
PATHS = [*PAGES, "/.well-known/api-catalog"]
JSON = {"accept": "application/json"}


@pytest.mark.parametrize("path", PATHS)
@on_a_store("memory")
async def test_head_has_the_fields_of_get_and_nothing_can_be_written(store: InProcess, path: str) -> None:
    get, head = await store.send("GET", path), await store.send("HEAD", path)
    assert (get.status, head.status, head.content) == (200, 200, b"")
    # The nonce in the policy of a page is new in each response.
    fields = [[(name, re.sub(r"nonce-[\w-]{24}", "", value)) for name, value in one.headers] for one in (get, head)]
    assert fields[0] == fields[1]
    assert int(get["content-length"]) == len(get.content) > 0
    for method in ("PUT", "POST", "DELETE", "PATCH"):
        refused = await store.send(method, path)
        assert (refused.status, refused["allow"]) == (405, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize("path", ["/-/nothing", "/-/health/", "/-/web/", "/-/web/docs.html", "/.well-known/"])
@on_a_store("memory")
async def test_an_absent_document_is_404(store: InProcess, path: str) -> None:
    assert (await store.send("GET", path)).status == 404


@pytest.mark.parametrize("name", ["docstore.css", "page.js", "icon.svg"])
@on_a_store("memory")
async def test_assets_are_revalidated_and_sent_once(store: InProcess, name: str) -> None:
    first = await store.send("GET", f"/-/web/{name}")
    assert (first.status, first["cache-control"]) == (200, "no-cache")
    types = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
    assert first["content-type"] == types[name.partition(".")[2]]
    for field, value, status in [
        ("if-none-match", first["etag"], 304),
        ("if-none-match", "*", 304),
        ("if-none-match", '"another"', 200),
        ("if-match", first["etag"], 200),
        ("if-match", '"another"', 412),
        ("if-modified-since", "Sun, 06 Nov 2044 08:49:37 GMT", 200),
        ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT", 200),
    ]:
        again = await store.send("GET", f"/-/web/{name}", headers={field: value})
        assert (again.status, again["etag"]) == (status, first["etag"]), field


@on_a_store("memory")
async def test_a_healthy_store_is_reported_as_healthy(store: InProcess) -> None:
    for path, content in (("/-/health", b"ok\n"), ("/-/ready", b"ready\n")):
        answer = await store.send("GET", path)
        assert (answer.status, answer.content, answer["cache-control"]) == (200, content, "no-store")


class Failing(Memory):
    """An engine whose storage is unavailable."""

    async def head(self, key: str) -> Meta | None:
        raise StorageUnavailable("the disk is gone")


class Silent(Memory):
    """An engine whose probe never ends."""

    async def head(self, key: str) -> Meta | None:
        await asyncio.Event().wait()
        raise AssertionError


@pytest.mark.parametrize("ill", [Failing, Silent])
def test_one_engine_that_does_not_answer_makes_the_store_unready(
    ill: type[Memory], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(system, "READY_TIMEOUT_S", 0.01)
    clock = SetClock()
    mounts = [Mount("well", Memory(clock)), Mount("ill", ill(clock)), Mount("also/ill", ill(clock))]

    async def run() -> None:
        store = Store(mounts, clock=clock)
        for method in ("GET", "HEAD"):
            headers = Headers([(b"accept", b"application/json")])
            response = await store.handle(Request(method, "/-/ready", "", headers, BytesContent(b"")))
            assert (response.status, dict(response.headers)[b"retry-after"]) == (503, b"1")
        problem = json.loads(response.content.data)
        assert problem["type"] == "/-/problems#unavailable"
        assert problem["detail"] == "the storage of /ill/, /also/ill/ does not respond"
        healthy = await store.handle(Request("GET", "/-/health", "", Headers(), BytesContent(b"")))
        assert healthy.status == 200

    asyncio.run(run())
    assert "/ill/ is not ready: " in caplog.text
    assert "/well/ is not ready" not in caplog.text


@on_a_store("memory")
async def test_the_page_of_problems_has_a_line_for_each_type(store: InProcess) -> None:
    page = await store.send("GET", "/-/problems")
    assert (page["content-type"], page["vary"]) == ("text/html; charset=utf-8", "Accept")
    html = page.content.decode()
    assert re.findall(r'<tr id="([^"]+)">', html) == list(PROBLEM_TYPES)
    for problem in PROBLEM_TYPES.values():
        assert all(f"<td>{text}</td>" in unescape(html) for text in (problem.status, problem.title, problem.advice))


@on_a_store("memory")
async def test_the_problems_are_text_for_a_shell(store: InProcess) -> None:
    text = await store.send("GET", "/-/problems", headers={"accept": "text/plain"})
    lines = text.content.decode().splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"{one.status} {one.name}" for one in PROBLEM_TYPES.values()]
    assert (await store.send("GET", "/-/problems", headers={"accept": "image/png"})).status == 406


@on_a_store("memory")
async def test_the_type_of_a_problem_is_a_url_of_that_page(store: InProcess) -> None:
    refused = json.loads((await store.send("GET", "/memory/nothing", headers=JSON)).content)
    path, _, name = refused["type"].partition("#")
    assert f"{path}#" == TYPE_BASE
    assert f'id="{name}"' in (await store.send("GET", path)).content.decode()


def rows_of(markdown: str) -> Iterator[list[str]]:
    """The cells of the table whose first column is the type."""
    table = markdown.partition("| type | status |")[2].splitlines()[2:]
    return ([cell.strip() for cell in line.strip("|").split("|")] for line in table if line.startswith("|"))


def test_the_documentation_lists_all_problems() -> None:
    expected = [[one.name, str(one.status), one.title, one.advice] for one in PROBLEM_TYPES.values()]
    assert list(rows_of(DOCUMENTATION.read_text(encoding="utf-8"))) == expected


@on_a_store("memory")
async def test_the_catalog_links_to_existing_descriptions(store: InProcess) -> None:
    catalog = await store.send("GET", "/.well-known/api-catalog")
    assert catalog["content-type"] == 'application/linkset+json; profile="https://www.rfc-editor.org/info/rfc9727"'
    [links] = json.loads(catalog.content)["linkset"]
    assert links.pop("anchor") == "/"
    assert list(links) == ["service-desc", "service-doc", "status"]
    for rel, [target] in links.items():
        answer = await store.send("GET", target["href"])
        assert answer.status == 200
        assert answer["content-type"].partition(";")[0] == target["type"]
        assert f'<{target["href"]}>; rel="{rel}"; type="{target["type"]}"; anchor="/"' in catalog["link"]
    assert catalog["link"].startswith('</.well-known/api-catalog>; rel="api-catalog", ')


@pytest.mark.parametrize("accept", ["text/html", "application/json", "text/plain"])
@on_a_store("memory")
async def test_the_root_links_to_its_descriptions(store: InProcess, accept: str) -> None:
    for method in ("GET", "HEAD"):
        link = (await store.send(method, "/", headers={"accept": accept}))["link"]
        targets = dict(re.findall(r'<([^>]+)>; rel="([^"]+)"', link))
        assert targets == {"/-/openapi.json": "service-desc", "/-/docs": "service-doc"}


@pytest.mark.parametrize("path", ["/-/", "/-/docs", "/-/problems"])
@on_a_store("memory")
async def test_the_pages_need_no_script_and_no_other_host(store: InProcess, path: str) -> None:
    page = await store.send("GET", path)
    html = page.content.decode()
    assert "default-src 'none'" in page["content-security-policy"]
    # Only the forms of the API have a script, by a nonce.
    html, scripts = re.subn(r'<script type="module" nonce="[\w-]{24}" src="/-/web/try_it.js"></script>', "", html)
    assert scripts == (path == "/-/docs")
    html = re.sub(r'<style(?: nonce="[\w-]{24}")?>[^<]+</style>', "", html)
    assert not re.search(r"<script|<style|style=|javascript:| on[a-z]+=", html)
    for target in re.findall(r'(?:href|src)="([^"]+)"', html):
        assert target.startswith(("/", "#")), target
        own = target.partition("#")[0]
        assert not own or (await store.send("GET", own)).status == 200


@on_a_store("memory")
async def test_assets_are_gzipped_for_clients_that_accept_it(store: InProcess) -> None:
    weight = 0
    for name in sorted(ASSETS):
        plain = await store.send("GET", f"/-/web/{name}")
        coded = await store.send("GET", f"/-/web/{name}", headers={"accept-encoding": "gzip, br"})
        assert gzip.decompress(coded.content) == plain.content
        assert (coded["content-encoding"], coded["content-type"]) == ("gzip", plain["content-type"])
        assert coded["etag"] != plain["etag"], "two representations"
        assert "content-encoding" not in plain
        for reply in (plain, coded):
            assert reply["vary"] == "Accept-Encoding"
        told = {"accept-encoding": "gzip", "if-none-match": coded["etag"]}
        again = await store.send("GET", f"/-/web/{name}", headers=told)
        assert (again.status, again["etag"], again["vary"]) == (304, coded["etag"], "Accept-Encoding")
        weight += len(coded.content)
    page = await store.send("GET", "/memory/", headers={"accept": "text/html"})
    assert weight + len(page.content) < 120_000, "all of the page, with what is loaded later"
