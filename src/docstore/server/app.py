"""`Store.handle`: one request in, one response out. Every request takes this way:

    host check    does the store answer to this name, and does it know the method (501)?
    route         which mount and which key?
    access        an unsafe method: not from another site's page, and not on a read-only store
    resource      the resource at the path; keys are checked for every method
    verb          the resource's method of that name, or 405 with Allow; a write of another protocol is rejected
    errors        every exception becomes a problem response
    CORS          headers for other sites' pages, on every response of the mount

Nothing here depends on a protocol: adapters (asgi, http1) make a Request and send the Response.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from docstore.errors import DocstoreError, EngineError
from docstore.http.headers import TooManyMembers
from docstore.http.message import Request, Response
from docstore.http.url import InvalidTarget, encode, root_from, segments
from docstore.keys import is_name
from docstore.model import Clock
from docstore.server.access_log import escape
from docstore.server.error_page import render_problem
from docstore.server.errors import HTTPProblem, problem_for, problem_media_type, problem_response
from docstore.server.mounts import Mount, Mounts
from docstore.server.resources.collection import FolderResource, collection_class
from docstore.server.resources.document import document_class
from docstore.server.resources.listing import count_hidden
from docstore.server.resources.resource import KNOWN_METHODS, Resource
from docstore.server.resources.root import MissingSlash, RootResource, ServerResource
from docstore.server.resources.system import find_service
from docstore.server.security.browser_safety import SAFE_METHODS, check_host, check_same_site
from docstore.server.security.other_protocols import OPERATION_HEADERS, check_operation
from docstore.server.sweeper import DEFAULT_SWEEP_INTERVAL_S, Sweeper

log: Final = logging.getLogger("docstore")


class Store:
    """The mounts of a server behind one `handle`. `start` begins background work; `close` ends everything."""

    def __init__(
        self,
        mounts: Sequence[Mount],
        *,
        clock: Clock = time.time_ns,
        hosts: frozenset[str] | None = None,
        public_origins: frozenset[str] = frozenset(),
        relative_links: bool = False,
        anonymous: str = "write",
        sweep_interval_s: float = DEFAULT_SWEEP_INTERVAL_S,
    ) -> None:
        """`hosts` are the names that the store answers to, None for any, and `public_origins` the origins it has behind
        proxies; `relative_links` if a proxy adds a path; `anonymous` clients may `read` or `write`."""
        self.mounts = Mounts(mounts)
        self.clock = clock
        self._hosts = hosts
        self._public_origins = public_origins
        self._relative_links = relative_links
        self._read_only = anonymous != "write"
        self._sweep_interval_s = sweep_interval_s
        self._sweeper: Sweeper | None = None
        self._counting: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the sweeper in the running event loop, and log which mounts do not show all names."""
        self._sweeper = Sweeper(self.mounts, self._sweep_interval_s)
        self._sweeper.start()
        self._counting = asyncio.create_task(_report_hidden(self.mounts))

    async def handle(self, request: Request) -> Response:
        """Answer a request. Never raise."""
        method, mount = request.method, None
        if self._relative_links:
            request.root = root_from(request.path)
        try:
            check_host(request.headers, self._hosts)
            if method not in KNOWN_METHODS:
                raise HTTPProblem("not-implemented")
            mount, key, parts = self._route(request.path)
            unsafe = method not in SAFE_METHODS
            if unsafe:
                check_same_site(request.headers, mount.cors_policy if mount else None, self._public_origins)
                if self._read_only:
                    raise HTTPProblem("forbidden", "this store is read-only")
            resource = self._resource(mount, key, parts)
            verb = resource.verbs.get(method)
            if verb is None:
                raise HTTPProblem("method-not-allowed", resource.hint, [(b"allow", resource.allow)])
            # PERF: most writes have neither, and then no function is called.
            if unsafe and (request.query or not OPERATION_HEADERS.isdisjoint(request.headers.names)):
                check_operation(request, mount.ignore_query if mount else ())
            response = await verb(resource, request)
            if method == "OPTIONS" and self._read_only:
                _remove_unsafe_methods(response)
        except (HTTPProblem, DocstoreError) as error:
            response = await self._error_response(request, error)
        except TooManyMembers as error:
            response = await self._error_response(request, HTTPProblem("fields-too-large", str(error)))
        except Exception:
            log.exception("%s %s failed", escape(method), escape(request.path))
            response = await self._error_response(request, HTTPProblem("internal"))
        if mount is not None and mount.cors_policy is not None:
            mount.cors_policy.add_headers(request.headers, response)
        return response

    def _route(self, path: str) -> tuple[Mount | None, str, list[str] | None]:
        """Return the mount and the key of a path, and the path's segments: [] for `*`.

        The segments are None when the key is a plain name, which every key rule allows. Raise HTTPProblem.
        """
        # PERF: a plain name under a mount is found by one look-up, without decoding the path.
        before, _, key = path.rpartition("/")
        mount = self.mounts.at(before)
        if mount is not None and is_name(key):
            return mount, key, None
        try:
            parts = [] if path == "*" else segments(path)
        except InvalidTarget as error:
            raise HTTPProblem("invalid-target", str(error)) from None
        found = self.mounts.find(parts)
        return (*found, parts) if found else (None, "", parts)

    def _resource(self, mount: Mount | None, key: str, parts: list[str] | None) -> Resource:
        """Return the resource at a path. Raise HTTPProblem, or InvalidKey for any method."""
        if mount is not None:
            if parts is None:
                return document_class(mount)(mount, key, self.clock)
            if not key:
                return collection_class(mount)(mount, self.clock)
            if parts[-1] == "" and mount.keys == "path":
                mount.check_key(key[:-1])
                return FolderResource(mount, self.clock, key)
            mount.check_key(key)
            return document_class(mount)(mount, key, self.clock)
        if not parts:
            return ServerResource()
        if parts == [""]:
            return RootResource(self.mounts)
        if parts[0] in ("-", ".well-known"):
            return find_service(parts, self.mounts)
        if self.mounts.find([*parts, ""]):
            return MissingSlash(f"/{'/'.join(parts)}/")
        raise HTTPProblem("not-found", f"there is no mount at /{encode(parts[0])}/")

    async def _error_response(self, request: Request, error: HTTPProblem | DocstoreError) -> Response:
        if isinstance(error, EngineError):
            log.error("%s %s: %s", escape(request.method), escape(request.path), error)
        problem = error if isinstance(error, HTTPProblem) else problem_for(error)
        media_type, page = problem_media_type(request.headers.get("accept")), ""
        if media_type == "text/html":
            page = await render_problem(problem, request, self.mounts, writable=not self._read_only)
        response = problem_response(problem, media_type, page)
        response.head_only = request.method == "HEAD"
        return response

    async def close(self) -> None:
        """Stop sweeping and close all engines, even if one fails to close."""
        if self._sweeper is not None:
            await self._sweeper.stop()
        counting = self._counting
        if counting is not None and counting.get_loop() is asyncio.get_running_loop():
            counting.cancel()
            await asyncio.gather(counting, return_exceptions=True)
        for mount in self.mounts:
            try:
                await mount.engine.close()
            except Exception as error:
                log.error("can't close %s: %s", mount.prefix, error, exc_info=not isinstance(error, DocstoreError))


async def _report_hidden(mounts: Mounts) -> None:
    """Log which mounts do not show all names in their engines."""
    for mount in mounts:
        with suppress(EngineError):  # requests to the mount report the failure
            await count_hidden(mount)


def _remove_unsafe_methods(response: Response) -> None:
    """Leave only safe methods in Allow, so that clients can see that the store is read-only.

    Not in Access-Control-Allow-Methods: a preflight carries no credentials and asks for a request that may.
    """
    for index, (name, value) in enumerate(response.headers):
        if name == b"allow":
            safe = [method for method in value.decode("ascii").split(", ") if method in SAFE_METHODS]
            response.headers[index] = (name, ", ".join(safe).encode("ascii"))
