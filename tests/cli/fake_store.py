"""A server in the test's process that answers like a store and can misbehave.

It can have hostile keys and wrong digests, which a real server would never store, and break off responses.
"""

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

MODIFIED = "2026-01-02T03:04:05.000Z"


def version(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


@dataclass
class FakeStore:
    """One collection at `/docs/`."""

    documents: dict[str, bytes] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    """Number of bytes after which each of the next responses to a GET breaks off."""
    wrong_digest: bool = False
    pause_s: float = 0
    """Pause before each hundredth of a document's content."""
    before_get: Callable[[], None] = lambda: None
    statuses: dict[str, tuple[int, str]] = field(default_factory=dict)
    """By method: the status and the problem with which it is rejected."""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Method and headers of all requests about documents."""
    generated: int = 0
    """If not 0, a listing has this many generated keys."""
    url: str = ""

    def listing(self, query: dict[str, list[str]]) -> dict[str, object]:
        prefix, after, limit = (query.get(name, [""])[0] for name in ("prefix", "after", "limit"))
        count = int(limit or 1000)
        if self.generated:
            first = int(after) + 1 if after else 0
            keys = [f"{number:09}" for number in range(first, min(first + count + 1, self.generated))]
        else:
            keys = [key for key in sorted(self.documents) if key.startswith(prefix) and key > after][: count + 1]
        page = keys[:count]
        return {
            "mount": "/docs/",
            "documents": [self.entry(key) for key in page],
            "next": f"/docs/?after={page[-1]}" if len(keys) > count else None,
        }

    def entry(self, key: str) -> dict[str, object]:
        content = self.documents.get(key, b"")
        digest = hashlib.sha256(content).hexdigest()
        entry = {"key": key, "version": version(content), "size": len(content), "sha256": digest}
        return {**entry, "media_type": "text/plain", "modified": MODIFIED}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: FakeStore

    def log_message(self, *_: object) -> None:
        pass

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def answer(self, status: int, content: bytes, fields: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **fields}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def problem(self, status: int, name: str) -> None:
        problem = {"type": f"/-/problems#{name}", "title": name.replace("-", " "), "status": status}
        self.answer(status, json.dumps(problem).encode(), {"Content-Type": "application/problem+json"})

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if not parts.path.startswith("/docs/"):
            return self.problem(404, "not-found")
        if parts.path == "/docs/":
            content = json.dumps(self.store.listing(parse_qs(parts.query))).encode()
            return self.answer(200, content, {"Content-Type": "application/json"})
        self.store.asked.append((self.command, {name.lower(): value for name, value in self.headers.items()}))
        if self.command in self.store.statuses:
            return self.problem(*self.store.statuses[self.command])
        if self.command == "GET":
            self.store.before_get()
        content = self.store.documents.get(unquote(parts.path[len("/docs/") :]))
        if content is None:
            return self.problem(404, "not-found")
        return self.document(content)

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def document(self, content: bytes) -> None:
        etag = f'"{version(content)}"'
        if self.headers.get("If-Match", etag) != etag:
            return self.problem(412, "precondition-failed")
        digest = hashlib.sha256(b"wrong" if self.store.wrong_digest else content).digest()
        fields = {"ETag": etag, "Repr-Digest": f"sha-256=:{base64.b64encode(digest).decode()}:"}
        status, sent = 200, content
        span = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if span and self.headers.get("If-Range", etag) == etag:
            status, sent = 206, content[int(span[1]) :]
            fields["Content-Range"] = f"bytes {span[1]}-{len(content) - 1}/{len(content)}"
        if self.command == "GET" and self.store.cuts:
            cut = self.store.cuts.pop(0)
            self.answer(status, sent[:cut], {"Content-Length": str(len(sent)), **fields})
            self.close_connection = True
            return None
        if self.command == "GET" and self.store.pause_s:
            return self.slowly(status, sent, fields)
        return self.answer(status, sent, fields)

    def slowly(self, status: int, content: bytes, fields: dict[str, str]) -> None:
        step = max(1, len(content) // 100)
        self.answer(status, b"", {"Content-Length": str(len(content)), **fields})
        for start in range(0, len(content), step):
            time.sleep(self.store.pause_s)
            self.wfile.write(content[start : start + step])


@contextmanager
def serving(store: FakeStore) -> Iterator[FakeStore]:
    handler = type("Handler", (_Handler,), {"store": store})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    store.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
