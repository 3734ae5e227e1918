"""`docstore init`: a configuration for `docstore serve`, made from its options, the limits and the default mounts."""

import json
import textwrap
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Final

import click

from docstore.cli.errors import exits
from docstore.cli.serve import serve
from docstore.config import MOUNT_OPTIONS_HELP, Settings, default_mounts
from docstore.errors import SetupError
from docstore.limits import DEFAULT_LIMITS, Limits

_EXAMPLES: Final = {
    "address_rate": "100/s",
    "anonymous": "read",
    "audit": "audit.jsonl",
    "auth": "tokens",
    "public_urls": ["https://store.example"],
    "tls_cert": "/etc/ssl/store.example.pem",
    "tls_key": "/etc/ssl/private/store.example.key",
    "trusted_proxies": ["10.0.0.1"],
    "uds": "/run/docstore/socket",
}
"""Values of the settings that have none by default; their lines are comments."""


@click.command(
    epilog="""\b
Example:
  docstore init docstore.toml"""
)
@click.argument("file", type=click.Path(path_type=Path), default="docstore.toml")
@exits
def init(file: Path) -> None:
    """Write a configuration with comments for the server, which serves the default mounts.

    FILE is docstore.toml by default. A file that exists is not overwritten. Start the server with
    'docstore serve --config FILE'.
    """
    try:
        with file.open("x", encoding="utf-8") as output:
            output.writelines(f"{line}\n" for line in _lines())
    except FileExistsError:
        raise SetupError(f"{file} exists and was not changed; name another file") from None
    click.echo(f"{file} is written; 'docstore serve --config {file}' uses it")


def _lines() -> Iterator[str]:
    settings = Settings()
    yield "# Configuration of Docstore, with its defaults. Options of 'docstore serve' win over this file."
    for option in serve.params:
        name = option.name or ""
        if isinstance(option, click.Option) and name not in ("config", "data", "limits", "mounts"):
            yield from _comment((option.help or "").partition("  [default")[0])
            value = getattr(settings, name)
            yield f"{name} = {json.dumps(value)}" if value else f"# {name} = {json.dumps(_EXAMPLES[name])}"
    yield "\n[limits]"
    for limit in fields(Limits):
        yield from _comment(limit.metadata["help"])
        yield f"{limit.name} = {getattr(DEFAULT_LIMITS, limit.name)}"
    about = "Each mount serves an engine under /NAME/; 'docstore engines' lists the engines and their options. "
    yield from _comment(f"{about}More lines of the table can be {MOUNT_OPTIONS_HELP}.")
    for mount in default_mounts(settings.data):
        yield f"\n[mounts.{mount.name}]"
        yield f"engine = {json.dumps(str(mount.engine))}"


def _comment(text: str) -> Iterator[str]:
    yield ""
    yield from textwrap.wrap(text, 100, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
