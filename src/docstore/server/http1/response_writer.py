"""Content on its way out. Nothing is made or read for a client that doesn't take what it has been sent.

A Sealed file leaves through sendfile(2) where the transport is a plain socket. uvloop has no sendfile, and no loop lets
its transport's descriptor be watched by others: so a duplicate of it is written to, when all before has left the
transport's buffer. Through TLS, and elsewhere, it leaves in chunks like a Stream.
"""

import asyncio
import os
from typing import Final, cast

from docstore.content import BytesContent, Content, FileContent
from docstore.errors import CorruptData
from docstore.http.message import ContentSequence, ResponseContent, StreamedContent

SENDFILE_SIZE: Final = 1024 * 1024
"""Bytes a call of sendfile moves at most before others have their turn."""


class Outlet:
    """The writing half of a transport."""

    __slots__ = ("_loop", "_transport", "_waiter", "_written", "can_end", "can_send_files", "lost", "paused", "stuck")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None
        self._written = 0
        encrypted = transport.get_extra_info("sslcontext") is not None
        self.can_end = not encrypted and transport.can_write_eof()
        self.can_send_files = not encrypted and hasattr(os, "sendfile")
        self.lost = False
        self.paused = False
        """Whether the transport holds more than it wants to."""
        self.stuck = False
        """Whether the socket takes no more of a file."""

    @property
    def unsent(self) -> bool:
        """Whether something waits for the client to take it."""
        return self.stuck or self._transport.get_write_buffer_size() > 0

    @property
    def sent(self) -> int:
        """Bytes that the system has taken so far."""
        return self._written - self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """Nothing happens when the client has gone: `drained` tells those who would go on."""
        if self.lost:
            return
        self._written += len(data)
        self._transport.write(data)

    def write_parts(self, *parts: bytes) -> None:
        if self.lost:
            return
        self._written += sum(map(len, parts))
        self._transport.writelines(parts)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        self._wake()

    def lose(self) -> None:
        self.lost = True
        self._wake()

    async def drained(self) -> None:
        """Returns when the transport wants more. Raises ConnectionError when the client has gone."""
        while self.paused and not self.lost:
            await self._wait()
        self._check()

    async def send_file(self, content: FileContent) -> None:
        """Sends all of `content`, past the transport. Raises CorruptData when the file is shorter, and OSError."""
        await self._emptied()
        position, end = content.start, content.start + content.size
        number = os.dup(cast(int, self._transport.get_extra_info("socket").fileno()))
        try:
            while position < end:
                try:
                    size = os.sendfile(number, content.descriptor.number, position, min(SENDFILE_SIZE, end - position))
                except BlockingIOError:
                    await self._writable(number)
                    continue
                if size == 0:
                    raise CorruptData(f"a sealed file ends at {position} of {end} bytes")
                position += size
                self._written += size
                await asyncio.sleep(0)
                self._check()
        finally:
            os.close(number)

    async def _emptied(self) -> None:
        """Returns when the transport holds nothing."""
        self._transport.set_write_buffer_limits(high=0)
        try:
            await self.drained()
        finally:
            if not self.lost:
                self._transport.set_write_buffer_limits()

    async def _writable(self, number: int) -> None:
        self.stuck = True
        self._loop.add_writer(number, self._wake)
        try:
            await self._wait()
        finally:
            self._loop.remove_writer(number)
            self.stuck = False
        self._check()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _check(self) -> None:
        if self.lost:
            raise ConnectionResetError("the client went away")


async def send(outlet: Outlet, content: ResponseContent, *, chunked: bool) -> None:
    """Sends all of it; what is generated in chunks, or as it is when the connection's end is its end.

    Raises CorruptData when there is not as much as was announced, what the content raises, and ConnectionError.
    """
    if isinstance(content, StreamedContent):
        await _send_generated(outlet, content, chunked=chunked)
    else:
        await _send_sized(outlet, content)


async def _send_sized(outlet: Outlet, content: Content | ContentSequence) -> None:
    if isinstance(content, ContentSequence):
        for part in content.parts:
            await _send_sized(outlet, part)
    elif isinstance(content, BytesContent):
        outlet.write(content.data)
        await outlet.drained()
    elif isinstance(content, FileContent) and outlet.can_send_files:
        await outlet.send_file(content)
    else:
        left = content.size
        async for chunk in content:
            left -= len(chunk)
            if left < 0:
                break
            outlet.write(chunk)
            await outlet.drained()
        if left:
            raise CorruptData(f"content of {content.size} bytes has {'more' if left < 0 else f'{left} fewer'}")


async def _send_generated(outlet: Outlet, content: StreamedContent, *, chunked: bool) -> None:
    async for chunk in content:
        if chunk and chunked:
            outlet.write_parts(b"%x\r\n" % len(chunk), chunk, b"\r\n")
        elif chunk:
            outlet.write(chunk)
        await outlet.drained()
    if chunked:
        outlet.write(b"0\r\n\r\n")
