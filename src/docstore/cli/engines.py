"""`docstore engines`: which engines are installed, what each promises, its options and a URL as an example."""

import click

from docstore.cli.errors import FAILED, ending, say
from docstore.cli.output import json_line
from docstore.engines.registry import EngineKind, Processes, kind_of, schemes
from docstore.errors import SetupError


@click.command(
    epilog="""\b
Example:
  docstore engines"""
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@ending
def engines(as_json: bool) -> int:
    """Tell which engines are installed and what each promises.

    Those of other packages are among them. An engine that can't be loaded is told on standard error, and the exit
    status is 3.
    """
    kinds, broken = {}, 0
    for scheme in schemes():
        try:
            kinds[scheme] = kind_of(scheme)
        except SetupError as error:
            say(error)
            broken = FAILED
    if as_json:
        click.echo(json_line({"engines": [_described(scheme, kind) for scheme, kind in kinds.items()]}))
    else:
        click.echo("\n\n".join(_told(scheme, kind) for scheme, kind in kinds.items()))
    return broken


def _told(scheme: str, kind: EngineKind) -> str:
    lines = [
        f"{scheme}: {kind.summary}",
        f"  survives   {kind.survives}",
        f"  processes  {kind.processes.value}" + ("" if kind.processes is Processes.MANY else " at a time"),
        f"  documents  {'of any size, in constant memory' if kind.streams else 'each in memory as a whole'}",
        f"  example    docstore serve --mount notes={kind.example}",
    ]
    lines += [f"  option     {name}: {means}" for name, means in kind.options.items()]
    return "\n".join(lines)


def _described(scheme: str, kind: EngineKind) -> dict[str, object]:
    return {
        "engine": scheme,
        "summary": kind.summary,
        "survives": kind.survives,
        "processes": kind.processes.value,
        "streams": kind.streams,
        "on_disk": kind.on_disk,
        "checked": kind.check is not None,
        "options": dict(kind.options),
        "example": kind.example,
    }
