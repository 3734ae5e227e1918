"""`docstore info`: the metadata of a document, or the mounts and the state of a server.

A Client is for one collection. `_get` sends the requests about a server through the library's transport,
so that retries and error messages are the same.
"""

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click

from docstore.cli.addresses import Address
from docstore.cli.errors import EXIT_FAILED, EXIT_OK, exits
from docstore.cli.options import ADDRESS, Access, access_options, base_url
from docstore.cli.output import escape_controls, info_json, json_line
from docstore.errors import EngineError, StorageUnavailable, without_password
from docstore.units import format_count

if TYPE_CHECKING:
    from docstore import Info

_ACCEPT: Final = ("accept", "application/problem+json, application/json;q=0.9, text/plain;q=0.5")


@click.command(
    epilog="""\b
Examples:
  docstore info docs/greeting
  docstore info http://127.0.0.1:8080/"""
)
@click.argument("address", type=ADDRESS, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@access_options
@exits
def info(address: Address | None, as_json: bool, access: Access) -> int:
    """Show the metadata of a document, or the state of a server.

    For a document: version, size, type, digest, times and fields. For a server (its root, or /-/): the mounts and their
    engines, the version and its health; the exit status is 3 if the server is not ready.
    """
    address = address or ADDRESS.convert(base_url(), None, None)
    if address.on_server and address.path in ("", "-", "-/"):
        return _show_server(address, as_json, access.for_address(address))
    with access.open_document(address) as (docs, key):
        document = docs.info(key)
    click.echo(json_line(info_json(document)) if as_json else _info_text(document))
    return EXIT_OK


def _info_text(info: "Info") -> str:
    values = {**info_json(info), "size": format_count(info.size, "byte"), "etag": info.etag, **info.fields}
    values.pop("fields", None)
    return _text_lines(values | {f"meta-{name}": value for name, value in info.meta.items()})


def _text_lines(values: dict[str, object]) -> str:
    width = max(len(name) for name in values) + 1
    return "\n".join(
        f"{escape_controls(name) + ':':<{width}} {escape_controls(str(value))}" for name, value in values.items()
    )


def _show_server(address: Address, as_json: bool, access: Access) -> int:
    mounts = list_mounts(address.store, access)
    states = {name: _state(address.store, name, access) for name in ("health", "ready")}
    values: dict[str, object] = {
        "server": str(replace(address, path="")),
        "version": _member(address.store, "/-/openapi.json", access, "info", "version"),
        **{name: text for name, (_, text) in states.items()},
    }
    if as_json:
        described = [{"mount": mount, "engine": engine} | ({"hidden": n} if n else {}) for mount, engine, n in mounts]
        click.echo(json_line({**values, "mounts": described}))
    else:
        lines = {mount: engine + (f", {n} or more names not shown" if n else "") for mount, engine, n in mounts}
        click.echo(_text_lines({**values, **lines}))
    return EXIT_OK if all(is_ok for is_ok, _ in states.values()) else EXIT_FAILED


def list_mounts(store: str, access: Access) -> list[tuple[str, str, int]]:
    """Return the path and the engine of each mount of a server, and how many names in it are not shown, at least.

    Raise EngineError if it is not a Docstore.
    """
    mounts = _member(store, "/", access, "mounts")
    try:
        return [(str(mount["mount"]), str(mount["engine"]), int(mount.get("hidden", 0))) for mount in mounts]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _not_a_docstore(store) from None


def _state(store: str, name: str, access: Access) -> tuple[bool, str]:
    """Return whether a probe succeeds, and the server's text; without retries."""
    try:
        return True, _get(store, f"/-/{name}", replace(access, tries=1)).strip()
    except StorageUnavailable as error:
        if error.problem is None:
            raise
        return False, f"{error.problem.title}: {error.problem.detail}".removesuffix(": ")


def _member(store: str, path: str, access: Access, *names: str) -> Any:
    """Return a member of a JSON response."""
    try:
        value = json.loads(_get(store, path, access))
        for name in names:
            value = value[name]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise _not_a_docstore(store) from None
    return value


def _get(store: str, path: str, access: Access) -> str:
    """Return the text of a 200 response.

    Raise the library's error for a problem that a Docstore sent, EngineError for any other response.
    """
    from docstore.client.errors import error_for
    from docstore.client.retry import exchange
    from docstore.client.transport import ClientRequest, run_sync

    call = f"GET of {path}"
    with access.open_collection(f"{store}/-/") as docs:
        operations = docs._operations
        request = ClientRequest("GET", path, (_ACCEPT, *operations.address.headers))
        response = run_sync(exchange(operations.transport, request, operations.policy, call))
    if response.status == 200:
        return response.content.decode("utf-8", "replace")
    error = error_for(response, call)
    if error.problem is not None and error.problem.name:
        raise error
    raise EngineError(f"{_not_a_docstore(store)}: {call} returned {response.status}")


def _not_a_docstore(store: str) -> EngineError:
    return EngineError(f"{without_password(store)} is not a Docstore server")
