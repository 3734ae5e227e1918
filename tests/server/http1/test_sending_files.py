"""Files are sent past the transport's buffer: in order, as fast as the client reads, and to no other descriptor."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest
import uvloop

from docstore.content import Descriptor, FileContent
from docstore.server.http1.response_writer import ResponseWriter

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
EACH_LOOP = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
NewLoop = Callable[[], asyncio.AbstractEventLoop]


class Connection(asyncio.Protocol):
    """Passes the events of its transport to a writer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.writer = ResponseWriter(self.transport, asyncio.get_running_loop())

    def pause_writing(self) -> None:
        self.writer.pause()

    def resume_writing(self) -> None:
        self.writer.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        self.writer.disconnect()


def run_connected(new_loop: NewLoop, test: Callable[[Connection, socket.socket], Awaitable[None]]) -> None:
    """Run `test` with a connection and its client's socket."""

    async def connected() -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            socket.create_connection(listener.getsockname()) as ours,
        ):
            theirs, _ = listener.accept()
            theirs.setblocking(False)
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(Connection, sock=theirs)
            ours.setblocking(False)
            try:
                await test(connection, ours)
            finally:
                connection.transport.abort()
                await asyncio.sleep(0.01)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(connected())


def content_in(path: Path, size: int) -> FileContent:
    path.write_bytes(os.urandom(size))
    return FileContent(Descriptor(os.open(path, os.O_RDONLY)), 0, size)


async def received(client: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        found += await asyncio.get_running_loop().sock_recv(client, min(size - len(found), 300_000))
    return found


@EACH_LOOP
@pytest.mark.parametrize("size", [0, 1, 100_000, 30_000_000])
def test_a_client_receives_head_and_file(tmp_path: Path, new_loop: NewLoop, size: int) -> None:
    async def test(connection: Connection, client: socket.socket) -> None:
        for number in (1, 2):
            connection.writer.write_head(HEAD, content)
            sending = asyncio.create_task(connection.writer.send(content, chunked=False))
            assert await received(client, len(HEAD) + size) == HEAD + (tmp_path / "file").read_bytes()
            await sending
            assert connection.writer.sent_size == number * (len(HEAD) + size)

    content = content_in(tmp_path / "file", size)
    run_connected(new_loop, test)


@EACH_LOOP
def test_a_file_follows_what_the_transport_still_holds(tmp_path: Path, new_loop: NewLoop) -> None:
    async def test(connection: Connection, client: socket.socket) -> None:
        connection.writer.write(before)
        assert connection.writer.has_unsent
        connection.writer.write_head(HEAD, content)
        sending = asyncio.create_task(connection.writer.send(content, chunked=False))
        expected = before + HEAD + (tmp_path / "file").read_bytes()
        assert await received(client, len(expected)) == expected
        await sending

    before, content = os.urandom(20_000_000), content_in(tmp_path / "file", 100_000)
    run_connected(new_loop, test)


@EACH_LOOP
@pytest.mark.parametrize("size", [1000, 30_000_000])
def test_nothing_is_written_to_the_descriptor_of_a_transport_that_was_aborted(
    tmp_path: Path, new_loop: NewLoop, size: int
) -> None:
    async def test(connection: Connection, client: socket.socket) -> None:
        sending = asyncio.create_task(connection.writer.send(content, chunked=False)) if size > 1000 else None
        await asyncio.sleep(0)
        connection.transport.abort()
        for _ in range(3):
            connection.writer.write_head(HEAD, content)
            with pytest.raises(ConnectionResetError):
                await (sending or connection.writer.send(content, chunked=False))
            sending = None
        assert HEAD not in await until_closed(client)

    content = content_in(tmp_path / "file", size)
    run_connected(new_loop, test)


async def until_closed(client: socket.socket) -> bytes:
    found = b""
    with suppress(ConnectionResetError):
        while piece := await asyncio.get_running_loop().sock_recv(client, 300_000):
            found += piece
    return found
