"""The session of the original article, line by line, on every engine and through the client that it used.

Where a status or a byte differs from the article the comment says so; README lists the differences with their reasons.
"""

import re
import zlib

import httplib2
import pytest

from tests.server_process import MOUNTS, RunningServer

PLAIN_NAMES = True
UUID_LINE = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n")


def png() -> bytes:
    """A binary picture with every byte value in it: 16 by 16 pixels of grey."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    rows = b"".join(b"\0" + bytes(range(16 * row, 16 * row + 16)) for row in range(16))
    header = (16).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    pixels = zlib.compress(rows, level=0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize("mount", MOUNTS)
def test_the_session_of_the_article_works_line_by_line(
    server: RunningServer, request: pytest.FixtureRequest, mount: str
) -> None:
    h = httplib2.Http(timeout=30)
    request.addfinalizer(h.close)
    base = f"{server.url}/{mount}"

    response, content = h.request(f"{base}/12345", "POST", "hello")
    assert (response.status, content) == (201, b"12345\n")  # 200 in the article, which created it too
    response, content = h.request(f"{base}/12345", "GET")
    assert (response.status, content) == (200, b"hello")  # the article's print added a newline

    response, content = h.request(f"{base}/12345", "DELETE")
    assert (response.status, content) == (200, b"")
    response, content = h.request(f"{base}/12345", "GET")
    assert (response.status, content) == (404, b"not found\n")

    response, content = h.request(f"{base}/", "PUT", "a new message")
    assert response.status == 201
    assert UUID_LINE.fullmatch(content)
    uuid = content.decode().strip()
    assert response["location"] == f"/{mount}/{uuid}"
    response, content = h.request(f"{base}/{uuid}", "GET")
    assert (response.status, content) == (200, b"a new message")

    picture = png()
    response, content = h.request(f"{base}/johnnytables", "POST", body=picture, headers={"content-type": "image/png"})
    assert (response.status, content) == (201, b"johnnytables\n")
    response, content = h.request(f"{base}/johnnytables", "GET")
    assert (response.status, response["content-type"], content) == (200, "image/png", picture)

    response, content = h.request(f"{base}/", "GET")
    assert (response.status, response["content-type"]) == (200, "text/html; charset=utf-8")
    links = re.findall(rb'<a href="([^"]*)"><bdi>([^<]*)</bdi></a>', content)
    assert links == [(f"/{mount}/{key}".encode(), key.encode()) for key in sorted([uuid, "johnnytables"])]
