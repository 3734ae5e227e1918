"""`docstore serve`: mounts over HTTP."""

from pathlib import Path
from typing import Any

import click

from docstore.cli.errors import exits, print_error
from docstore.config import CHOICES, MOUNT_OPTIONS_HELP, MountSettings, Settings, default_mounts
from docstore.config_file import read_toml
from docstore.limits import LIMIT_NAMES, Limits


@click.command(
    epilog="""\b
Example:
  docstore serve --port 9000 --mount notes=sqlite:notes.db --mount cache=memory:""",
)
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one.  [default: 8080]")
@click.option(
    "--uds", type=click.Path(path_type=Path), help="Path of a Unix socket to listen on, instead of --host and --port."
)
@click.option("--uds-mode", help="Permissions of the Unix socket.  [default: 600]")
@click.option("--tls-cert", type=click.Path(path_type=Path),
              help="PEM file of the certificate chain: serve https. It is loaded again when it changes.")  # fmt: skip
@click.option("--tls-key", type=click.Path(path_type=Path),
              help="PEM file of the private key, if --tls-cert does not contain it.")  # fmt: skip
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the default mounts.  [default: docstore-data]")
@click.option("--mount", "mounts", multiple=True, metavar="NAME=ENGINE-URL",
               help="Serve an engine under /NAME/; repeatable. Options go in the URL's query: "
               f"{MOUNT_OPTIONS_HELP}, max_bytes=SIZE, evict=lru.  "
              "[default: memory, file, shelve, docs; with several workers file and docs]")  # fmt: skip
@click.option("--config", type=click.Path(path_type=Path), help="TOML file with the same settings.")
@click.option("--workers", type=int, help="Number of server processes.  [default: 1]")
@click.option("--auth", type=click.Choice(CHOICES["auth"]),
              help="open: everybody may use the store. tokens: clients send a token, which 'docstore token create' "
              "makes; browsers log in with it.  [default: open on this machine, tokens beyond it]")  # fmt: skip
@click.option("--anonymous", type=click.Choice(CHOICES["anonymous"]),
              help="What clients may do without a token.  [default: write with --auth open, else nothing]")  # fmt: skip
@click.option(
    "--address-rate",
    metavar="RATE",
    help="Requests that one address may send, such as 100/s or 1000/min, to each worker; further ones are 429.",
)
@click.option("--audit", type=click.Path(path_type=Path), metavar="FILE",
              help="Append a JSON line for each request: who did what, with what result.")  # fmt: skip
@click.option("--public-url", "public_urls", multiple=True, metavar="URL",
              help="The URL of the store behind a proxy, such as https://store.example; repeatable. "
              "Host and Origin may name it. With a path, links are relative.")  # fmt: skip
@click.option("--trusted-proxy", "trusted_proxies", multiple=True, metavar="ADDRESS",
              help="Address or network of a proxy, or unix, whose Forwarded and X-Forwarded-* fields are believed; "
              "repeatable.")  # fmt: skip
@click.option("--stop-timeout", "stop_timeout_s", type=int,
              help="Seconds that requests in flight have to finish on stop.  [default: 30]")  # fmt: skip
@click.option("--sweep-interval", "sweep_interval_s", type=int,
              help="Seconds between sweeps, which free the space of expired documents.  [default: 60]")  # fmt: skip
@click.option("--limit", "limits", multiple=True, metavar="NAME=VALUE",
               help="A limit of the HTTP protocol, such as head_s=15; repeatable. "
               f"Names: {', '.join(LIMIT_NAMES)}.")  # fmt: skip
@click.option("--http", type=click.Choice(CHOICES["http"]),
              help="The HTTP implementation: Docstore's own, or uvicorn's.  [default: wire]")  # fmt: skip
@click.option("--log-level", type=click.Choice(CHOICES["log_level"]),
              help="info logs each request.  [default: info]")  # fmt: skip
@exits
def serve(config: Path | None, mounts: tuple[str, ...], limits: tuple[str, ...], **options: Any) -> None:
    """Serve mounts over HTTP until Ctrl-C or SIGTERM.

    Ctrl-C and SIGTERM stop the server when the requests in flight are finished, a second signal stops it at once; the
    exit status is 0. SIGHUP does the same, except with --audit or --tls-cert: programs that replace these files
    send it. Acknowledged writes are stored in any case.
    """
    from docstore.server.run import run  # loads the server's libraries

    settings = read_toml(config) if config else {}
    settings.update({name: value for name, value in options.items() if value not in (None, ())})
    if mounts:
        settings["mounts"] = tuple(MountSettings.parse(mount) for mount in mounts)
    settings["limits"] = Limits.of({**settings.get("limits", {}), **dict(Limits.parse(limit) for limit in limits)})
    checked = Settings(**settings).checked()
    left_out = [] if settings.get("mounts") else [f"/{mount.name}/" for mount in default_mounts(checked.data)
                                                  if mount not in checked.mounts]  # fmt: skip
    if left_out:
        print_error(f"{' and '.join(left_out)} are left out: --workers {checked.workers} can't share them")
    run(checked)
