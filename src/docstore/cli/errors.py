"""How a command ends: the exit status, and a line or two that say what went wrong and what to do next.

    0    done
    1    not found, or a condition failed; with several documents: not all of it could be done
    2    wrong usage, or nothing could be begun or, of several documents, done
    3    the server, the network or this machine's disk failed
    130  Ctrl-C
    141  who was to read standard output has gone, as for any command that ends by SIGPIPE

Nobody who types a command is shown a traceback, but for what nobody foresaw.
"""

import functools
import io
import os
import re
import sys
from collections.abc import Callable
from typing import Final, NoReturn, ParamSpec

import click

from docstore.cli.output import printable
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

DONE: Final = 0
NOT_MET: Final = 1
USAGE: Final = 2
FAILED: Final = 3
INTERRUPTED: Final = 130
UNREAD: Final = 141

_UNREACHED: Final = re.compile(
    r"\b(connection refused|connection attempts failed|name or service|name resolution|no route to host|unreachable)\b",
    re.IGNORECASE,
)

P = ParamSpec("P")


class Told(Exception):
    """A command that can't go on, with the status and the lines that say why."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


def say(line: object) -> None:
    """A line on standard error."""
    click.echo(f"docstore: {line}", err=True)


def ending(command: Callable[P, int | None]) -> Callable[P, None]:
    """Makes of a function that returns an exit status, or None for 0, the body of a command."""

    @functools.wraps(command)
    def ended(*args: P.args, **kwargs: P.kwargs) -> NoReturn:
        if sys.stdout is None:
            sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - it was closed by who called, and stays so
        if sys.stdin is None:
            sys.stdin = open(os.devnull)  # noqa: PTH123, SIM115 - as standard output
        if isinstance(sys.stdout, io.TextIOWrapper):
            # A key that the terminal's encoding has no signs for is shown with escapes, as errors are.
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            status = command(*args, **kwargs) or DONE
            sys.stdout.flush()
        except BrokenPipeError:
            status = _unread()
        except KeyboardInterrupt:
            status = INTERRUPTED
        except (DocstoreError, Told, OSError) as error:
            status = told(error)
        sys.exit(status)

    return ended


def told(error: Exception) -> int:
    """Says what an error is, and the status that it makes the exit's."""
    for line in lines(error):
        say(line)
    return status_of(error)


def status_of(error: Exception) -> int:
    if isinstance(error, Told):
        return error.status
    if isinstance(error, NotFound | Conflict):
        return NOT_MET
    if isinstance(error, SetupError | InvalidKey):
        return USAGE
    if isinstance(error, RequestError) and (error.problem is None or error.problem.status in (400, 416, 431)):
        return USAGE
    return FAILED


def lines(error: Exception) -> list[str]:
    """What went wrong, and where there is something to do about it, a line that says what."""
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        return [f"{name}{error.strerror or error}"]
    said = " ".join(str(error).split())
    if isinstance(error, NotFound) and (problem := error.problem) is not None:
        # An answer to HEAD has no words at all, and any other's say no more of it than this.
        said = said.removesuffix(f": {problem.detail}").removesuffix(problem.title) + "not found"
    advice = _advice(error)
    # A server's words are a stranger's: what would move the cursor is shown as an escape.
    return [printable(line) for line in (said, advice) if line]


def _advice(error: Exception) -> str:
    if isinstance(error, OutcomeUnknown):
        return "docstore info tells what is there now"
    if isinstance(error, StorageUnavailable) and error.problem is None and _UNREACHED.search(str(error)):
        return "is it running there? start one with: docstore serve"
    if isinstance(error, NotFound):
        return "" if error.problem is None else "docstore ls tells what is there"
    if isinstance(error, DocstoreError) and error.problem is not None:
        return error.problem.advice
    if isinstance(error, UploadError):
        return "nothing was stored; try it again"
    return ""


def _unread() -> int:
    # Python would complain once more when it closes it at its end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return UNREAD
