"""`docstore token`: the tokens of a server, in the file beside its data."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from docstore.cli.errors import exits, print_notice
from docstore.cli.options import DURATION, SIZE
from docstore.cli.output import escape_controls, json_line
from docstore.server.security.rights import ALL_RIGHTS, RIGHTS
from docstore.server.security.tokens import Token, Tokens
from docstore.units import format_duration, format_rfc3339, format_size

_DATA: Final[Callable[[Any], Any]] = click.option(
    "--data", type=click.Path(path_type=Path), default=Path("docstore-data"), show_default=True,
    help="Data folder of the server.",
)  # fmt: skip


@click.group(
    epilog="""\b
Examples:
  docstore token create --mount docs --rights read,list --expires 90d --note ci
  docstore token list"""
)
def token() -> None:
    """Make, list and revoke the tokens with which clients use a server.

    A server asks for tokens with --auth tokens, and by default when it listens beyond this machine. Running servers
    take up changes within a second.
    """


@token.command(
    epilog="""\b
Example:
  docstore token create --mount docs --prefix backup/ --rights create --note nightly"""
)
@_DATA
@click.option("--rights", required=True, metavar="RIGHT,RIGHT",
              help=f"What the token allows: {', '.join(RIGHTS)}, or all. create alone is append-only.")  # fmt: skip
@click.option("--mount", help="Only in this mount.  [default: in all mounts]")
@click.option("--prefix", default="", help="Only for keys that begin with this.")
@click.option("--max-document", type=SIZE, help="Largest document that it may store, such as 10MiB.")
@click.option("--quota", type=SIZE, help="Size that all documents below its mount and prefix may have, such as 1GiB.")
@click.option(
    "--rate", metavar="RATE", help="Requests that it may send to each worker of a server, such as 50/s or 1000/min."
)
@click.option("--expires", type=DURATION, help="Time until the token expires, such as 90d.  [default: never]")
@click.option("--note", default="", help="What the token is for.")
@exits
def create(data: Path, rights: str, **options: Any) -> None:
    """Make a token and print it, this once, on standard output.

    Clients send it as 'Authorization: Bearer TOKEN', or as the password of Basic with any user; in a browser, the page
    asks for it. The server keeps only a hash of it. --rights all without --mount makes an administrator.
    """
    names = [name.strip() for name in rights.split(",") if name.strip()]
    made = Tokens(data).create(rights=names, **options)
    print_notice(_row(made.token))
    click.echo(made.text)


@token.command("list")
@_DATA
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@exits
def list_(data: Path, as_json: bool) -> None:
    """List the tokens: id, rights, keys, expiry and note; never the secret."""
    tokens = Tokens(data).list()
    if as_json:
        click.echo(json_line({"tokens": [_json(each) for each in tokens]}))
    else:
        for each in tokens:
            click.echo(_row(each))


@token.command()
@_DATA
@click.argument("id")
@exits
def revoke(data: Path, id: str) -> None:
    """Remove the token with this id, which 'docstore token list' shows."""
    print_notice(f"revoked: {_row(Tokens(data).revoke(id))}")


def _row(each: Token) -> str:
    rights = "all" if each.rights == ALL_RIGHTS else ",".join(right for right in RIGHTS if right in each.rights)
    parts = [each.id, rights, "/" if each.mount is None else f"/{each.mount}/{each.prefix}"]
    if each.max_document is not None:
        parts.append(f"documents of at most {format_size(each.max_document)}")
    if each.quota is not None:
        parts.append(f"at most {format_size(each.quota)} in all")
    if each.rate is not None:
        parts.append(f"at most {each.rate}")
    if each.expires_ns is not None:
        left_s = (each.expires_ns - time.time_ns()) // 10**9
        parts.append(f"expires in {format_duration(left_s)}" if left_s > 0 else "expired")
    return escape_controls("  ".join([*parts, each.note]).rstrip())


def _json(each: Token) -> dict[str, object]:
    members: dict[str, object] = {
        "id": each.id,
        "rights": [right for right in RIGHTS if right in each.rights],
        "mount": each.mount,
        "prefix": each.prefix,
        "max_document": each.max_document,
        "quota": each.quota,
        "rate": each.rate,
        "created": format_rfc3339(each.created_ns),
        "expires": None if each.expires_ns is None else format_rfc3339(each.expires_ns),
        "note": each.note,
    }
    return {name: value for name, value in members.items() if value not in (None, "")}
