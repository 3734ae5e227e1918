"""How each server is asked for the same thing: the bytes of a request, and what a response of it contains.

The same bytes go through Python's client, which compares a response with what was stored, and through wrk, which counts
responses. KEY and KEY64 (its base64, for etcd) stand for the key in them. All keys have nine characters, so that the
requests and the responses of a workload have one size, and base64 of a key needs no padding.
"""

import http.client
import io
import json
import socket
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any

KEY, KEY64 = b"\x01", b"\x02"
KEY_FORMAT = "%s%08d"
PAGE_SIZE = 100
RANGE = range(1000, 1100)
FILLER = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ012345678"
"""Of prime length, so that a range from another position differs."""
FOLDERS = {"docs": "/docs/", "file": "/file/", "nginx": "/docs/", "many of docs": "/many/", "many of nginx": "/many/"}
"""Where the documents of the servers with plain paths are; "file" is the second mount of Docstore."""


def key_of(letter: str, number: int) -> str:
    """The key of a document; its first letter says which documents it belongs to."""
    return KEY_FORMAT % (letter, number)


@dataclass(frozen=True)
class Template:
    request: bytes

    def bytes_for(self, key: str) -> bytes:
        return self.request.replace(KEY, key.encode()).replace(KEY64, b64encode(key.encode()))

    def lua(self) -> str:
        """An expression of the Lua variable `key`."""
        escaped = self.request.decode().replace("\\", r"\\").replace('"', r"\"")
        quoted = '"' + escaped.replace("\r", r"\r").replace("\n", r"\n") + '"'
        return quoted.replace("\x01", '" .. key .. "').replace("\x02", '" .. encode(key) .. "')


@dataclass(frozen=True)
class Response:
    status: int
    etag: str
    content: bytes
    size: int
    """All bytes of the response, its head included."""


class _Counter(io.RawIOBase):
    """Reads a socket and counts."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._connection.recv_into(buffer)
        self.size += count
        return count

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self, 1 << 16)


def ask(port: int, request: bytes) -> Response:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request)
        counter: Any = _Counter(connection)
        response = http.client.HTTPResponse(counter, method=request.split(b" ", 1)[0].decode())
        response.begin()
        content = response.read()
        return Response(response.status, response.headers.get("ETag", ""), content, counter.size)


def http_request(method: str, target: str, body: bytes | None = None, **fields: str) -> bytes:
    head = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1"]
    head += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    if body is not None:
        size = len(body.replace(KEY, b"k" * 9).replace(KEY64, b"k" * 12))
        head.append(f"Content-Length: {size}")
    return "\r\n".join([*head, "", ""]).encode() + (body or b"")


def content_template(size: int, mark: str) -> bytes:
    """Content that names its key, so that the response for another key differs; `mark` changes it."""
    rest = size - len(KEY_FORMAT % ("k", 0)) - len(mark)
    return KEY + mark.encode() + (FILLER * (rest // len(FILLER) + 1))[:rest]


def content_of(key: str, size: int, mark: str) -> bytes:
    return content_template(size, mark).replace(KEY, key.encode())


def template_of(server: str, operation: str, size: int = 0, mark: str = "", etag: str = "") -> Template:
    """The request of a server for an operation, which `workloads.py` says it has."""
    content = content_template(size, mark) if operation == "put" else b""
    if server == "webdis":
        request = _webdis_request(operation, content, etag)
    elif server == "etcd":
        request = _etcd_request(operation, content)
    else:
        request = _plain_request(FOLDERS[server], operation, content, etag)
    return Template(request)


def _plain_request(folder: str, operation: str, content: bytes, etag: str) -> bytes:
    path = f"{folder}\x01"
    if operation == "put":
        return http_request("PUT", path, content)
    if operation == "not modified":
        return http_request("GET", path, If_None_Match=etag)
    if operation == "range":
        return http_request("GET", path, Range=f"bytes={RANGE.start}-{RANGE.stop - 1}")
    if operation == "page":
        return http_request("GET", f"/many/?limit={PAGE_SIZE}&after=\x01", Accept="application/json")
    return http_request("GET", path)


def _webdis_request(operation: str, content: bytes, etag: str) -> bytes:
    if operation == "put":
        return http_request("PUT", "/SET/\x01", content)
    if operation == "not modified":
        return http_request("GET", "/GET/\x01.bin", If_None_Match=etag)
    if operation == "range":
        return http_request("GET", f"/GETRANGE/\x01/{RANGE.start}/{RANGE.stop - 1}.bin")
    return http_request("GET", "/GET/\x01.bin")


def _etcd_request(operation: str, content: bytes) -> bytes:
    if operation == "put":
        value = KEY64 + b64encode(content.removeprefix(KEY))
        return http_request("POST", "/v3/kv/put", b'{"key":"' + KEY64 + b'","value":"' + value + b'"}')
    if operation == "page":  # of all keys after this one: the smallest is the key itself with a NUL
        first = b'{"key":"' + KEY64 + b'AA==","range_end":"bA==","limit":%d}' % PAGE_SIZE
        return http_request("POST", "/v3/kv/range", first)
    return http_request("POST", "/v3/kv/range", b'{"key":"' + KEY64 + b'"}')


def value_in(server: str, response: Response) -> bytes:
    """The content of a document in the response to GET."""
    if server != "etcd":
        return response.content
    return b64decode(json.loads(response.content)["kvs"][0]["value"])


def keys_in(server: str, content: bytes) -> list[str]:
    """The keys in a page."""
    if server == "etcd":
        return [b64decode(each["key"]).decode() for each in json.loads(content)["kvs"]]
    return [each["key"] for each in json.loads(content)["documents"]]
