"""`docstore rm`: remove documents, one by its name, or after a question all that have a prefix."""

import sys
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

import click

from docstore.cli.addresses import Address
from docstore.cli.errors import EXIT_OK, EXIT_PARTIAL, exits, print_error, report_error
from docstore.cli.options import ADDRESS, ETAG, Access, access_options
from docstore.cli.output import escape_controls
from docstore.errors import DocstoreError, NotFound, SetupError
from docstore.units import format_count

if TYPE_CHECKING:
    from docstore.cli.progress import Advance

_COUNT_LIMIT: Final = 10_000
"""How many documents are counted for the question."""


@click.command(
    epilog="""\b
Examples:
  docstore rm docs/greeting
  docstore rm -r --yes file/drafts/
  docstore rm --yes 'docs/*.tmp'"""
)
@click.argument("targets", type=ADDRESS, nargs=-1, required=True, metavar="ADDRESS...")
@click.option("--if-match", type=ETAG, metavar="ETAG", help="Only this version.")
@click.option("-r", "--recursive", is_flag=True, help="All documents whose keys begin with ADDRESS.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@access_options
@exits
def rm(targets: tuple[Address, ...], if_match: str | None, recursive: bool, yes: bool, access: Access) -> int:
    """Remove documents.

    With -r, all documents whose keys begin with ADDRESS are removed after a question, and so are those that match an
    ADDRESS with * or **; without a terminal, add --yes.
    """
    if if_match is not None and (recursive or len(targets) > 1 or targets[0].is_pattern):
        raise SetupError("--if-match is for one document")
    worst = EXIT_OK
    for address in targets:
        try:
            several = recursive or address.is_pattern
            worst = max(worst, _remove_all(address, yes, access) if several else _remove(address, if_match, access))
        except DocstoreError as error:
            if len(targets) == 1:
                raise
            worst = max(worst, report_error(error))
    return worst


def _remove(address: Address, if_match: str | None, access: Access) -> int:
    with access.open_document(address, writes=True, must_exist=True) as (docs, key):
        docs.delete(key, if_match=if_match)
    return EXIT_OK


def _remove_all(address: Address, yes: bool, access: Access) -> int:
    from docstore.cli.parallel import WorkerPool

    with access.open_matching(address, writes=True, must_exist=True) as (docs, prefix, matches):
        keys = (info.key for info in docs.documents(prefix) if matches(info.key))
        if not yes and not _confirmed(keys, prefix, address):
            print_error("nothing was removed")
            return EXIT_PARTIAL

        def remove(key: str, advance: "Advance") -> None:
            try:
                docs.delete(key)
            except NotFound:
                return  # another client removed it

        keys = (info.key for info in docs.documents(prefix) if matches(info.key))
        with access.summary("rm", address, "removed") as summary:
            return WorkerPool(remove, repr, summary).run(keys)


def _confirmed(keys: Iterator[str], prefix: str, address: Address) -> bool:
    if not sys.stdin.isatty():
        raise SetupError(f"not a terminal: add --yes to remove all documents of {address}")
    counted = sum(1 for _ in islice(keys, _COUNT_LIMIT + 1))
    count = format_count(counted, "document") if counted <= _COUNT_LIMIT else f"more than {_COUNT_LIMIT:,} documents"
    if address.is_pattern:
        return click.confirm(f"remove {count} that match {escape_controls(address.text)}?", err=True)
    begins = f" whose keys begin with {escape_controls(prefix)!r}" if prefix else ""
    return click.confirm(f"remove {count} of {address}{begins}?", err=True)
