"""`docstore info`: all that is known of a document, or of a server."""

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from docstore.cli.addresses import Address
from docstore.cli.errors import DONE, FAILED, ending
from docstore.cli.options import ADDRESS, Access, accessing, base_url
from docstore.cli.output import described, json_line, printable

if TYPE_CHECKING:
    from docstore import Info


@click.command(
    epilog="""\b
Examples:
  docstore info docs/greeting
  docstore info http://127.0.0.1:8080/"""
)
@click.argument("address", type=ADDRESS, required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@accessing
@ending
def info(address: Address | None, as_json: bool, access: Access) -> int:
    """Tell all that is known of a document but its content.

    That is version, size, type, digest, times and fields. Of a server (its root, or /-/) it is the mounts and their
    engines, the version, and whether it is well; the exit status is 3 when it is not.
    """
    address = address or ADDRESS.convert(base_url(), None, None)
    if address.served and address.path in ("", "-", "-/"):
        return _server(address, as_json, access)
    with access.document(address) as (docs, key):
        found = docs.info(key)
    click.echo(json_line(described(found)) if as_json else _told(found))
    return DONE


def _told(info: "Info") -> str:
    told = {**described(info), "size": f"{info.size:,} bytes", "etag": info.etag, **info.fields}
    told.pop("fields", None)
    told |= {f"meta-{name}": value for name, value in info.meta.items()}
    return _lines(told)


def _lines(told: dict[str, object]) -> str:
    width = max(len(name) for name in told) + 1
    return "\n".join(f"{printable(name) + ':':<{width}} {printable(str(value))}" for name, value in told.items())


def _server(address: Address, as_json: bool, access: Access) -> int:
    from docstore.cli.server_info import mounts, state, version

    served = mounts(address.store, access)
    states = {name: state(address.store, name, access) for name in ("health", "ready")}
    well = all(is_well for is_well, _ in states.values())
    told = {
        "server": str(replace(address, path="")),
        "version": version(address.store, access),
        **{name: text for name, (_, text) in states.items()},
        "mounts": [{"mount": mount, "engine": engine} for mount, engine in served],
    }
    if as_json:
        click.echo(json_line(told))
    else:
        lines = {name: value for name, value in told.items() if name != "mounts"}
        click.echo(_lines({**lines, **dict(served)}))
    return DONE if well else FAILED
