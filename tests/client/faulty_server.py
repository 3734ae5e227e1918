"""A server with a script of what happens to each request, errors included, and a record of the requests."""

import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

WAITS_S = 20
"""Timeout of a connection, so that no test hangs."""


@dataclass(frozen=True)
class Asked:
    method: str
    target: str
    headers: dict[str, str]
    content: bytes


Step = Callable[[socket.socket], None]
"""Called with the connection after a request; the connection is then closed."""


def answer(status: int, content: bytes = b"", size: int | None = None, **headers: str) -> Step:
    """A response, or one that announces another `size`."""

    def step(connection: socket.socket) -> None:
        fields = {"content-length": str(len(content) if size is None else size), "connection": "close", **headers}
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        connection.sendall(f"HTTP/1.1 {status} Scripted\r\n{lines}\r\n".encode() + content)

    return step


def hang_up(connection: socket.socket) -> None:
    """Close without a response."""


def reset(connection: socket.socket) -> None:
    """Reset the connection, as after a restart of the machine."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def nonsense(connection: socket.socket) -> None:
    connection.sendall(b"\x15\x03\x01 this is no HTTP\r\n\r\n")


def silence(connection: socket.socket) -> None:
    """Send nothing until the client closes the connection."""
    while connection.recv(4096):
        pass


@dataclass
class FaultyServer:
    """Runs the steps of `script`, one for each request; after the last one it closes every connection."""

    script: list[Step] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listener.settimeout(WAITS_S)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/docs/"
        self.closed = False
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self.closed:
                connection.close()
                return
            with connection:
                connection.settimeout(WAITS_S)
                try:
                    if self._read(connection):
                        (self.script.pop(0) if self.script else hang_up)(connection)
                except OSError:
                    continue

    def _read(self, connection: socket.socket) -> bool:
        """Read a request, and return whether there was one."""
        received = b""
        while b"\r\n\r\n" not in received:
            if not (more := connection.recv(65536)):
                return False
            received += more
        head, _, content = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        chunked = "chunked" in headers.get("transfer-encoding", "")
        while len(content) < int(headers.get("content-length", 0)) or (chunked and not content.endswith(b"0\r\n\r\n")):
            content += connection.recv(65536)
        method, target, _ = first.split(" ")
        self.asked.append(Asked(method, target, headers, content))
        return True

    def close(self) -> None:
        self.closed = True
        with socket.create_connection(self._listener.getsockname()):
            pass
        self._thread.join()
        self._listener.close()
