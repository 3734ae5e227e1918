"""The root: the list of mounts. Also the server as a whole (`*`), and a collection's path without its slash."""

import json
import logging
from dataclasses import asdict
from typing import Final

from docstore.content import BytesContent
from docstore.engines.contract import Metered, Usage
from docstore.engines.registry import kind_of
from docstore.errors import EngineError
from docstore.http.message import HeaderPairs, Request, Response
from docstore.server import pages
from docstore.server.mounts import Mount, Mounts
from docstore.server.openapi_schema import Answer, Operation
from docstore.server.resources.listing import count_hidden
from docstore.server.resources.resource import ReadableResource, Resource, negotiate, redirection
from docstore.server.responses import content_headers, small_response

log: Final = logging.getLogger("docstore")

SERVICE_LINKS: Final = (
    ("service-desc", "/-/openapi.json", "application/json"),
    ("service-doc", "/-/docs", "text/html"),
)
"""The descriptions of the API (RFC 8631): relation, path and media type."""


_Row = tuple[Mount, Usage | None, int]
"""A mount, its usage, and how many names it hides."""


class RootResource(ReadableResource):
    """`/`: the list of mounts."""

    def __init__(self, mounts: Mounts) -> None:
        self._mounts = mounts

    @Operation(
        {
            200: Answer(
                "The mounts.",
                {"text/html": "", "application/json": "Mounts", "text/plain": ""},
                ("Cache-Control", "Link", "Vary"),
            )
        },
        ("not-acceptable",),
    )
    async def GET(self, request: Request) -> Response:
        """List the mounts, and the usage of those with a quota."""
        offers = ("text/html", "application/json", "text/plain")
        media_type = negotiate(request, offers)
        rows = [(mount, await _usage(mount), await _hidden(mount)) for mount in self._mounts]
        links = ", ".join(f'<{request.root}{path}>; rel="{rel}"; type="{type}"' for rel, path, type in SERVICE_LINKS)
        headers: HeaderPairs = [(b"vary", b"Accept"), (b"link", links.encode("ascii"))]
        if media_type == "text/html":
            return self._page(request, rows, headers)
        if media_type == "text/plain":
            body = "".join(f"{mount.prefix}\n" for mount, *_ in rows)
        else:
            body = json.dumps({"mounts": [_mount_json(*row) for row in rows]}) + "\n"
        return small_response(body, media_type, more=headers)

    def _page(self, request: Request, rows: list[_Row], headers: HeaderPairs) -> Response:
        """The page for people, whose script has this response's nonce."""
        nonce = pages.new_nonce()
        page = pages.render("mounts.html", request.root, mounts=rows, kind_of=kind_of, nonce=nonce, user=request.user)
        data = page.encode("utf-8")
        headers += [*content_headers("text/html", pages.policy(nonce)), (b"cache-control", b"no-cache")]
        return Response(200, [*headers, (b"content-length", b"%d" % len(data))], BytesContent(data))


async def _usage(mount: Mount) -> Usage | None:
    """None for a mount without a quota, and when its storage fails: the list of mounts must not fail with it."""
    if not isinstance(mount.engine, Metered):
        return None
    try:
        return await mount.engine.usage()
    except EngineError as error:
        log.error("can't read the usage of %s: %s", mount.prefix, error)
        return None


async def _hidden(mount: Mount) -> int:
    """0 also when the storage fails, and for a client that may not list the mount."""
    if not mount.permits("list", ""):
        return 0
    try:
        return await count_hidden(mount)
    except EngineError as error:
        log.error("can't list %s: %s", mount.prefix, error)
        return 0


def _mount_json(mount: Mount, usage: Usage | None, hidden: int) -> dict[str, object]:
    members: dict[str, object] = {"mount": mount.prefix, "engine": mount.scheme}
    if usage is not None:
        members["usage"] = asdict(usage)
    return {**members, "hidden": hidden} if hidden else members


class ServerResource(Resource):
    """`*`: the server as a whole, which allows only OPTIONS (RFC 9110 §9.3.7)."""


class MissingSlash(ReadableResource):
    """`/docs`: redirects reads to `/docs/`. Writes are not redirected, because clients do not follow with a body."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.hint = f"a collection's path ends with a slash: {path}"

    async def GET(self, request: Request) -> Response:
        location = redirection(request, self._path)
        return small_response(
            f"{location}\n", "text/plain", status=308, more=[(b"location", location.encode("latin-1"))]
        )
