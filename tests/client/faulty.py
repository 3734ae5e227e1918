"""A server that answers as it is told, wrongly too: a script of what happens to each request, a record of what came."""

import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

WAITS_S = 20
"""After which the server gives a connection up, so that no test hangs."""


@dataclass(frozen=True)
class Asked:
    method: str
    target: str
    headers: dict[str, str]
    content: bytes


Step = Callable[[socket.socket], None]
"""What is done on a connection after a request has come; the connection is closed after it."""


def answer(status: int, content: bytes = b"", size: int | None = None, **headers: str) -> Step:
    """A whole answer, or one that announces another `size`."""

    def step(connection: socket.socket) -> None:
        fields = {"content-length": str(len(content) if size is None else size), "connection": "close", **headers}
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        connection.sendall(f"HTTP/1.1 {status} Told\r\n{lines}\r\n".encode() + content)

    return step


def hang_up(connection: socket.socket) -> None:
    """Closes without an answer."""


def reset(connection: socket.socket) -> None:
    """As when the machine of the other side was switched off and on."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def nonsense(connection: socket.socket) -> None:
    connection.sendall(b"\x15\x03\x01 this is no HTTP\r\n\r\n")


def silence(connection: socket.socket) -> None:
    """Says nothing, until the client has had enough."""
    while connection.recv(4096):
        pass


@dataclass
class FaultyServer:
    """Does the steps of `script`, one for each request; after the last one it hangs up on all that comes."""

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
        """Whether a request came."""
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
