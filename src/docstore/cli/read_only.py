"""`docstore read-only`: the read-only switch of a server, in a file beside its data."""

from pathlib import Path

import click

from docstore.cli.errors import exits
from docstore.server.security.read_only_switch import EVERYTHING, ReadOnlySwitch


@click.command(
    "read-only",
    epilog="""\b
Examples:
  docstore read-only on
  docstore read-only off""",
)
@click.argument("state", type=click.Choice(["on", "off"]), required=False)
@click.option("--mount", "mounts", multiple=True, help="Only this mount; repeatable.  [default: the whole server]")
@click.option("--data", type=click.Path(path_type=Path), default=Path("docstore-data"), show_default=True,
              help="Data folder of the server.")  # fmt: skip
@exits
def read_only(state: str | None, mounts: tuple[str, ...], data: Path) -> None:
    """Stop the writes of clients to a running server, or allow them again.

    Writes are then 503 with Retry-After, and reading works. Running servers take this up within a second, and it stays
    over restarts. 'off' without --mount ends it for all mounts. Without on or off, the state is printed.
    """
    switch = ReadOnlySwitch(data)
    names = frozenset(mount.strip("/") for mount in mounts) or frozenset({EVERYTHING})
    now = switch.names() if state is None else switch.turn(on=state == "on", names=names)
    lines = ["everything is read-only" if name == EVERYTHING else f"/{name}/ is read-only" for name in sorted(now)]
    click.echo("\n".join(lines) or "nothing is read-only")
