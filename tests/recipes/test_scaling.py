"""The three nodes of docs/scaling.md: its servers, and its proxies in front of them."""

import configparser
import http.client
import re
import shlex
import socket
import threading
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.postgresql_server import postgres_url
from tests.recipes.recipe import DOCS, blocks, free_port, program, running
from tests.server_process import RunningServer

GUIDE = (DOCS / "scaling.md").read_text()
HOST = "store.example"


def nodes_at(text: str, ports: list[int]) -> str:
    for number, port in enumerate(ports, 1):
        text = text.replace(f"node{number}:8080", f"127.0.0.1:{port}")
    return text


def haproxy(folder: Path, port: int, ports: list[int]) -> list[str]:
    text = nodes_at(blocks("HAProxy", GUIDE)[0], ports).replace("bind :80", f"bind 127.0.0.1:{port}")
    (folder / "haproxy.cfg").write_text(text)
    return [program("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")]


def nginx(folder: Path, port: int, ports: list[int]) -> list[str]:
    text = nodes_at(blocks("nginx", GUIDE)[0], ports).replace("listen 443 ssl", f"listen 127.0.0.1:{port}")
    places = "".join(
        f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\nuser root;\npid {folder}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{places}{text}}}\n"
    )
    return [program("nginx"), "-c", str(folder / "nginx.conf"), "-e", "stderr"]


PROXIES: dict[str, Callable[[Path, int, list[int]], list[str]]] = {"haproxy": haproxy, "nginx": nginx}


@contextmanager
def proxied(name: str, folder: Path, ports: list[int]) -> Iterator[int]:
    """Run a proxy in front of servers, and yield its port."""
    (folder / "proxy").mkdir()
    port = free_port()
    with running(PROXIES[name](folder / "proxy", port, ports), port, folder / "proxy"):
        yield port


def ask(port: int, method: str, path: str, content: bytes | None = None, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    fields = {"Host": HOST, **{name.replace("_", "-"): value for name, value in headers.items()}}
    connection.request(method, path, content, fields)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status


def at_database(engine: str, folder: Path) -> str:
    """The URL of an engine with the database of the tests, in which `folder` has a prefix."""
    assert re.fullmatch(r"postgresql://docstore:\w+@\w+:5432(,\w+:5432)*/docstore\?prefix=docs", engine)
    return postgres_url(folder)


def serve_as_systemd(folder: Path) -> RunningServer:
    unit = configparser.ConfigParser(interpolation=None)
    config, unit_file = blocks("With systemd", GUIDE)
    unit.read_string(unit_file)
    command, *arguments = shlex.split(unit["Service"]["ExecStart"])
    assert command.endswith("/bin/docstore")
    [engine] = re.findall(r'^engine = "(.*)"$', config, re.MULTILINE)
    assert set(tomllib.loads(config)["mounts"]) == {"docs"}
    config = config.replace(engine, at_database(engine, folder)).replace("0.0.0.0", "127.0.0.1")
    (folder / "docstore.toml").write_text(config)
    arguments[arguments.index("/etc/docstore.toml")] = str(folder / "docstore.toml")
    assert arguments[0] == "serve"
    return RunningServer(folder / "data", *arguments[1:])


def compose() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load(blocks("With Compose", GUIDE)[0])["services"]
    return services


def serve_as_compose(folder: Path) -> RunningServer:
    _, _, *arguments = compose()["node1"]["command"]
    mount, _, engine = arguments.pop().removeprefix("--mount=").partition("=")
    arguments[arguments.index("--host=0.0.0.0")] = "--host=127.0.0.1"
    return RunningServer(
        folder / "data", *arguments, f"--public-url=https://{HOST}", f"--mount={mount}={at_database(engine, folder)}"
    )


def test_compose_runs_the_nodes_of_the_proxy_and_their_database() -> None:
    services = compose()
    nodes = re.findall(r"^    server (\w+) \1:8080$", blocks("HAProxy", GUIDE)[0], re.MULTILINE)
    assert set(services) == {"proxy", "db", *nodes}
    assert services["proxy"]["depends_on"] == nodes
    assert all(services[node] == services["node1"] for node in nodes)


@pytest.mark.parametrize("name", PROXIES)
def test_requests_continue_when_a_server_dies(name: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        servers = [
            stack.enter_context(serve(tmp_path)) for serve in (serve_as_systemd, serve_as_systemd, serve_as_compose)
        ]
        port = stack.enter_context(proxied(name, tmp_path, [server.port for server in servers]))
        stored = []

        def store(count: int) -> None:
            wanted = len(stored) + count
            for number in range(10_000):
                key = f"/docs/{wanted}-{number}"
                if (status := ask(port, "PUT", key, b"data", if_none_match="*")) == 201:
                    stored.append(key)
                assert status in (201, 502, 503)
                if len(stored) == wanted:
                    return

        store(30)
        servers[0].kill()
        store(30)
        servers[0].start(servers[0].port)
        store(30)
        assert [ask(server.port, "GET", key) for server in servers for key in stored] == [200] * 270


class Breaking:
    """A server that is ready, and closes the connection instead of answering a PUT."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.received: list[bytes] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection:
                    request = connection.recv(65536)
                    if request.startswith(b"PUT "):
                        self.received.append(request)
                    else:
                        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.mark.parametrize("name", PROXIES)
def test_a_write_is_never_sent_to_a_second_server(name: str, tmp_path: Path) -> None:
    """It may have been applied by the first, and would fail its own condition."""
    servers = [Breaking() for _ in range(3)]
    with proxied(name, tmp_path, [server.port for server in servers]) as port:
        assert ask(port, "PUT", "/docs/key", b"data", if_none_match="*") == 502
    assert sum(len(server.received) for server in servers) == 1
    for server in servers:
        server.close()
