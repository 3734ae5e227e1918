"""The command `docstore`: what a person types, one file a group of commands.

Commands are loaded when they are asked for: `docstore get` waits for nothing that only `serve` needs, and the list of
all commands for nothing at all. So their short descriptions stand here, and a test holds them to the commands' own.

A command's own trouble is a line or two on standard error and an exit status, never a traceback.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, cast

import click


class Place(NamedTuple):
    """Where a command is: a module of this package and the name in it, and what it does in one line."""

    module: str
    name: str
    summary: str


SECTIONS: Final[dict[str, dict[str, Place]]] = {
    "Documents": {
        "get": Place("get", "get", "Get a document, byte for byte."),
        "put": Place("put", "put", "Store content as a document, from FILE or standard input."),
        "rm": Place("rm", "rm", "Remove documents."),
        "ls": Place("ls", "ls", "List the documents whose keys begin with the address, in bytewise order of keys."),
        "cp": Place("cp", "cp", "Copy documents between any two addresses: servers, engines, or both."),
        "info": Place("info", "info", "Tell all that is known of a document but its content."),
        "edit": Place("edit", "edit", "Edit a document in $VISUAL or $EDITOR."),
    },
    "Stores": {
        "serve": Place("serve", "serve", "Serve mounts over HTTP until Ctrl-C or SIGTERM."),
        "check": Place(
            "store_commands", "check", "Verify a store on disk: every digest, every index entry, every orphan."
        ),
        "copy": Place("store_commands", "copy", "Copy documents between any two engines, given as URLs."),
        "export": Place("store_commands", "export", "Write a store as one file, to FILE or standard output."),
        "import": Place(
            "store_commands",
            "import_",
            "Store the documents of an export, tar or ndjson, read from FILE or standard input.",
        ),
        "engines": Place("engines", "engines", "Tell which engines are installed and what each promises."),
    },
    "Shell": {
        "completion": Place("completion", "completion", "Print the script that completes commands, options and keys."),
    },
}
"""All commands, as the help shows them."""

PLACES: Final = {name: place for commands in SECTIONS.values() for name, place in commands.items()}


class Commands(click.Group):
    """The group of all commands, which knows them without having loaded them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(PLACES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = PLACES.get(cmd_name)
        if place is None:
            return None
        return cast(click.Command, getattr(importlib.import_module(f"docstore.cli.{place.module}"), place.name))

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """As click's, but what is wrong is told in a line or two, and Ctrl-C is no failure to be told."""
        if "_DOCSTORE_COMPLETE" in os.environ:
            importlib.import_module("docstore.cli.completion")
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            sys.exit(super().main(args, prog_name, complete_var, standalone_mode=False, **extra))
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
        except click.UsageError as error:
            click.echo(f"docstore: {error.format_message()}", err=True)
            click.echo(f"docstore: {error.ctx.command_path if error.ctx else 'docstore'} --help tells more", err=True)
        except click.Abort:
            sys.exit(130)
        sys.exit(2)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, place.summary) for name, place in commands.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="docstore", message="docstore %(version)s")
def main() -> None:
    """Docstore stores whatever bytes you send it, under the key you choose, over plain HTTP."""
