"""`handle`: one request in, one response out. The whole way of a request can be read here.

    guard      does the store answer to this name, and does it know the method (501)?
    route      which mount, which key?
    rights     if this may change something: may the client, and may the page that sent it, if one did? Until there
               are tokens, whose place is here, either every client may or none
    resource   what stands there (the key is checked whole, for every method)
    verb       the resource's method of the request's name, or 405 with Allow
    refusal    whatever was raised on the way, as an answer
    cors       what the browser of a page on another site must see, on every answer of the mount

Nothing here depends on a server: adapters (asgi, wire) make a Request and send the Response.
"""

import logging
import time
from collections.abc import Sequence
from typing import Final

from docstore.errors import DocstoreError, EngineError
from docstore.http.message import Request, Response
from docstore.http.url import InvalidTarget, segments
from docstore.keys import is_name
from docstore.model import Clock
from docstore.server import errors
from docstore.server.access_log import printable
from docstore.server.errors import Refusal
from docstore.server.mounts import Mount, Mounts
from docstore.server.resources.collection import CollectionResource, OriginalCollection
from docstore.server.resources.document import DocumentResource
from docstore.server.resources.resource import KNOWN_METHODS, Resource
from docstore.server.resources.root import MissingSlash, RootResource, ServerResource
from docstore.server.resources.system import find_service
from docstore.server.security.host_check import SAFE_METHODS, Guard
from docstore.server.sweeper import DEFAULT_SWEEP_INTERVAL_S, Sweeper

log: Final = logging.getLogger("docstore")


class Store:
    """All that a server serves: mounts, behind one `handle`.

    `handle` works as soon as there is a Store; `start` begins what goes on beside the requests, `close` ends all.
    """

    def __init__(
        self,
        mounts: Sequence[Mount],
        *,
        clock: Clock = time.time_ns,
        guard: Guard | None = None,
        sweep_interval_s: float = DEFAULT_SWEEP_INTERVAL_S,
    ) -> None:
        self.mounts = Mounts(mounts)
        self.clock = clock
        self.guard = guard or Guard()
        self._sweep_interval_s = sweep_interval_s
        self._sweeper: Sweeper | None = None

    def start(self) -> None:
        """Begins to sweep, in the event loop that serves."""
        self._sweeper = Sweeper(self.mounts, self._sweep_interval_s)
        self._sweeper.start()

    async def handle(self, request: Request) -> Response:
        """Always answers."""
        method, mount = request.method, None
        try:
            self.guard.check_host(request.headers)
            if method not in KNOWN_METHODS:
                raise Refusal("not-implemented")
            mount, key, parts = self.route(request.path)
            if method not in SAFE_METHODS:
                self.guard.check_unsafe(request.headers, mount.cors if mount else None)
            resource = self.resource(mount, key, parts)
            verb = resource.verbs.get(method)
            if verb is None:
                raise Refusal("method-not-allowed", resource.hint, [(b"allow", resource.allow)])
            response = await verb(resource, request)
            if method == "OPTIONS":
                self.guard.narrow(response)
        except (Refusal, DocstoreError) as error:
            response = self._refuse(request, error)
        except Exception:
            log.exception("%s %s failed", printable(method), printable(request.path))
            response = self._refuse(request, Refusal("internal"))
        if mount is not None and mount.cors is not None:
            mount.cors.open(request.headers, response)
        return response

    def route(self, path: str) -> tuple[Mount | None, str, list[str] | None]:
        """The mount that answers for a path and the key in it; without one, the path's segments. Raises Refusal.

        There are no segments to be looked at (None) when the key is a plain name, which is valid by every rule.

        `*`, which asks about the server itself, has no segments at all.
        """
        # PERF: a plain name under a mount is found by one look-up, without decoding the path.
        before, _, key = path.rpartition("/")
        mount = self.mounts.at(before)
        if mount is not None and is_name(key):
            return mount, key, None
        try:
            parts = [] if path == "*" else segments(path)
        except InvalidTarget as error:
            raise Refusal("invalid-target", str(error)) from None
        found = self.mounts.find(parts)
        return (*found, []) if found else (None, "", parts)

    def resource(self, mount: Mount | None, key: str, parts: list[str] | None) -> Resource:
        """What stands there. Raises Refusal, or InvalidKey: a key is checked whole, for every method."""
        if mount is not None:
            if parts is None:
                return DocumentResource(mount, key, self.clock)
            if not key:
                return (OriginalCollection if mount.collection_put else CollectionResource)(mount, self.clock)
            mount.check_key(key)
            return DocumentResource(mount, key, self.clock)
        if not parts:
            return ServerResource()
        if parts == [""]:
            return RootResource(self.mounts)
        if parts[0] in ("-", ".well-known"):
            return find_service(parts, self.mounts)
        if self.mounts.find([*parts, ""]):
            return MissingSlash(f"/{'/'.join(parts)}/")
        raise Refusal("not-found")

    async def close(self) -> None:
        """Stops sweeping and closes all engines, the rest of them also when one fails to."""
        if self._sweeper is not None:
            await self._sweeper.stop()
        for mount in self.mounts:
            try:
                await mount.engine.close()
            except Exception as error:
                log.error("closing %s: %s", mount.prefix, error, exc_info=not isinstance(error, DocstoreError))

    def _refuse(self, request: Request, error: Refusal | DocstoreError) -> Response:
        if isinstance(error, EngineError):
            log.error("%s %s: %s", printable(request.method), printable(request.path), error)
        refusal = error if isinstance(error, Refusal) else errors.refusal_of(error)
        response = errors.respond(refusal, request.headers.get("accept"))
        response.head_only = request.method == "HEAD"
        return response
