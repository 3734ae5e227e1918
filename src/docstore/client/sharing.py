"""Signed links: signed and revoked by the server, narrowed here without it."""

import json
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from docstore.client.body import ClientBody
from docstore.client.errors import error_for
from docstore.client.operations import Operations, json_bytes
from docstore.client.options import TTL, seconds_of
from docstore.client.retry import exchange
from docstore.client.transport import ClientRequest, ClientResponse
from docstore.errors import EngineError
from docstore.http.url import encode
from docstore.keys import check_path
from docstore.links import LINK_PARAMETER, Caveats, InvalidLink, SignedLink, in_order, new_once


@dataclass(frozen=True, slots=True)
class SharedLink:
    """A signed link. Whoever has its URL may do what it allows."""

    id: str
    """For revoking it; no secret."""
    url: str = field(repr=False)
    expires: datetime


async def sign(
    operations: Operations,
    key: str,
    /,
    *,
    expires: TTL = 3600,
    methods: Iterable[str] = ("GET",),
    max_document: int | None = None,
    types: Iterable[str] = (),
    once: bool = False,
    prefix: bool = False,
) -> SharedLink:
    """Sign a link with which others may use a document without a token.

    It allows the `methods` (of GET, LIST, PUT, POST, PATCH and DELETE) for the time `expires`, uploads of at most
    `max_document` bytes and of these media `types`, and one success with `once`. With `prefix` it is for all keys that
    begin with `key`. The token of this client must have the rights itself, and the link ends with it. Raise
    RequestError, NotFound and InvalidKey.
    """
    folder, slash, name = key.rpartition("/")
    if prefix and folder:
        check_path(folder)
    path = operations.address.path + encode(folder + slash) if prefix else operations.address.target(key)
    request = {"path": path, "methods": [*methods], "ttl": seconds_of(expires), "types": [*types], "once": once}
    request |= {"prefix": name if prefix else "", "max_document": max_document}
    given = {name: value for name, value in request.items() if value not in ([], "", None)}
    response = await _exchange(operations, "POST", "", given)
    try:
        answer = json.loads(response.content)
        id, link, until = str(answer["id"]), str(answer["url"]).partition("?")[2], str(answer["expires"])
        url = f"{operations.address.origin}{operations.address.path}{encode(key)}?{link}"
        return SharedLink(id, url, datetime.fromisoformat(until).astimezone(UTC))
    except (ValueError, LookupError, TypeError, RecursionError):
        raise EngineError(f"{operations.address.shown} is not a collection of Docstore") from None


async def revoke_link(operations: Operations, link: str, /) -> None:
    """End a signed link, given by its id or its URL, and all that were narrowed from it.

    Raise RequestError, and ValueError for anything else.
    """
    await _exchange(operations, "DELETE", f"/{link_id(link)}", None)


async def _exchange(operations: Operations, method: str, path: str, content: dict[str, Any] | None) -> ClientResponse:
    """Raise the error that the response is. A repeated request does no harm."""
    body = None if content is None else ClientBody.from_bytes(json_bytes(content))
    headers = operations.headers if content is None else (*operations.headers, ("content-type", "application/json"))
    call = "signing a link" if method == "POST" else "revoking a link"
    request = ClientRequest(method, f"/-/links{path}", headers, body)
    response = await exchange(operations.transport, request, operations.policy, call)
    if response.status not in (200, 201):
        raise error_for(response, call)
    return response


def narrow_link(
    url: str,
    /,
    *,
    key: str | None = None,
    prefix: str | None = None,
    expires: TTL | None = None,
    methods: Iterable[str] | None = None,
    max_document: int | None = None,
    types: Iterable[str] | None = None,
    once: bool = False,
) -> str:
    """Return the URL of a link that allows less than the link in `url`. No server is asked.

    Each option only takes away. `key` and `prefix` are in the mount of the link. Raise ValueError if `url` has no link,
    or if the link would allow nothing.
    """
    parts, link = _link_in(url)
    before = link.grant()
    caveats = Caveats(
        None if key is None and prefix is None else before.mount,
        key,
        prefix,
        None if methods is None else in_order(methods),
        None if expires is None else int(time.time()) + seconds_of(expires),
        max_document,
        None if types is None else tuple(kind.lower() for kind in types),
        new_once() if once else None,
    )
    narrowed = link.narrowed(caveats)
    after = narrowed.grant()
    if not after.methods:
        raise InvalidLink("the link does not allow this, so there is nothing left of it")
    path = parts.path
    if caveats.mount is not None:
        start = unquote(path).find(f"/{before.mount}/{before.prefix}")
        if start < 0:
            raise InvalidLink("the URL is not that of the link")
        path = encode(f"{unquote(path)[:start]}/{before.mount}/{after.prefix}")
    return urlunsplit(parts._replace(path=path, query=f"{LINK_PARAMETER}={narrowed.encode()}"))


def link_id(link: str) -> str:
    """Return the id of a link, of which this is the URL or already the id. Raise ValueError."""
    if "?" in link:
        return _link_in(link)[1].id
    if not re.fullmatch("[0-9a-f]{36}", link):  # anything else could lead to another path
        raise InvalidLink("that is neither the URL of a signed link nor its id")
    return link


def _link_in(url: str) -> tuple[SplitResult, SignedLink]:
    parts = urlsplit(url)
    found = [value for name, _, value in (part.partition("=") for part in parts.query.split("&")) if name == "link"]
    if len(found) != 1:
        raise InvalidLink("the URL has no signed link, such as http://host/docs/report?link=dsl_...")
    return parts, SignedLink.parse(found[0])
