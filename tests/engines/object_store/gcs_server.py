"""A small server with the part of Google Cloud Storage's XML API that obstore uses, in this process or one of its own:

    python -m tests.engines.object_store.gcs_server

prints its address and stops at the end of standard input. We know no emulator on PyPI or npm that keeps the conditions
of this API, so the server follows its documentation: each write gives an object a new generation, and
`x-goog-if-generation-match` names the generation that it must have, 0 for none.
"""

import email.utils
import hashlib
import itertools
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from subprocess import PIPE, Popen
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

BUCKET = "docs"
TOKEN = "secret"
Answer = tuple[int, dict[str, str], bytes]


@dataclass(frozen=True)
class StoredObject:
    data: bytes
    generation: int
    modified: float

    @property
    def headers(self) -> dict[str, str]:
        return {
            "ETag": f'"{hashlib.md5(self.data, usedforsecurity=False).hexdigest()}"',
            "x-goog-generation": str(self.generation),
            "Last-Modified": email.utils.formatdate(self.modified, usegmt=True),
        }


@dataclass
class GCSServer:
    """The bucket; `endpoint` is its address, and `conditions` are those that were received."""

    endpoint: str = ""
    keeps_conditions: bool = True
    conditions: set[str] = field(default_factory=set)
    _objects: dict[str, StoredObject] = field(default_factory=dict)
    _parts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query, keep_blank_values=True)
        bucket, _, name = path[1:].partition("/")
        with self._turn:
            if headers.get("authorization") != f"Bearer {TOKEN}":
                return error(401, "AuthenticationRequired")
            if bucket != BUCKET:
                return error(404, "NoSuchBucket")
            if not name:
                return self._list(query)
            if "uploads" in query or "uploadId" in query:
                return self._multipart(method, unquote(name), query, body)
            if method == "PUT":
                return self._put(unquote(name), headers.get("x-goog-if-generation-match"), body)
            if unquote(name) not in self._objects:
                return error(404, "NoSuchKey")
            if method == "DELETE":
                del self._objects[unquote(name)]
                return 204, {}, b""
            return read(self._objects[unquote(name)], headers.get("range"))

    def _put(self, name: str, condition: str | None, body: bytes) -> Answer:
        stored = self._objects.get(name)
        if condition is not None:
            self.conditions.add("create" if condition == "0" else "replace")
            if self.keeps_conditions and int(condition) != (stored.generation if stored else 0):
                return error(412, "PreconditionFailed")
        self._objects[name] = StoredObject(body, next(self._numbers), time.time())
        return 200, self._objects[name].headers, b""

    def _multipart(self, method: str, name: str, query: dict[str, list[str]], body: bytes) -> Answer:
        if "uploads" in query:
            upload = str(next(self._numbers))
            self._parts[upload] = {}
            return xml("InitiateMultipartUploadResult", Bucket=BUCKET, Key=name, UploadId=upload)
        (upload,) = query["uploadId"]
        if method == "PUT":
            self._parts[upload][int(query["partNumber"][0])] = body
            return 200, {"ETag": f'"{len(body)}"'}, b""
        parts = self._parts.pop(upload)
        if method == "DELETE":
            return 204, {}, b""
        numbers = [int(each.text or "") for each in ElementTree.fromstring(body).iter("PartNumber")]
        _, headers, _ = self._put(name, None, b"".join(parts[number] for number in numbers))
        status, _, answer = xml("CompleteMultipartUploadResult", ETag=headers["ETag"])
        return status, headers, answer

    def _list(self, query: dict[str, list[str]]) -> Answer:
        options = {option: values[0] for option, values in query.items()}
        after = options.get("continuation-token") or options.get("start-after", "")
        names = [each for each in sorted(self._objects) if each.startswith(options.get("prefix", "")) and each > after]
        page = names[: int(options.get("max-keys", 1000))]
        result = ElementTree.Element("ListBucketResult")
        for name in page:
            stored, contents = self._objects[name], ElementTree.SubElement(result, "Contents")
            modified = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(stored.modified))
            fields = {"Key": name, "Size": str(len(stored.data)), "LastModified": modified}
            for field_name, value in (fields | {"ETag": stored.headers["ETag"]}).items():
                ElementTree.SubElement(contents, field_name).text = value
        ElementTree.SubElement(result, "IsTruncated").text = str(len(page) < len(names)).lower()
        if len(page) < len(names):
            ElementTree.SubElement(result, "NextContinuationToken").text = page[-1]
        return 200, {}, ElementTree.tostring(result)


def read(stored: StoredObject, range_: str | None) -> Answer:
    if range_ is None:
        return 200, stored.headers, stored.data
    first, last = map(int, range_.removeprefix("bytes=").split("-"))
    size = len(stored.data)
    if first >= size:
        return error(416, "InvalidRange")
    content_range = {"Content-Range": f"bytes {first}-{min(last, size - 1)}/{size}"}
    return 206, stored.headers | content_range, stored.data[first : last + 1]


def error(status: int, code: str) -> Answer:
    return status, {}, xml("Error", Code=code, Message="no")[2]


def xml(name: str, **fields: str) -> Answer:
    element = ElementTree.Element(name)
    for each, value in fields.items():
        ElementTree.SubElement(element, each).text = value
    return 200, {}, ElementTree.tostring(element)


@contextmanager
def running_gcs_server() -> Iterator[GCSServer]:
    store = GCSServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, fields, content = store.answer(self.command, self.path, headers, body)
            self.send_response_only(status)
            for name, value in (fields | {"Content-Length": str(len(content))}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_one

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # the engine closes connections at will
    store.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def gcs_server_process() -> Iterator[str]:
    """Start a server in a process of its own, so that this one has none of its threads; yield its endpoint."""
    with Popen([sys.executable, "-m", __name__], stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


def main() -> None:
    with running_gcs_server() as store:
        print(store.endpoint, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
