"""Content on its way out waits for who takes it."""

import asyncio

import pytest

from docstore.content import BytesContent
from docstore.http.message import ContentSequence, ResponseContent
from docstore.server.http1.response_writer import Outlet, send

LARGE = BytesContent(b"x" * 100_000)


class Taking(asyncio.Transport):
    """A transport that keeps what it is given."""

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
def test_content_in_memory_is_over_when_the_transport_wants_more(content: ResponseContent) -> None:
    async def sent() -> None:
        transport = Taking()
        outlet = Outlet(transport, asyncio.get_running_loop())
        outlet.pause()
        sending = asyncio.create_task(send(outlet, content, chunked=False))
        for _ in range(5):
            await asyncio.sleep(0)
        assert (transport.taken, sending.done()) == (LARGE.data, False)
        outlet.resume()
        await sending

    asyncio.run(sent())
