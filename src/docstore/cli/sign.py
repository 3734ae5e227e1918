"""`docstore sign`: links with which others use a document without a token."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from docstore.cli.addresses import Address
from docstore.cli.addresses import parse as parse_address
from docstore.cli.errors import exits, print_notice
from docstore.cli.options import ADDRESS, DURATION, SIZE, Access, access_options, base_url
from docstore.errors import SetupError
from docstore.http.url import encode
from docstore.links import LINK_METHODS, InvalidLink

if TYPE_CHECKING:
    from docstore.client.sharing import SharedLink


@click.command(
    epilog="""\b
Examples:
  docstore sign docs/report --for 2h
  docstore sign docs/inbox/ --methods PUT --max-document 10MiB --type text/csv --once
  docstore sign --narrow 'http://127.0.0.1:8080/docs/inbox/?link=dsl_...' --key inbox/ana.csv --for 10m"""
)
@click.argument("address", type=ADDRESS, required=False)
@click.option("--for", "expires", type=DURATION, metavar="TIME",
              help="Time until the link expires, such as 2h; at most a year.  [default: 1h]")  # fmt: skip
@click.option("--methods", metavar="METHOD,METHOD", help="What it allows: " + ", ".join(LINK_METHODS)
              + ". LIST is the listing of a folder.  [default: GET]")  # fmt: skip
@click.option("--max-document", type=SIZE, help="Largest document that it stores, such as 10MiB.")
@click.option("--type", "types", multiple=True, metavar="TYPE",
              help="Media type that it stores, such as text/csv or image/*; repeatable.")  # fmt: skip
@click.option("--once", is_flag=True, help="One request that succeeds uses it up.")
@click.option("--prefix", is_flag=True, help="ADDRESS is the beginning of keys, as it is with a slash at its end.")
@click.option("--narrow", metavar="URL", help="Make a link that allows less from this one, without the server.")
@click.option("--key", help="With --narrow: only this key of the mount.")
@click.option("--revoke", metavar="URL|ID", help="End this link, and all that were narrowed from it.")
@access_options
@exits
def sign(
    address: Address | None, access: Access, narrow: str | None, revoke: str | None, key: str | None, prefix: bool,
    methods: str | None, **options: Any,
) -> None:  # fmt: skip
    """Sign a link: a URL with which others use one document, or a folder, for some time without a token.

    It is printed on standard output; its id, for --revoke, on standard error. Your token must have the rights itself,
    and the link ends with it. The URL gives its rights to everybody: send it as you would send a password.
    """
    if (address is not None) + (narrow is not None) + (revoke is not None and address is None) != 1:
        raise click.UsageError("give one of ADDRESS, --narrow and --revoke")
    if key is not None and narrow is None:
        raise click.UsageError("--key is for --narrow; the address says for which key a link is")
    if prefix and (address is None or revoke is not None):
        raise click.UsageError("--prefix is for ADDRESS")
    given = {name: value for name, value in options.items() if value not in (None, ())}
    if revoke is not None and (methods is not None or any(given.values())):
        raise click.UsageError("--revoke ends a link; it takes no options of a new one")
    if methods is not None:
        given["methods"] = [method.strip().upper() for method in methods.split(",") if method.strip()]
    try:
        if revoke is not None:
            _revoke(revoke, address, access)
        elif narrow is not None:
            from docstore.client.narrowing import narrow_link

            click.echo(narrow_link(narrow, key=key, **given))
        elif address is not None:
            link = _sign(address, access, prefix=prefix, **given)
            print_notice(f"{link.id}  until {link.expires:%Y-%m-%d %H:%M:%SZ}")
            click.echo(link.url)
    except InvalidLink as error:
        raise SetupError(str(error)) from None


def _sign(address: Address, access: Access, *, prefix: bool, **options: Any) -> "SharedLink":
    mount, slash, key = address.path.partition("/")
    if address.on_server and not slash:
        raise SetupError(
            f"{address} is a whole collection; end it with a slash to sign a link for all of it: {address}/"
        )
    url, key = (f"{address.store}/{encode(mount)}/", key) if address.on_server else (address.store, address.path)
    with access.for_address(address).open_collection(url, writes=False) as docs:
        return docs.sign(key, prefix=prefix or not key or key.endswith("/"), **options)


def _revoke(link: str, address: Address | None, access: Access) -> None:
    """Ask the server of the address; without one, that of the URL."""
    base = address or parse_address(base_url())
    shown = urlsplit(link)
    if address is None and shown.netloc and shown.netloc != urlsplit(base.store).netloc.rpartition("@")[2]:
        base = parse_address(f"{shown.scheme}://{shown.netloc}/")
    base = replace(base, path="-/")
    with access.for_address(base).open_collection(
        f"{base.store}/-/" if base.on_server else base.store, writes=False
    ) as docs:
        docs.revoke_link(link)
