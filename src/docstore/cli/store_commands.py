"""The commands on whole stores: check, copy, export, import."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import click

from docstore.cli import commands
from docstore.errors import SetupError
from docstore.export.archive import FORMATS


def _end(command: Callable[[], int]) -> NoReturn:
    """Runs `command` and exits with its status."""
    try:
        sys.exit(command())
    except SetupError as error:
        click.echo(f"docstore: {error}", err=True)
        sys.exit(2)


@click.command(
    epilog="""\b
Example:
  docstore check sqlite:docstore-data/docs.db"""
)
@click.argument("engine_url")
@click.option("--repair", is_flag=True, help="Remove orphans: files that belong to no document. Nothing else.")
def check(engine_url: str, repair: bool) -> None:
    """Verify a store on disk: every digest, every index entry, every orphan.

    Changes nothing, and may run beside a server (not on shelve). Exits with 0 when all is sound, 1 with a line for each
    finding, 2 when the store can't be opened.
    """
    _end(lambda: commands.check(engine_url, repair=repair))


@click.command(
    epilog="""\b
Example:
  docstore copy file:docstore-data/file sqlite:new.db --prefix 2026/"""
)
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--prefix", default="", help="Only documents whose keys begin with this.")
def copy(source: str, target: str, prefix: str) -> None:
    """Copy documents between any two engines, given as URLs.

    Content, fields, expiry, ETags and times of modification stay what they are. What TO has already is passed over, so
    that an interrupted copy can be started again. Each document is copied in one whole version.
    """
    _end(lambda: commands.copy_store(source, target, prefix=prefix))


@click.command(
    epilog="""\b
Example:
  docstore export sqlite:docs.db backup.tar"""
)
@click.argument("engine_url")
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--format", type=click.Choice(list(FORMATS)), default="tar", show_default=True,
              help="tar for any store; ndjson, a line of JSON a document, for small ones.")  # fmt: skip
@click.option("--live", is_flag=True,
              help="Take each document as it is when its turn comes. Needs no room beside the store.")  # fmt: skip
def export(engine_url: str, file: Path | None, format: str, live: bool) -> None:
    """Write a store as one file, to FILE or standard output.

    The file has all that is known of each document, and is whole or not there; a pipe or a device is written into. The
    store may be in use meanwhile (not on shelve). On sqlite the export is one state of the whole store, held beside it
    until the end; on file each document is exported in one whole version.
    """
    _end(lambda: commands.export(engine_url, file, format=format, live=live))


@click.command(
    "import",
    epilog="""\b
Example:
  zcat backup.tar.gz | docstore import sqlite:docs.db""",
)
@click.argument("engine_url")
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--replace", is_flag=True, help="Replace documents that are there in another version.")
def import_(engine_url: str, file: Path | None, replace: bool) -> None:
    """Store the documents of an export, tar or ndjson, read from FILE or standard input.

    Each document is verified, and stored whole or not at all; an import that is run again passes over what is there.
    Documents that are there in another version stay as they are, unless --replace is given.
    """
    _end(lambda: commands.import_(engine_url, file, replace=replace))
