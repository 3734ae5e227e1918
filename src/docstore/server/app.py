"""`Store.handle`: one request in, one response out. Every request takes this way:

    proxy         which client does a trusted proxy name?
    host check    does the store answer to this name, is it that of a web app, and is the method known (501)?
    route         which mount and which key?
    admission     who sends it (401), and which mounts does that client see? With a signed link, is it for this
                  request (403)?
    unsafe        an unsafe method: not from another site's page, and only with the rights that it needs in any
                  case (403)
    resource      the resource at the path; keys are checked for every method
    verb          the resource's method of that name, or 405 with Allow; a write of another protocol is rejected
    errors        every exception becomes a problem response
    completion    on every response: no sandbox for web apps, headers for other sites' pages, no shared cache for
                  sessions and links, the state of the rate; then the audit log

The fast paths (`fast_path.py`, `fast_write.py`) answer plain reads of documents in memory and plain small writes, with
the same responses. Nothing here depends on a protocol: adapters (asgi, http1) make a Request and send the Response.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Final

from docstore.content import BytesContent
from docstore.errors import DocstoreError, EngineError
from docstore.frozen import frozen_dataclass
from docstore.http.message import Request, Response
from docstore.http.url import InvalidTarget, encode, root_from, segments
from docstore.keys import is_name
from docstore.limits import DEFAULT_LIMITS
from docstore.links import LINK_PARAMETER
from docstore.model import Clock
from docstore.server.errors import HTTPProblem
from docstore.server.failures import failure_response, problem_of
from docstore.server.fast_path import FastPath
from docstore.server.fast_write import FastWrite
from docstore.server.mounts import Mount, Mounts
from docstore.server.resources.collection import FolderResource, collection_class
from docstore.server.resources.document import document_class
from docstore.server.resources.links import find_link_resource
from docstore.server.resources.listing import count_hidden
from docstore.server.resources.login import login_resource
from docstore.server.resources.resource import KNOWN_METHODS, Resource, Verb
from docstore.server.resources.root import MissingSlash, RootResource, ServerResource
from docstore.server.resources.system import find_service
from docstore.server.security.access import AccessControl, View, is_login, is_open
from docstore.server.security.audit import AuditLog
from docstore.server.security.browser_safety import (
    SAFE_METHODS,
    check_host,
    check_same_origin,
    check_same_site,
    host_of,
)
from docstore.server.security.other_protocols import OPERATION_HEADERS, check_operation
from docstore.server.security.proxies import TrustedProxies
from docstore.server.security.rates import AddressRates, RateLimiter
from docstore.server.security.read_only_switch import ReadOnlySwitch
from docstore.server.security.rights import ANONYMOUS_RIGHTS
from docstore.server.security.sessions import make_private, remove_cookies
from docstore.server.security.signed_links import find_link
from docstore.server.security.tokens import Tokens
from docstore.server.security.web_apps import check_forwarded_host, find_app_host, lift_sandbox, mounts_at
from docstore.server.sweeper import DEFAULT_SWEEP_INTERVAL_S, Sweeper
from docstore.units import Rate

log: Final = logging.getLogger("docstore")

_NO_MOUNTS: Final = Mounts([])


@frozen_dataclass(frozen=True, slots=True)
class _Admission:
    """What a store lets one request use."""

    mounts: Mounts
    shown: Mounts
    """The mounts that the page of a problem may name."""
    view: View | None = None
    """None where all clients see the same."""
    limiter: RateLimiter | None = None
    """The rate whose state the response has."""
    app_host: str = ""
    """The host of a web app to which the request is sent, otherwise ""."""
    is_public: bool = False
    """Whether everybody may use the resource; such requests are not logged."""


_NOT_ADMITTED: Final = _Admission(_NO_MOUNTS, _NO_MOUNTS)


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
        proxies: TrustedProxies | None = None,
        anonymous: str | None = "write",
        tokens: Tokens | None = None,
        audit: AuditLog | None = None,
        address_rate: Rate | None = None,
        read_only: ReadOnlySwitch | None = None,
        upload_limit: int = DEFAULT_LIMITS.upload_count,
        sweep_interval_s: float = DEFAULT_SWEEP_INTERVAL_S,
    ) -> None:
        """`hosts` are the names that the store answers to, None for any, and `public_origins` the origins it has behind
        proxies; `relative_links` if a proxy adds a path; `proxies` name the client of a request. Clients without a
        token may `read`, `write` or nothing (None); without `tokens`, that is so for all clients. `audit` is closed
        with the store. `address_rate` limits the requests from one address. `read_only` may stop writes."""
        self.mounts = Mounts(mounts)
        self.clock = clock
        self._hosts = hosts
        self._public_origins = public_origins
        self._app_hosts = frozenset(mount.app_host for mount in mounts if mount.app_host)
        self._own_hosts = frozenset(map(host_of, public_origins))
        self._relative_links = relative_links
        self._proxies = proxies
        open_to_all = tokens is None and anonymous == "write"
        rights = ANONYMOUS_RIGHTS[anonymous]
        self._access = None if open_to_all else AccessControl(self.mounts, tokens, rights, clock)
        self._links = None if self._access is None else self._access.links
        self._audit = audit
        self._read_only = read_only
        self._upload_limit = upload_limit
        self._upload_count = 0
        self._address_rates = AddressRates(address_rate) if address_rate else None
        self._everybody = _Admission(self.mounts, self.mounts)
        self._admits_some = any((self._access, self._audit, self._address_rates, self._app_hosts))
        is_plain = not any((self._audit, self._address_rates, self._app_hosts, proxies, relative_links))
        is_plain = is_plain and (self._access is None or self._links is not None)
        self.fast_path: Final = FastPath(self._route, hosts, clock, self._access) if is_plain else None
        """Answers some requests at once, as `handle` would; None if the store checks more than FastPath does."""
        fast_write = FastWrite(self._route, self.mounts, hosts, self._access, read_only) if is_plain else None
        self.fast_write: Final = fast_write
        """Starts some writes, as `handle` would; None if the store checks more than FastWrite does."""
        self._sweep_interval_s = sweep_interval_s
        self._sweeper: Sweeper | None = None
        self._counting: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the sweeper in the running event loop, and log which mounts do not show all names."""
        links = self._links
        ended = () if links is None else (("ended links and sessions", links.ended), ("used links", links.used))
        self._sweeper = Sweeper(self.mounts, self._sweep_interval_s, ended)
        self._sweeper.start()
        self._counting = asyncio.create_task(_report_hidden(self.mounts))

    async def handle(self, request: Request) -> Response:
        """Answer a request. Never raise."""
        admission, mount, key, method = _NOT_ADMITTED, None, "", request.method
        if self._relative_links:
            request.root = root_from(request.path)
        try:
            if self._proxies is not None:
                self._apply_proxies(request, self._proxies)
            check_host(request.headers, self._hosts)
            if method not in KNOWN_METHODS:
                raise HTTPProblem("not-implemented")
            mount, key, parts = self._route(request.path)
            admission = self._admit(request, mount, parts) if self._admits_some else self._everybody
            view = admission.view
            if mount is not None and admission.mounts is not self.mounts:
                mount = admission.mounts.at(f"/{mount.name}")
                parts = segments(request.path) if mount is None else parts
            link = None if view is None else view.link
            if link is not None:
                link.check(request, mount)
            if b"service-worker" in request.headers.names and not admission.app_host:
                raise HTTPProblem("forbidden", "only a web app with a host of its own may have a service worker")
            unsafe = method not in SAFE_METHODS
            if unsafe:
                self._check_unsafe(request, view, mount, key, parts)
            resource = self._resource(admission, mount, key, parts)
            verb = resource.verbs.get(method)
            if verb is None:
                raise HTTPProblem("method-not-allowed", resource.hint, [(b"allow", resource.allow)])
            # PERF: most writes have neither, and then no function is called.
            if unsafe and (request.query or not OPERATION_HEADERS.isdisjoint(request.headers.names)):
                ignored = mount.ignore_query if mount else ()
                check_operation(request, ignored if link is None else (*ignored, LINK_PARAMETER))
            if link is not None and self._links is not None and link.is_used_up_by(method):
                perform = partial(self._receive, verb, resource, request)
                response = await self._links.use(link, perform, safe=not unsafe)
            elif unsafe and not isinstance(request.body, BytesContent) and resource.counts_as_upload:
                response = await self._receive(verb, resource, request)
            else:
                response = await verb(resource, request)
            if method == "OPTIONS" and view is not None:
                _remove_forbidden_methods(response, view, mount, key, parts)
        except Exception as error:
            response = await failure_response(request, await problem_of(request, error, mount), admission.shown)
        self._complete(request, response, admission, mount, key)
        return response

    def _apply_proxies(self, request: Request, proxies: TrustedProxies) -> None:
        """Replace what proxies have changed. Raise HTTPProblem."""
        received = request.headers
        proxies.apply(request)
        if self._app_hosts:
            check_forwarded_host(received, request.headers, self._app_hosts, self._own_hosts)

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

    def _admit(self, request: Request, mount: Mount | None, parts: list[str] | None) -> _Admission:
        """Decide who sends the request, and what that client sees. Raise HTTPProblem."""
        app_host = find_app_host(request.headers, self._app_hosts)
        view, limiter, is_public = None, None, is_open(parts)
        if not is_public:
            if self._audit is not None:
                self._audit.check()
            if self._address_rates is not None:
                limiter = self._address_rates.limiter(request.address)
                limiter.take()
            if self._access is not None:
                view = self._find_view(self._access, request, mount, parts, app_host)
            if view is not None and view.limiter is not None:
                limiter = view.limiter
                limiter.take()
        mounts = self.mounts if view is None else view.mounts
        if app_host:
            mounts = mounts_at(mounts, app_host)
        shown = _NO_MOUNTS if view is None and self._access is not None else mounts
        return _Admission(mounts, shown, view, limiter, app_host, is_public)

    def _find_view(
        self, access: AccessControl, request: Request, mount: Mount | None, parts: list[str] | None, app_host: str
    ) -> View | None:
        """Return what the client sees; None at the login and in preflights without rights. Raise HTTPProblem."""
        if _is_preflight(request, mount):
            return access.anonymous_view
        if is_login(parts) and not app_host:
            return access.view_at_login(request)
        link = find_link(request.query) if request.query and self._links is not None else None
        return access.view(request, link, sessions=not app_host)

    def _check_unsafe(
        self, request: Request, view: View | None, mount: Mount | None, key: str, parts: list[str] | None
    ) -> None:
        """Check everything about an unsafe method that does not depend on the resource. Raise HTTPProblem."""
        check_same_site(request, mount.cors_policy if mount else None, self._public_origins)
        if request.session:
            check_same_origin(request, self._public_origins)
        if view is not None:
            view.check_unsafe(request.method, mount, key, parts)
        if self._read_only is not None and mount is not None:
            self._read_only.check(mount)

    def _resource(self, admission: _Admission, mount: Mount | None, key: str, parts: list[str] | None) -> Resource:
        """Return the resource at a path, of the mounts that the client sees. Raise HTTPProblem, or InvalidKey."""
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
            return RootResource(admission.mounts)
        if parts[0] in ("-", ".well-known"):
            return self._service(admission, parts)
        found = admission.mounts.find([*parts, ""])
        if found is not None and not found[1]:
            return MissingSlash(f"/{'/'.join(parts)}/")
        raise HTTPProblem("not-found", f"there is no mount at /{encode(parts[0])}/")

    def _service(self, admission: _Admission, parts: list[str]) -> Resource:
        """Return the resource at a path of the service. Raise HTTPProblem."""
        if admission.app_host and not admission.is_public:
            raise HTTPProblem("not-found", "a web app has this host, where only its documents are")
        if is_login(parts):
            return login_resource(parts, self._access, None if admission.view is None else admission.view.token)
        if parts[:2] == ["-", "links"]:
            return find_link_resource(parts, self._links, admission.view, self.clock)
        return find_service(parts, admission.mounts)

    async def _receive(self, verb: Verb, resource: Resource, request: Request) -> Response:
        """Call a verb whose request has a body that is still to come. Raise HTTPProblem for too many at once."""
        if self._upload_count >= self._upload_limit:
            raise HTTPProblem("unavailable", "too many uploads are in progress")
        self._upload_count += 1
        try:
            return await verb(resource, request)
        finally:
            self._upload_count -= 1

    def _complete(
        self, request: Request, response: Response, admission: _Admission, mount: Mount | None, key: str
    ) -> None:
        """Add what depends on the client and the mount, and log the request."""
        if mount is not None:
            if mount.content == "app" and mount.app_host == admission.app_host:
                lift_sandbox(response, mount.app_host)
            if mount.cors_policy is not None:
                mount.cors_policy.add_headers(request.headers, response)
        if request.session is not None or request.link:
            make_private(response)
            if request.session == "":
                remove_cookies(request, response)
        limiter = admission.limiter
        if limiter is not None and response.status != HTTPStatus.TOO_MANY_REQUESTS:
            response.headers += limiter.fields()
        if self._audit is not None and not admission.is_public:
            path = request.path if mount is None else mount.prefix + key
            self._audit.record(request, admission.view, path, response)

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
        if self._audit is not None:
            self._audit.close()


async def _report_hidden(mounts: Mounts) -> None:
    """Log which mounts do not show all names in their engines."""
    for mount in mounts:
        with suppress(EngineError):  # requests to the mount report the failure
            await count_hidden(mount)


def _is_preflight(request: Request, mount: Mount | None) -> bool:
    """Whether a browser asks, without credentials, for what a page of an allowed site may do (Fetch, CORS)."""
    return (
        request.method == "OPTIONS"
        and "access-control-request-method" in request.headers
        and mount is not None
        and mount.cors_policy is not None
        and mount.cors_policy.allows(request.headers)
    )


def _remove_forbidden_methods(
    response: Response, view: View, mount: Mount | None, key: str, parts: list[str] | None
) -> None:
    """Leave only the methods in Allow that this client may use, so that it can see what it may do."""
    for index, (name, value) in enumerate(response.headers):
        if name == b"allow":
            methods = value.decode("ascii").split(", ")
            allowed = [word for word in methods if word in SAFE_METHODS or view.permits(word, mount, key, parts)]
            response.headers[index] = (name, ", ".join(allowed).encode("ascii"))
