"""Docstore behind reverse proxies, with the configurations of docs/recipes.md."""

import http.client
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.recipes.recipe import at, blocks, free_port, program, running, served, shell
from tests.server_process import RunningServer

HOST = "store.example"
OWN = f"https://{HOST}"
LARGE = bytes(range(256)) * 12_000
"""Three megabytes: more than nginx accepts by default."""


@dataclass(frozen=True)
class Answer:
    status: int
    content: bytes
    headers: dict[str, str]


def ask(port: int, method: str, path: str, content: bytes | None = None, **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    fields = {"host": HOST, **{name.replace("_", "-"): value for name, value in headers.items()}}
    connection.request(method, path, content, fields)
    response = connection.getresponse()
    answer = Answer(response.status, response.read(), {name.lower(): value for name, value in response.getheaders()})
    connection.close()
    return answer


def nginx(folder: Path, port: int, server: RunningServer) -> list[str]:
    places = "".join(
        f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\nuser root;\npid {folder}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{places}"
        f"server {{\nlisten 127.0.0.1:{port};\n{at(blocks('nginx')[0], server)}}}\n}}\n"
    )
    return [program("nginx"), "-c", str(folder / "nginx.conf"), "-e", "stderr"]


def caddy(folder: Path, port: int, server: RunningServer) -> list[str]:
    site = at(blocks("Caddy")[0], server).replace(f"{HOST} {{", f"http://{HOST}:{port} {{\nbind 127.0.0.1", 1)
    (folder / "Caddyfile").write_text(f"{{\nadmin off\nauto_https off\nstorage file_system {folder}/caddy\n}}\n{site}")
    return [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


def haproxy(folder: Path, port: int, server: RunningServer) -> list[str]:
    (folder / "haproxy.cfg").write_text(at(blocks("HAProxy")[0], server).replace("bind :80", f"bind 127.0.0.1:{port}"))
    return [program("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")]


def varnish(folder: Path, port: int, server: RunningServer) -> list[str]:
    (folder / "store.vcl").write_text(blocks("Varnish")[0].replace('"8080"', f'"{server.port}"'))
    program("gcc")
    options = ["-j", "none", "-n", str(folder / "varnish"), "-a", f"127.0.0.1:{port}", "-s", "malloc,32m"]
    return [program("varnishd"), "-F", *options, "-f", str(folder / "store.vcl")]


def squid(folder: Path, port: int, server: RunningServer) -> list[str]:
    text = blocks("Squid")[0].replace("http_port 80", f"http_port 127.0.0.1:{port}")
    own = f"pid_filename {folder}/squid.pid\ncache_log stdio:/dev/stderr\naccess_log none\npinger_enable off\n"
    (folder / "squid.conf").write_text(
        text.replace(" 8080 0 ", f" {server.port} 0 ") + own + "shutdown_lifetime 0 seconds\nvisible_hostname proxy\n"
    )
    return [program("squid"), "-N", "-f", str(folder / "squid.conf")]


PROXIES: dict[str, Callable[[Path, int, RunningServer], list[str]]] = {
    "nginx": nginx,
    "caddy": caddy,
    "haproxy": haproxy,
    "varnish": varnish,
    "squid": squid,
}


@dataclass(frozen=True)
class Proxied:
    name: str
    port: int
    server: RunningServer

    def ask(self, method: str, path: str, content: bytes | None = None, **headers: str) -> Answer:
        return ask(self.port, method, path, content, **headers)

    def stored(self, path: str) -> Answer:
        """What the store itself answers."""
        return ask(self.server.port, "GET", path)


@contextmanager
def _proxied(name: str, folder: Path) -> Iterator[Proxied]:
    with served("Behind a reverse proxy", folder) as server:
        own, port = folder / "proxy", free_port()
        own.mkdir()
        with running(PROXIES[name](own, port, server), port, own):
            yield Proxied(name, port, server)


@pytest.fixture(scope="module", params=PROXIES)
def proxied(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    with _proxied(request.param, tmp_path_factory.mktemp(request.param)) as through:
        yield through


def test_documents_pass_unchanged(proxied: Proxied) -> None:
    path = "/docs/a%20b/%C3%A9%25"
    assert proxied.ask("PUT", path, LARGE, content_type="text/x-own", meta_author="ana").status == 201
    answer, stored = proxied.ask("GET", path), proxied.stored(path)
    assert (answer.status, answer.content == LARGE, stored.content == LARGE) == (200, True, True)
    for name in ("etag", "content-type", "meta-author", "last-modified", "content-length", "cache-control"):
        assert answer.headers[name] == stored.headers[name], name
    assert proxied.ask("HEAD", path).headers["etag"] == stored.headers["etag"]
    part = proxied.ask("GET", path, range="bytes=1-3")
    assert (part.status, part.content) == (206, LARGE[1:4])
    assert proxied.ask("DELETE", path).status == 200
    assert proxied.stored(path).status == 404


def test_conditions_pass(proxied: Proxied) -> None:
    tag = proxied.ask("PUT", "/docs/conditional", b"1").headers["etag"]
    assert proxied.ask("GET", "/docs/conditional", if_none_match=tag).status == 304
    assert proxied.ask("PUT", "/docs/conditional", b"2", if_none_match="*").status == 412
    assert proxied.ask("PUT", "/docs/conditional", b"2", if_match=tag).status == 200
    assert proxied.stored("/docs/conditional").content == b"2"


def test_all_methods_pass(proxied: Proxied) -> None:
    merge = "application/merge-patch+json"
    assert proxied.ask("PUT", "/docs/json", b"{}", content_type="application/json").status == 201
    assert proxied.ask("PATCH", "/docs/json", b'{"a":1}', content_type=merge).status == 200
    assert proxied.stored("/docs/json").content == b'{"a":1}'
    assert proxied.ask("POST", "/docs/", b"1").headers["location"].startswith("/docs/")
    assert "PATCH" in proxied.ask("OPTIONS", "/docs/json").headers["allow"]
    assert proxied.ask("GET", "/docs/json/../..%2F..%2Fetc/passwd").status in (400, 404)


def test_pages_of_the_store_may_write_and_others_may_not(proxied: Proxied) -> None:
    assert proxied.ask("PUT", "/docs/of-a-page", b"1", origin=OWN, sec_fetch_site="same-origin").status == 201
    assert proxied.ask("PUT", "/docs/of-a-page", b"2", origin="https://other.example").status == 403
    assert proxied.stored("/docs/of-a-page").content == b"1"


def test_a_change_is_seen_at_once(proxied: Proxied) -> None:
    for content in (b"1", b"2"):
        assert ask(proxied.server.port, "PUT", "/docs/changing", content).status < 300
        assert proxied.ask("GET", "/docs/changing").content == content
    for content in (b"1", b"2"):
        answer = proxied.ask("PUT", "/docs/cached", content, docstore_cache_control="public, max-age=60")
        assert answer.status < 300
        assert proxied.ask("GET", "/docs/cached").content == content
    assert proxied.stored("/docs/cached").headers["cache-control"] == "public, max-age=60"


@pytest.mark.parametrize(
    ("field", "sent"), [("Transfer-Encoding: chunked", b"5\r\nhello\r\n"), ("Content-Length: 100", b"hello")]
)
def test_an_upload_that_breaks_off_is_not_stored(proxied: Proxied, field: str, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", proxied.port)) as connection:
        connection.sendall(f"PUT /docs/cut HTTP/1.1\r\nHost: {HOST}\r\n{field}\r\n\r\n".encode() + sent)
        time.sleep(0.3)  # the proxy passes on what it has
    # The proxies that pass it on do so at once; the next write of the same key comes after it.
    assert proxied.ask("PUT", "/docs/after", b"1").status in (200, 201)
    time.sleep(0.5)
    assert proxied.stored("/docs/cut").status == 404


def test_the_command_works(proxied: Proxied, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(LARGE)
    url, host = f"http://127.0.0.1:{proxied.port}/docs/file", f"--header Host:{HOST}"
    shell(f"docstore put {url} file {host}\ndocstore get {url} -o copy {host}", proxied.server, tmp_path)
    assert (tmp_path / "copy").read_bytes() == LARGE
    if proxied.name != "varnish":
        shell(f"cat file | docstore put {url}-2 {host}", proxied.server, tmp_path)
        assert proxied.stored("/docs/file-2").content == LARGE
