"""The paths of the service: `/-/...` and `/.well-known/api-catalog`; and the list of all paths for OpenAPI.

Health checks (`health`, `ready`), documentation (`openapi.json`, `docs`, `problems`, the API catalog of RFC 9727), and
the assets of the pages. All of them are read-only.
"""

import asyncio
import json
import logging
from collections.abc import Iterable
from typing import Final

from docstore.content import BytesContent
from docstore.engines.contract import Probing
from docstore.errors import EngineError
from docstore.http.message import Request, Response
from docstore.links import LINK_ID
from docstore.server import openapi, pages
from docstore.server.errors import PROBLEM_TYPES, HTTPProblem
from docstore.server.json_schemas import KEY_PARAMETERS, Node
from docstore.server.mounts import Mount, Mounts
from docstore.server.openapi_schema import Answer, Operation
from docstore.server.resources.assets import ASSETS, Asset
from docstore.server.resources.collection import FolderResource, collection_class
from docstore.server.resources.document import document_class
from docstore.server.resources.links import LinkResource, LinksResource
from docstore.server.resources.login import LOGIN_RESOURCES
from docstore.server.resources.resource import ReadableResource, Resource, negotiate
from docstore.server.resources.root import SERVICE_LINKS, MissingSlash, RootResource
from docstore.server.responses import content_headers, small_response
from docstore.server.security.guarded_engine import unguarded

log: Final = logging.getLogger("docstore")

READY_TIMEOUT_S: Final = 2
"""How long a probe of an engine may take."""
_CACHE: Final = b"max-age=60"
"""The descriptions of the store change only at a restart."""


class ServiceResource(ReadableResource):
    """The base of the service's resources."""

    def __init__(self, mounts: Mounts) -> None:
        self._mounts = mounts


class Health(ServiceResource):
    """`/-/health`."""

    @Operation({200: Answer("The process answers.", {"text/plain": ""})})
    async def GET(self, request: Request) -> Response:
        """Check whether the process responds. No engine is involved."""
        return small_response("ok\n", "text/plain", cache=b"no-store")


class Ready(ServiceResource):
    """`/-/ready`."""

    @Operation({200: Answer("Every engine answers.", {"text/plain": ""})}, ("unavailable",))
    async def GET(self, request: Request) -> Response:
        """Check whether every engine responds in time, and its storage is still where it was opened."""
        answers = await asyncio.gather(*(_answers(mount) for mount in self._mounts))
        silent = [mount.prefix for mount, answered in zip(self._mounts, answers, strict=True) if not answered]
        if silent:
            raise HTTPProblem("unavailable", f"the storage of {', '.join(silent)} does not respond")
        return small_response("ready\n", "text/plain", cache=b"no-store")


async def _answers(mount: Mount) -> bool:
    """Probe the engine, and look up some valid key."""
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            engine = unguarded(mount.engine)
            if isinstance(engine, Probing):
                await engine.probe()
            await engine.head("ready")
    except (EngineError, TimeoutError) as error:
        log.error("%s is not ready: %s", mount.prefix, error or f"no response within {READY_TIMEOUT_S} s")
        return False
    return True


class Service(ServiceResource):
    """`/-/`: the start of the service."""

    @Operation(
        {200: Answer("The resources of the service.", {"text/html": "", "text/plain": ""}, ("Cache-Control", "Vary"))},
        ("not-acceptable",),
    )
    async def GET(self, request: Request) -> Response:
        """List the resources of the service: health, documentation and descriptions."""
        media_type = negotiate(request, ("text/html", "text/plain"))
        rows = [
            (f"/{'/'.join(segments)}", openapi.summary_of(resource, "GET"))
            for segments, resource in _FIXED.items()
            if resource is not Service
        ]
        rows.append(("/-/login", openapi.summary_of(LOGIN_RESOURCES["-", "login"], "GET")))
        if media_type == "text/html":
            body = pages.render("service.html", request.root, rows=rows, version=openapi.VERSION)
        else:
            body = "".join(f"{path}: {summary}\n" for path, summary in rows)
        return small_response(body, media_type, cache=_CACHE, more=[(b"vary", b"Accept")])


class OpenAPI(ServiceResource):
    """`/-/openapi.json`."""

    @Operation({200: Answer("The OpenAPI document.", {"application/json": "OpenAPI"})})
    async def GET(self, request: Request) -> Response:
        """Return this description of the API for programs."""
        document = openapi_document(self._mounts, request.root)
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"
        return small_response(body, "application/json", cache=_CACHE)


class Docs(ServiceResource):
    """`/-/docs`."""

    @Operation({200: Answer("The page.", {"text/html": ""})})
    async def GET(self, request: Request) -> Response:
        """Return this description of the API for people."""
        nonce = pages.new_nonce()
        body = pages.docs_page(openapi_document(self._mounts, request.root), request.root, nonce).encode("utf-8")
        headers = [(b"cache-control", b"no-cache"), (b"content-length", b"%d" % len(body))]
        return Response(200, [*content_headers("text/html", pages.policy(nonce)), *headers], BytesContent(body))


