"""Folders: a path that ends with a slash is the listing of the keys below it, in each format and on each engine."""

import json
import re
import urllib.parse
from unittest.mock import patch

import pytest

from docstore.config import MountSettings
from docstore.errors import SetupError
from docstore.server.resources import listing
from tests.in_process import InProcess, Reply, on_a_store
from tests.server_process import MOUNTS

each_mount = pytest.mark.parametrize("mount", MOUNTS)
BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
PIP = {"accept": "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"}
KEYS = ["a", "f", "f/1", "f/g/2", "f/g/h/3", "f/ü : 100%/4", "f-"]


def links(reply: Reply, path: str) -> list[str]:
    """The decoded paths of the entries of an HTML listing."""
    assert reply.status == 200, reply
    found = re.findall(
        r'<a href="([^"]*)"><bdi>([^<]*)</bdi></a>', re.sub(r"(?s).*<thead>", "", reply.content.decode())
    )
    for href, text in found:
        assert urllib.parse.unquote(href).rpartition("/")[0] in text, "not relative"
    return [urllib.parse.unquote(urllib.parse.urljoin(path, href)) for href, _ in found]


async def fill(store: InProcess, mount: str, keys: list[str]) -> None:
    for key in keys:
        stored = await store.send("PUT", f"/{mount}/{urllib.parse.quote(key)}", key.encode())
        assert stored.status == 201, stored


@each_mount
@on_a_store(keys="path")
async def test_a_folder_lists_the_keys_below_it_in_each_format(store: InProcess, mount: str) -> None:
    await fill(store, mount, KEYS)
    for headers in ({}, BROWSER, PIP, {"accept": "*/*"}):
        reply = await store.send("GET", f"/{mount}/f/", headers=headers)
        assert (reply["content-type"], reply["vary"]) == ("text/html; charset=utf-8", "Accept")
        assert links(reply, f"/{mount}/f/") == [f"/{mount}/f/g/", f"/{mount}/f/ü : 100%/", f"/{mount}/f/1"]
        top = await store.send("GET", f"/{mount}/", headers=headers)
        assert links(top, f"/{mount}/") == [f"/{mount}/{name}" for name in ("f/", "a", "f", "f-")]
    below = [key for key in KEYS if key.startswith("f/")]
    page = json.loads((await store.send("GET", f"/{mount}/f/?format=json")).content)
    assert [document["key"] for document in page["documents"]] == below
    lines = (await store.send("GET", f"/{mount}/f/", headers={"accept": "application/x-ndjson"})).content.splitlines()
    assert [json.loads(line)["key"] for line in lines] == below
    assert (await store.send("GET", f"/{mount}/f/?format=text")).content.decode().splitlines() == below
    assert (await store.send("GET", f"/{mount}/f/g/?format=text&delimiter=/")).content == b"f/g/2\nf/g/h/\n"
    assert (await store.send("GET", f"/{mount}/f/?format=text&prefix=g/h")).content == b"f/g/h/3\n"
    first = json.loads((await store.send("GET", f"/{mount}/f/?format=json&limit=1&prefix=g")).content)
    assert first["next"] == f"/{mount}/f/?prefix=g&after=f%2Fg%2F2&limit=1&format=json"
    assert b"f/g/h/3" in (await store.send("GET", first["next"])).content


@each_mount
@on_a_store(keys="path")
async def test_a_folder_exists_as_long_as_a_key_is_below_it(store: InProcess, mount: str) -> None:
    await fill(store, mount, KEYS)
    for path in ("a/", "f/1/", "f/x/", "nothing/", "f/g/h/3/"):
        for headers in ({}, BROWSER, {"accept": "application/json"}):
            assert (await store.send("GET", f"/{mount}/{path}", headers=headers)).status == 404
    assert (await store.send("HEAD", f"/{mount}/f/")).status == 200
    assert (await store.send("HEAD", f"/{mount}/nothing/")).status == 404
    assert (await store.send("GET", f"/{mount}/f/?after=f/%C3%BF&format=text")).content == b""
    assert (await store.send("GET", f"/{mount}/f/", headers={"if-none-match": "*"})).status == 304
    assert (await store.send("DELETE", f"/{mount}/f/g/h/3")).status == 200
    assert (await store.send("GET", f"/{mount}/f/g/h/")).status == 404


@each_mount
@on_a_store(keys="path")
async def test_a_folder_is_not_written(store: InProcess, mount: str) -> None:
    await fill(store, mount, KEYS)
    assert (await store.send("OPTIONS", f"/{mount}/f/"))["allow"] == "GET, HEAD, OPTIONS"
    for method in ("PUT", "POST", "PATCH", "DELETE"):
        for path in ("f/", "new/"):
            reply = await store.send(method, f"/{mount}/{path}", b"x")
            assert (reply.status, reply["allow"]) == (405, "GET, HEAD, OPTIONS")
            assert b"write to a document in it" in reply.content
    assert (await store.send("GET", f"/{mount}/?format=text")).content.decode().split("\n")[:-1] == sorted(KEYS)


@on_a_store("memory", keys="path")
async def test_spellings_of_a_folder(store: InProcess) -> None:
    await fill(store, "memory", KEYS)
    for path in ("f/g/", "f/g/.", "f/g/h/..", "f/./g/", "f/%67/", "f/x/../g/", "f%2Fg/"):
        assert (await store.send("GET", f"/memory/{path}?format=text")).content == b"f/g/2\nf/g/h/3\n", path
    for path in ("f//", "f%2F", "f/g%2F", "f/%00/", f"{'s' * 256}/"):
        assert (await store.send("GET", f"/memory/{path}")).status == 400, path


