"""Listings through a real server, the same on each engine: order, pages, prefixes, and the four representations."""

import asyncio
import json
import re
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest

import docstore
from docstore.content import BytesContent
from docstore.engines.contract import PutRequest
from docstore.engines.registry import EngineURL, open_engine
from docstore.model import Fields
from docstore.server.mounts import Mount
from docstore.server.resources.listing import Query, read_page
from tests.http_client import Answer, Client, ask
from tests.server_process import MOUNTS, RunningServer, plain_name_mounts

PLAIN_NAMES = True
each_mount = pytest.mark.parametrize("mount", MOUNTS)

KEYS = sorted(["a", "a-b", "a0", "a_", "aa", "B", "b", "_", "-", "0", "z" * 255, *(f"page-{n:03}" for n in range(40))])


@pytest.fixture(scope="module", autouse=True)
def _documents(server: RunningServer) -> None:
    with Client(server) as client:
        for mount in MOUNTS:
            for key in reversed(KEYS):
                client.prepare("PUT", f"/{mount}/{key}", key.encode(), {"content-type": "text/x-key"})


def listing(server: RunningServer, target: str, accept: str = "application/json") -> Answer:
    answer = ask(server, "GET", target, headers={"accept": accept})
    assert answer.status == 200, answer
    return answer


def pages(server: RunningServer, target: str) -> list[list[str]]:
    """The keys of each page, following Link: rel="next" to the end."""
    found = []
    while target:
        answer = listing(server, target)
        found.append([document["key"] for document in json.loads(answer.content)["documents"]])
        link = re.fullmatch(r'<([^>]+)>; rel="next"', answer.headers["link"] or "")
        assert (json.loads(answer.content)["next"] or "") == (link[1] if link else "")
        target = link[1] if link else ""
    return found


@each_mount
def test_keys_come_in_bytewise_order(server: RunningServer, mount: str) -> None:
    assert pages(server, f"/{mount}/") == [KEYS]


@each_mount
@pytest.mark.parametrize("limit", [1, 7, len(KEYS) - 1, len(KEYS), len(KEYS) + 1])
def test_pages_have_no_gap_and_no_overlap(server: RunningServer, mount: str, limit: int) -> None:
    found = pages(server, f"/{mount}/?limit={limit}")
    assert [key for page in found for key in page] == KEYS
    assert all(len(page) == limit for page in found[:-1])


@each_mount
@pytest.mark.parametrize("prefix", ["a", "page-", "page-03", "nothing", "z", ""])
@pytest.mark.parametrize("after", ["", "a", "aa", "page-020", "page-0205", "zz"])
def test_prefix_and_after_select_keys(server: RunningServer, mount: str, prefix: str, after: str) -> None:
    query = urllib.parse.urlencode({"prefix": prefix, "after": after, "limit": 10})
    expected = [key for key in KEYS if key.startswith(prefix) and key > after]
    assert [key for page in pages(server, f"/{mount}/?{query}") for key in page] == expected


@each_mount
def test_the_html_is_a_list_of_links_as_in_the_original(server: RunningServer, mount: str) -> None:
    for accept in ("text/html", "*/*", "text/html,application/xhtml+xml,*/*;q=0.8"):
        answer = listing(server, f"/{mount}/", accept)
        assert answer["content-type"] == "text/html; charset=utf-8"
        links = re.findall(r'<a href="([^"]*)"><bdi>([^<]*)</bdi></a>', answer.content.decode())
        assert links == [(f"/{mount}/{key}", key) for key in KEYS]
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    assert without_nonce(listing(server, f"/{mount}/", "text/html")) == without_nonce(
        listing(server, f"/{mount}/", browser)
    )
    assert ask(server, "GET", f"/{mount}/").content == listing(server, f"/{mount}/", "*/*").content


def without_nonce(answer: Answer) -> bytes:
    """The page without its nonce, which is new in each response."""
    [nonce] = re.findall(r"script-src 'nonce-([A-Za-z0-9_-]{24})';", answer["content-security-policy"])
    assert answer.content.count(f'nonce="{nonce}"'.encode()) == answer.content.count(b"nonce=") > 0
    return answer.content.replace(nonce.encode(), b"")


def test_an_html_page_is_shorter_and_links_to_the_next(server: RunningServer) -> None:
    with Client(server) as client:
        for number in range(101):
            client.prepare("PUT", f"/memory/html-{number:03}", b"x")
        answer = client.ask("GET", "/memory/?prefix=html-", headers={"accept": "text/html"})
        assert answer.content.count(b'<th scope="row"') == 100
        assert answer["link"] == '</memory/?prefix=html-&after=html-099>; rel="next"'
        assert client.ask("GET", "/memory/?prefix=html-&limit=101").content.count(b'<th scope="row"') == 101
        assert len(client.ask("GET", "/memory/?prefix=html-&format=text").content.splitlines()) == 101
        for number in range(101):
            client.prepare("DELETE", f"/memory/html-{number:03}")


