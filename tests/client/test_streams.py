"""Content that is not in memory: what can be put, what comes in pieces, and downloads that go on where they broke."""

import asyncio
import errno
import hashlib
import io
import os
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from docstore import AsyncClient, Client, Conflict, DigestMismatch, IncompleteUpload, NotFound, StorageUnavailable
from docstore.client.body import Body
from docstore.http.digests import structured_digest
from tests.client.faulty import FaultyServer, Step, answer, hang_up

BOTH = pytest.mark.parametrize("url", ["http-docs", "inside-docs"], indirect=True)
LARGE = bytes(range(256)) * 4096
"""A mebibyte, which is a sealed file on sqlite and several pieces on the wire."""


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


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def partial_file(folder: Path) -> Path:
    [path] = folder.glob(".target.docstore-*.part")
    return path


def interrupt(docs: Client, target: Path) -> Path:
    """Leave the partial file of a download of the key `a`, which a server ends after some bytes."""

    def fail(size: int) -> None:
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - it is raised above
        docs.download("a", target, progress=fail)
    return partial_file(target.parent)


def test_an_interrupted_download_is_resumed(faulty: FaultyServer, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"before")
    head = answer(200, size=10, etag='"v"')
    faulty.script = [head, broken(CONTENT, 4), hang_up, hang_up]
    with Client(faulty.url, tries=2) as docs, pytest.raises(StorageUnavailable):
        docs.download("a", target)
    assert target.read_bytes() == b"before"
    assert partial_file(tmp_path).read_bytes() == CONTENT[:4]
    faulty.script, faulty.asked[:] = [head, rest(CONTENT, 4)], []
    sizes: list[int] = []
    with Client(faulty.url) as docs:
        assert docs.download("a", target, progress=sizes.append).size == 10
    assert faulty.asked[1].headers["range"] == "bytes=4-"
    assert faulty.asked[1].headers["if-range"] == '"v"'
    assert target.read_bytes() == CONTENT
    assert names(tmp_path) == {"target"}
    assert sizes == [4, 6]


def test_files_of_the_user_beside_the_target_are_neither_used_nor_removed(docs: Client, tmp_path: Path) -> None:
    stored = docs.put("a", LARGE)
    precious = [
        "target.part",
        "target.part.etag",
        f"target.{stored.version}.part",
        ".target.docstore-.part",
        f".target.docstore-{'0' * 32}.part",
        f".target.docstore-{'0' * 32}.etag",
        "other",
    ]
    for name in precious:
        (tmp_path / name).write_bytes(LARGE[:1000])
    docs.download("a", tmp_path / "target")
    with pytest.raises(NotFound):
        docs.download("missing", tmp_path / "target")
    assert names(tmp_path) == {"target", *precious}
    for name in precious:
        assert (tmp_path / name).read_bytes() == LARGE[:1000]


