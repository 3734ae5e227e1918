"""Sending waits for the client."""

import asyncio

import pytest

from docstore.content import BytesContent
from docstore.http.message import ContentSequence, ResponseContent
from docstore.server.http1.response_writer import ResponseWriter

LARGE = BytesContent(b"x" * 100_000)


class RecordingTransport(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = b""

    def write(self, data: bytes) -> None:
        self.taken += data

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return 0


@pytest.mark.parametrize("content", [LARGE, ContentSequence((LARGE,))], ids=["inline", "joined"])
def test_sending_memory_content_ends_when_the_transport_wants_more(content: ResponseContent) -> None:
    async def sent() -> None:
        transport = RecordingTransport()
        writer = ResponseWriter(transport, asyncio.get_running_loop())
        writer.pause()
        sending = asyncio.create_task(writer.send(content, chunked=False))
        for _ in range(5):
            await asyncio.sleep(0)
        assert (transport.taken, sending.done()) == (LARGE.data, False)
        writer.resume()
        await sending

    asyncio.run(sent())
