"""Mounts of several segments, with paths for keys: each hostile key is its own document, on each engine."""

import html.parser
import itertools
import json
import random
import re
import string
import urllib.parse
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from docstore.model import Meta
from docstore.testing.contract.keys import HOSTILE_KEYS
from tests.engine_urls import ENGINES, url_in, with_options
from tests.http_client import Answer, Client
from tests.in_process import InProcess, on_a_store
from tests.server_process import RunningServer

each_mount = pytest.mark.parametrize("mount", ENGINES)


def encoded(key: str) -> str:
    return urllib.parse.quote(key, safe="/")


def bytewise(keys: list[str]) -> list[str]:
    return sorted(keys, key=lambda key: key.encode())


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose mounts are /deep/{engine}/x/ with `keys=path`."""
    folder: Path = tmp_path_factory.mktemp("deep")
    mounts = [f"deep/{name}/x={with_options(url_in(folder, name), keys='path')}" for name in ENGINES]
    with RunningServer(folder, *(part for mount in mounts for part in ("--mount", mount))) as server:
        yield server


def pages(client: Client, target: str) -> list[dict[str, list[str]]]:
    """The documents and the folders of each page, following `next` to the end."""
    found = []
    while target:
        answer = client.ask("GET", target, headers={"accept": "application/json"})
        assert answer.status == 200, (target, answer)
        page = json.loads(answer.content)
        found.append({"keys": [one["key"] for one in page["documents"]], "folders": page.get("folders", [])})
        link = re.fullmatch(r'<([^>]+)>; rel="next"', answer.headers["link"] or "")
        target = page["next"] or ""
        assert (link[1] if link else "") == target
    return found


class Links(html.parser.HTMLParser):
    """The links in the rows of a page, each with its text; a tag or an attribute that no row has is an error."""

    TAGS = frozenset({"tr", "th", "td", "a", "bdi", "time"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self._in_rows = self._inside = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tbody":
            self._in_rows = True
        elif self._in_rows:
            assert tag in self.TAGS, (tag, attrs)
            assert {name for name, _ in attrs} <= {"href", "scope", "class", "colspan", "datetime", "data-type"}
            if tag == "a":
                self._inside = True
                self.found.append((dict(attrs)["href"] or "", ""))

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "a"
        self._in_rows = self._in_rows and tag != "tbody"

    def handle_data(self, data: str) -> None:
        if self._inside:
            href, text = self.found[-1]
            self.found[-1] = (href, text + data)


@each_mount
def test_each_hostile_key_is_its_own_document(deep: RunningServer, mount: str) -> None:
    prefix = f"/deep/{mount}/x/"
    with Client(deep) as client:
        for key in HOSTILE_KEYS:
            answer = client.ask("PUT", prefix + encoded(key), key.encode(), {"content-type": "text/x-key"})
            assert (answer.status, answer.content) == (201, f"{key}\n".encode()), key
            assert urllib.parse.unquote(answer["location"]) == prefix + key
            assert answer["location"].isascii()
        for key in HOSTILE_KEYS:
            assert client.ask("GET", prefix + encoded(key)).content == key.encode(), key
            assert client.ask("HEAD", prefix + encoded(key)).status == 200

        assert pages(client, prefix) == [{"keys": bytewise(HOSTILE_KEYS), "folders": []}]
        in_sevens = pages(client, f"{prefix}?limit=7")
        assert [key for page in in_sevens for key in page["keys"]] == bytewise(HOSTILE_KEYS)
        assert all(len(page["keys"]) == 7 for page in in_sevens[:-1])

        flat = f"{prefix}?limit=1000&delimiter="
        links = Links(client.ask("GET", flat, headers={"accept": "text/html"}).content.decode())
        assert [text for _, text in links.found] == bytewise(HOSTILE_KEYS)
        for href, key in links.found:
            assert client.ask("GET", urllib.parse.urljoin(prefix, href)).content == key.encode()

        for key in HOSTILE_KEYS:
            assert client.ask("DELETE", prefix + encoded(key)).status == 200, key
            # Otherwise the answer may be 303, to a folder of that name.
            assert client.ask("GET", prefix + encoded(key), headers={"accept": "application/json"}).status == 404
        assert pages(client, prefix) == [{"keys": [], "folders": []}]


@each_mount
def test_prefix_and_after_are_compared_with_the_decoded_key(deep: RunningServer, mount: str) -> None:
    prefix, keys = f"/deep/{mount}/x/", HOSTILE_KEYS[:100:3]
    afters = ["", "a", "a/b", "a b", "%", "é", "日本", "😀", "~", "\U0010ffff"]
    with Client(deep) as client:
        for key in keys:
            client.prepare("PUT", prefix + encoded(key), b"")
        for after, beginning in itertools.product(afters, ("", "a", "a/", "a%", ".", "C", "é")):
            query = urllib.parse.urlencode({"prefix": beginning, "after": after, "limit": 5})
            expected = [key for key in bytewise(keys) if key.startswith(beginning) and key.encode() > after.encode()]
            assert [key for page in pages(client, f"{prefix}?{query}") for key in page["keys"]] == expected
        for key in keys:
            client.prepare("DELETE", prefix + encoded(key))


SPELLINGS = {
    "a/b": ["a%2Fb", "a%2fb", "%61/b", "x/../a/b", "./a/b", "a/./b", "%61%2F%62"],
    "é": ["%C3%A9", "%c3%a9", "\xc3\xa9"],
    "a b+c": ["a%20b+c", "a b%2Bc", "a%20b%2bc"],
    "😀": ["%F0%9F%98%80", "\xf0\x9f\x98\x80"],
    "%2F": ["%252F", "%25%32F"],
    "a?b#c": ["a%3Fb%23c"],
}


@each_mount
@pytest.mark.parametrize("key", SPELLINGS)
@on_a_store(keys="path")
async def test_every_spelling_of_a_key_is_the_same_document(store: InProcess, mount: str, key: str) -> None:
    """Raw UTF-8 among them: a path's characters stand for its bytes on the wire."""
    for spelling in SPELLINGS[key]:
        written = await store.send("PUT", f"/{mount}/{spelling}", spelling.encode())
        assert (written.status, written.content) == (201, f"{key}\n".encode()), spelling
        assert (await store.send("GET", f"/{mount}/{encoded(key)}")).content == spelling.encode()
        assert (await store.send("DELETE", f"/{mount}/{spelling}")).status == 200


