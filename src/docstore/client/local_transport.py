"""Requests to an engine in this process: they go to `Store.handle`, so that there is one contract.

Only here does the client import the server. AsyncClient's store runs on the caller's event loop; Client's on a loop in
a separate thread, which ends with `close`. To run that loop in the calling thread would save two changes of threads,
but was rejected: Ctrl-C would be raised within the engine. Pieces of content are produced in the calling thread,
because a generator of the user's may depend on its thread; those of many writes at once are produced in threads of
their own.

Clients that are not closed are closed when the interpreter exits. `atexit` and finalizers run too late: the executors
that an engine needs for closing accept no work by then. The hook of `threading` runs before that.
"""

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from queue import SimpleQueue
from typing import Any, Final, ParamSpec, TypeVar

from docstore.client.address import LOCAL_PATH
from docstore.client.async_transport import AsyncTransport
from docstore.client.body import ClientBody
from docstore.client.transport import IN_FLIGHT, ClientRequest, SyncTransport, Transport, TransportError
from docstore.config import MountSettings
from docstore.content import BytesContent
from docstore.engines.registry import check_exists
from docstore.errors import ClientClosed, DocstoreError, IncompleteUpload, OpenError, SetupError
from docstore.http.message import Headers, Request, Response
from docstore.server.app import Store
from docstore.server.mounts import open_mount

A = TypeVar("A")
P = ParamSpec("P")
T = TypeVar("T")

_EMPTY: Final = BytesContent(b"")
_THREAD_PREFIX: Final = "docstore-"
"""Prefix of the names of all threads of engines and clients."""


class _Upload:
    """A body as the store reads it. An error of the user's code that produces it is kept for the caller."""

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
            raise IncompleteUpload("producing the content failed") from None


class AsyncLocalResponse:
    """A response of the store, on the store's loop."""

    def __init__(self, response: Response) -> None:
        self.status = response.status
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
        content = _EMPTY if response.head_only else response.content
        self.data = content.data if isinstance(content, BytesContent) else None
        """All of the content, if it is in memory."""
        self._pieces = aiter(content)

    async def read(self) -> bytes:
        try:
            return await anext(self._pieces, b"")
        except DocstoreError as error:
            raise TransportError(str(error)) from error

    async def close(self) -> None:
        self._pieces = aiter(_EMPTY)


class AsyncLocalTransport(AsyncTransport):
    """A Transport to an engine on the caller's loop. Raise SetupError if the engine cannot be opened.

    Only with `create` a store that does not exist is created: a mistyped path would be an empty collection otherwise.
    Creating it with the first write was rejected: reads before that would have to fail, or to guess. A folder of files
    that is no store yet is opened for reading then.
    """

    def __init__(self, url: str, *, create: bool) -> None:
        self._process_id = os.getpid()
        settings = MountSettings.parse(f"{LOCAL_PATH.strip('/')}={url}")
        if not create:
            try:
                check_exists(settings.engine)
            except OpenError as error:
                raise OpenError(f"{error}; create=True creates it") from None
        self._store: Store | None = Store([open_mount(settings, create=create)])
        self._started = False
        self._producers = ThreadPoolExecutor(IN_FLIGHT, f"{_THREAD_PREFIX}content")
        if not url.startswith("memory:"):  # it has nothing to close, and would stay in memory when unreferenced
            _open_stores.add(self._store)

    async def send(self, request: ClientRequest, timeout_s: float) -> AsyncLocalResponse:
        body = request.body
        if body is None or body.data is not None:
            content = _EMPTY if body is None else BytesContent(body.data or b"")
            return await self.handle(request, content, timeout_s)
        return await self.handle(request, _Upload(body.size, body.async_blocks(self.work)), timeout_s)

    async def handle(
        self, request: ClientRequest, upload: BytesContent | _Upload, timeout_s: float
    ) -> AsyncLocalResponse:
        """Producing content has no timeout."""
        if self._store is None:
            raise ClientClosed("the client is closed")
        self.check_process()
        self.check_loop()
        if not self._started:
            self._started = True
            self._store.start()
        path, _, query = request.target.partition("?")
        headers = Headers((name.lower().encode("ascii"), value.encode("latin-1")) for name, value in request.headers)
        try:
            async with asyncio.timeout(timeout_s if isinstance(upload, BytesContent) else None):
                response = await self._store.handle(Request(request.method, path, query, headers, upload))
        except TimeoutError:
            raise TransportError("no response in time") from None
        if isinstance(upload, _Upload) and upload.error is not None:
            raise upload.error
        return AsyncLocalResponse(response)

    async def work(self, function: Callable[[], T]) -> T:
        """In threads of its own: content may come from a request to the same engine, whose threads must be free."""
        if self._store is None:
            raise ClientClosed("the client is closed")
        return await asyncio.get_running_loop().run_in_executor(self._producers, function)

    def check_process(self) -> None:
        """Raise SetupError in a forked child: the threads and locks of an engine stay with the parent."""
        if os.getpid() != self._process_id:
            raise SetupError("this engine was opened before the process forked; open it again in the child process")

    async def close(self) -> None:
        store, self._store = self._store, None
        self._producers.shutdown(wait=False)
        if store is not None and os.getpid() == self._process_id:
            _open_stores.discard(store)
            await store.close()


