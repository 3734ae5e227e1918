"""Content that is not in memory: what can be put, what comes in pieces, and downloads that go on where they broke."""

import asyncio
import hashlib
import io
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from docstore import AsyncClient, Client, Conflict, DigestMismatch, IncompleteUpload, NotFound, StorageUnavailable
from docstore.http.digests import structured_digest
from tests.client.faulty import FaultyServer, Step, answer, hang_up

BOTH = pytest.mark.parametrize("url", ["http-docs", "inside-docs"], indirect=True)
LARGE = bytes(range(256)) * 4096
"""A mebibyte, which is a sealed file on sqlite and several pieces on the wire."""

OLDER = "AZaz09_-" * 4
"""As the version of another state."""


class Unseekable(io.RawIOBase):
    """As a pipe."""

    def __init__(self) -> None:
        self._left = io.BytesIO(LARGE)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._left.read(size)


def pieces() -> Iterator[bytes]:
    for start in range(0, len(LARGE), 100_000):
        yield LARGE[start : start + 100_000]
        yield b""


def in_the_middle(path: Path) -> io.BufferedIOBase:
    path.write_bytes(b"before" + LARGE)
    file = path.open("rb")
    file.seek(6)
    return file


SOURCES: list[Callable[[Path], Any]] = [
    lambda _: LARGE,
    lambda _: bytearray(LARGE),
    lambda _: memoryview(LARGE),
    lambda _: io.BytesIO(LARGE),
    lambda _: Unseekable(),
    lambda _: pieces(),
    lambda _: [LARGE[:1000], LARGE[1000:]],
    in_the_middle,
]


@BOTH
def test_content_is_taken_from_whatever_holds_it(docs: Client, tmp_path: Path) -> None:
    for number, source in enumerate(SOURCES):
        content = source(tmp_path / "source")
        docs.put("a", content)
        assert docs["a"] == LARGE, number
        if hasattr(content, "close"):
            content.close()
        docs["a"] = b""
    (tmp_path / "file").write_bytes(LARGE)
    docs["a"] = tmp_path / "file"
    assert b"".join(docs.iter_content("a")) == LARGE
    docs["text"] = "schön"
    assert (docs["text"], docs["text"].text) == ("schön".encode(), "schön")
    assert docs.info("text").type == "text/plain; charset=utf-8"


@BOTH
@pytest.mark.parametrize("wrong", [lambda: 5, lambda: None, lambda: ["text"], io.StringIO, object])
def test_what_is_no_content_is_a_type_error_and_changes_nothing(docs: Client, wrong: Callable[[], Any]) -> None:
    with pytest.raises(TypeError):
        docs.put("a", wrong())
    assert not docs


@BOTH
def test_what_fails_while_it_is_sent_is_not_stored(docs: Client, tmp_path: Path) -> None:
    def failing() -> Iterator[bytes]:
        yield LARGE
        raise ZeroDivisionError

    docs["a"] = b"before"
    with pytest.raises(ZeroDivisionError):
        docs.put("a", failing())
    with pytest.raises(FileNotFoundError):
        docs.put("a", tmp_path / "missing")
    file = tmp_path / "file"
    file.write_bytes(LARGE)

    class Shrinking(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(size)[:1000] if self.tell() == 0 else b""

    with pytest.raises(IncompleteUpload):
        docs.put("a", Shrinking(LARGE))
    assert docs["a"] == b"before"


@BOTH
def test_pieces_are_made_in_the_thread_that_gives_them(docs: Client) -> None:
    """So a generator may use what belongs to its thread, and read from the same collection meanwhile."""
    threads = set()

    def made() -> Iterator[bytes]:
        for piece in docs.iter_content("a"):
            threads.add(threading.current_thread())
            yield piece

    docs["a"] = LARGE
    docs.put("b", made())
    assert docs["b"] == LARGE
    assert threads == {threading.current_thread()}


@BOTH
def test_a_stream_that_is_left_lets_go_of_its_connection(docs: Client) -> None:
    docs["a"] = LARGE
    for _ in range(150):  # more than there are connections
        stream = docs.iter_content("a")
        assert next(stream)
        del stream
    assert docs["a"] == LARGE


@BOTH
def test_the_asynchronous_client_streams_both_ways(run: Callable[..., object], tmp_path: Path) -> None:
    async def streamed(docs: AsyncClient) -> None:
        async def made() -> AsyncIterator[bytes]:
            for piece in pieces():
                yield piece

        await docs.put("a", made())
        await docs.put("b", pieces())
        await docs.put("c", io.BytesIO(LARGE))
        for key in "abc":
            assert b"".join([piece async for piece in docs.iter_content(key)]) == LARGE
        info = await docs.download("a", tmp_path / "a")
        assert info.size == len(LARGE)
        assert (tmp_path / "a").read_bytes() == LARGE
        async for _ in docs.iter_content("a"):
            break
        await asyncio.gather(*(docs.put(f"many{number}", pieces()) for number in range(10)))
        assert await docs.count("many") == 10

    run(streamed)


def test_a_large_document_takes_little_memory(docs: Client, tmp_path: Path) -> None:
    file = tmp_path / "large"
    with file.open("wb") as written:
        written.truncate(64 * 1024**2)
    tracemalloc.start()
    try:
        docs.put("a", file)
        docs.download("a", tmp_path / "again")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 1024**2


def whole(content: bytes, version: str = "v", **more: Any) -> Step:
    digest = structured_digest("sha-256", hashlib.sha256(content).digest())
    return answer(200, content, etag=f'"{version}"', repr_digest=digest, **more)


def rest(content: bytes, start: int, version: str = "v", stop: int | None = None) -> Step:
    span = f"bytes {start}-{len(content) - 1}/{len(content)}"
    digest = structured_digest("sha-256", hashlib.sha256(content).digest())
    size = len(content) - start
    return answer(206, content[start:stop], size, etag=f'"{version}"', repr_digest=digest, content_range=span)


CONTENT = b"0123456789"


def broken(content: bytes, at: int, version: str = "v") -> Step:
    digest = structured_digest("sha-256", hashlib.sha256(content).digest())
    return answer(200, content[:at], len(content), etag=f'"{version}"', repr_digest=digest)


def test_a_broken_stream_is_taken_up_where_it_broke(faulty: FaultyServer) -> None:
    faulty.script = [broken(CONTENT, 4), hang_up, rest(CONTENT, 4, stop=7), rest(CONTENT, 7)]
    with Client(faulty.url, tries=4) as docs:
        assert b"".join(docs.iter_content("a")) == CONTENT
    assert [asked.headers.get("range") for asked in faulty.asked] == [None, "bytes=4-", "bytes=4-", "bytes=7-"]
    assert [asked.headers.get("if-range") for asked in faulty.asked] == [None, '"v"', '"v"', '"v"']


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ([broken(CONTENT, 4), whole(b"another one", "w")], Conflict),
        ([broken(CONTENT, 4), rest(CONTENT, 5)], Conflict),
        ([broken(CONTENT, 4), answer(404)], NotFound),
        ([broken(CONTENT, 4), *[hang_up] * 9], StorageUnavailable),
        ([broken(CONTENT, 4), rest(b"0123xxxxxx", 4)], DigestMismatch),
    ],
)
def test_a_stream_is_of_one_version_or_an_error(
    faulty: FaultyServer,
    script: list[Step],
    expected: type[Exception],
) -> None:
    faulty.script = script
    with Client(faulty.url, tries=4) as docs, pytest.raises(expected):
        list(docs.iter_content("a"))


