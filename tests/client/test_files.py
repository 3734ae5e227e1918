"""Documents as files: the oracle of reading is `io.BytesIO`, and a file that is not closed properly stores nothing."""

import gc
import io
import json
import random
import tarfile
import zipfile
from collections.abc import Callable

import pytest

from docstore import AsyncClient, Client, ClientClosed, Conflict, ContentTooLarge, InvalidKey, NotFound, RequestError
from docstore.client.body import SPOOL_SIZE
from docstore.client.files import READ_AHEAD_SIZE
from docstore.client.socket_transport import SocketTransport
from docstore.client.transport import ClientRequest, ResponseStream
from tests.client.conftest import WAYS

BOTH = pytest.mark.parametrize("url", ["http-docs", "inside-memory"], indirect=True)


@BOTH
def test_reading_is_that_of_a_file(docs: Client) -> None:
    content = random.Random(7).randbytes(3 * READ_AHEAD_SIZE + 11)
    docs["a"] = content
    chance = random.Random(8)
    with docs.open("a") as file, io.BytesIO(content) as model:
        assert (file.readable(), file.seekable(), file.writable(), file.name) == (True, True, False, "a")
        for _ in range(60):
            whence = chance.choice([0, 0, 1, 2])
            offset = chance.randrange(len(content)) if whence == 0 else chance.randrange(-1000, 1000)
            if whence != 1 or model.tell() + offset >= 0:
                assert file.seek(offset, whence) == model.seek(offset, whence)
            size = chance.choice([0, 1, 10, 1000, 2 * READ_AHEAD_SIZE])
            assert file.read(size) == model.read(size)
            assert file.tell() == model.tell()
        assert file.readline() == model.readline()
        assert file.read() == model.read()
        assert file.read() == b""
        with pytest.raises(ValueError, match="negative"):
            file.seek(-1)
    assert file.closed
    with docs.open("a") as file:
        assert file.read() == content
    docs["empty"] = b""
    with docs.open("empty") as file:
        assert file.read() == b""
    with pytest.raises(NotFound):
        docs.open("missing")