class Problems(ServiceResource):
    """`/-/problems`, to which the `type` of a problem points."""

    @Operation(
        {200: Answer("The problem types.", {"text/html": "", "text/plain": ""}, ("Cache-Control", "Vary"))},
        ("not-acceptable",),
    )
    async def GET(self, request: Request) -> Response:
        """List the problem types, with advice."""
        offers = ("text/html", "text/plain")
        media_type = negotiate(request, offers)
        kinds = PROBLEM_TYPES.values()
        if media_type == "text/html":
            body = pages.render("problems.html", request.root, kinds=kinds)
        else:
            body = "".join(f"{kind.status} {kind.name}: {kind.title}. {kind.advice}\n" for kind in kinds)
        return small_response(body, media_type, cache=_CACHE, more=[(b"vary", b"Accept")])


class Catalog(ServiceResource):
    """`/.well-known/api-catalog` (RFC 9727)."""

    @Operation({200: Answer("The links.", {"application/linkset+json": "Linkset"}, ("Cache-Control", "Link"))})
    async def GET(self, request: Request) -> Response:
        """Link to the descriptions of this API, and to its status."""
        root = request.root
        targets = {rel: [{"href": root + href, "type": media_type}] for rel, href, media_type in _CATALOG}
        body = json.dumps({"linkset": [{"anchor": f"{root}/", **targets}]}) + "\n"
        links = [f'<{root}/{"/".join(_CATALOG_PATH)}>; rel="api-catalog"']
        links += [f'<{root}{path}>; rel="{rel}"; type="{kind}"; anchor="{root}/"' for rel, path, kind in _CATALOG]
        return small_response(body, _LINKSET, cache=_CACHE, more=[(b"link", ", ".join(links).encode("ascii"))])


_LINKSET: Final = 'application/linkset+json; profile="https://www.rfc-editor.org/info/rfc9727"'
_CATALOG: Final = (*SERVICE_LINKS, ("status", "/-/ready", "text/plain"))


_CATALOG_PATH: Final = (".well-known", "api-catalog")
_FIXED: Final[dict[tuple[str, ...], type[ServiceResource]]] = {
    ("-", ""): Service,
    ("-", "health"): Health,
    ("-", "ready"): Ready,
    ("-", "openapi.json"): OpenAPI,
    ("-", "docs"): Docs,
    ("-", "problems"): Problems,
    _CATALOG_PATH: Catalog,
}


def find_service(segments: list[str], mounts: Mounts) -> Resource:
    """Return the resource at a path of these segments. Raise HTTPProblem."""
    fixed = _FIXED.get(tuple(segments))
    if fixed is not None:
        return fixed(mounts)
    if segments == ["-"]:
        return MissingSlash("/-/")
    if segments[:2] == ["-", "web"] and len(segments) == 3:
        return Asset(segments[2])
    raise HTTPProblem("not-found")


def openapi_document(mounts: Mounts, root: str = "") -> dict[str, object]:
    """Return the OpenAPI document of a store with these mounts; `root` is `Request.root`."""
    return openapi.document([*_paths(mounts)], f"{root}/")


def _paths(mounts: Mounts) -> Iterable[openapi.Path]:
    """All paths: the root, each mount, the service."""
    yield openapi.Path("/", "root", RootResource, "mounts")
    for mount in mounts:
        # The name of a mount has no dots, so these names are unique.
        name = mount.name.replace("/", ".")
        yield openapi.Path(mount.prefix, f"collection.{name}", collection_class(mount), mount.prefix)
        if mount.keys == "path":
            yield openapi.Path(f"{mount.prefix}{{folder}}/", f"folder.{name}", FolderResource, mount.prefix, (_FOLDER,))
        document = f"{mount.prefix}{{key}}"
        yield openapi.Path(document, f"document.{name}", document_class(mount), mount.prefix, (_key(mount),))
    services: dict[tuple[str, ...], type[Resource]] = {**_FIXED, **LOGIN_RESOURCES}
    for segments, resource in services.items():
        name = segments[-1].partition(".")[0] or "start"
        yield openapi.Path(f"/{'/'.join(segments)}", f"service.{name}", resource, "service")
    yield openapi.Path("/-/links", "service.links", LinksResource, "service")
    yield openapi.Path("/-/links/{id}", "service.link", LinkResource, "service", (_LINK_ID,))
    yield openapi.Path("/-/web/{file}", "service.web", Asset, "service", (_FILE,))


_FILE: Final[Node] = {
    "name": "file",
    "in": "path",
    "required": True,
    "description": "A style sheet, a script module, or the icon.",
    "schema": {"type": "string", "enum": sorted(ASSETS)},
}


_LINK_ID: Final[Node] = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The id of a signed link.",
    "schema": {"type": "string", "pattern": f"^{LINK_ID.pattern}$"},
}


_FOLDER: Final[Node] = {
    "name": "folder",
    "in": "path",
    "required": True,
    "description": "The start of keys, up to a slash. Slashes need no encoding in the URL.",
    "schema": KEY_PARAMETERS["path"]["schema"],
}


def _key(mount: Mount) -> Node:
    """Return the path parameter for a key of the mount."""
    return {"name": "key", "in": "path", "required": True, **KEY_PARAMETERS[mount.keys]}
