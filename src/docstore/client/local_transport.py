"""An engine in this process behind the same calls: they go to `Store.handle`, so that there is one contract.

Only here does the client import the server. The asynchronous client's store lives on the loop of whoever calls; the
plain client's on a loop in a thread of its own, which ends with `close`. Content that is given in pieces is read in the
thread that called: a generator of the user's runs where the user runs it.

What nobody closed is closed when the interpreter ends. `atexit` is late for it, and so are finalizers: executors, with
which an engine may close, take no work by then. What threading calls at its own end comes before that.
"""

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Final, ParamSpec, TypeVar

from docstore.client.address import INSIDE
from docstore.client.body import Body
from docstore.client.transport import Blocking, Call, Lost, Waiting
from docstore.config import MountSettings
from docstore.content import BytesContent
from docstore.errors import ClientClosed, DocstoreError, IncompleteUpload
from docstore.http.message import Headers, Request, Response
from docstore.server.app import Store
from docstore.server.mounts import open_mount

P = ParamSpec("P")
T = TypeVar("T")

_NOTHING: Final = BytesContent(b"")
_THREADS: Final = "docstore-"
"""How the names of all threads begin that engines and clients have."""


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
            raise IncompleteUpload("what makes the content failed") from None


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
        if not url.startswith("memory:"):  # which has nothing to close, and would be kept for ever when it is forgotten
            _stores[self._store] = os.getpid()

    async def send(self, call: Call, timeout_s: float) -> _Reply | Lost:
        body = call.body
        if body is None or body.data is not None:
            return await self.handle(call, _NOTHING if body is None else BytesContent(body.data or b""), timeout_s)
        return await self.handle(call, _Pieces(body.size, body.blocks_later(self.work)), timeout_s)

    async def handle(self, call: Call, upload: BytesContent | _Pieces, timeout_s: float) -> _Reply | Lost:
        """Content that is still made has the time that it takes."""
        if self._store is None:
            raise ClientClosed("the client was closed")
        if not self._started:
            self._started = True
            self._store.start()
        path, _, query = call.target.partition("?")
        headers = Headers((name.lower().encode("ascii"), value.encode("latin-1")) for name, value in call.headers)
        try:
            async with asyncio.timeout(timeout_s if isinstance(upload, BytesContent) else None):
                reply = _Reply(await self._store.handle(Request(call.method, path, query, headers, upload)))
        except TimeoutError:
            return Lost("no answer in time")
        if isinstance(upload, _Pieces) and upload.error is not None:
            raise upload.error
        return reply

    async def close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            _stores.pop(store, None)
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
        work = ThreadPoolExecutor(thread_name_prefix=f"{_THREADS}client-work")
        self._loop.set_default_executor(work)
        thread = threading.Thread(target=_live, args=(self._loop, work), name="docstore-client", daemon=True)
        thread.start()
        self._end = weakref.finalize(self, _end, self._inside, self._loop, thread)
        _ends[self] = os.getpid()

    async def send(self, call: Call, timeout_s: float) -> _BlockingReply | Lost:
        if not self._end.alive:
            raise ClientClosed("the client was closed")
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
        self.end()

    def end(self) -> None:
        """Returns when the engine is closed."""
        self._end()


_stores: Final[dict[Store, int]] = {}
"""What is open on loops of others, and the process that opened it."""
_ends: Final["weakref.WeakKeyDictionary[BlockingInside, int]"] = weakref.WeakKeyDictionary()


def _close_all() -> None:
    """Closes what this process has open, unless a thread of the user's goes on and may use it."""
    for thread in threading.enumerate():
        if not (thread.daemon or thread is threading.main_thread() or thread.name.startswith((_THREADS, "asyncio_"))):
            return
    own = os.getpid()
    for wire in [wire for wire, process in _ends.items() if process == own]:
        wire.end()
    for store in [store for store, process in _stores.items() if process == own]:
        loop = asyncio.new_event_loop()
        loop.set_default_executor(_Here())
        loop.run_until_complete(store.close())
        loop.close()


getattr(threading, "_register_atexit", atexit.register)(_close_all)


def _result(future: Future[T]) -> T:
    """Waits; who is interrupted meanwhile takes back what was asked."""
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


class _Here(ThreadPoolExecutor):
    """Works in the thread that asks: what is closed last can start no other (Python 3.12.1 starts none at its end)."""

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def _live(loop: asyncio.AbstractEventLoop, work: ThreadPoolExecutor) -> None:
    """All that the thread does, up to the loop's stop."""
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_asyncgens())
        work.shutdown()
    finally:
        loop.close()


def _end(inside: AsyncInside, loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    async def finish() -> None:
        loop.set_default_executor(_Here())
        try:
            await inside.close()
        finally:
            loop.stop()

    asyncio.run_coroutine_threadsafe(finish(), loop)
    if threading.current_thread() is not thread:  # the collector runs in any
        thread.join()