def test_small_reads_request_ranges_and_a_complete_read_is_one_request(
    docs: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs["a"] = bytes(4 * READ_AHEAD_SIZE)
    requests: list[str] = []
    send = SocketTransport.send

    async def recording(self: SocketTransport, request: ClientRequest, timeout_s: float) -> ResponseStream:
        requests.append(f"{request.method} {dict(request.headers).get('range', 'whole')}")
        return await send(self, request, timeout_s)

    monkeypatch.setattr(SocketTransport, "send", recording)
    with docs.open("a") as file:
        for _ in range(10):
            file.read(100)
        file.seek(-10, io.SEEK_END)
        file.read(5)
        assert file.read() == bytes(5)
    last = 4 * READ_AHEAD_SIZE - 1
    assert requests == ["HEAD whole", f"GET bytes=0-{READ_AHEAD_SIZE - 1}", f"GET bytes={last - 9}-{last}"]
    requests.clear()
    with docs.open("a") as file:
        file.read()
    assert requests == ["HEAD whole", "GET whole"]


@BOTH
def test_one_version_is_read_throughout(docs: Client) -> None:
    docs["a"] = bytes(3 * READ_AHEAD_SIZE)
    with docs.open("a") as file:
        assert file.read(5) == bytes(5)
        docs["a"] = b"x" * 3 * READ_AHEAD_SIZE
        assert file.read(5) == bytes(5)
        file.seek(2 * READ_AHEAD_SIZE)
        with pytest.raises(Conflict):
            file.read(5)
        del docs["a"]
        with pytest.raises(Conflict, match="removed while it was read"):
            file.read()


@pytest.mark.parametrize("url", WAYS, indirect=True)
@pytest.mark.parametrize("size", [0, 100, SPOOL_SIZE, SPOOL_SIZE + 1])
def test_what_is_written_is_stored_at_the_end(docs: Client, size: int) -> None:
    docs["a"] = b"before"
    with docs.open("a", "wb", type="text/x", meta={"of": "me"}) as file:
        assert (file.readable(), file.seekable(), file.writable()) == (False, True, True)
        for start in range(0, size, 100_000):
            file.write(bytes(min(100_000, size - start)))
        assert file.tell() == size
        assert docs["a"] == b"before"
    assert (docs["a"], docs.info("a").type, docs.info("a").meta) == (bytes(size), "text/x", {"of": "me"})
    assert file.result is not None
    assert file.result.version == docs.info("a").version
    assert file.closed
    file.close()


@BOTH
def test_a_file_that_fails_or_is_never_closed_stores_nothing(docs: Client) -> None:
    for mode, content in (("wb", b"half"), ("w", "half"), ("xb", b"half"), ("x", "half")):
        with pytest.raises(ZeroDivisionError), docs.open("a", mode) as file:
            file.write(content * (1 + file.write(content) // 0))
        assert file.closed
        docs.open("a", mode).write(content)
        gc.collect()
        file = docs.open("a", mode)
        file.write(content)
        file.discard()
        file.close()
    assert "a" not in docs


@BOTH
def test_an_error_of_the_write_is_raised_by_close(docs: Client) -> None:
    docs["a"] = b"before"
    file = docs.open("a", "xb")
    file.write(b"1")
    with pytest.raises(Conflict):
        file.close()
    assert file.closed
    file.close()
    assert docs["a"] == b"before"
    with docs.open("b", "x") as text:
        text.write("new")
    assert docs["b"] == b"new"


@BOTH
def test_text_is_encoded_and_lines_are_read(docs: Client) -> None:
    with docs.open("a", "w", type="text/plain") as file:
        print("é", "second", sep="\n", file=file)
    assert docs["a"] == "é\nsecond\n".encode()
    with docs.open("a", "r") as file:
        assert [*file] == ["é\n", "second\n"]
    with docs.open("a", "w", encoding="latin-1", newline="\r\n") as file:
        file.write("é\n")
    assert docs["a"] == b"\xe9\r\n"
    with docs.open("state", "w") as file:
        json.dump({"n": 1}, file)
    assert docs.json["state"] == {"n": 1}


@BOTH
def test_archives_are_written_and_read_in_place(docs: Client) -> None:
    with docs.open("a.zip", "wb") as file, zipfile.ZipFile(file, "w") as written:
        written.writestr("name", b"content" * 1000)
    with docs.open("a.zip") as file, zipfile.ZipFile(file) as read:
        assert read.read("name") == b"content" * 1000
    with docs.open("a.tar.gz", "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("name"))
    with docs.open("a.tar.gz") as file, tarfile.open(fileobj=file) as tar:
        assert tar.getnames() == ["name"]


@BOTH
def test_mistakes_are_refused_before_anything_is_written(docs: Client) -> None:
    for mode in ("ab", "r+b", "b", "rw", ""):
        with pytest.raises(ValueError, match="is not rb, wb or xb"):
            docs.open("a", mode)
    with pytest.raises(TypeError, match="for writing"):
        docs.open("a", "r", type="text/x")
    with pytest.raises(TypeError, match="unknown option"):
        docs.open("a", "wb", buffering=3)
    with pytest.raises(InvalidKey):
        docs.open("..", "wb")
    with pytest.raises(io.UnsupportedOperation), docs.open("a", "wb") as file:
        file.read()
    assert not docs


def test_a_document_that_is_too_large_is_refused_at_the_end() -> None:
    with Client("memory:?max_document=10") as docs:
        with pytest.raises(ContentTooLarge), docs.open("a", "wb") as file:
            file.write(bytes(11))
        assert not docs
        with pytest.raises(RequestError), docs.open("a", "wb", meta={"a": " b"}) as file:
            file.write(b"1")
        reading = docs.open("b", "wb")
    with pytest.raises(ClientClosed):
        reading.close()


@BOTH
def test_the_asynchronous_client_reads_and_writes_files(run: Callable[..., object]) -> None:
    async def used(docs: AsyncClient) -> None:
        async with docs.open("a", "wb", type="text/x") as file:
            await file.write(b"0123456789")
            await file.write(bytes(SPOOL_SIZE))
        assert file.result is not None
        async with docs.open("a") as file:
            assert (file.info.size, file.info.version) == (10 + SPOOL_SIZE, file.info.version)
            assert await file.read(4) == b"0123"
            assert file.seek(-SPOOL_SIZE - 2, io.SEEK_END) == file.tell() == 8
            assert await file.read() == b"89" + bytes(SPOOL_SIZE)
            assert await file.read() == b""
        with pytest.raises(ZeroDivisionError):
            async with docs.open("b", "xb") as file:
                await file.write(b"half" * (await file.write(b"half") // 0))
        assert not await docs.contains("b")
        with pytest.raises(Conflict):
            async with docs.open("a", "xb"):
                pass
        with pytest.raises(NotFound):
            async with docs.open("missing"):
                pass
        with pytest.raises(ValueError, match="not rb, wb or xb"):
            docs.open("a", "r")

    run(used)


def test_an_unknown_encoding_is_one_error(docs: Client) -> None:
    with pytest.raises(LookupError, match="unknown encoding"):
        docs.open("a", "w", encoding="nope")
    assert "a" not in docs
