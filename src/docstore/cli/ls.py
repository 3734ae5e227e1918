"""`docstore ls`: what there is, a line for each document, in the memory of one page.

--json is NDJSON, a JSON document a line in the words of the server's own listings, and not one document: that could
be read only when the last of millions has come.
"""

import sys
from datetime import UTC, datetime
from itertools import islice

import click

from docstore.cli.addresses import Address
from docstore.cli.errors import DONE, ending
from docstore.cli.options import ADDRESS, Access, accessing, base_url
from docstore.cli.output import HEAD, LONG_HEAD, described, json_line, long_row, row


@click.command(
    epilog="""\b
Examples:
  docstore ls docs/
  docstore ls --long docs/2026-
  docstore ls --json docs/"""
)
@click.argument("address", type=ADDRESS, required=False)
@click.option("-l", "--long", is_flag=True, help="With version and full times, nothing rounded.")
@click.option("--json", "as_json", is_flag=True, help="A JSON document a line (NDJSON), with all that is known.")
@click.option("-n", "--limit", type=click.IntRange(1), help="At most so many.")
@accessing
@ending
def ls(address: Address | None, long: bool, as_json: bool, limit: int | None, access: Access) -> int:
    """List the documents whose keys begin with the address, in bytewise order of keys.

    A table at a terminal, and plain keys, one a line, anywhere else. A server's root lists its mounts.
    """
    address = address or ADDRESS.convert(base_url(), None, None)
    if address.served and not address.path.strip("/"):
        from docstore.cli.server_info import mounts

        for mount, engine in mounts(address.store, access):
            click.echo(json_line({"mount": mount, "engine": engine}) if as_json else mount)
        return DONE
    table = long or (sys.stdout.isatty() and not as_json)
    with access.documents(address) as (docs, prefix):
        if table and not as_json:
            click.echo(LONG_HEAD if long else HEAD)
        now = datetime.now(UTC)
        for info in islice(docs.documents(prefix), limit):
            if as_json:
                line = json_line(described(info))
            elif table:
                line = long_row(info) if long else row(info, now)
            else:
                line = info.key
            # PERF: click.echo flushes each line; it took 5 s more of a million.
            sys.stdout.write(line + "\n")
    return DONE
