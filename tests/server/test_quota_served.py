"""Mounts with a quota through a real server: responses of a full mount, counts at `/`, and the quota under load."""

import asyncio
import hashlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from docstore.config import MountSettings, Settings
from docstore.config_file import read_toml
from docstore.engines.shared.verify import Finding, check_store
from docstore.errors import SetupError
from docstore.model import Meta
from docstore.server.run import open_mount
from tests.engines.bounded_stores import KIB, LONG, SCHEMES, cost_of, opened, url_of
from tests.http_client import Answer, Client, ask
from tests.server_process import RunningServer

DOCUMENT = json.dumps({"n": "x" * 20_000}).encode()


def mounts(folder: Path, max_bytes: int, *, evict: bool) -> list[str]:
    """Options of a server with a mount for each engine that can have a quota."""
    folders = {scheme: folder / scheme for scheme in SCHEMES}
    for each in folders.values():
        each.mkdir(exist_ok=True)
    urls = {scheme: url_of(scheme, folders[scheme], max_bytes, evict=evict) for scheme in SCHEMES}
    return [part for scheme, url in urls.items() for part in ("--mount", f"{scheme}={url}&keys=path")]


def usage(server: RunningServer, mount: str) -> dict[str, int]:
    shown = json.loads(ask(server, "GET", "/", headers={"Accept": "application/json"}).content)
    [found] = [each["usage"] for each in shown["mounts"] if each["mount"] == f"/{mount}/"]
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Mounts that are nearly full and evict nothing."""
    folder = tmp_path_factory.mktemp("full")
    with RunningServer(folder, *mounts(folder, 256 * KIB, evict=False)) as server:
        for scheme in SCHEMES:
            assert ask(server, "PUT", f"/{scheme}/a", DOCUMENT).status == 201
            assert ask(server, "PUT", f"/{scheme}/filler", bytes(220_000)).status == 201
        yield server


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_full_mount_is_507_for_every_way_to_write(full: RunningServer, scheme: str) -> None:
    before = usage(full, scheme)
    patch = json.dumps({"more": "x" * 25_000}).encode()
    answers: dict[str, Answer] = {
        "PUT": ask(full, "PUT", f"/{scheme}/b", bytes(30_000)),
        "POST to a key": ask(full, "POST", f"/{scheme}/b", bytes(30_000)),
        "POST": ask(full, "POST", f"/{scheme}/", bytes(30_000)),
        "PATCH": ask(full, "PATCH", f"/{scheme}/a", patch, {"Content-Type": "application/merge-patch+json"}),
        "chunked": ask(full, "PUT", f"/{scheme}/b", iter([bytes(10_000)] * 3)),
    }
    assert {name: answer.status for name, answer in answers.items()} == dict.fromkeys(answers, 507)
    used = f"the documents of this mount take {before['used_bytes']:,} of 262,144 bytes"
    assert answers["PUT"].content.decode() == f"no space left: {used}\n"
    assert ask(full, "GET", f"/{scheme}/b").status == 404
    assert ask(full, "GET", f"/{scheme}/a").content == DOCUMENT
    assert usage(full, scheme)["used_bytes"] == before["used_bytes"]
    assert ask(full, "PUT", f"/{scheme}/a", DOCUMENT).status == 200
    assert ask(full, "PUT", f"/{scheme}/c", bytes(300_000)).status == 413


@pytest.mark.parametrize(("size", "status"), [(10**9, 413), (256 * KIB, 413), (100_000, 507)])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_large_upload_is_rejected_before_it_is_sent(full: RunningServer, scheme: str, size: int, status: int) -> None:
    """The client waits for 100 Continue and gets the refusal instead."""
    with socket.create_connection((full.host, full.port), timeout=30) as connection:
        head = f"PUT /{scheme}/b HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n"
        connection.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_long_chunked_upload_is_refused_midway(full: RunningServer, scheme: str) -> None:
    """The upload never ends, so the response must come before its end."""
    with socket.create_connection((full.host, full.port), timeout=30) as connection:
        connection.sendall(
            f"PUT /{scheme}/b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        chunk = b"2000\r\n" + bytes(0x2000) + b"\r\n"
        for _ in range(20):
            connection.sendall(chunk)
        assert connection.recv(100).startswith(b"HTTP/1.1 507 ")
    assert ask(full, "GET", f"/{scheme}/b").status == 404


def test_the_root_shows_the_usage_of_a_quota(data: Path) -> None:
    data.mkdir()
    with RunningServer(data, "--mount", "plain=memory:", *mounts(data, 64 * KIB, evict=True)) as server:
        for scheme in SCHEMES:
            with Client(server) as client:
                client.prepare("PUT", f"/{scheme}/a", bytes(30_000))
                client.prepare("GET", f"/{scheme}/a")
                assert client.ask("GET", f"/{scheme}/b").status == 404
                client.prepare("PUT", f"/{scheme}/b", bytes(40_000))
                assert client.ask("PUT", f"/{scheme}/a", b"", {"If-Match": '"x"'}).status == 412
                assert client.ask("GET", f"/{scheme}/a").status == 404
            shown = usage(server, scheme)
            assert 40_000 < shown.pop("used_bytes") <= 65536
            counts = {"hits": 1, "misses": 2, "evictions": 1}
            assert shown == {"documents": 1, "max_bytes": 65536, "evict": "lru", **counts}
        shown = json.loads(ask(server, "GET", "/", headers={"Accept": "application/json"}).content)
        assert shown["mounts"][0] == {"mount": "/plain/", "engine": "memory"}
        page = ask(server, "GET", "/", headers={"Accept": "text/html"}).content.decode()
        assert "33 % of 3 reads hit; 1 eviction<" in page


def test_a_mount_is_a_cache_for_build_tools(data: Path) -> None:
    """The requests of Bazel and ccache: HEAD and GET that miss, PUT, then hits, under paths that are digests."""
    data.mkdir()
    options = ["--mount", f"cache/ac=sqlite:{data / 'ac'}?max_bytes=512KiB&evict=lru"]
    options += ["--mount", f"cache/cas=sqlite:{data / 'cas'}?max_bytes=512KiB&evict=lru"]
    options += ["--mount", f"cache/ccache=sqlite:{data / 'ccache'}?max_bytes=512KiB&evict=lru&keys=path"]
    with RunningServer(data, *options) as server, Client(server) as client:
        for number in range(30):
            content = b"%02d" % number * 15_000
            digest = hashlib.sha256(content).hexdigest()
            for path in (f"/cache/cas/{digest}", f"/cache/ac/{digest}", f"/cache/ccache/{digest[:2]}/{digest[2:]}"):
                assert client.ask("HEAD", path).status == 404
                assert client.ask("GET", path).status == 404
                assert client.ask("PUT", path, content).status == 201
                assert client.ask("HEAD", path)["Content-Length"] == str(len(content))
                assert client.ask("GET", path).content == content
        for mount in ("cache/cas", "cache/ac", "cache/ccache"):
            shown = usage(server, mount)
            assert shown["used_bytes"] <= shown["max_bytes"]
            assert shown["hits"] == shown["misses"] == 30
            assert shown["evictions"] == 30 - shown["documents"] > 0


def test_the_quota_holds_whenever_a_client_looks(data: Path) -> None:
    data.mkdir()
    options = mounts(data, 256 * KIB, evict=True)
    failures: list[str] = []
    done = threading.Event()

    def write(server: RunningServer, number: int) -> None:
        with Client(server) as client:
            for turn in range(25):
                for scheme in SCHEMES:
                    size = (number * 7919 + turn * 104_729) % 90_000
                    answer = client.ask("PUT", f"/{scheme}/key-{(number * 5 + turn) % 30}", bytes(size))
                    if answer.status not in (200, 201):
                        failures.append(f"{scheme}: {answer}")

    def look(server: RunningServer) -> None:
        with Client(server) as client:
            while not done.is_set():
                shown = json.loads(client.ask("GET", "/", headers={"Accept": "application/json"}).content)["mounts"]
                failures.extend(str(each) for each in shown if each["usage"]["used_bytes"] > each["usage"]["max_bytes"])

    with RunningServer(data, *options) as server:
        writers = [threading.Thread(target=write, args=(server, number)) for number in range(6)]
        watcher = threading.Thread(target=look, args=(server,))
        for thread in (*writers, watcher):
            thread.start()
        for thread in writers:
            thread.join()
        done.set()
        watcher.join()
        assert failures == []
        for scheme in SCHEMES:
            assert usage(server, scheme)["evictions"] > 0


def test_the_count_is_right_after_kill_9(data: Path) -> None:
    data.mkdir()
    url = url_of("sqlite", data, 512 * KIB)
    killed = threading.Event()

    failures: list[Exception] = []

    def write(server: RunningServer, number: int) -> None:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
        turn = 0
        try:
            while True:
                turn += 1
                connection.request("PUT", f"/cache/{number}-{turn % 50}", bytes((turn * 7919 + number) % 100_000))
                connection.getresponse().read()
        except (OSError, http.client.HTTPException) as error:
            if not killed.is_set():
                failures.append(error)
        finally:
            connection.close()

    for _ in range(10 if LONG else 1):
        with RunningServer(data, "--mount", f"cache={url}") as server:
            writers = [threading.Thread(target=write, args=(server, number)) for number in range(3)]
            for thread in writers:
                thread.start()
            threading.Event().wait(0.8)
            killed.set()
            server.kill()
            for thread in writers:
                thread.join()
            killed.clear()
    assert failures == []
    checked = list(check_store(url))
    held = sum(cost_of("sqlite", one) for one in checked if isinstance(one, Meta))
    assert held <= 512 * KIB
    assert [one for one in checked if isinstance(one, Finding) and not one.orphan] == []

    async def shown() -> int:
        async with opened(url) as engine:
            return (await engine.usage()).used_bytes

    assert asyncio.run(shown()) == held


def test_options_in_the_url_and_in_toml_are_the_same(tmp_path: Path) -> None:
    file = tmp_path / "docstore.toml"
    file.write_text('[mounts.cache]\nengine = "sqlite:c.db"\nmax_bytes = "20GiB"\nevict = "lru"\n')
    assert read_toml(file)["mounts"] == (MountSettings.parse("cache=sqlite:c.db?max_bytes=20GiB&evict=lru"),)


def test_several_workers_share_a_database_with_a_quota(data: Path) -> None:
    def checked(mount: str) -> Settings:
        return Settings(mounts=(MountSettings.parse(mount),), workers=2).checked()

    assert checked("a=sqlite:a.db?max_bytes=1GiB&evict=lru")
    data.mkdir()
    with RunningServer(data, "--workers", "2", "--mount", f"cache={url_of('sqlite', data, 128 * KIB)}") as server:
        for number in range(20):
            assert ask(server, "PUT", f"/cache/{number}", bytes(20_000)).status == 201
            shown = usage(server, "cache")
            assert shown["used_bytes"] <= shown["max_bytes"]
        assert shown["evictions"] == 20 - shown["documents"]


@pytest.mark.parametrize(
    "url",
    ["shelve:s?max_bytes=1GiB", "file:f?max_bytes=1GiB", "memory:?evict=lru", "memory:?max_bytes=1GB&evict=lru"],
)
def test_an_invalid_quota_of_a_mount_is_refused_in_one_line(url: str) -> None:
    with pytest.raises(SetupError, match=r"max_bytes|not a size") as refused:
        open_mount(MountSettings.parse(f"a={url}"))
    assert "\n" not in str(refused.value)
