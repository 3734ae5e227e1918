"""What resources have in common: the verbs you can read in a class are the verbs it answers.

A resource is what stands at a path. Its class has a method for each verb, named like the verb; `Allow` and 405 follow
from the class and are written nowhere else.
"""

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Final

from docstore.http.message import HeaderPairs, Request, Response
from docstore.server.security.cors import Cors

KNOWN_METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "QUERY"}
)
"""What gets 405 where it is not answered; anything else is 501."""

Verb = Callable[[Any, Request], Awaitable[Response]]


class Resource:
    """A class per resource, a method per verb."""

    __slots__ = ()
    verbs: ClassVar[dict[str, Verb]] = {}
    allow: ClassVar[bytes] = b""

    @property
    def hint(self) -> str:
        """What to say to a client that uses a verb that is not answered here."""
        return ""

    def __init_subclass__(cls) -> None:
        cls.verbs = {name: getattr(cls, name) for name in dir(cls) if name in KNOWN_METHODS}
        cls.allow = ", ".join(sorted(cls.verbs)).encode("ascii")

    async def OPTIONS(self, request: Request) -> Response:
        """What can be done here."""
        return options(self, request)


class Readable(Resource):
    """A resource whose HEAD is its GET without the content."""

    __slots__ = ()

    async def HEAD(self, request: Request) -> Response:
        response = await self.verbs["GET"](self, request)
        response.head_only = True
        return response


def options(
    resource: Resource, request: Request, cors: Cors | None = None, offers: HeaderPairs | None = None
) -> Response:
    """204 with Allow and whatever else a resource offers; with `cors`, the answer to a preflight too."""
    response = Response(204, [(b"allow", resource.allow), (b"cache-control", b"no-store"), *(offers or [])])
    if cors is not None:
        cors.open_preflight(request.headers, response)
    return response
