"""`docstore ls`: a line for each document, in the memory of one page of a listing.

--json prints one JSON document per line (NDJSON): a single document could be read only after the last of millions.
"""

import sys
from datetime import UTC, datetime
from itertools import islice

import click

from docstore.cli.addresses import Address
from docstore.cli.errors import EXIT_OK, exits
from docstore.cli.options import ADDRESS, Access, access_options, base_url
from docstore.cli.output import HEADER_ROW, LONG_HEADER_ROW, info_json, json_line, long_table_row, table_row


@click.command(
    epilog="""\b
Examples:
  docstore ls docs/
  docstore ls --long docs/2026-
  docstore ls --json docs/"""
)
@click.argument("address", type=ADDRESS, required=False)
@click.option("-l", "--long", is_flag=True, help="Show versions, and exact sizes and times.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document per line (NDJSON), with all metadata.")
@click.option("-n", "--limit", type=click.IntRange(1), help="Show at most this many.")
@access_options
@exits
def ls(address: Address | None, long: bool, as_json: bool, limit: int | None, access: Access) -> int:
    """List the documents whose keys begin with ADDRESS, in bytewise order.

    At a terminal the output is a table, elsewhere one key per line. For the root of a server the mounts are listed.
    """
    address = address or ADDRESS.convert(base_url(), None, None)
    if address.on_server and not address.path.strip("/"):
        from docstore.cli.info import list_mounts

        for mount, engine, _ in list_mounts(address.store, access):
            click.echo(json_line({"mount": mount, "engine": engine}) if as_json else mount)
        return EXIT_OK
    table = long or (sys.stdout.isatty() and not as_json)
    with access.open_prefix(address) as (docs, prefix):
        if table and not as_json:
            click.echo(LONG_HEADER_ROW if long else HEADER_ROW)
        now = datetime.now(UTC)
        for info in islice(docs.documents(prefix), limit):
            if as_json:
                line = json_line(info_json(info))
            elif table:
                line = long_table_row(info) if long else table_row(info, now)
            else:
                line = info.key
            # PERF: click.echo flushes each line; it took 5 s more for a million.
            sys.stdout.write(line + "\n")
    return EXIT_OK
