"""The root: the mounts. And two places beside it: the server as such, and a collection's path without its slash."""

import json
from typing import Final
from urllib.parse import quote

from docstore.http.message import Request, Response
from docstore.http.negotiation import choose
from docstore.http.url import encode
from docstore.server import pages, usages
from docstore.server.errors import Refusal
from docstore.server.mounts import Mounts
from docstore.server.openapi import SERVICE_LINKS
from docstore.server.resources.resource import Readable, Resource
from docstore.server.responses import answer


class RootResource(Readable):
    """`/`: which mounts there are."""

    __slots__ = ("_mounts",)

    def __init__(self, mounts: Mounts) -> None:
        self._mounts = mounts

    async def GET(self, request: Request) -> Response:
        """Which mounts there are, and how those with a bound use it."""
        offers = ("text/html", "application/json", "text/plain")
        media_type = choose(request.headers.get("accept"), offers)
        if media_type is None:
            raise Refusal("not-acceptable", f"there are {', '.join(offers)}")
        used = [(mount, await usages.usage_of(mount)) for mount in self._mounts]
        if media_type == "text/html":
            body = pages.mounts(
                [
                    pages.MountRow(mount.prefix, mount.scheme, mount.keys, usages.line(usage) if usage else "")
                    for mount, usage in used
                ]
            )
        elif media_type == "text/plain":
            body = "".join(f"{mount.prefix}\n" for mount, _ in used)
        else:
            body = json.dumps({"mounts": [usages.described(mount, usage) for mount, usage in used]}) + "\n"
        return answer(body, media_type, more=[(b"vary", b"Accept"), (b"link", SERVICE_LINKS)])


class ServerResource(Resource):
    """`*`: the server as such, which can be asked whether it is there (RFC 9110 §9.3.7) and nothing else."""

    __slots__ = ()


_QUERY: Final = "!$&'()*+,;=:@/?%-._~"
"""What stands in a query as it is (RFC 3986 §3.4), and escapes that are there already."""


class MissingSlash(Readable):
    """`/docs`: who reads is sent on to `/docs/`; nobody else is, for clients do not follow with a body."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    @property
    def hint(self) -> str:
        return f"a collection's path ends with a slash: {self._path}"

    async def GET(self, request: Request) -> Response:
        location = encode(self._path) + (f"?{quote(request.query, safe=_QUERY)}" if request.query else "")
        return answer(f"{location}\n", "text/plain", status=308, more=[(b"location", location.encode("latin-1"))])
