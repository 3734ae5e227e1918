"""Ranges of documents through the store, of small content and of large: the right bytes, and no others are read."""

import os
import re

import pytest

from tests.engine_urls import ENGINES
from tests.in_process import InProcess, Reply, on_a_store

each_mount = pytest.mark.parametrize("mount", ENGINES)
each_size = pytest.mark.parametrize("size", [100, 1_000_000], ids=["small", "large"])


def content_of(size: int) -> bytes:
    return b"".join(b"%09d|" % n for n in range(size // 10))


def parts(reply: Reply) -> list[tuple[str, str, bytes]]:
    """Type, Content-Range and bytes of each part of a multipart/byteranges."""
    found = re.fullmatch(r"multipart/byteranges; boundary=([0-9A-Za-z]+)", reply["content-type"])
    assert found
    boundary = found[1].encode()
    first, *between, last = reply.content.split(b"--" + boundary)
    assert (first, last) == (b"", b"--\r\n")
    split = []
    for part in between:
        head, _, data = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        split.append((fields.pop("Content-Type"), fields.pop("Content-Range"), data.removesuffix(b"\r\n")))
        assert not fields
    return split


SINGLE = {
    # range: first and last position, negative ones counted from the end
    "bytes=0-0": (0, 0),
    "bytes=0-9": (0, 9),
    "bytes=7-52": (7, 52),
    "bytes=90-": (90, -1),
    "bytes=-1": (-1, -1),
    "bytes=-33": (-33, -1),
    "bytes=0-": (0, -1),
    "bytes=-99999999999999999999": (0, -1),
    "bytes=3-99999999999999999999": (3, -1),
    "Bytes=1-2": (1, 2),
    "bytes= 1-2 , ,": (1, 2),
    "bytes=5-6,99999999999999999999-": (5, 6),
}


@each_mount
@each_size
@on_a_store()
async def test_one_range_returns_its_bytes(store: InProcess, mount: str, size: int) -> None:
    content = content_of(size)
    await store.prepare("PUT", f"/{mount}/key", content, {"content-type": "text/x"})
    for asked, (first, last) in SINGLE.items():
        reply = await store.send("GET", f"/{mount}/key", headers={"range": asked})
        first, last = first % size, last % size
        assert (reply.status, reply["content-range"]) == (206, f"bytes {first}-{last}/{size}"), asked
        assert (reply.content, reply["content-length"]) == (content[first : last + 1], str(last + 1 - first))
        assert reply["content-type"] == "text/x"


@each_mount
@each_size
@on_a_store()
async def test_several_ranges_are_parts_in_the_order_of_the_request(store: InProcess, mount: str, size: int) -> None:
    content = content_of(size)
    await store.prepare("PUT", f"/{mount}/key", content, {"content-type": "text/x"})
    reply = await store.send("GET", f"/{mount}/key", headers={"range": f"bytes=-10, {size}-,5-5,20-29"})
    assert (reply.status, reply["content-length"]) == (206, str(len(reply.content)))
    assert "content-range" not in reply
    assert parts(reply) == [
        ("text/x", f"bytes {first}-{last}/{size}", content[first : last + 1])
        for first, last in ((size - 10, size - 1), (5, 5), (20, 29))
    ]
    again = await store.send("GET", f"/{mount}/key", headers={"range": f"bytes=-10, {size}-,5-5,20-29"})
    assert again["content-type"] != reply["content-type"], "nobody can put a boundary into a document beforehand"


WHOLE = [
    *(
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-4",
        "bytes=1-2,x",
        "bytes=1-2,5-4",
        "bytes=--1",
        "bytes 0-1",
    ),
    *(
        "items=0-1",
        "bytes=\u00b2-",
        "bytes=0-1;x",
        "bytes=0x1-2",
        "bytes=+1-2",
        "bytes=1 - 2",
        "bytes=0-,0-",
        "bytes=0-,1-",
    ),
    "bytes=" + ",".join(f"{n}-{n}" for n in range(17)),
]


@each_mount
@each_size
@on_a_store()
async def test_invalid_and_excessive_ranges_get_the_whole_document(store: InProcess, mount: str, size: int) -> None:
    content = content_of(size)
    await store.prepare("PUT", f"/{mount}/key", content)
    for asked in WHOLE:
        reply = await store.send("GET", f"/{mount}/key", headers={"range": asked})
        assert (reply.status, "content-range" in reply) == (200, False), asked
        assert reply.content == content
    most = "bytes=" + ",".join(f"{n}-{n}" for n in range(16))
    assert len(parts(await store.send("GET", f"/{mount}/key", headers={"range": most}))) == 16


@each_mount
@each_size
@on_a_store()
async def test_an_unsatisfiable_range_is_416_with_the_size(store: InProcess, mount: str, size: int) -> None:
    await store.prepare("PUT", f"/{mount}/key", content_of(size))
    for asked in (
        f"bytes={size}-",
        f"bytes={size}-{size + 5}",
        "bytes=-0",
        f"bytes={'9' * 5000}-",
        f"bytes=-0,{size}-",
    ):
        reply = await store.send("GET", f"/{mount}/key", headers={"range": asked})
        assert (reply.status, reply["content-range"]) == (416, f"bytes */{size}")


@each_mount
@pytest.mark.parametrize("asked", ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0", "bytes=5-"])
@on_a_store()
async def test_any_range_of_an_empty_document_returns_the_whole(store: InProcess, mount: str, asked: str) -> None:
    await store.prepare("PUT", f"/{mount}/key", b"")
    reply = await store.send("GET", f"/{mount}/key", headers={"range": asked})
    assert (reply.status, reply.content, reply["content-length"]) == (200, b"", "0")


@each_mount
@each_size
@on_a_store()
async def test_if_range_sends_the_part_of_the_same_document_and_the_whole_of_another(
    store: InProcess, mount: str, size: int
) -> None:
    content, path = content_of(size), f"/{mount}/key"
    tag = (await store.send("PUT", path, content))["etag"]
    dated = (await store.send("GET", path))["last-modified"]
    table = [(tag, 206), (f"W/{tag}", 200), ('"x"', 200), (f'"x", {tag}', 200), ("", 200), ("yesterday", 200)]
    for late_s, of_the_date in ((0, 200), (1, 206)):
        store.clock.advance_s(late_s)
        for value, status in [*table, (dated, of_the_date), ("Tue, 14 Nov 2023 22:13:21 GMT", 200)]:
            reply = await store.send("GET", path, headers={"range": "bytes=1-2", "if-range": value})
            assert (reply.status, reply.content) == (status, content[1:3] if status == 206 else content), value
    assert (await store.send("GET", path, headers={"if-range": tag})).status == 200
    nowhere = {"range": f"bytes={size}-", "if-range": '"x"'}
    assert (await store.send("GET", path, headers=nowhere)).status == 200


ABOUT_IT = 1024
"""Limit of the bytes that an engine reads to find a document."""


@pytest.mark.parametrize("mount", ["file", "docs"])
@on_a_store()
async def test_of_a_large_document_only_the_range_is_read(
    store: InProcess, mount: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    pread = os.pread

    def counting(descriptor: int, size: int, position: int) -> bytes:
        data = pread(descriptor, size, position)
        read.append(len(data))
        return data

    await store.prepare("PUT", f"/{mount}/key", content_of(3_000_000))
    monkeypatch.setattr(os, "pread", counting)
    reply = await store.send("GET", f"/{mount}/key", headers={"range": "bytes=1000000-1000099,2000000-2000049"})
    assert reply.status == 206
    assert 150 <= sum(read) < 150 + ABOUT_IT
    read.clear()
    assert (await store.send("HEAD", f"/{mount}/key")).status == 200
    assert sum(read) < ABOUT_IT
