"""What a server tells of itself, and not of a document: its mounts, whether it is well, its version.

The library knows one collection at a time; this asks beside it, by the library's own way to a store: what is tried
again, and in which words a refusal is told, is the same.
"""

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from docstore.cli.options import PATIENCE_S
from docstore.errors import EngineError, StorageUnavailable

if TYPE_CHECKING:
    from docstore.cli.options import Access

_ACCEPT: Final = ("accept", "application/problem+json, application/json;q=0.9, text/plain;q=0.5")


def ask(store: str, path: str, access: "Access") -> str:
    """The text of what a GET is answered with. Raises the error that any other answer is, EngineError by no store."""
    from docstore.client.address import CollectionAddress
    from docstore.client.errors import error_for
    from docstore.client.http_transport import SyncHTTPTransport
    from docstore.client.retry import RetryPolicy, exchange
    from docstore.client.transport import ClientRequest, run_sync

    address = CollectionAddress.parse(f"{store}/-/", access.headers)
    patience = RetryPolicy(access.tries, max(PATIENCE_S, access.timeout_s), access.timeout_s)
    wire = SyncHTTPTransport(address)
    try:
        what = f"GET of {path}"
        answer = run_sync(exchange(wire, ClientRequest("GET", path, (_ACCEPT, *address.headers)), patience, what))
    finally:
        run_sync(wire.close())
    if answer.status == 200:
        return answer.content.decode("utf-8", "replace")
    error = error_for(answer, what)
    if error.problem is not None and error.problem.name:
        raise error
    raise EngineError(f"what is at {address.origin} is no Docstore: {what} answered {answer.status}")


def state(store: str, name: str, access: "Access") -> tuple[bool, str]:
    """Whether the server says that it is well, and in which words; it is asked once."""
    try:
        return True, ask(store, f"/-/{name}", replace(access, tries=1)).strip()
    except StorageUnavailable as error:
        if error.problem is None:
            raise
        return False, f"{error.problem.title}: {error.problem.detail}".removesuffix(": ")


def version(store: str, access: "Access") -> str:
    told = _json(store, "/-/openapi.json", access)
    try:
        return str(told["info"]["version"])
    except (KeyError, TypeError):
        raise _no_docstore(store) from None


def mounts(store: str, access: "Access") -> list[tuple[str, str]]:
    """The path and the engine of each mount. Raises EngineError when it is no store that answers."""
    told = _json(store, "/", access)
    try:
        return [(str(mount["mount"]), str(mount["engine"])) for mount in told["mounts"]]
    except (KeyError, TypeError):
        raise _no_docstore(store) from None


def _json(store: str, path: str, access: "Access") -> Any:
    try:
        return json.loads(ask(store, path, access))
    except ValueError:
        raise _no_docstore(store) from None


def _no_docstore(store: str) -> EngineError:
    scheme, _, authority = store.partition("://")
    return EngineError(f"what is at {scheme}://{authority.rpartition('@')[2]} is no Docstore")