class SyncLocalResponse:
    """A response of the store, for the calling thread."""

    def __init__(self, response: AsyncLocalResponse, loop: asyncio.AbstractEventLoop) -> None:
        self.status = response.status
        self.headers = response.headers
        self._response = response
        self._loop = loop
        self._data = response.data

    async def read(self) -> bytes:
        if self._data is not None:
            # PERF: without a change of threads, which takes most of the time of a small request.
            data, self._data = self._data, b""
            return data
        return _result(asyncio.run_coroutine_threadsafe(self._response.read(), self._loop))

    async def close(self) -> None:
        self._data = b""
        await self._response.close()


class SyncLocalTransport(SyncTransport):
    """A Transport to an engine on a loop in its own thread; both end when it is closed or unreferenced."""

    def __init__(self, url: str, *, create: bool) -> None:
        self._inner = AsyncLocalTransport(url, create=create)
        self._loop = asyncio.new_event_loop()
        executor = ThreadPoolExecutor(thread_name_prefix=f"{_THREAD_PREFIX}client-work")
        self._loop.set_default_executor(executor)
        self._thread = threading.Thread(
            target=_run_loop, args=(self._loop, executor), name="docstore-client", daemon=True
        )
        self._thread.start()
        self.finalizer: Final = weakref.finalize(self, _close_loop, self._inner, self._loop, self._thread)
        _open_transports.add(self)

    async def send(self, request: ClientRequest, timeout_s: float) -> SyncLocalResponse:
        self._check_open()
        body = request.body
        if body is None or body.data is not None:
            response = _result(asyncio.run_coroutine_threadsafe(self._inner.send(request, timeout_s), self._loop))
        else:
            response = self._send_pieces(request, body, timeout_s)
        return SyncLocalResponse(response, self._loop)

    def _send_pieces(self, request: ClientRequest, body: ClientBody, timeout_s: float) -> AsyncLocalResponse:
        """Produce each piece in this thread when the store asks for it."""
        wanted: SimpleQueue[Future[bytes] | None] = SimpleQueue()

        async def pieces() -> AsyncIterator[bytes]:
            while True:
                piece: Future[bytes] = Future()
                wanted.put(piece)
                if not (block := await asyncio.wrap_future(piece)):
                    return
                yield block

        handled = self._inner.handle(request, _Upload(body.size, pieces()), timeout_s)
        response = asyncio.run_coroutine_threadsafe(handled, self._loop)
        response.add_done_callback(lambda _: wanted.put(None))
        blocks = body.blocks()
        try:
            while (piece := wanted.get()) is not None:
                try:
                    block = next(blocks, b"")
                except Exception as error:
                    piece.set_exception(error)
                else:
                    piece.set_result(block)
        except BaseException:
            response.cancel()
            raise
        return _result(response)

    async def run_many(
        self, call: Callable[[Transport, A], Coroutine[Any, Any, T]], arguments: Iterator[A]
    ) -> AsyncGenerator[T, None]:
        """The calls of a batch run on the loop, so that the engine commits their writes together."""

        async def run(batch: Iterator[A]) -> list[T]:
            return [result async for result in self._inner.run_many(call, batch)]

        while batch := list(islice(arguments, IN_FLIGHT)):
            self._check_open()
            for result in _result(asyncio.run_coroutine_threadsafe(run(iter(batch)), self._loop)):
                yield result

    def _check_open(self) -> None:
        self._inner.check_process()
        if not self.finalizer.alive:
            raise ClientClosed("the client is closed")

    async def close(self) -> None:
        self.finalizer()
        if threading.current_thread() is not self._thread:
            self._thread.join()


_open_stores: Final[set[Store]] = set()
_open_transports: Final["weakref.WeakSet[SyncLocalTransport]"] = weakref.WeakSet()


def _forget_all() -> None:
    """In a forked child: only the parent may close what it has open."""
    for transport in list(_open_transports):
        transport.finalizer.detach()
    _open_stores.clear()
    _open_transports.clear()


def _close_all() -> None:
    """Close what this process has open, unless a running thread of the user's may still use it."""
    for thread in threading.enumerate():
        own = thread.name.startswith((_THREAD_PREFIX, "asyncio_"))
        if not (thread.daemon or thread is threading.main_thread() or own):
            return
    for transport in list(_open_transports):
        transport.finalizer()
    for store in list(_open_stores):
        loop = asyncio.new_event_loop()
        loop.set_default_executor(_InlineExecutor())
        loop.run_until_complete(store.close())
        loop.close()


getattr(threading, "_register_atexit", atexit.register)(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def _result(future: Future[T]) -> T:
    """Wait for the result; cancel it if the wait is interrupted."""
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


class _InlineExecutor(ThreadPoolExecutor):
    """Runs functions in the calling thread: at its exit, Python 3.12.1 and later start no thread."""

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def _run_loop(loop: asyncio.AbstractEventLoop, executor: ThreadPoolExecutor) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_asyncgens())
        executor.shutdown()
    finally:
        loop.close()


def _close_loop(inner: AsyncLocalTransport, loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    async def close() -> None:
        loop.set_default_executor(_InlineExecutor())
        try:
            await inner.close()
        finally:
            loop.stop()

    asyncio.run_coroutine_threadsafe(close(), loop)
    # The garbage collector may run in any thread, also in one with an event loop, which must not be blocked.
    if threading.current_thread() is not thread and not _runs_event_loop():
        thread.join()


def _runs_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
