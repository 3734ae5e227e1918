"""The fast path of reads: a GET of a document that is in memory or open is answered without a coroutine.

`Store.handle` is the path of every request, and this one takes a part of it: the same functions for Host, route, key,
expiry and response. It answers a plain GET, and one whose If-None-Match names a single version. For any other
request `answer` returns None, and `handle` takes it; so do all requests to stores with audit, rates, trusted proxies,
hosts of web apps or relative links, and to mounts with CORS or web apps. With tokens, it answers clients with a token
or a signed link that may certainly read the document. A test sends the requests of the suites both ways, and compares
the responses byte for byte.

PERF: a GET takes half of the instructions, a 304 less than half.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from docstore.content import Stream
from docstore.errors import InvalidKey
from docstore.http.conditions import CONDITIONAL_GET_HEADERS
from docstore.http.entity_tags import parse_entity_tag
from docstore.http.message import Headers, Request, Response
from docstore.model import Clock, Document
from docstore.server.errors import HTTPProblem
from docstore.server.mounts import Mount
from docstore.server.responses import full_response, not_modified_response
from docstore.server.security.access import AccessControl, View
from docstore.server.security.browser_safety import check_host
from docstore.server.security.signed_links import find_link

PATH_COUNT: Final = 4096
PATH_SIZE: Final = 256
"""How many paths are remembered, and characters of the longest."""

_DECLINED: Final = CONDITIONAL_GET_HEADERS - {b"if-none-match", b"if-modified-since"} | {b"service-worker"}
_NO_TAG: Final = ""
"""For a plain GET. No version is empty."""

Route = Callable[[str], tuple[Mount | None, str, list[str] | None]]
_Target = tuple[Callable[[str], Document | None], str, str, str]
"""What recalls the documents of a mount, the key, the Cache-Control of the mount, and its path in Mounts."""


class FastPath:
    """The fast path of one store."""

    def __init__(
        self, route: Route, hosts: frozenset[str] | None, clock: Clock, access: AccessControl | None = None
    ) -> None:
        """`route` finds mount and key of a path, as for `handle`; `access` is for stores that ask for tokens."""
        self._route = route
        self._hosts = hosts
        self._clock = clock
        self._access = access
        self._find_cached = lru_cache(PATH_COUNT)(self._find)
        self._parse = self._tag_of

    def answer(self, request: Request) -> Response | None:
        """Return the response that `handle` would return, or None."""
        if request.method != "GET" or len(request.path) > PATH_SIZE or (request.query and self._access is None):
            return None
        tag, target = request.headers.cached(self._parse), self._find_cached(request.path)
        if tag is None or target is None:
            return None
        recall, key, cache_control, mount_path = target
        if self._access is not None:
            view = admitted_view(self._access, request)
            mount = None if view is None else view.mounts.at(mount_path)
            if mount is None or (mount.rights is not None and "read" not in mount.rights.on(key)):
                return None
            cache_control = mount.cache_control
        document = recall(key)
        if document is None or type(document.content) is Stream:
            return None
        try:
            if tag == document.meta.version:
                return not_modified_response(document.meta, self._clock(), cache_control)
            return full_response(document.meta, document.content, self._clock(), cache_control)
        except ValueError:  # a stored header that can't be sent: `handle` reports it
            return None

    def _tag_of(self, headers: Headers) -> str | None:
        """Return the tag in If-None-Match; _NO_TAG for a plain GET, and None for one that `handle` must take."""
        if not _DECLINED.isdisjoint(headers.names):
            return None
        try:
            check_host(headers, self._hosts)
        except HTTPProblem:
            return None
        value = headers.get("if-none-match")
        if value is None:
            return None if "if-modified-since" in headers else _NO_TAG
        # If-Modified-Since is ignored beside If-None-Match (RFC 9110 §13.1.3). Lists and `*` are rare.
        tag = parse_entity_tag(value)
        return tag.opaque or None if tag is not None else None

    def _find(self, path: str) -> _Target | None:
        found = find_document(self._route, path)
        if found is None:
            return None
        mount, key = found
        recall = mount.recall
        return None if recall is None else (recall, key, mount.cache_control, f"/{mount.name}")


def find_document(route: Route, path: str) -> tuple[Mount, str] | None:
    """Return the mount and the key of a document; None where a fast path must leave the request to `handle`."""
    try:
        mount, key, parts = route(path)
        if mount is None or mount.cors_policy is not None or mount.content == "app":
            return None
        if not key or (parts is not None and parts[-1] == ""):
            return None
        mount.check_key(key)
    except (HTTPProblem, InvalidKey):
        return None
    return mount, key


def admitted_view(access: AccessControl, request: Request) -> View | None:
    """Return what the client sees. Return None if it has neither token nor link, or if its requests are counted."""
    try:
        link = find_link(request.query) if request.query else None
        if link is None and (request.query or b"authorization" not in request.headers.names):
            return None
        view = access.view(request, link)
    except HTTPProblem:
        return None
    return None if view.limiter is not None or (view.link is not None and view.link.use_id) else view
