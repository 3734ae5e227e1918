"""An engine in this process behind the same calls: they go to `Store.handle`, so that there is one contract.

Only here does the client import the server. The asynchronous client's store lives on the loop of whoever calls; the
plain client's on a loop in a thread of its own, which ends with `close`. Content that is given in pieces is read in the
thread that called: a generator of the user's runs where the user runs it.
"""

import asyncio
import threading
import weakref
from collections.abc import AsyncIterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Final, TypeVar

from docstore.client.address import INSIDE
from docstore.client.bodies import Body
from docstore.client.wire import Blocking, Call, Lost, Waiting
from docstore.config import MountSettings
from docstore.content import Inline
from docstore.errors import Closed, DocstoreError, Incomplete
from docstore.http.message import Headers, Request, Response
from docstore.server.app import Store
from docstore.server.opening import open_mount

T = TypeVar("T")

_NOTHING: Final = Inline(b"")


class _Pieces:
    """A body as the store takes it. What the user's own code raised while it made it is kept apart for the user."""

    def __init__(self, size: int | None, blocks: AsyncIterator[bytes]) -> None:
        self.size = size
        self.error: Exception | None = None
        self._blocks = blocks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for block in self._blocks:
                yield block
        except Exception as error:
            self.error = error
            raise Incomplete("what makes the content failed") from None


class _Reply:
    """An answer of the store, on the store's loop."""

    def __init__(self, response: Response) -> None:
        self.status = response.status
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
        self._pieces = aiter(_NOTHING if response.head_only else response.content)

    async def read(self) -> bytes | Lost:
        try:
            return await anext(self._pieces, b"")
        except DocstoreError as error:
            return Lost(str(error))

    async def close(self) -> None:
        self._pieces = aiter(_NOTHING)


class AsyncInside(Waiting):
    """A Wire to an engine on the caller's loop. Opens it; raises SetupError."""

    def __init__(self, url: str) -> None:
        self._store: Store | None = Store([open_mount(MountSettings.parse(f"{INSIDE.strip('/')}={url}"))])
        self._started = False

    async def send(self, call: Call, timeout_s: float) -> _Reply | Lost:
        body = call.body
        if body is None or body.data is not None:
            return await self.handle(call, _NOTHING if body is None else Inline(body.data or b""), timeout_s)
        return await self.handle(call, _Pieces(body.size, body.blocks_later(self.work)), timeout_s)

    async def handle(self, call: Call, upload: Inline | _Pieces, timeout_s: float) -> _Reply | Lost:
        """Content that is still made has the time that it takes."""
        if self._store is None:
            raise Closed("the client was closed")
        if not self._started:
            self._started = True
            self._store.start()
        path, _, query = call.target.partition("?")
        headers = Headers((name.lower().encode("ascii"), value.encode("latin-1")) for name, value in call.headers)
        try:
            async with asyncio.timeout(timeout_s if isinstance(upload, Inline) else None):
                reply = _Reply(await self._store.handle(Request(call.method, path, query, headers, upload)))
        except TimeoutError:
            return Lost("no answer in time")
        if isinstance(upload, _Pieces) and upload.error is not None:
            raise upload.error
        return reply

    async def close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            await store.close()


class _BlockingReply:
    """An answer of the store, for the thread that called."""

    def __init__(self, reply: _Reply, loop: asyncio.AbstractEventLoop) -> None:
        self.status = reply.status
        self.headers = reply.headers
        self._reply = reply
        self._loop = loop

    async def read(self) -> bytes | Lost:
        return _result(asyncio.run_coroutine_threadsafe(self._reply.read(), self._loop))

    async def close(self) -> None:
        await self._reply.close()


class BlockingInside(Blocking):
    """A Wire to an engine on a loop in a thread of its own; both end when it is closed, or forgotten."""

    def __init__(self, url: str) -> None:
        self._inside = AsyncInside(url)
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=_live, args=(self._loop,), name="docstore-client", daemon=True)
        thread.start()
        self._end = weakref.finalize(self, _end, self._inside, self._loop, thread)

    async def send(self, call: Call, timeout_s: float) -> _BlockingReply | Lost:
        if not self._end.alive:
            raise Closed("the client was closed")
        body = call.body
        if body is None or body.data is not None:
            reply = _result(asyncio.run_coroutine_threadsafe(self._inside.send(call, timeout_s), self._loop))
        else:
            reply = self._send_pieces(call, body, timeout_s)
        return reply if isinstance(reply, Lost) else _BlockingReply(reply, self._loop)

    def _send_pieces(self, call: Call, body: Body, timeout_s: float) -> _Reply | Lost:
        """This thread makes each piece when the store asks for it."""
        wishes: SimpleQueue[Future[bytes] | None] = SimpleQueue()

        async def asked_for() -> AsyncIterator[bytes]:
            while True:
                wish: Future[bytes] = Future()
                wishes.put(wish)
                if not (block := await asyncio.wrap_future(wish)):
                    return
                yield block

        handled = self._inside.handle(call, _Pieces(body.size, asked_for()), timeout_s)
        answer = asyncio.run_coroutine_threadsafe(handled, self._loop)
        answer.add_done_callback(lambda _: wishes.put(None))
        blocks = body.blocks()
        try:
            while (wish := wishes.get()) is not None:
                try:
                    block = next(blocks, b"")
                except Exception as error:
                    wish.set_exception(error)
                else:
                    wish.set_result(block)
        except BaseException:
            answer.cancel()
            raise
        return _result(answer)

    async def close(self) -> None:
        self._end()


def _result(future: Future[T]) -> T:
    """Waits; who is interrupted meanwhile takes back what was asked."""
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def _live(loop: asyncio.AbstractEventLoop) -> None:
    """All that the thread does, up to the loop's stop."""
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


def _end(inside: AsyncInside, loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    async def finish() -> None:
        try:
            await inside.close()
        finally:
            loop.stop()

    asyncio.run_coroutine_threadsafe(finish(), loop)
    if threading.current_thread() is not thread:  # the collector runs in any
        thread.join()
