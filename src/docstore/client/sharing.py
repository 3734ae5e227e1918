"""Signed links, which the server signs and revokes; `narrowing.py` narrows them without it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from docstore.client.body import ClientBody
from docstore.client.errors import error_for
from docstore.client.operations import Operations, json_bytes
from docstore.client.options import TTL, seconds_of
from docstore.client.retry import exchange
from docstore.client.transport import ClientRequest, ClientResponse
from docstore.errors import EngineError
from docstore.http.url import encode
from docstore.keys import check_path


@dataclass(frozen=True, slots=True)
class SharedLink:
    """A signed link. Its URL gives its rights to everybody."""

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
    from docstore.client.narrowing import link_id

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
