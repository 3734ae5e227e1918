"""The command `docstore`: a module for each command.

A command's module is loaded when the command runs, so `docstore get` does not wait for what only `serve` needs, and
`docstore --help` loads no command at all. Therefore this module contains the one-line summaries; a test compares them
with the commands' own.
"""

import importlib
import os
import sys
from typing import Any, Final, cast

import click

SECTIONS: Final[dict[str, dict[str, str]]] = {
    "Documents": {
        "get": "Get a document, byte for byte.",
        "put": "Store content as a document, from FILE or standard input.",
        "rm": "Remove documents.",
        "ls": "List the documents and folders whose keys begin with ADDRESS, in bytewise order.",
        "find": "Print the addresses of the documents below ADDRESS that match all options.",
        "cp": "Copy documents between any two addresses: servers, engines, or both.",
        "mv": "Move documents between any two addresses, with all their metadata.",
        "sync": "Copy what differs from FROM to TO: between a folder and a store, or between two stores.",
        "info": "Show the metadata of a document, or the state of a server.",
        "edit": "Edit a document in $VISUAL or $EDITOR.",
        "sign": "Sign a link: a URL with which others use one document, or a folder, for some time without a token.",
    },
    "Stores": {
        "serve": "Serve mounts over HTTP until Ctrl-C or SIGTERM.",
        "token": "Make, list and revoke the tokens with which clients use a server.",
        "read-only": "Stop the writes of clients to a running server, or allow them again.",
        "init": "Write a configuration with comments for the server, which serves the default mounts.",
        "check": "Verify a store on disk: all digests, all index entries, no orphans.",
        "export": "Write a store as one file, to FILE, or to standard output without FILE or for -.",
        "import": "Store the documents of an export, tar or ndjson, from FILE or standard input.",
        "engines": "List the installed engines and what each guarantees.",
    },
    "Shell": {
        "completion": "Print the script that completes commands, options and keys.",
    },
}
"""The summaries of all commands, in the order of the help."""

COMMANDS: Final = {name: summary for section in SECTIONS.values() for name, summary in section.items()}

_MODULES: Final = dict.fromkeys(("check", "export", "import", "engines"), "store_commands")
"""Where a command is, unless its module has its name."""
_FUNCTIONS: Final = {"import": "import_"}


_OTHER_NAMES: Final = {
    "cat": "get", "download": "get", "fetch": "get", "read": "get", "upload": "put", "add": "put", "set": "put",
    "write": "put", "delete": "rm", "del": "rm", "remove": "rm", "list": "ls", "dir": "ls", "copy": "cp -r",
    "move": "mv", "rename": "mv", "stat": "info", "head": "info", "show": "info", "ping": "info", "status": "info",
    "health": "info", "du": "find --count", "count": "find --count", "search": "find", "grep": "find",
    "mirror": "sync", "rsync": "sync", "backup": "export", "dump": "export", "restore": "import", "load": "import",
    "fsck": "check", "verify": "check", "server": "serve", "start": "serve", "run": "serve", "help": "--help",
    "version": "--version", "tokens": "token", "login": "token", "auth": "token",
    "share": "sign", "link": "sign", "presign": "sign", "url": "sign",
}  # fmt: skip
"""What other programs call the commands."""


class CommandGroup(click.Group):
    """The group of all commands, which loads a command when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        module = importlib.import_module(f"docstore.cli.{_MODULES.get(name, name)}")
        return cast(click.Command, getattr(module, _FUNCTIONS.get(name, name)))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the command that does it for a word that is no command."""
        name = args[0]
        if name in COMMANDS or name.startswith("-"):
            return super().resolve_command(ctx, args)
        from difflib import get_close_matches  # not loaded for a command

        instead = _OTHER_NAMES.get(name.lower()) or next(iter(get_close_matches(name, COMMANDS, 1)), None)
        hint = f"; 'docstore {instead}' does that" if instead else ""
        raise click.UsageError(f"no such command {name!r}{hint}", ctx)

    def main(self, *args: Any, **options: Any) -> Any:
        """Run as click does, but print usage errors in the form of all other errors."""
        if not args and "args" not in options:
            _use_utf8()
        _open_missing_streams()
        if "_DOCSTORE_COMPLETE" in os.environ:
            importlib.import_module("docstore.cli.completion")
        try:
            sys.exit(super().main(*args, **{**options, "standalone_mode": False}))
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(error.exit_code)
        except (click.UsageError, click.Abort) as error:
            from docstore.cli.errors import report_usage_error  # not loaded for --help

            sys.exit(report_usage_error(error))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(section.items()))


def _use_utf8() -> None:
    """Start again in Python's UTF-8 mode if names of arguments and files are ASCII, as in a C locale that is enforced.

    Keys are UTF-8. Python selects this mode itself unless PYTHONUTF8=0 is set. Another way would be to decode each name
    where it is used: arguments, files, folders, variables, messages.
    """
    if sys.getfilesystemencoding() == "ascii" and sys.executable and os.name == "posix":
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - the same program


def _open_missing_streams() -> None:
    """Open the standard streams that the caller closed, as cron and service managers may, on the null device.

    Otherwise a database could get the descriptor of standard error, and a message would be written into it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free descriptor is `number`, because those below it are open.
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - stays open to the end


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="docstore", message="docstore %(version)s")
def main() -> None:
    """Docstore stores bytes under keys that you choose, over plain HTTP."""
