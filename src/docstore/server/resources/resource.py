"""Resources: a class for each kind of path, with a method for each verb.

`Allow` and 405 follow from the methods of the class; `operations` describes them for the OpenAPI document. So a new
verb is a method, its docstring and its row.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Final

from docstore.http.message import HeaderPairs, Request, Response
from docstore.server.openapi_schema import ALLOW_ANSWER, Operation
from docstore.server.security.cors import CorsPolicy

KNOWN_METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "QUERY"}
)
"""Methods that are 405 if a resource does not have them; all others are 501."""

Verb = Callable[[Any, Request], Awaitable[Response]]


class Resource:
    """The base of all resources."""

    __slots__ = ()
    verbs: ClassVar[dict[str, Verb]] = {}
    allow: ClassVar[bytes] = b""
    operations: ClassVar[Mapping[str, Operation]] = {"OPTIONS": Operation({204: ALLOW_ANSWER})}
    """Parameters and responses of the verbs that this class itself defines. HEAD may be left out: it is as GET."""

    @property
    def hint(self) -> str:
        """The detail of a 405."""
        return ""

    def __init_subclass__(cls) -> None:
        cls.verbs = {name: getattr(cls, name) for name in dir(cls) if name in KNOWN_METHODS}
        cls.allow = ", ".join(sorted(cls.verbs)).encode("ascii")

    async def OPTIONS(self, request: Request) -> Response:
        """The methods of this resource."""
        return options(self, request)


class ReadableResource(Resource):
    """A resource whose HEAD is its GET without the content."""

    __slots__ = ()

    async def HEAD(self, request: Request) -> Response:
        response = await self.verbs["GET"](self, request)
        response.head_only = True
        return response


def options(
    resource: Resource, request: Request, cors: CorsPolicy | None = None, more: HeaderPairs | None = None
) -> Response:
    """204 with Allow and `more`; with `cors`, the response to a preflight too."""
    response = Response(204, [(b"allow", resource.allow), (b"cache-control", b"no-store"), *(more or [])])
    if cors is not None:
        cors.add_preflight_headers(request.headers, response)
    return response
