"""The command: `docstore serve` and what stands beside it.

A command's own trouble is one line on standard error and exit status 2, never a traceback.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

from docstore import commands
from docstore.archive import FORMATS
from docstore.config import CHOICES, MountSettings, Settings, read_toml
from docstore.errors import SetupError
from docstore.limits import Limits


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="docstore", message="docstore %(version)s")
def main() -> None:
    """Docstore stores whatever bytes you send it, under the key you choose, over plain HTTP."""


@main.command(
    epilog="Example:  docstore serve --port 9000 --mount notes=sqlite:notes.db --mount cache=memory:",
)
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one.  [default: 8080]")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the default mounts.  [default: docstore-data]")
@click.option("--mount", "mounts", multiple=True, metavar="NAME=ENGINE-URL",
              help="Serve an engine under /NAME/; several times for several. Options ride in the URL's query: "
              "keys=name|path, max_document=SIZE, collection_put=yes|no.  "
              "[default: memory, file, shelve, docs]")  # fmt: skip
@click.option("--config", type=click.Path(path_type=Path), help="TOML file with the same settings.")
@click.option("--workers", type=int, help="Processes that serve.  [default: 1]")
@click.option("--anonymous", type=click.Choice(CHOICES["anonymous"]),
              help="What anybody may do; needed to listen beyond this machine.")  # fmt: skip
@click.option("--stop-timeout", "stop_timeout_s", type=int,
              help="Seconds that requests in flight have to finish on stop.  [default: 30]")  # fmt: skip
@click.option("--sweep-interval", "sweep_interval_s", type=int,
              help="Seconds between sweeps, which give back the room of expired documents.  [default: 60]")  # fmt: skip
@click.option("--limit", "limits", multiple=True, metavar="NAME=VALUE",
              help="A bound of the wire, such as head_s=15; several times for several. README lists them.")  # fmt: skip
@click.option("--http", type=click.Choice(CHOICES["http"]),
              help="Which protocol speaks HTTP: Docstore's own, or that of uvicorn.  [default: wire]")  # fmt: skip
@click.option("--log-level", type=click.Choice(CHOICES["log_level"]),
              help="info logs each request.  [default: info]")  # fmt: skip
def serve(config: Path | None, mounts: tuple[str, ...], limits: tuple[str, ...], **given: Any) -> None:
    """Serve mounts over HTTP until Ctrl-C or SIGTERM."""
    from docstore.server.serve import run  # the server's libraries load only when it is wanted

    try:
        told = read_toml(config) if config else {}
        told.update({name: value for name, value in given.items() if value is not None})
        if mounts:
            told["mounts"] = tuple(MountSettings.parse(mount) for mount in mounts)
        told["limits"] = Limits.of({**told.get("limits", {}), **dict(Limits.parse(limit) for limit in limits)})
        run(Settings(**told).checked())
    except SetupError as error:
        click.echo(f"docstore: {error}", err=True)
        sys.exit(2)


def _end(command: Callable[[], int]) -> NoReturn:
    """Runs `command` and exits with its status."""
    try:
        sys.exit(command())
    except SetupError as error:
        click.echo(f"docstore: {error}", err=True)
        sys.exit(2)


@main.command(epilog="Example:  docstore check sqlite:docstore-data/docs.db")
@click.argument("engine_url")
@click.option("--repair", is_flag=True, help="Remove orphans: files that belong to no document. Nothing else.")
def check(engine_url: str, repair: bool) -> None:
    """Verify a store on disk: every digest, every index entry, every orphan.

    Changes nothing, and may run beside a server (not on shelve). Exits with 0 when all is sound, 1 with a line for each
    finding, 2 when the store can't be opened.
    """
    _end(lambda: commands.check(engine_url, repair=repair))


@main.command(epilog="Example:  docstore copy file:docstore-data/file sqlite:new.db --prefix 2026/")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--prefix", default="", help="Only documents whose keys begin with this.")
def copy(source: str, target: str, prefix: str) -> None:
    """Copy documents between any two engines, given as URLs.

    Content, fields, expiry, ETags and times of modification stay what they are. What TO has already is passed over, so
    that an interrupted copy can be started again. Each document is copied in one whole version.
    """
    _end(lambda: commands.copy_store(source, target, prefix=prefix))


@main.command(epilog="Example:  docstore export sqlite:docs.db backup.tar")
@click.argument("engine_url")
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--format", type=click.Choice(list(FORMATS)), default="tar", show_default=True,
              help="tar for any store; ndjson, a line of JSON a document, for small ones.")  # fmt: skip
@click.option("--live", is_flag=True,
              help="Take each document as it is when its turn comes. Needs no room beside the store.")  # fmt: skip
def export(engine_url: str, file: Path | None, format: str, live: bool) -> None:
    """Write a store as one file, with all that is known of each document, to FILE or standard output.

    FILE is whole or not there. The store may be in use meanwhile (not on shelve). On sqlite the export is one state of
    the whole store, held beside it until the end; on file each document is exported in one whole version.
    """
    _end(lambda: commands.export(engine_url, file, format=format, live=live))


@main.command("import", epilog="Example:  zcat backup.tar.gz | docstore import sqlite:docs.db")
@click.argument("engine_url")
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--replace", is_flag=True, help="Replace documents that are there in another version.")
def import_(engine_url: str, file: Path | None, replace: bool) -> None:
    """Store the documents of an export, tar or ndjson, read from FILE or standard input.

    Each document is verified, and stored whole or not at all; an import that is run again passes over what is there.
    Documents that are there in another version stay as they are, unless --replace is given.
    """
    _end(lambda: commands.import_(engine_url, file, replace=replace))
