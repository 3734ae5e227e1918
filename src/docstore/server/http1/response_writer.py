"""Send the content of a response. Nothing is generated or read while the client does not receive.

A FileContent is sent with sendfile(2) if the transport is a plain socket. uvloop has no sendfile, so this writes to
the descriptor of the transport once its buffer is empty. No loop lets others watch that descriptor, so this waits for
a duplicate of it. Through TLS and elsewhere a file is sent in chunks, like a Stream.
"""

import asyncio
import os
import sys
from array import array
from contextlib import suppress
from typing import Final, cast

from docstore.content import BytesContent, Content, Descriptor, FileContent
from docstore.errors import CorruptData
from docstore.http.message import ContentSequence, ResponseContent, StreamedContent

if sys.platform == "linux":
    from fcntl import ioctl
    from termios import TIOCOUTQ

SENDFILE_SIZE: Final = 1024 * 1024
"""Bytes that one call of sendfile moves at most before other connections get a turn."""


class ResponseWriter:
    """The writing half of a transport, with back-pressure."""

    __slots__ = ("_can_send_files", "_changed", "_file_blocked", "_loop", "_transport", "_written", "can_write_eof",
                 "disconnected", "encrypted", "paused")  # fmt: skip

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._changed: asyncio.Event | None = None
        """Exists while `send` waits: set when the transport or the socket wants more, or the client disconnects.

        PERF: an Event for each idle connection would take a third of its memory.
        """
        self._written = 0
        self._file_blocked = False
        """Whether the socket accepts no more bytes of a file."""
        self.encrypted = transport.get_extra_info("sslcontext") is not None
        self._can_send_files = not self.encrypted and hasattr(os, "sendfile")
        self.can_write_eof = not self.encrypted and transport.can_write_eof()
        self.disconnected = False
        self.paused = False
        """Whether the transport's buffer is full."""

    @property
    def has_unsent(self) -> bool:
        """Whether output waits for the client to take it."""
        return self._file_blocked or self._transport.get_write_buffer_size() > 0

    @property
    def sent_size(self) -> int:
        """Bytes that the operating system has taken so far."""
        return self._written - self._transport.get_write_buffer_size()

    @property
    def received_size(self) -> int:
        """Bytes that the client's system has acknowledged so far, where the operating system tells (Linux).

        Elsewhere the bytes that the operating system has taken. It takes megabytes at once, and then nothing for as
        long as a third of them is not acknowledged: minutes for a slow client.
        """
        queued = array("i", [0])
        if sys.platform == "linux" and self._is_open:
            with suppress(OSError):
                ioctl(self._transport_number(), TIOCOUTQ, queued)
        return self.sent_size - queued[0]

    def write(self, data: bytes) -> None:
        """Write `data`, or drop it when the client has disconnected: `send` raises then."""
        if self.disconnected:
            return
        self._written += len(data)
        self._transport.write(data)

    def write_head(self, data: bytes, content: ResponseContent | None) -> None:
        """Write the head of a response. If a file follows, bypass the transport, which may send the head only later."""
        if type(content) is FileContent and self._can_send_files and not self.has_unsent and self._is_open:
            with suppress(OSError):  # the transport finds the error again, or waits
                sent = os.write(self._transport_number(), data)
                self._written += sent
                data = data[sent:]
        if data:
            self.write(data)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        self._wake()

    def disconnect(self) -> None:
        self.disconnected = True
        self._wake()

    async def send(self, content: ResponseContent, *, chunked: bool) -> None:
        """Send all of `content`. StreamedContent content is sent in chunks, or unframed when it ends with the
        connection.

        Raises CorruptData when the content is shorter or longer than its size, ConnectionError, and the errors of the
        content.
        """
        if isinstance(content, StreamedContent):
            await self._send_generated(content, chunked=chunked)
        else:
            await self._send_sized(content)

    async def _send_sized(self, content: Content | ContentSequence) -> None:
        if isinstance(content, ContentSequence):
            for part in content.parts:
                await self._send_sized(part)
        elif isinstance(content, BytesContent):
            self.write(content.data)
            await self._drain()
        elif isinstance(content, FileContent) and self._can_send_files:
            await self._send_file(content)
        else:
            left = content.size
            async for chunk in content:
                left -= len(chunk)
                if left < 0:
                    break
                self.write(chunk)
                await self._drain()
            if left:
                raise CorruptData(f"content of {content.size} bytes has {'more' if left < 0 else f'{left} fewer'}")

    async def _send_generated(self, content: StreamedContent, *, chunked: bool) -> None:
        async for chunk in content:
            if chunk and chunked:
                self._write_parts(b"%x\r\n" % len(chunk), chunk, b"\r\n")
            elif chunk:
                self.write(chunk)
            await self._drain()
        if chunked:
            self.write(b"0\r\n\r\n")

    def _write_parts(self, *parts: bytes) -> None:
        if not self.disconnected:
            self._written += sum(map(len, parts))
            self._transport.writelines(parts)

    async def _send_file(self, content: FileContent) -> None:
        if self.has_unsent:
            await self._drain_completely()
        position, end = content.start, content.start + content.size
        duplicate: Descriptor | None = None
        while position < end:
            if not self._is_open:
                raise ConnectionResetError("the connection is closed")
            number = self._transport_number() if duplicate is None else duplicate.number
            try:
                size = os.sendfile(number, content.descriptor.number, position, min(SENDFILE_SIZE, end - position))
            except BlockingIOError:
                duplicate = duplicate or Descriptor(os.dup(number))
                await self._wait_until_writable(duplicate.number)
                continue
            if size == 0:
                raise CorruptData(f"a content file ends at {position} of {end} bytes")
            position += size
            self._written += size
            if position < end:
                await asyncio.sleep(0)

    @property
    def _is_open(self) -> bool:
        """Whether the descriptor of the transport is still its own."""
        return not self.disconnected and not self._transport.is_closing()

    def _transport_number(self) -> int:
        return cast(int, self._transport.get_extra_info("socket").fileno())

    async def _drain_completely(self) -> None:
        """Wait until the transport's buffer is empty, because a file bypasses it."""
        self._transport.set_write_buffer_limits(high=0)
        try:
            await self._drain()
        finally:
            if not self.disconnected:
                self._transport.set_write_buffer_limits()

    async def _drain(self) -> None:
        """Wait until the transport accepts more. Raises ConnectionError when the client has disconnected."""
        while self.paused and not self.disconnected:
            await self._wait()
        self._check_connected()

    async def _wait_until_writable(self, number: int) -> None:
        self._file_blocked = True
        self._loop.add_writer(number, self._wake)
        try:
            await self._wait()
        finally:
            self._loop.remove_writer(number)
            self._file_blocked = False
        self._check_connected()

    async def _wait(self) -> None:
        self._changed = asyncio.Event()
        try:
            await self._changed.wait()
        finally:
            self._changed = None

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()

    def _check_connected(self) -> None:
        if self.disconnected:
            raise ConnectionResetError("the client disconnected")
