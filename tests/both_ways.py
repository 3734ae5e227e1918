"""Requests that are sent through the fast paths and through `handle`, whose responses must be the same.

Every request of the tests in process, among them those of the oracle, and of the tests of HTTP/1.1 takes both ways.
"""

import asyncio
import os
import sys
import traceback
from collections.abc import Callable
from copy import copy
from dataclasses import replace

from docstore.content import BytesContent, FileContent
from docstore.engines.memory import Memory
from docstore.http.message import Request, Response
from docstore.server.app import Store
from docstore.server.mounts import Mounts


def answer_fast(store: Store, request: Request) -> Response | None:
    return None if store.fast_path is None else store.fast_path.answer(request)


def answer_both_ways(store: Store, request: Request) -> Response | None:
    """Answer as the fast path does; if `handle` answers differently, report that and end the process."""
    fast = answer_fast(store, request)
    if fast is not None:
        try:
            assert_same(fast, handle_at_once(store, request))
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            raise SystemExit(1) from None
    return fast


def handle_at_once(store: Store, request: Request) -> Response:
    """Run `handle`, which must not wait: the document is in memory."""
    running = store.handle(request)
    try:
        running.send(None)
    except StopIteration as end:
        return end.value
    running.close()
    raise AssertionError(f"{request} waited")


def assert_same(fast: Response, full: Response) -> None:
    """Require that both are the same bytes; Date is added later."""
    assert (fast.status, fast.head_only) == (full.status, full.head_only)
    assert isinstance(fast.content, BytesContent | FileContent)
    assert fast.content == full.content
    size = fast.content.size if fast.status in (200, 201) else None
    assert fast.lines(size) == full.lines(size)
    assert fast.headers == full.headers


async def write_fast(store: Store, request: Request) -> Response | None:
    """Write as the fast path does, and compare the response; None if it declines."""
    written: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    if store.fast_write is None or not store.fast_write.start(request, written.set_result):
        return None
    response = await written
    assert_written_alike(store, request, response)
    return response


def write_both_ways(store: Store, request: Request, respond: Callable[[Response], None]) -> bool:
    """Start the write as the fast path does; if `handle` would respond differently, report that and end the process."""

    def compare_and_respond(response: Response) -> None:
        try:
            assert_written_alike(store, request, response)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        respond(response)

    return store.fast_write is not None and store.fast_write.start(request, compare_and_respond)


def assert_written_alike(store: Store, request: Request, response: Response) -> None:
    """Compare the response to a successful write with that of `handle`, over an engine in memory in the same state."""
    if response.status not in (200, 201):
        return
    twin = copy(store)
    mounts = [replace(mount, engine=Memory(store.clock)) for mount in store.mounts]
    twin.mounts = Mounts(mounts)
    twin._access, twin._admits_some = None, False  # a client that may do everything sees what all see without tokens
    twin._everybody = replace(store._everybody, mounts=twin.mounts, shown=twin.mounts)
    if response.status == 200:
        handle_at_once(twin, request)
    assert_same(response, handle_at_once(twin, request))