def test_a_download_that_was_interrupted_is_gone_on_with(faulty: FaultyServer, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"before")
    head = answer(200, size=10, etag='"v"')
    faulty.script = [head, broken(CONTENT, 4), hang_up, hang_up]
    with Client(faulty.url, tries=2) as docs, pytest.raises(StorageUnavailable):
        docs.download("a", target)
    assert target.read_bytes() == b"before"
    assert (tmp_path / "target.v.part").read_bytes() == CONTENT[:4]
    (tmp_path / f"target.{OLDER}.part").write_bytes(b"of another version")
    faulty.script, faulty.asked[:] = [head, rest(CONTENT, 4)], []
    with Client(faulty.url) as docs:
        assert docs.download("a", target).size == 10
    assert faulty.asked[1].headers["range"] == "bytes=4-"
    assert faulty.asked[1].headers["if-range"] == '"v"'
    assert target.read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


@pytest.mark.parametrize("name", ["report", "report[a-z]", "*", "re?port"])
def test_a_download_removes_what_downloads_to_the_same_file_left_and_nothing_else(
    docs: Client, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    others = [
        f"{name}.final.part",
        f"{name}.pdf.part",
        f"{name}.pdf.{OLDER}.part",
        f"{name}.{OLDER}x.part",
        f"{name}.{OLDER}.part.etag",
        f"reporta.{OLDER}.part",
    ]
    for left in (*others, f"{name}.{OLDER}.part"):
        (folder / left).write_bytes(b"")
    docs["a"] = b"1"
    docs.download("a", folder / name)
    assert {path.name for path in folder.iterdir()} == {name, *others}


def test_a_download_of_what_is_replaced_meanwhile_begins_again(faulty: FaultyServer, tmp_path: Path) -> None:
    new = b"quite another content"
    (tmp_path / "target.v.part").write_bytes(CONTENT[:4])
    faulty.script = [answer(200, size=10, etag='"v"'), whole(new, "w"), answer(200, size=len(new), etag='"w"')]
    faulty.script.append(whole(new, "w"))
    with Client(faulty.url) as docs:
        assert docs.download("a", tmp_path / "target").version == "w"
    assert (tmp_path / "target").read_bytes() == new


def test_a_part_that_is_not_the_documents_is_found_by_its_digest(docs: Client, tmp_path: Path) -> None:
    stored = docs.put("a", LARGE)
    part = tmp_path / f"target.{stored.version}.part"
    for left in (b"wrong", b"x" * len(LARGE), b"x" * (len(LARGE) + 5)):
        part.write_bytes(left)
        if len(left) <= len(LARGE):
            with pytest.raises(DigestMismatch):
                docs.download("a", tmp_path / "target")
            assert not (tmp_path / "target").exists()
        docs.download("a", tmp_path / "target")
        assert (tmp_path / "target").read_bytes() == LARGE
        (tmp_path / "target").unlink()
    part.write_bytes(LARGE)
    docs.download("a", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == LARGE
    with pytest.raises(NotFound):
        docs.download("missing", tmp_path / "target")
