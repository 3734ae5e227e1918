"""The fast path of writes: a PUT of a small document joins a batch of its engine without a coroutine.

As `FastPath` does for reads, `FastWrite` takes a part of the path of `Store.handle`, by the same functions. It takes a
PUT whose body has arrived, without conditions, preferences or anything else that is rare, of clients that may do
everything in a mount without CORS; `handle` takes all others. A failure is answered in a task. The tests compare each
response with that of `handle` to the same request, byte for byte (tests/both_ways.py).

PERF: a durable PUT at 64 connections takes two thirds of the instructions.
"""

import asyncio
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final

from docstore.content import BytesContent
from docstore.engines.contract import PutRequest
from docstore.http.message import Headers, Request, Response
from docstore.model import WriteResult
from docstore.server.errors import HTTPProblem
from docstore.server.failures import failure_response, problem_of
from docstore.server.fast_path import PATH_COUNT, PATH_SIZE, Route, admitted_view, find_document
from docstore.server.mounts import Mount, Mounts
from docstore.server.resources.write import RARE_WRITE_HEADERS, WriteHeaders, stored_response
from docstore.server.security.access import AccessControl
from docstore.server.security.browser_safety import BROWSER_HEADERS, check_host
from docstore.server.security.other_protocols import OPERATION_HEADERS
from docstore.server.security.read_only_switch import ReadOnlySwitch

_DECLINED: Final = RARE_WRITE_HEADERS | BROWSER_HEADERS | OPERATION_HEADERS | {b"service-worker"}

Respond = Callable[[Response], None]


class FastWrite:
    """The fast path of the writes of one store."""

    def __init__(
        self,
        route: Route,
        mounts: Mounts,
        hosts: frozenset[str] | None,
        access: AccessControl | None,
        read_only: ReadOnlySwitch | None,
    ) -> None:
        """`route` finds mount and key of a path, as for `handle`; `access` is for stores that ask for tokens."""
        self._mounts = mounts
        self._access = access
        self._hosts = hosts
        self._read_only = read_only
        self._find_cached = lru_cache(PATH_COUNT)(partial(find_document, route))
        self._parse = self._parse_headers
        self._failing: set[asyncio.Task[Response]] = set()

    def start(self, request: Request, respond: Respond) -> bool:
        """Start the write, and pass the response that `handle` would return to `respond`. Return False to decline."""
        body = request.body
        if request.method != "PUT" or type(body) is not BytesContent or len(request.path) > PATH_SIZE or request.query:
            return False
        headers, target = request.headers.cached(self._parse), self._find_cached(request.path)
        if headers is None or target is None:
            return False
        mount, key, mounts = *target, self._mounts
        if self._access is not None:
            view = admitted_view(self._access, request)
            seen = None if view is None else view.mounts.at(f"/{mount.name}")
            if view is None or seen is None or seen.rights is not None:
                return False
            mount, mounts = seen, view.mounts
        submit = mount.submit
        if submit is None or mount.readonly or len(body.data) > mount.size_limit:
            return False
        if self._read_only is not None:
            try:
                self._read_only.check(mount)
            except HTTPProblem:
                return False
        put = PutRequest(key, body, headers.fields_of(key, body, mount))
        return submit(put, partial(self._finish, request, mount, mounts, respond))

    def _parse_headers(self, headers: Headers) -> WriteHeaders | None:
        """Return None for a request that `handle` must take."""
        if not _DECLINED.isdisjoint(headers.names):
            return None
        try:
            check_host(headers, self._hosts)
            return headers.cached(WriteHeaders.parse)
        except HTTPProblem:
            return None

    def _finish(
        self, request: Request, mount: Mount, shown: Mounts, respond: Respond, outcome: WriteResult | Exception
    ) -> None:
        if not isinstance(outcome, Exception):
            respond(stored_response(mount, outcome))
            return
        task = asyncio.get_running_loop().create_task(_fail(request, mount, shown, outcome))
        self._failing.add(task)
        task.add_done_callback(partial(self._finish_failure, respond))

    def _finish_failure(self, respond: Respond, task: asyncio.Task[Response]) -> None:
        """Respond outside the task, because the protocol may start the next request at once, in a task of its own."""
        self._failing.discard(task)
        if not task.cancelled():
            respond(task.result())


async def _fail(request: Request, mount: Mount, shown: Mounts, error: Exception) -> Response:
    return await failure_response(request, await problem_of(request, error, mount), shown)
