"""Links behind a proxy that adds a path: each leads to the same place through the proxy and directly."""

import json
import re
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

from docstore import Client as Library
from docstore.http.url import root_from
from tests.http_client import ask
from tests.in_process import InProcess, on_a_store
from tests.server_process import RunningServer

PROXY = "https://host.example/some/store"
BROWSER = {"accept": "text/html"}
PAGES = [
    "/",
    "/memory/",
    "/memory/f/",
    "/memory/f/?prefix=g/h/",
    "/memory/f/g/",
    "/memory/f/?after=f/a",
    "/memory/?delimiter=",
]


@pytest.mark.parametrize(
    ("path", "target", "result"),
    [
        ("/", "/docs/", "/docs/"),
        ("/docs", "/docs/", "/docs/"),
        ("/docs/", "/docs/a", "/docs/a"),
        ("/docs/a/b", "/docs/a/b", "/docs/a/b"),
        ("/docs/a%2Fb", "/docs/a/b", "/docs/a/b"),
        ("/docs/x/../a", "/", "/"),
        ("/docs/f/g/", "/-/docs", "/-/docs"),
    ],
)
def test_a_reference_from_the_root_is_right_below_any_path(path: str, target: str, result: str) -> None:
    for base in ("http://127.0.0.1:8080", PROXY):
        assert urljoin(base + path, root_from(path) + target) == base + result
    assert root_from("/%zz") == ""


async def fill(store: InProcess) -> None:
    for key in ("f/a", "f/http", *(f"f/g/h/{number:03}" for number in range(101))):
        assert (await store.send("PUT", f"/memory/{key}", b"x")).status == 201


@on_a_store("memory", keys="path", relative_links=True)
async def test_every_link_of_every_page_works_through_the_proxy(store: InProcess) -> None:
    await fill(store)
    seen: set[str] = set()
    todo = [*PAGES, "/memory/none", "/-/docs", "/-/problems", "/.well-known/api-catalog"]
    while todo:
        path = todo.pop()
        reply = await store.send("GET", path, headers=BROWSER)
        seen.add(path)
        text = reply.content.decode(errors="replace")
        found = re.findall(r'(?:href|src|data-mount)="([^"#]+)', text) if b"<html" in reply.content else []
        found += re.findall(r"<([^>]*)>; rel", ",".join(reply.all("link")))
        for link in found:
            url = urljoin(PROXY + path, link.replace("&amp;", "&"))
            assert url.startswith(f"{PROXY}/"), (path, link)
            direct = url.removeprefix(PROXY)
            assert urljoin(f"http://127.0.0.1:8080{path}", link.replace("&amp;", "&")).endswith(direct)
            if direct not in seen and direct not in todo:
                todo.append(direct)
        assert reply.status == (404 if path == "/memory/none" else 200), path
    assert "/memory/f/g/h/100" in seen


@on_a_store("memory", keys="path", relative_links=True)
async def test_redirects_locations_and_next_pages_are_relative(store: InProcess) -> None:
    await fill(store)
    for path, target in (("/memory", "/memory/"), ("/memory/f/g", "/memory/f/g/"), ("/memory/f%2Fg", "/memory/f/g/")):
        assert (
            urljoin(PROXY + path, (await store.send("GET", path, headers={"accept": "*/*"}))["location"])
            == PROXY + target
        )
    for method, path in (("PUT", "/memory/new/a"), ("PUT", "/memory/new%2Fb"), ("POST", "/memory/")):
        reply = await store.send(method, path, b"x", {"prefer": "return=representation"})
        assert reply["location"] == reply["content-location"]
        target = urljoin(PROXY + path, reply["location"])
        assert target.startswith(f"{PROXY}/memory/")
        assert (await store.send("GET", target.removeprefix(PROXY))).content == b"x"
    path, found = "/memory/f/?format=json&limit=50", []
    while path:
        page = json.loads((await store.send("GET", path)).content)
        found += page["documents"]
        path = urljoin(PROXY + path, page["next"]).removeprefix(PROXY) if page["next"] else ""
    assert len(found) == 103
    described = json.loads((await store.send("GET", "/-/openapi.json")).content)
    assert urljoin(f"{PROXY}/-/openapi.json", described["servers"][0]["url"]) == f"{PROXY}/"


def test_a_public_url_may_have_a_path(data: Path) -> None:
    with RunningServer(data, "--public-url", f"{PROXY}/", "--public-url", "https://other.example") as server:
        headers = {"Host": urlsplit(PROXY).netloc, "Origin": "https://host.example"}
        assert ask(server, "PUT", "/docs/a", b"x", headers)["location"] == "../docs/a"
        assert ask(server, "GET", "/docs")["location"] == "./docs/"
        with Library(f"{server.url}/docs/") as docs:
            assert docs[docs.add(b"new").key] == b"new"
            assert sorted(docs.documents(), key=lambda info: len(info.key))[0].key == "a"
