"""Streams and downloads, and how they resume."""

import asyncio
import errno
import hashlib
import io
import os
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from docstore import AsyncClient, Client, Conflict, DigestMismatch, Info, NotFound, StorageUnavailable
from docstore.client import download
from docstore.http.digests import structured_digest
from tests.client.faulty_server import FaultyServer, Step, answer, hang_up

BOTH = pytest.mark.parametrize("url", ["http-docs", "inside-docs"], indirect=True)


@pytest.fixture(autouse=True)
def resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "RESUMED_SIZE", 1)


LARGE = bytes(range(256)) * 4096
"""A mebibyte, which is a blob on sqlite and several pieces on the connection."""


def pieces() -> Iterator[bytes]:
    for start in range(0, len(LARGE), 100_000):
        yield LARGE[start : start + 100_000]
        yield b""


@BOTH
def test_an_abandoned_stream_releases_its_connection(docs: Client) -> None:
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


def test_a_broken_stream_is_resumed(faulty: FaultyServer) -> None:
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
def test_a_stream_has_one_version_or_raises(
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


def test_a_small_document_is_not_resumed(faulty: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("docstore.client.retry.FIRST_PAUSE_S", 0.002)
    head = answer(200, size=10, etag='"v"')
    faulty.script = [head, broken(CONTENT, 4), hang_up]
    with Client(faulty.url, tries=1) as docs, pytest.raises(StorageUnavailable):
        docs.download("a", tmp_path / "target")
    faulty.script, faulty.asked[:] = [whole(CONTENT, "v")], []
    with Client(faulty.url) as docs:
        info = Info("a", "v", 10)  # as from a listing
        docs.download("a", tmp_path / "target", info=info)
    assert [(asked.method, asked.headers.get("range")) for asked in faulty.asked] == [("GET", None)]
    assert (tmp_path / "target").read_bytes() == CONTENT
    assert names(tmp_path) == {"target"}


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
