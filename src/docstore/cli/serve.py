"""`docstore serve`: mounts over HTTP."""

import sys
from pathlib import Path
from typing import Any

import click

from docstore.config import CHOICES, MOUNT_OPTIONS_HELP, MountSettings, Settings, read_toml
from docstore.errors import SetupError
from docstore.limits import Limits


@click.command(
    epilog="""\b
Example:
  docstore serve --port 9000 --mount notes=sqlite:notes.db --mount cache=memory:""",
)
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one.  [default: 8080]")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the default mounts.  [default: docstore-data]")
@click.option("--mount", "mounts", multiple=True, metavar="NAME=ENGINE-URL",
              help="Serve an engine under /NAME/; several times for several. Options ride in the URL's query: "
              f"{MOUNT_OPTIONS_HELP}, max_bytes=SIZE, evict=lru.  "
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
    from docstore.server.run import run  # the server's libraries load only when it is wanted

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