@on_a_store("memory", keys="name")
async def test_a_mount_with_plain_names_has_no_folders(store: InProcess) -> None:
    assert [(await store.send(method, "/memory/f/")).status for method in ("GET", "PUT", "OPTIONS")] == [400] * 3


@each_mount
@on_a_store(keys="path")
async def test_a_document_that_is_absent_is_redirected_to_its_folder(store: InProcess, mount: str) -> None:
    await fill(store, mount, KEYS)
    for headers in ({"accept": "*/*"}, BROWSER):
        for method in ("GET", "HEAD"):
            reply = await store.send(method, f"/{mount}/f/g", headers=headers)
            assert (reply.status, reply["location"], reply["cache-control"]) == (303, f"/{mount}/f/g/", "no-store")
            assert (await store.send(method, f"/{mount}/f/g?a=b", headers=headers))["location"] == f"/{mount}/f/g/?a=b"
            assert (await store.send(method, f"/{mount}/f/none", headers=headers)).status == 404
            assert (await store.send(method, f"/{mount}/f", headers=headers)).status == 200
    for headers in ({}, {"accept": "application/json, */*;q=0.1"}, {"accept": "application/problem+json, */*;q=0.5"}):
        assert (await store.send("GET", f"/{mount}/f/g", headers=headers)).status == 404
    assert [(await store.send(method, f"/{mount}/f/g")).status for method in ("DELETE", "PATCH")] == [404, 415]
    assert (await store.send("PUT", f"/{mount}/f/g", b"x")).status == 201
    assert (await store.send("GET", f"/{mount}/f/g")).content == b"x"


@on_a_store("memory", keys="path")
@patch.object(listing, "DEFAULT_LIMIT", 80)
async def test_browsers_get_pages_and_programs_everything(store: InProcess) -> None:
    keys = [f"f/{number:03}" for number in range(250)] + [f"f/{number:03}/x" for number in range(0, 250, 50)]
    await fill(store, "memory", keys)
    level = sorted({re.sub(r"/x$", "/", key) for key in keys})
    for headers in ({}, PIP, {"accept": "text/html;q=0.9"}):
        reply = await store.send("GET", "/memory/f/", headers=headers)
        assert sorted(links(reply, "/memory/f/")) == [f"/memory/{name}" for name in level]
        assert "link" not in reply
    found, path = [], "/memory/f/"
    while path:
        reply = await store.send("GET", path, headers=BROWSER)
        page = links(reply, "/memory/f/")
        assert len(page) <= 100
        found += page
        following = re.search(r'<a rel="next" href="([^"]*)">', reply.content.decode())
        path = following[1].replace("&amp;", "&") if following else ""
    assert sorted(found) == [f"/memory/{name}" for name in level]
    assert len((await store.send("GET", "/memory/f/?format=text")).content.splitlines()) == len(keys)
    assert len((await store.send("GET", "/memory/?format=text&limit=7")).content.splitlines()) == 7


@each_mount
@on_a_store(keys="path", index=True)
async def test_index_html_is_served_instead_of_the_listing(store: InProcess, mount: str) -> None:
    await fill(store, mount, ["f/index.html", "f/x", "g/x"])
    page = await store.send("GET", f"/{mount}/f/index.html")
    reply = await store.send("GET", f"/{mount}/f/")
    assert (reply.content, reply["etag"], reply["vary"]) == (b"f/index.html", page["etag"], "Accept")
    head = await store.send("HEAD", f"/{mount}/f/", headers=BROWSER)
    assert (head.status, head["etag"], head["content-length"]) == (200, page["etag"], "12")
    assert (await store.send("GET", f"/{mount}/f/", headers={"if-none-match": page["etag"]})).status == 304
    assert (await store.send("GET", f"/{mount}/f/", headers={"range": "bytes=2-6"})).content == b"index"
    assert (await store.send("GET", f"/{mount}/f/?format=text")).content == b"f/index.html\nf/x\n"
    assert b"f/x" in (await store.send("GET", f"/{mount}/f/", headers={"accept": "application/json"})).content
    assert links(await store.send("GET", f"/{mount}/g/"), "/g/") == ["/g/x"]
    assert links(await store.send("GET", f"/{mount}/"), "/") == ["/f/", "/g/"]
    await fill(store, mount, ["index.html"])
    assert (await store.send("GET", f"/{mount}/")).content == b"index.html"


@each_mount
@on_a_store(keys="path", index=True)
async def test_a_folder_named_index_html_is_not_an_index(store: InProcess, mount: str) -> None:
    await fill(store, mount, ["f/index.html/x"])
    for accept in ("*/*", BROWSER["accept"]):
        assert links(await store.send("GET", f"/{mount}/f/", headers={"accept": accept}), "/f/") == ["/f/index.html/"]


def test_an_index_needs_keys_that_are_paths() -> None:
    assert MountSettings.parse("site=memory:?keys=path&index=yes").index
    with pytest.raises(SetupError, match="index=yes of mount 'site' needs keys=path"):
        MountSettings.parse("site=memory:?keys=name&index=yes")
