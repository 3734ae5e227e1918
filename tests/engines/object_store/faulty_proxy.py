"""A proxy in front of the S3 server that loses, delays, changes and counts requests, as its rule says."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from docstore.engines.registry import EngineURL
from tests.engines.object_store.s3_server import s3_url

ERROR = '<?xml version="1.0"?><Error><Code>{}</Code><Message>no</Message></Error>'


@dataclass
class Sent:
    """A request of the engine. A rule may change `headers`, or set what happens instead of a plain answer."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    lose_request: bool = False
    lose_answer: bool = False
    refuse: tuple[int, str] | None = None
    """A status and an S3 error code to answer at once."""
    cut_after: int | None = None
    """How many bytes of the answer's body are sent before the connection breaks."""
    after: Callable[[], object] | None = None
    """Called when the store has answered, before the engine learns of it."""


@dataclass
class Proxy:
    """A running proxy; `url` is the store of a test behind it."""

    url: EngineURL
    rule: Callable[[Sent], object] = lambda sent: None
    sent: list[Sent] = field(default_factory=list)

    def requests(self) -> list[str]:
        """Return the requests since the last call: method and the folder of the object."""
        done = [f"{each.method} {[*each.path.partition('?')[0].split('/'), '', '', ''][3]}" for each in self.sent]
        self.sent.clear()
        return done


@contextmanager
def faulty_proxy(folder: Path) -> Iterator[Proxy]:
    direct = EngineURL.parse(s3_url(folder))
    target = urlsplit(direct.options["endpoint"].partition(",")[0]).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_one(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            sent = Sent(self.command, self.path, dict(self.headers), self.rfile.read(size))
            proxy.sent.append(sent)
            proxy.rule(sent)
            if sent.lose_request:
                self.close_connection = True
                return
            status, headers, body = (
                (sent.refuse[0], [], ERROR.format(sent.refuse[1]).encode()) if sent.refuse else ask(sent)
            )
            if sent.after is not None:
                sent.after()
            if sent.lose_answer:
                self.close_connection = True
                return
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                    self.send_header(name, value)
            length = {name.lower(): value for name, value in headers}.get("content-length", "0")
            self.send_header("Content-Length", length if self.command == "HEAD" else str(len(body)))
            self.end_headers()
            self.wfile.write(body[: sent.cut_after])
            self.close_connection = sent.cut_after is not None

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_one

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    def ask(sent: Sent) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(target, timeout=30)
        try:
            connection.request(sent.method, sent.path, sent.body, sent.headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # the engine closes connections at will
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    proxy = Proxy(EngineURL("s3", direct.location, {"endpoint": endpoint}))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)  # `shutdown` waits so long
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
