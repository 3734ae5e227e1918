"""Requests that are sent through the fast path and through `handle`, whose responses must be the same.

Every request of the tests in process, among them those of the oracle, and of the tests of HTTP/1.1 takes both ways.
"""

import sys
import traceback

from docstore.content import BytesContent, FileContent
from docstore.http.message import Request, Response
from docstore.server.app import Store


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
    size = fast.content.size if fast.status == 200 else None
    assert fast.lines(size) == full.lines(size)
    assert fast.headers == full.headers