@each_mount
def test_json_has_the_metadata_of_each_document(server: RunningServer, mount: str) -> None:
    [document] = json.loads(listing(server, f"/{mount}/?prefix=aa").content)["documents"]
    tag = ask(server, "HEAD", f"/{mount}/aa")["etag"]
    assert document["key"] == "aa"
    assert document["size"] == 2
    assert document["media_type"] == "text/x-key"
    assert f'"{document["version"]}"' == tag
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", document["modified"])


@each_mount
def test_ndjson_streams_the_whole_collection_a_document_a_line(server: RunningServer, mount: str) -> None:
    answer = listing(server, f"/{mount}/", "application/x-ndjson")
    lines = answer.content.decode().splitlines()
    assert [json.loads(line)["key"] for line in lines] == KEYS
    assert "content-length" not in answer.headers
    assert len(listing(server, f"/{mount}/?limit=3", "application/x-ndjson").content.splitlines()) == 3


@each_mount
def test_plain_text_is_one_key_a_line(server: RunningServer, mount: str) -> None:
    answer = listing(server, f"/{mount}/", "text/plain")
    assert answer["content-type"] == "text/plain; charset=utf-8"
    assert answer.content.decode() == "".join(f"{key}\n" for key in KEYS)


@each_mount
@pytest.mark.parametrize("name", ["html", "json", "ndjson", "text"])
def test_format_overrides_accept(server: RunningServer, mount: str, name: str) -> None:
    types = {"html": "text/html", "json": "application/json", "ndjson": "application/x-ndjson", "text": "text/plain"}
    for accept in ("text/html", "application/json", "image/png"):
        answer = listing(server, f"/{mount}/?format={name}", accept)
        assert answer["content-type"].partition(";")[0] == types[name]
        assert answer["vary"] == "Accept"


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("application/json", "application/json"),
        ("application/json;q=0.5, text/plain", "text/plain"),
        ("text/*", "text/html"),
        ("application/*", "application/json"),
        ("text/html;q=0, */*", "application/json"),
        ("application/x-ndjson", "application/x-ndjson"),
        ("nonsense", "text/html"),
    ],
)
def test_the_listing_is_negotiated(server: RunningServer, accept: str, media_type: str) -> None:
    assert listing(server, "/docs/", accept)["content-type"].partition(";")[0] == media_type


def test_an_unavailable_type_is_406_and_varies(server: RunningServer) -> None:
    answer = ask(server, "GET", "/docs/", headers={"accept": "image/png"})
    assert (answer.status, answer["vary"]) == (406, "Accept")
    assert b"application/json" in answer.content


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=-1", "limit=10001", "limit=1e3", "limit=x", "limit=%D9%A1"),
        *("format=xml", "prefix=%FF", "delimiter=a"),
    ],
)
def test_an_invalid_query_is_400_and_gives_the_reason(server: RunningServer, query: str) -> None:
    answer = ask(server, "GET", f"/docs/?{query}")
    assert answer.status == 400
    assert answer.content.startswith(b"invalid query: ")


@pytest.mark.parametrize("limit", ["1", "10000"])
def test_the_smallest_and_the_largest_limit_are_accepted(server: RunningServer, limit: str) -> None:
    assert ask(server, "GET", f"/docs/?limit={limit}").status == 200


def test_head_of_a_listing_has_the_fields_of_get(server: RunningServer) -> None:
    for target in ("/", "/docs/", "/docs/?limit=2&format=json"):
        get, head = ask(server, "GET", target), ask(server, "HEAD", target)
        assert head.content == b""
        # The nonce in the policy of a page is new in each response.
        differing = ("date", "content-security-policy")
        assert {k: v for k, v in head.headers.items() if k not in differing} == {
            k: v for k, v in get.headers.items() if k not in differing
        }


def test_for_conditions_a_collection_exists_and_has_no_etag(server: RunningServer) -> None:
    for method, field, value, status in [
        ("GET", "If-None-Match", "*", 304),
        ("HEAD", "If-None-Match", "*", 304),
        ("GET", "If-None-Match", '"x"', 200),
        ("GET", "If-Match", "*", 200),
        ("GET", "If-Match", '"x"', 412),
        ("POST", "If-None-Match", "*", 412),
        ("POST", "If-Match", '"x"', 412),
    ]:
        answer = ask(server, method, "/docs/", b"" if method == "POST" else None, {field: value})
        assert answer.status == status, (method, field, value)
        assert answer["vary"] == "Accept"


def test_raw_utf8_in_a_query_is_accepted() -> None:
    assert Query.parse("prefix=été".encode().decode("latin-1")).prefix == "été"


def test_the_number_of_query_parameters_is_limited(server: RunningServer) -> None:
    assert ask(server, "GET", "/docs/?" + "&".join("a=1" for _ in range(100))).status == 200
    answer = ask(server, "GET", "/docs/?" + "&".join("a=1" for _ in range(101)))
    assert (answer.status, b"100 parameters" in answer.content) == (400, True)


