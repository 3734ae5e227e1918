"""How a command ends: the table of exit statuses, and the lines on standard error that say what went wrong.

`exits` wraps the function of every command. An error becomes one line that says what happened to what, often a second
one that says what to do, and the status that `_STATUS_OF` has for it. A traceback means a bug.
"""

import functools
import io
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn, ParamSpec, TextIO

import click

from docstore.cli.output import escape_controls
from docstore.errors import (
    Conflict,
    DocstoreError,
    InvalidKey,
    NotFound,
    OutcomeUnknown,
    RequestError,
    SetupError,
    StorageUnavailable,
    UploadError,
)

EXIT_OK: Final = 0
EXIT_NOT_FOUND: Final = 1  # or a condition failed
EXIT_PARTIAL: Final = 1  # of several documents, some could not be processed
EXIT_USAGE: Final = 2  # or nothing could be started; of several documents, none could be processed
EXIT_FAILED: Final = 3  # the server, the network or this machine's disk failed
EXIT_INTERRUPTED: Final = 130  # Ctrl-C
EXIT_BROKEN_PIPE: Final = 141  # the reader of standard output closed the pipe, as for a command that SIGPIPE ends

_STATUS_OF: Final[tuple[tuple[type[Exception], int], ...]] = (
    (NotFound, EXIT_NOT_FOUND),
    (Conflict, EXIT_NOT_FOUND),
    (SetupError, EXIT_USAGE),
    (InvalidKey, EXIT_USAGE),
)
_USAGE_PROBLEMS: Final = (400, 405, 416, 431)
"""Statuses with which a server rejects what the user typed."""

_UNREACHED: Final = r"(?i)\b(connection refused|name or service|name resolution|no route to host|unreachable)\b"

_P = ParamSpec("_P")


class CommandError(Exception):
    """A command that can't go on; the message is one line for the user."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def print_error(line: object) -> None:
    """Print one line on standard error, with the name of the program."""
    print_notice(f"docstore: {line}")


def print_notice(line: str) -> None:
    """Print one line on standard error. A full disk behind it does not stop the work."""
    try:
        click.echo(line, err=True)
    except OSError:
        discard_output(sys.stderr)


def exits(command: Callable[_P, int | None]) -> Callable[_P, None]:
    """Turn a function that returns an exit status, or None for 0, into the body of a command."""

    @functools.wraps(command)
    def body(*args: _P.args, **kwargs: _P.kwargs) -> NoReturn:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # Characters that the terminal's encoding lacks are printed as escapes.
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            status = command(*args, **kwargs) or EXIT_OK
            sys.stdout.flush()
        except BrokenPipeError:
            discard_output(sys.stdout)
            status = EXIT_BROKEN_PIPE
        except KeyboardInterrupt:
            status = EXIT_INTERRUPTED
        except (DocstoreError, CommandError, OSError) as error:
            status = report_error(error)
        try:
            sys.stderr.flush()  # what the log of a server has left in it
        except OSError:
            discard_output(sys.stderr)
        sys.exit(status)

    return body


def discard_output(stream: TextIO) -> None:
    """Send further output to the null device: Python flushes the stream at exit, and would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def report_error(error: Exception) -> int:
    """Print what went wrong; return the exit status."""
    lines, status = error_lines(error), exit_status(error)
    if isinstance(error, OSError | SetupError) and _working_folder_is_gone():
        if isinstance(error, OSError) and error.filename is None:
            lines, status = [], EXIT_USAGE
        lines.append("the working folder was removed; change to another folder")
    for line in lines:
        print_error(line)
    return status


def _working_folder_is_gone() -> bool:
    try:
        Path.cwd()
    except OSError:
        return True
    return False


def report_usage_error(error: click.UsageError | click.Abort) -> int:
    """Print what click found wrong with the command line; return the exit status."""
    if isinstance(error, click.Abort):
        return EXIT_INTERRUPTED
    print_error(error.format_message())
    print_error(f"try '{error.ctx.command_path if error.ctx else 'docstore'} --help'")
    return EXIT_USAGE


def exit_status(error: Exception) -> int:
    if isinstance(error, CommandError):
        return error.status
    if isinstance(error, RequestError) and (error.problem is None or error.problem.status in _USAGE_PROBLEMS):
        return EXIT_USAGE
    return next((status for kind, status in _STATUS_OF if isinstance(error, kind)), EXIT_FAILED)


def error_lines(error: Exception) -> list[str]:
    """One line that says what went wrong, and a second one if there is advice."""
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        return [escape_controls(f"{name}{error.strerror or error}")]
    message = " ".join(str(error).split())
    # A server's words may come from a stranger: control characters are escaped.
    return [escape_controls(line) for line in (message, _advice(error)) if line]


def _advice(error: Exception) -> str:
    if isinstance(error, OutcomeUnknown):
        return "'docstore info' shows whether the write was carried out"
    if isinstance(error, StorageUnavailable) and error.problem is None and re.search(_UNREACHED, str(error)):
        return "is the server running? 'docstore serve' starts one"
    if isinstance(error, NotFound):
        return "" if error.problem is None else "'docstore ls' lists the documents"
    if isinstance(error, DocstoreError) and error.problem is not None:
        return error.problem.advice if error.problem.status != 405 else ""  # it is about methods of HTTP
    if isinstance(error, UploadError):
        return "nothing was stored; try again"
    return ""
