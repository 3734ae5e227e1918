"""Resources: a class for each kind of path, with a method for each verb.

`Allow` and 405 follow from the methods of the class; their decorators, Operations, are for the OpenAPI document. HEAD
needs none: it is as GET.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, Final
from urllib.parse import quote

from docstore.http.message import HeaderPairs, Request, Response
from docstore.http.negotiation import choose
from docstore.http.url import encode
from docstore.server.errors import HTTPProblem
from docstore.server.openapi_schema import ALLOW_ANSWER, Operation
from docstore.server.security.cors import CorsPolicy

_QUERY_SAFE: Final = "!$&'()*+,;=:@/?%-._~"
"""Characters that a query may contain unencoded (RFC 3986 §3.4), and `%` of existing escapes."""

KNOWN_METHODS: Final = frozenset(
    {
        *("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "QUERY"),
        *(
            "COPY",
            "LINK",
            "LOCK",
            "MKCOL",
            "MOVE",
            "PROPFIND",
            "PROPPATCH",
            "PURGE",
            "REPORT",
            "SEARCH",
            "UNLINK",
            "UNLOCK",
        ),
    }
)
"""These are 405 where a resource has no such verb: clients of WebDAV repeat what is 501. All others are 501."""

Verb = Callable[[Any, Request], Awaitable[Response]]


class Resource:
    """The base of all resources."""

    __slots__ = ()
    verbs: ClassVar[dict[str, Verb]] = {}
    allow: ClassVar[bytes] = b""
    hint = ""
    """The detail of a 405."""
    counts_as_upload = True
    """Whether requests with content take one of the places of uploads."""

    def __init_subclass__(cls) -> None:
        cls.verbs = {name: getattr(cls, name) for name in dir(cls) if name in KNOWN_METHODS}
        cls.allow = ", ".join(sorted(cls.verbs)).encode("ascii")

    @Operation({204: ALLOW_ANSWER})
    async def OPTIONS(self, request: Request) -> Response:
        """The methods of this resource."""
        return options(self, request)


class ReadableResource(Resource):
    """A resource whose HEAD is its GET without the content."""

    async def HEAD(self, request: Request) -> Response:
        """The headers of GET, without the content."""
        response = await self.verbs["GET"](self, request)
        response.head_only = True
        return response


def options(
    resource: Resource, request: Request, cors: CorsPolicy | None = None, more: HeaderPairs | None = None
) -> Response:
    """204 with Allow and `more`; with `cors`, the answer to a preflight too."""
    response = Response(204, [(b"allow", resource.allow), (b"cache-control", b"no-store"), *(more or [])])
    if cors is not None:
        cors.add_preflight_headers(request.headers, response)
    return response


def redirection(request: Request, path: str) -> str:
    """Return the URL of another path with the query of this request, which may be a signed link."""
    query = f"?{quote(request.query, safe=_QUERY_SAFE)}" if request.query else ""
    return request.root + encode(path) + query


def negotiate(request: Request, offers: Sequence[str]) -> str:
    """Return the media type that the client prefers. Raise HTTPProblem (406)."""
    media_type = choose(request.headers.get("accept"), offers)
    if media_type is None:
        raise HTTPProblem("not-acceptable", f"available types: {', '.join(offers)}")
    return media_type
