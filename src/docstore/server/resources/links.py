"""Signed links: `/-/links` makes them for the client's token, and `/-/links/{id}` revokes one."""

import json
from typing import Any, Final

from docstore.content import SizeLimitedUpload, read_all
from docstore.errors import SetupError
from docstore.http.message import Request, Response
from docstore.http.url import InvalidTarget, encode, segments
from docstore.links import (
    DEFAULT_LINK_TTL_S,
    LINK_ID,
    LINK_PARAMETER,
    LINK_TTL_LIMIT_S,
    Caveats,
    InvalidLink,
    in_order,
    new_once,
    typed_members,
)
from docstore.model import Clock
from docstore.server import openapi_schema as schema
from docstore.server.errors import HTTPProblem
from docstore.server.mounts import Mount
from docstore.server.openapi_schema import Answer, Operation
from docstore.server.resources.resource import Resource, options
from docstore.server.responses import small_response
from docstore.server.security.access import View
from docstore.server.security.ended import expiry_of, token_of
from docstore.server.security.rights import ALL_RIGHTS
from docstore.server.security.sessions import CLOCK_DIFFERENCE_S
from docstore.server.security.signed_links import SignedLinks, missing_rights
from docstore.server.security.tokens import Token, check_prefix
from docstore.units import format_rfc3339

LINK_REQUEST_LIMIT: Final = 64 * 1024
"""Bytes of the JSON."""

_MEMBERS: Final[dict[str, type]] = {
    "path": str,
    "prefix": str,
    "methods": list,
    "ttl": int,
    "max_document": int,
    "types": list,
    "once": bool,
}
"""The members of a request and their types; all but `path` are optional."""


class _SigningResource(Resource):
    """The base of the resources that need a token."""

    def __init__(self, links: SignedLinks | None, view: View | None, clock: Clock, id: str = "") -> None:
        self._links = links
        self._view = view
        self._clock = clock
        self._id = id

    def _signer(self) -> tuple[SignedLinks, View, Token]:
        """Return the links of the store and its client. Raise HTTPProblem for a client without a token."""
        if self._links is None:
            raise HTTPProblem("not-found", "this server asks for no tokens (--auth open), so it has no links")
        if self._view is None or self._view.token is None:
            raise HTTPProblem("forbidden", "signing and revoking links needs a token")
        return self._links, self._view, self._view.token


class LinksResource(_SigningResource):
    """`/-/links`."""

    @Operation(
        {201: Answer("The link.", {"application/json": "SignedLink"}, ("Cache-Control", "Location"))},
        (*schema.UNSAFE_PROBLEMS, *schema.UPLOAD_PROBLEMS, "invalid-link", "invalid-key", "not-found"),
        body="link",
    )
    async def POST(self, request: Request) -> Response:
        """Sign a link: rights to one key or prefix, for some time.

        The token must have the rights itself, and the link ends with it.
        """
        links, view, token = self._signer()
        values = await _read_request(request)
        mount, key, is_prefix = _scope(values, view)
        try:
            caveats = _caveats(values, mount.name, key, is_prefix, self._clock())
            held = ALL_RIGHTS if mount.rights is None else mount.rights.on(key)
            if mount.rights is not None and (missing := missing_rights(caveats.methods or (), held)):
                raise mount.rights.missing(*missing)
            link = await links.sign(token, caveats)
        except InvalidLink as error:
            raise HTTPProblem("invalid-link", str(error)) from None
        url = f"{request.root}{encode(mount.prefix + key)}?{LINK_PARAMETER}={link.encode()}"
        members = {"id": link.id, "url": url, "expires": format_rfc3339((caveats.until or 0) * 10**9)}
        location = f"{request.root}/-/links/{link.id}"
        more = [(b"location", location.encode("ascii"))]
        return small_response(json.dumps(members) + "\n", "application/json", status=201, cache=b"no-store", more=more)