NO_KEYS = [
    *("a//", "a//b", "/a", "//", "a%2F", "%2Fa", "a%2F%2Fb", "a%2F..%2Fb", "%2E%2E%2Fa", "a/.%2F", "a%2F%2E"),
    *("%00", "a%0Ab", "a%7Fb", "%C2%85", "%FF", "%C3", "%ED%A0%80", "%C0%AF", "a%", "a%2", "%zz", "\xff"),
    *("s" * 256, "/".join(["p" * 255] * 4) + "/q", "%C3%A9" * 128),
]


@each_mount
@on_a_store(keys="path")
async def test_an_invalid_key_is_400_for_each_method(store: InProcess, mount: str) -> None:
    for spelling in NO_KEYS:
        for method in ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"):
            assert (await store.send(method, f"/{mount}/{spelling}", b"x")).status == 400, spelling
    assert (await store.send("GET", f"/{mount}/?format=text")).content == b""


@on_a_store("memory", keys="path")
async def test_a_percent_encoded_dot_segment_is_a_dot_segment(store: InProcess) -> None:
    await store.prepare("PUT", "/memory/b", b"1")
    assert (await store.send("GET", "/memory/a/%2E%2e/b")).content == b"1"
    assert (await store.send("GET", "/elsewhere/../memory/b")).content == b"1"


def split(keys: list[str], prefix: str, after: str = "") -> list[str]:
    """What a listing with `delimiter=/` has: documents, and each folder once; written from the definition."""
    names = set()
    for key in keys:
        if key.startswith(prefix):
            entry, slash, _ = key[len(prefix) :].partition("/")
            names.add(prefix + entry + slash)
    return [name for name in bytewise(list(names)) if name.encode() > after.encode()]


async def listed(store: InProcess, target: str) -> AsyncIterator[list[str]]:
    """The names of each page: documents and folders together."""
    while target:
        page = json.loads((await store.send("GET", target, headers={"accept": "application/json"})).content)
        keys, folders = [one["key"] for one in page["documents"]], page.get("folders", [])
        assert keys == bytewise(keys)
        assert folders == bytewise(folders)
        yield bytewise([*keys, *folders])
        target = page["next"]


def some_keys(seed: int) -> list[str]:
    choice = random.Random(seed)
    made = {"/".join("".join(choice.choices("ab-.0é😀", k=choice.randint(1, 2))) for _ in range(choice.randint(1, 4)))
            for _ in range(120)}  # fmt: skip
    valid = {key for key in made if not {".", ".."} & set(key.split("/"))}
    return sorted({"a", "a/b", "a-b", "a0", "a/b/c", *valid})


@each_mount
@pytest.mark.parametrize("seed", range(3))
@on_a_store(keys="path")
async def test_each_document_and_folder_is_listed_once_for_any_page_size(
    store: InProcess, mount: str, seed: int
) -> None:
    keys = some_keys(seed)
    for key in keys:
        await store.prepare("PUT", f"/{mount}/{encoded(key)}", b"")
    for prefix in ("", "a", "a/", "a/b/", "é/", "no such"):
        for limit in (1, 2, 7, 1000):
            query = urllib.parse.urlencode({"prefix": prefix, "delimiter": "/", "limit": limit})
            found = [names async for names in listed(store, f"/{mount}/?{query}")]
            assert [name for names in found for name in names] == split(keys, prefix)
            assert all(len(names) == limit for names in found[:-1])
        for after in ("a", "a/", "a-", "b/", prefix):
            query = urllib.parse.urlencode({"prefix": prefix, "delimiter": "/", "after": after})
            found = [names async for names in listed(store, f"/{mount}/?{query}")]
            assert [name for names in found for name in names] == split(keys, prefix, after)


