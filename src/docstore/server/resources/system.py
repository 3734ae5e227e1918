"""The service's own paths: `/-/...` and `/.well-known/api-catalog`, and the list of all places for the OpenAPI.

Whether the store is well (`health`, `ready`), how it is used (`openapi.json`, `docs`, `problems`, the catalog of RFC
9727 that leads to them), and what the pages are made of. All of it can only be read.
"""

import asyncio
import json
import logging
from collections.abc import Iterable
from typing import Final

from docstore.engines.contract import Probing
from docstore.errors import EngineError
from docstore.http.message import Request, Response
from docstore.http.negotiation import choose
from docstore.server import openapi, pages
from docstore.server.errors import PROBLEMS, Refusal
from docstore.server.mounts import Mount, Mounts
from docstore.server.openapi_components import KEY_DESCRIPTIONS, KEY_SCHEMAS, Node
from docstore.server.resources.assets import ASSETS, Asset
from docstore.server.resources.collection import CollectionResource, OriginalCollection
from docstore.server.resources.document import DocumentResource
from docstore.server.resources.resource import Readable, Resource
from docstore.server.resources.root import RootResource
from docstore.server.responses import answer

log: Final = logging.getLogger("docstore")

READY_TIMEOUT_S: Final = 2
"""How long an engine may take to say whether it has a document."""
_CACHE: Final = b"max-age=60"
"""What describes the store changes only when it is started anew."""


class Service(Readable):
    """What can only be read."""

    __slots__ = ("_mounts",)

    def __init__(self, mounts: Mounts) -> None:
        self._mounts = mounts


class Health(Service):
    """`/-/health`."""

    __slots__ = ()

    async def GET(self, request: Request) -> Response:
        """Whether the process answers. It asks no engine."""
        return answer("ok\n", "text/plain", cache=b"no-store")


class Ready(Service):
    """`/-/ready`."""

    __slots__ = ()

    async def GET(self, request: Request) -> Response:
        """Whether every engine answers, in time, and from where it was opened."""
        answers = await asyncio.gather(*(_answers(mount) for mount in self._mounts))
        silent = [mount.prefix for mount, answers_now in zip(self._mounts, answers, strict=True) if not answers_now]
        if silent:
            detail = f"no answer from the storage of {', '.join(silent)}"
            raise Refusal("unavailable", detail, [(b"retry-after", b"1")])
        return answer("ready\n", "text/plain", cache=b"no-store")


async def _answers(mount: Mount) -> bool:
    """The key is any valid one; whether there is such a document does not matter."""
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            if isinstance(mount.engine, Probing):
                await mount.engine.probe()
            await mount.engine.head("ready")
    except (EngineError, TimeoutError) as error:
        log.error("%s is not ready: %s", mount.prefix, error or f"no answer within {READY_TIMEOUT_S} s")
        return False
    return True


class OpenAPI(Service):
    """`/-/openapi.json`."""

    __slots__ = ()

    async def GET(self, request: Request) -> Response:
        """This description of the store, for programs."""
        body = json.dumps(openapi_document(self._mounts), ensure_ascii=False, separators=(",", ":")) + "\n"
        return answer(body, "application/json", cache=_CACHE)


class Docs(Service):
    """`/-/docs`."""

    __slots__ = ()

    async def GET(self, request: Request) -> Response:
        """This description of the store, for people."""
        return answer(pages.docs(openapi_document(self._mounts)), "text/html", cache=_CACHE)


class Problems(Service):
    """`/-/problems`: where the types of problems point to."""

    __slots__ = ()

    async def GET(self, request: Request) -> Response:
        """Why requests are refused, and what to do next."""
        offers = ("text/html", "text/plain")
        media_type = choose(request.headers.get("accept"), offers)
        if media_type is None:
            raise Refusal("not-acceptable", f"there are {', '.join(offers)}")
        if media_type == "text/html":
            body = pages.problems([(one.name, one.status, one.title, one.advice) for one in PROBLEMS.values()])
        else:
            body = "".join(f"{one.status} {one.name}: {one.title}. {one.advice}\n" for one in PROBLEMS.values())
        return answer(body, media_type, cache=_CACHE, more=[(b"vary", b"Accept")])


class Catalog(Service):
    """`/.well-known/api-catalog` (RFC 9727)."""

    __slots__ = ()

    async def GET(self, request: Request) -> Response:
        """Links to the descriptions of this store, and to its state."""
        targets = {rel: [{"href": href, "type": media_type}] for rel, href, media_type in _CATALOG}
        body = json.dumps({"linkset": [{"anchor": "/", **targets}]}) + "\n"
        links = [f'</{"/".join(_CATALOG_PATH)}>; rel="api-catalog"']
        links += [f'<{href}>; rel="{rel}"; type="{media_type}"; anchor="/"' for rel, href, media_type in _CATALOG]
        return answer(body, _LINKSET, cache=_CACHE, more=[(b"link", ", ".join(links).encode("ascii"))])


_LINKSET: Final = 'application/linkset+json; profile="https://www.rfc-editor.org/info/rfc9727"'
_CATALOG: Final = (
    ("service-desc", openapi.OPENAPI_PATH, "application/json"),
    ("service-doc", openapi.DOCS_PATH, "text/html"),
    ("status", "/-/ready", "text/plain"),
)


_CATALOG_PATH: Final = (".well-known", "api-catalog")
_FIXED: Final[dict[tuple[str, ...], type[Service]]] = {
    ("-", "health"): Health,
    ("-", "ready"): Ready,
    ("-", "openapi.json"): OpenAPI,
    ("-", "docs"): Docs,
    ("-", "problems"): Problems,
    _CATALOG_PATH: Catalog,
}


def find_service(segments: list[str], mounts: Mounts) -> Resource:
    """The service's resource at a path of these segments. Raises Refusal."""
    fixed = _FIXED.get(tuple(segments))
    if fixed is not None:
        return fixed(mounts)
    if segments[:2] == ["-", "web"] and len(segments) == 3:
        return Asset(segments[2])
    raise Refusal("not-found")


def openapi_document(mounts: Mounts) -> dict[str, object]:
    """The OpenAPI document of a store with these mounts."""
    return openapi.document([*_places(mounts)])


def _places(mounts: Mounts) -> Iterable[openapi.Place]:
    """All that can be asked for: the root, each mount, the service."""
    yield openapi.Place("/", "root", RootResource, "mounts")
    for mount in mounts:
        # A mount's name has no dots, so these names are different for different mounts.
        name = mount.name.replace("/", ".")
        collection = OriginalCollection if mount.collection_put else CollectionResource
        yield openapi.Place(mount.prefix, f"collection.{name}", collection, mount.prefix)
        document = f"{mount.prefix}{{key}}"
        yield openapi.Place(document, f"document.{name}", DocumentResource, mount.prefix, (_key(mount),))
    for segments, resource in _FIXED.items():
        yield openapi.Place(f"/{'/'.join(segments)}", f"service.{segments[-1].partition('.')[0]}", resource, "service")
    yield openapi.Place("/-/web/{file}", "service.web", Asset, "service", (_FILE,))


_FILE: Final[Node] = {
    "name": "file",
    "in": "path",
    "required": True,
    "description": "A style sheet, a module of the script, or the icon.",
    "schema": {"type": "string", "enum": sorted(ASSETS)},
}


def _key(mount: Mount) -> Node:
    """The parameter that stands for a key in the paths of a mount."""
    described: Node = {"description": KEY_DESCRIPTIONS[mount.keys], "schema": KEY_SCHEMAS[mount.keys]}
    return {"name": "key", "in": "path", "required": True, **described}