class LinkResource(_SigningResource):
    """`/-/links/{id}`."""

    @Operation({204: schema.ALLOW_ANSWER}, ("not-found",))
    async def OPTIONS(self, request: Request) -> Response:
        return options(self, request)

    @Operation({200: Answer("Revoked, now or before.", {"text/plain": ""})}, (*schema.UNSAFE_PROBLEMS, "not-found"))
    async def DELETE(self, request: Request) -> Response:
        """Revoke a link and all that were narrowed from it. A token may revoke its own, an administrator all."""
        links, _, token = self._signer()
        if token_of(self._id) != token.id and not token.is_administrator:
            raise HTTPProblem("forbidden", "another token made the link")
        if expiry_of(self._id) > self._clock() // 10**9 + LINK_TTL_LIMIT_S + CLOCK_DIFFERENCE_S:
            raise HTTPProblem("not-found")  # no link has that id, and its file would be kept too long
        await links.revoke(self._id)
        return small_response(b"", "text/plain", cache=b"no-store")


async def _read_request(request: Request) -> dict[str, Any]:
    """Return the members of the JSON. Raise HTTPProblem."""
    data = await read_all(SizeLimitedUpload(request.body, LINK_REQUEST_LIMIT))
    try:
        values = json.loads(data, object_pairs_hook=_unique_members)
    except (ValueError, RecursionError):
        raise HTTPProblem("invalid-link", "the content is not JSON, or has a member twice") from None
    try:
        members = typed_members(values, _MEMBERS)
    except InvalidLink as error:
        raise HTTPProblem("invalid-link", str(error)) from None
    if "path" not in members:
        raise HTTPProblem("invalid-link", "path is missing, such as /docs/report")
    return members


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raise ValueError for a member that is there twice, of which two readers might take different ones."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is there twice")
    return members


def _scope(values: dict[str, Any], view: View) -> tuple[Mount, str, bool]:
    """Return the mount, the key or prefix, and whether it is a prefix. Raise HTTPProblem and InvalidKey."""
    path = values["path"]
    if not path.isascii():
        raise HTTPProblem("invalid-link", "path is percent-encoded, as in a URL")
    try:
        found = view.mounts.find(segments(path))
    except InvalidTarget as error:
        raise HTTPProblem("invalid-link", f"path: {error}") from None
    if found is None:
        raise HTTPProblem("not-found", "there is no such mount; a path looks like /docs/report or /docs/folder/")
    mount, key = found
    is_prefix = not key or key.endswith("/")
    if not is_prefix:
        if "prefix" in values:
            raise HTTPProblem("invalid-link", "with a prefix, path ends with a slash")
        mount.check_key(key)
    elif key := key + values.get("prefix", ""):
        try:
            check_prefix(key)
        except SetupError as error:
            raise HTTPProblem("invalid-link", str(error)) from None
    return mount, key, is_prefix


def _caveats(values: dict[str, Any], mount: str, key: str, is_prefix: bool, now_ns: int) -> Caveats:
    """Raise InvalidLink."""
    methods, ttl_s = values.get("methods", ("GET",)), values.get("ttl", DEFAULT_LINK_TTL_S)
    if "LIST" in methods and not is_prefix:
        raise InvalidLink("only a prefix can be listed")
    if not 0 < ttl_s <= LINK_TTL_LIMIT_S:
        raise InvalidLink(f"ttl is a number of seconds from 1 to {LINK_TTL_LIMIT_S:,}")
    return Caveats(
        mount,
        prefix=key if is_prefix else None,
        key=None if is_prefix else key,
        methods=in_order(methods),
        until=now_ns // 10**9 + ttl_s,
        max_document=values.get("max_document"),
        types=tuple(kind.lower() for kind in values["types"]) if "types" in values else None,
        once=new_once() if values.get("once") else None,
    )


def find_link_resource(parts: list[str], links: SignedLinks | None, view: View | None, clock: Clock) -> Resource:
    """Return the resource at `/-/links` or below it. Raise HTTPProblem."""
    if len(parts) == 2:
        return LinksResource(links, view, clock)
    if len(parts) == 3 and LINK_ID.fullmatch(parts[2]):
        return LinkResource(links, view, clock, parts[2])
    raise HTTPProblem("not-found")
