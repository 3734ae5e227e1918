"""`docstore ls`: a line for each document, in the memory of one page of a listing.

--json prints one JSON document per line (NDJSON): a single document could be read only after the last of millions.
"""

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING

import click

from docstore.cli.addresses import Address
from docstore.cli.errors import EXIT_OK, exits, print_notice
from docstore.cli.options import ADDRESS, Access, access_options, base_url
from docstore.cli.output import (
    HEADER_ROW,
    LONG_HEADER_ROW,
    folder_row,
    info_json,
    json_line,
    long_table_row,
    table_row,
)
from docstore.errors import EngineError
from docstore.units import format_count

if TYPE_CHECKING:
    from docstore import Client, Info


@click.command(
    epilog="""\b
Examples:
  docstore ls docs/
  docstore ls -R --long docs/2026-
  docstore ls 'docs/*.txt'
  docstore ls --json docs/"""
)
@click.argument("address", type=ADDRESS, required=False)
@click.option("-R", "--recursive", is_flag=True, help="Show the documents in folders instead of the folders.")
@click.option("-l", "--long", is_flag=True, help="Show versions, and exact sizes and times.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document per line (NDJSON), with all metadata.")
@click.option("-n", "--limit", type=click.IntRange(1), help="Show at most this many.")
@access_options
@exits
def ls(address: Address | None, recursive: bool, long: bool, as_json: bool, limit: int | None, access: Access) -> int:
    """List the documents and folders whose keys begin with ADDRESS, in bytewise order.

    At a terminal the output is a table, elsewhere one key per line. For the root of a server the mounts are listed. In
    ADDRESS, * is any part of a name and ** also crosses folders. Names that the mount's keys=name does not allow are
    counted on standard error.
    """
    address = address or ADDRESS.convert(base_url(), None, None)
    if address.on_server and not address.path.strip("/"):
        from docstore.cli.info import list_mounts

        for mount, engine, _ in list_mounts(address.store, access.for_address(address)):
            click.echo(json_line({"mount": mount, "engine": engine}) if as_json else mount)
        return EXIT_OK
    table = long or (sys.stdout.isatty() and not as_json)
    with access.open_matching(address) as (docs, prefix, matches):
        if table and not as_json:
            click.echo(LONG_HEADER_ROW if long else HEADER_ROW)
        now = datetime.now(UTC)
        delimiter = "" if recursive or address.is_pattern else "/"
        for entry in islice(_entries(docs, prefix, delimiter, matches), limit):
            if isinstance(entry, str):
                line = json_line({"folder": entry}) if as_json else folder_row(entry, long=long) if table else entry
            elif as_json:
                line = json_line(info_json(entry))
            elif table:
                line = long_table_row(entry) if long else table_row(entry, now)
            else:
                line = entry.key
            # PERF: click.echo flushes each line; it took 5 s more for a million.
            sys.stdout.write(line + "\n")
    return EXIT_OK


def _entries(docs: "Client", prefix: str, delimiter: str, matches: Callable[[str], bool]) -> "Iterator[Info | str]":
    """Yield the documents that match and the folders, in order. After the last, say how many names are hidden."""
    after: str | None = ""
    hidden = 0
    while after is not None:
        page = docs.list(prefix=prefix, after=after, delimiter=delimiter)
        named: list[tuple[str, Info | str]] = [(info.key, info) for info in page.documents if matches(info.key)]
        if page.folders:
            named += [(folder, folder) for folder in page.folders]
            named.sort(key=itemgetter(0))
        yield from (entry for _, entry in named)
        if page.after is not None and page.after <= after:
            raise EngineError("the next page of the listing does not advance")
        after = page.after
        hidden += page.hidden
    if hidden:
        print_notice(f"{format_count(hidden, 'name')} not shown: keys=name")