def test_a_partial_file_belongs_to_one_document_and_one_target(docs: Client, tmp_path: Path) -> None:
    docs["a"], docs["b"] = LARGE, LARGE[::-1]
    partial = interrupt(docs, tmp_path / "target")
    kept = names(tmp_path)
    docs.download("b", tmp_path / "target")
    docs.download("a", tmp_path / "another")
    assert (tmp_path / "target").read_bytes() == LARGE[::-1]
    assert names(tmp_path) == {"target", "another", *kept}
    docs.download("a", tmp_path / "target")
    assert not partial.exists()
    assert names(tmp_path) == {"target", "another"}


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_bytes(b'"older"\n')])
def test_a_partial_file_without_the_etag_of_this_version_is_not_used(
    docs: Client, tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    docs["a"] = LARGE
    partial = interrupt(docs, tmp_path / "target")
    partial.write_bytes(b"x" * 1000)
    spoil(partial.with_suffix(".etag"))
    docs.download("a", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == LARGE
    assert names(tmp_path) == {"target"}


def test_a_download_starts_again_when_the_document_is_replaced_meanwhile(faulty: FaultyServer, tmp_path: Path) -> None:
    new = b"quite another content"
    head = answer(200, size=10, etag='"v"')
    faulty.script = [head, broken(CONTENT, 4), whole(new, "w"), answer(200, size=len(new), etag='"w"'), whole(new, "w")]
    with Client(faulty.url) as docs:
        assert docs.download("a", tmp_path / "target").version == "w"
    assert (tmp_path / "target").read_bytes() == new
    assert names(tmp_path) == {"target"}


def test_damage_in_a_partial_file_is_found_by_the_digest(docs: Client, tmp_path: Path) -> None:
    docs.put("a", LARGE)
    for damaged in (b"wrong", b"x" * len(LARGE), b"x" * (len(LARGE) + 5)):
        interrupt(docs, tmp_path / "target").write_bytes(damaged)
        if len(damaged) <= len(LARGE):
            with pytest.raises(DigestMismatch):
                docs.download("a", tmp_path / "target")
            assert names(tmp_path) == set()
        docs.download("a", tmp_path / "target")
        assert (tmp_path / "target").read_bytes() == LARGE
        (tmp_path / "target").unlink()
    interrupt(docs, tmp_path / "target").write_bytes(LARGE)
    docs.download("a", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == LARGE


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_a_download_that_the_user_ends_leaves_nothing(docs: Client, tmp_path: Path, error: type[BaseException]) -> None:
    def fail(size: int) -> None:
        raise error

    docs["a"] = LARGE
    with pytest.raises(error):
        docs.download("a", tmp_path / "target", progress=fail)
    assert names(tmp_path) == set()


def test_a_download_that_fails_before_the_first_byte_leaves_nothing(faulty: FaultyServer, tmp_path: Path) -> None:
    faulty.script = [answer(200, size=10, etag='"v"')]
    with Client(faulty.url, tries=2) as docs:
        for error in (StorageUnavailable, StorageUnavailable, NotFound):
            with pytest.raises(error):
                docs.download("a", tmp_path / "target")
            assert names(tmp_path) == set()
            faulty.script = [answer(404)] if error is StorageUnavailable and len(faulty.asked) > 4 else []


def test_a_second_download_to_the_same_file_is_refused(docs: Client, tmp_path: Path) -> None:
    refused: list[int | None] = []

    def download_again(size: int) -> None:
        try:
            docs.download("a", tmp_path / "target")
        except OSError as error:
            refused.append(error.errno)

    docs["a"] = b"content"
    docs.download("a", tmp_path / "target", progress=download_again)
    assert refused == [errno.EBUSY]
    assert names(tmp_path) == {"target"}


def test_a_link_in_place_of_the_partial_file_is_not_followed(docs: Client, tmp_path: Path) -> None:
    docs["a"] = LARGE
    folder = tmp_path / "folder"
    folder.mkdir()
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    partial = interrupt(docs, folder / "target")
    for path in (partial, partial.with_suffix(".etag")):
        path.unlink()
        path.symlink_to(victim)
        with pytest.raises(OSError):  # noqa: PT011 - ELOOP, or EMLINK on some systems
            docs.download("a", folder / "target")
        assert victim.read_bytes() == b"precious"
        path.unlink(missing_ok=True)
    assert not (folder / "target").exists()


def test_a_download_to_an_open_folder_and_to_a_long_name(docs: Client, tmp_path: Path) -> None:
    docs["a"] = LARGE
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        for name in ("target", "é" * 127, "n" * 255):
            docs.download("a", name, dir_fd=folder)
            assert (tmp_path / name).read_bytes() == LARGE
            (tmp_path / name).unlink()
    finally:
        os.close(folder)
    assert names(tmp_path) == set()
    with pytest.raises(OSError, match="not a plain file"):
        docs.download("a", tmp_path)


def test_a_digest_goes_ahead_of_content_that_can_be_read_twice(faulty: FaultyServer, tmp_path: Path) -> None:
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
    monkeypatch.setattr(Body, "hash", lambda body: setattr(body, "_digest", bytes(32)))
    with pytest.raises(DigestMismatch):
        docs.put("b", io.BytesIO(LARGE), digest=True)
    assert "b" not in docs


def test_other_content_than_was_sent_is_found_after_the_write(faulty: FaultyServer) -> None:
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