def test_the_root_lists_the_mounts(server: RunningServer) -> None:
    html = ask(server, "GET", "/").content.decode()
    assert re.findall(r'<h2><a href="([^"]*)">', html) == [f"/{mount}/" for mount in MOUNTS]
    described = json.loads(listing(server, "/").content)
    assert [entry["mount"] for entry in described["mounts"]] == [f"/{mount}/" for mount in MOUNTS]
    assert listing(server, "/", "text/plain").content.decode() == "".join(f"/{mount}/\n" for mount in MOUNTS)


def test_a_collection_without_its_slash_is_redirected_or_405_with_a_hint(server: RunningServer) -> None:
    for method in ("GET", "HEAD"):
        answer = ask(server, method, "/docs?limit=2")
        assert (answer.status, answer["location"]) == (308, "/docs/?limit=2")
    answer = ask(server, "PUT", "/docs", b"x")
    assert (answer.status, answer["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert b"/docs/" in answer.content
    assert ask(server, "GET", '/docs?a="<^%20')["location"] == "/docs/?a=%22%3C%5E%20"


def test_a_page_ends_after_many_names_that_the_mount_cannot_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("docstore.server.resources.listing.HIDDEN_LIMIT", 1500)

    async def read() -> None:
        engine = open_engine(EngineURL("memory", ""))
        for key in ("a", *(f"b/{number:04}" for number in range(2500)), "c"):
            await engine.put(PutRequest(key, BytesContent(b"x"), Fields.make("text/plain", {})))
        mount = Mount("docs", engine, keys="name")
        page = await read_page(mount, Query(limit=2))
        assert ([meta.key for meta in page.documents], page.hidden) == (["a"], 2002)
        assert page.next is not None
        page = await read_page(mount, page.next)
        assert ([meta.key for meta in page.documents], page.hidden, page.next) == (["c"], 498, None)
        await engine.close()

    asyncio.run(read())


def test_names_that_a_mount_cannot_show_are_counted_and_said(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "file"
    folder.mkdir(parents=True)
    for name in ("a", "notes.txt", "b c", "z"):
        (folder / name).write_text(name)
    with RunningServer(tmp_path / "data", *plain_name_mounts(tmp_path / "data")) as server:
        assert pages(server, "/file/?limit=1") == [["a"], ["z"]]
        assert ask(server, "GET", "/file/a").content == b"a"
        assert json.loads(listing(server, "/file/").content)["hidden"] == 2
        assert json.loads(listing(server, "/file/?delimiter=/").content)["hidden"] == 2
        counts = [json.loads(listing(server, target).content).get("hidden") for target in ("/file/?limit=1", "/docs/")]
        assert counts == [None, None]
        assert json.loads(listing(server, "/file/?limit=1&after=a").content)["hidden"] == 2
        assert b"2 names not shown: keys=name" in listing(server, "/file/", "*/*").content
        assert b"2 names here can't be shown: keys=name" in listing(server, "/file/", "text/html").content
        mounts = {entry["mount"]: entry for entry in json.loads(listing(server, "/").content)["mounts"]}
        assert mounts["/file/"] == {"mount": "/file/", "engine": "file", "hidden": 2}
        assert mounts["/docs/"] == {"mount": "/docs/", "engine": "sqlite"}
        assert "2 or more names in it are not shown" in listing(server, "/", "text/html").content.decode()
        info = subprocess.run(
            [sys.executable, "-m", "docstore", "info", f"{server.url}/"], capture_output=True, text=True, check=True
        )
        assert re.search(r"^/file/: +file, 2 or more names not shown$", info.stdout, re.MULTILINE)
        with docstore.Client(f"{server.url}/file/") as docs:
            assert [(page.hidden, page.after) for page in (docs.list(), docs.list(limit=1))] == [(2, None), (0, "a")]
        for options in ([], ["-R"], ["-n", "9"]):
            command = [sys.executable, "-m", "docstore", "ls", *options, f"{server.url}/file/"]
            ls = subprocess.run(command, capture_output=True, text=True, check=True)
            assert (ls.stdout, ls.stderr) == ("a\nz\n", "2 names not shown: keys=name\n")
    with docstore.Client(f"file:{folder}?keys=name") as inside:
        assert [info.key for info in inside.documents()] == ["a", "z"]
        assert inside.list().hidden == 2
    [line] = [line for line in server.errors if "does not show" in line]
    assert "/file/ does not show 2 or more names that its engine holds, such as 'b c': they are no keys" in line


def test_by_default_every_name_in_a_folder_is_a_key(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "file"
    names = ["README.md", "a b.txt", "docs/v1.2/x", "docs/ü.html"]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    with RunningServer(tmp_path / "data") as server:
        assert pages(server, "/file/") == [names]
        assert ask(server, "GET", "/file/docs/%C3%BC.html").content == "docs/ü.html".encode()
