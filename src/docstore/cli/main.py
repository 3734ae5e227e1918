"""The command `docstore`: a module for each command.

A command's module is loaded when the command runs, so `docstore get` does not wait for what only `serve` needs, and
`docstore --help` loads no command at all. Therefore the one-line summaries stand here; a test compares them with the
commands' own.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, cast

import click


class CommandEntry(NamedTuple):
    """The module of a command, the function in it, and what the command does in one line."""

    module: str
    function: str
    summary: str


SECTIONS: Final[dict[str, dict[str, CommandEntry]]] = {
    "Documents": {
        "get": CommandEntry("get", "get", "Get a document, byte for byte."),
        "put": CommandEntry("put", "put", "Store content as a document, from FILE or standard input."),
        "rm": CommandEntry("rm", "rm", "Remove documents."),
        "ls": CommandEntry("ls", "ls", "List the documents whose keys begin with ADDRESS, in bytewise order."),
        "cp": CommandEntry("cp", "cp", "Copy documents between any two addresses: servers, engines, or both."),
        "info": CommandEntry("info", "info", "Show the metadata of a document, or the state of a server."),
        "edit": CommandEntry("edit", "edit", "Edit a document in $VISUAL or $EDITOR."),
    },
    "Stores": {
        "serve": CommandEntry("serve", "serve", "Serve mounts over HTTP until Ctrl-C or SIGTERM."),
        "check": CommandEntry(
            "store_commands", "check", "Verify a store on disk: all digests, all index entries, no orphans."
        ),
        "copy": CommandEntry("store_commands", "copy", "Copy documents between two engines, given as URLs."),
        "export": CommandEntry("store_commands", "export", "Write a store as one file, to FILE or standard output."),
        "import": CommandEntry(
            "store_commands",
            "import_",
            "Store the documents of an export, tar or ndjson, from FILE or standard input.",
        ),
        "engines": CommandEntry("store_commands", "engines", "List the installed engines and what each guarantees."),
    },
    "Shell": {
        "completion": CommandEntry(
            "completion", "completion", "Print the script that completes commands, options and keys."
        ),
    },
}
"""All commands, in the order of the help."""

COMMANDS: Final = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


class CommandGroup(click.Group):
    """The group of all commands, which loads a command when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        return cast(click.Command, getattr(importlib.import_module(f"docstore.cli.{entry.module}"), entry.function))

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run as click does, but print usage errors in the form of all other errors."""
        if "_DOCSTORE_COMPLETE" in os.environ:
            importlib.import_module("docstore.cli.completion")
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            sys.exit(super().main(args, prog_name, complete_var, standalone_mode=False, **extra))
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(error.exit_code)
        except (click.UsageError, click.Abort) as error:
            from docstore.cli.errors import report_usage_error  # not loaded for --help

            sys.exit(report_usage_error(error))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, entry.summary) for name, entry in section.items()])


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="docstore", message="docstore %(version)s")
def main() -> None:
    """Docstore stores bytes under keys that you choose, over plain HTTP."""
