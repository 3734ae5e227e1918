"""Every kind of content that can be stored, its digest and its progress."""

import hashlib
import io
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from docstore import Client, DigestMismatch, IncompleteUpload
from docstore.client.body import ClientBody
from docstore.http.digests import structured_digest
from tests.client.faulty_server import FaultyServer, answer

BOTH = pytest.mark.parametrize("url", ["http-docs", "inside-docs"], indirect=True)


LARGE = bytes(range(256)) * 4096
"""A mebibyte, which is a blob on sqlite and several pieces on the connection."""


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
def test_every_kind_of_content_is_stored(docs: Client, tmp_path: Path) -> None:
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
def test_other_values_raise_type_error_and_change_nothing(docs: Client, wrong: Callable[[], Any]) -> None:
    with pytest.raises(TypeError):
        docs.put("a", wrong())
    assert not docs


@BOTH
def test_content_that_fails_while_it_is_sent_is_not_stored(docs: Client, tmp_path: Path) -> None:
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
def test_pieces_are_produced_in_the_calling_thread(docs: Client) -> None:
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


CONTENT = b"0123456789"


def test_the_digest_of_replayable_content_is_sent_ahead(faulty: FaultyServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    expected = structured_digest("sha-256", hashlib.sha256(CONTENT).digest())
    with Client(faulty.url) as docs:
        for content in (CONTENT, tmp_path / "file", io.BytesIO(CONTENT), [CONTENT[:3], CONTENT[3:]]):
            faulty.script, faulty.asked[:] = [answer(201, etag='"v"')], []
            docs.put("a", content, digest=True, fields={"Content-Language": "en"})
            [asked] = faulty.asked
            assert (asked.headers["repr-digest"], asked.headers["content-language"]) == (expected, "en")
        faulty.script, faulty.asked[:] = [answer(201, etag='"v"')], []
        docs.put("a", iter([CONTENT]), digest=hashlib.sha256(CONTENT).digest())
        assert faulty.asked[0].headers["repr-digest"] == expected


@BOTH
def test_the_digest_is_compared_by_the_store_or_after_the_write(
    docs: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for content in (LARGE, io.BytesIO(LARGE), pieces(), "text"):
        docs.put("a", content, digest=True)
    assert docs.add(pieces(), digest=True).created
    docs.update("a", lambda _: pieces(), digest=True)
    assert docs["a"] == LARGE
    monkeypatch.setattr(ClientBody, "hash", lambda body: setattr(body, "_digest", bytes(32)))
    with pytest.raises(DigestMismatch):
        docs.put("b", io.BytesIO(LARGE), digest=True)
    assert "b" not in docs


def test_stored_content_that_differs_from_the_sent_content_is_detected(faulty: FaultyServer) -> None:
    other = structured_digest("sha-256", hashlib.sha256(b"other").digest())
    faulty.script = [answer(201, etag='"v"'), answer(200, size=5, etag='"v"', repr_digest=other)]
    with Client(faulty.url) as docs, pytest.raises(DigestMismatch):
        docs.put("a", iter([CONTENT]), digest=True)


@BOTH
def test_progress_of_an_upload_is_reported_and_can_end_it(docs: Client) -> None:
    for content in (LARGE, io.BytesIO(LARGE), pieces()):
        sizes: list[int] = []
        docs.put("a", content, digest=True, progress=sizes.append)
        assert sum(sizes) == len(LARGE)

    def fail(size: int) -> None:
        raise ZeroDivisionError

    for digest in (False, True):
        with pytest.raises(ZeroDivisionError):
            docs.put("b", io.BytesIO(LARGE), digest=digest, progress=fail)
    assert "b" not in docs


def test_a_file_that_is_written_to_while_it_is_sent_is_not_stored(docs: Client, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(bytes(1_000_000))
    docs["log"] = b"before"

    def write(_: int) -> None:
        with path.open("r+b") as file:
            file.write(b"x")

    with path.open("rb") as file:
        for content in (file, path):
            with pytest.raises(IncompleteUpload, match="changed while it was sent"):
                docs.put("log", content, progress=write, digest="after")
            assert docs["log"] == b"before"
            os.utime(path, ns=(0, 0))