@each_mount
@on_a_store(keys="path")
async def test_the_documents_of_a_large_folder_are_not_read(store: InProcess, mount: str) -> None:
    for n in range(250):
        await store.prepare("PUT", f"/{mount}/many/{n:03}", b"")
    for key in ("a", "many", "many-more", "z"):
        await store.prepare("PUT", f"/{mount}/{key}", b"")
    asked: list[str] = []
    engine = store.engines[mount]
    list_of = engine.list

    async def counting(**query: object) -> object:
        asked.append(str(query["after"]))
        return await list_of(**query)  # type: ignore[arg-type]  # as it came

    engine.list = counting  # type: ignore[method-assign,assignment]  # to see what is asked for
    reply = await store.send("GET", f"/{mount}/?delimiter=/&format=text")
    assert reply.content.split() == [b"a", b"many", b"many-more", b"many/", b"z"]
    assert len(asked) == 2


@on_a_store("memory", keys="path")
async def test_folders_are_in_every_representation(store: InProcess) -> None:
    for key in ("a", "f/one", "f/two", "g/<b>"):
        await store.prepare("PUT", f"/memory/{encoded(key)}", b"")
    target = "/memory/?delimiter=/&format="
    assert (await store.send("GET", target + "text")).content == b"a\nf/\ng/\n"
    lines = [json.loads(line) for line in (await store.send("GET", target + "ndjson")).content.splitlines()]
    assert [(line.get("key"), line.get("folder")) for line in lines] == [("a", None), (None, "f/"), (None, "g/")]
    assert json.loads((await store.send("GET", target + "json")).content)["folders"] == ["f/", "g/"]
    links = Links((await store.send("GET", "/memory/", headers={"accept": "text/html"})).content.decode())
    assert [text for _, text in links.found] == ["f/", "g/", "a"]
    inside = await store.send("GET", f"/memory/{links.found[1][0]}", headers={"accept": "text/html"})
    assert [text for _, text in Links(inside.content.decode()).found] == ["<b>"]


def test_a_mount_below_the_path_of_another_serves_its_own_paths(tmp_path: Path) -> None:
    mounts = ["--mount", "cache=memory:?keys=path", "--mount", "cache/ac=memory:", "--mount", "x/y/z=memory:"]
    with RunningServer(tmp_path, *mounts) as server, Client(server) as client:
        for path in ("/cache/a", "/cache/ac/a", "/cache/b/a", "/x/y/z/a"):
            assert client.ask("PUT", path, path.encode()).status == 201
        for path in ("/cache/a", "/cache/ac/a", "/cache/b/a", "/x/y/z/a"):
            assert client.ask("GET", path).content == path.encode()
        assert client.ask("GET", "/cache/?format=text").content == b"a\nb/a\n"
        assert client.ask("GET", "/cache/ac/?format=text").content == b"a\n"
        statuses: list[Answer] = [client.ask("GET", path) for path in ("/x/", "/x/y/", "/x", "/x/y/z")]
        assert [answer.status for answer in statuses] == [404, 404, 404, 308]


def test_the_alphabet_of_plain_names_is_the_same_on_path_mounts(deep: RunningServer) -> None:
    name = string.ascii_letters + string.digits + "_-"
    with Client(deep) as client:
        assert client.ask("PUT", f"/deep/memory/x/{name}", b"1")["location"] == f"/deep/memory/x/{name}"
        assert client.ask("DELETE", f"/deep/memory/x/{name}").status == 200


@on_a_store("memory", keys="path")
async def test_a_listing_needs_one_lookup_for_each_folder_and_few_for_documents(store: InProcess) -> None:
    keys = [f"folder{number:03}/{name}" for number in range(100) for name in "abc"] + [
        f"last{n:03}" for n in range(400)
    ]
    for key in keys:
        await store.prepare("PUT", f"/memory/{key}", b"x")
    asked: list[int] = []
    engine = store.engines["memory"]
    listed = engine.list

    async def counted(*, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        asked.append(limit)
        return await listed(prefix=prefix, after=after, limit=limit)

    with patch.object(engine, "list", counted):
        reply = await store.send("GET", "/memory/?format=json&delimiter=/&limit=1000")
    assert len(json.loads(reply.content)["folders"]) == 100
    assert sum(asked) < 1000
    assert len(asked) < 120
