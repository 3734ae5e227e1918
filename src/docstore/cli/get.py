"""`docstore get`: a document to standard output or into a file, a collection into a folder."""

import codecs
import re
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Final

import click

from docstore.cli.addresses import Address
from docstore.cli.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, CommandError, exits
from docstore.cli.options import ADDRESS, Access, access_options, split_prefix
from docstore.errors import NotFound, SetupError

_RANGE: Final = r"(?P<first>[0-9]{1,18})-(?P<last>[0-9]{0,18})|-(?P<suffix>[0-9]{1,18})"


_CONTROL: Final = rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]"
"""The control characters that text does not have; colours begin with another one."""


@click.command(
    epilog="""\b
Examples:
  docstore get docs/greeting
  docstore get docs/report -o report.pdf
  docstore get -r docs/ -o backup
  docstore get 'docs/*.txt' -o backup"""
)
@click.argument("address", type=ADDRESS)
@click.option(
    "-o", "--output", type=click.Path(allow_dash=True), help="The file or the folder to write to; - is standard output."
)
@click.option("-r", "--recursive", is_flag=True, help="All documents whose keys begin with ADDRESS, as files.")
@click.option(
    "--range", "byte_range", metavar="FIRST-LAST", help="Only these bytes, as in 0-99, 100- or -10 (the last ten)."
)
@access_options
@exits
def get(address: Address, output: str | None, recursive: bool, byte_range: str | None, access: Access) -> int:
    """Get a document, byte for byte.

    A file appears only when it is complete and its digest is verified. If a download breaks off, the same command
    resumes it, or starts again if the document has changed; Ctrl-C removes the partial file. Binary content is not
    written to a terminal, except with -o -.

    With -r, and if ADDRESS contains * or **, keys become paths in a folder, and files with the same content are
    skipped. Nothing is written outside the folder. A key that can't be a file name is reported, and the exit status is
    1. Without -o, an ADDRESS with * or ** must match one document, which is printed.
    """
    to_stdout = output is None or output == "-"
    if address.is_pattern and to_stdout:
        address = _only_match(address, access)
    if recursive or address.is_pattern:
        if byte_range is not None or to_stdout:
            raise SetupError(
                "several documents need a folder to write to (-o FOLDER) and can't be combined with --range"
            )
        return _get_folder(address, Path(output or ""), access)
    if to_stdout:
        return _print(address, byte_range, access, guarded=output is None)
    if byte_range is not None:
        raise SetupError("--range writes to standard output; redirect it with > instead of -o")
    return _get_file(address, str(output), access)


def parse_range(text: str) -> tuple[int | None, int | None]:
    """Return the start and stop of a slice for a range as in HTTP. Raise SetupError."""
    match = re.fullmatch(_RANGE, text)
    if match is not None and match["suffix"] is not None and int(match["suffix"]):
        return -int(match["suffix"]), None
    if match is not None and match["first"] is not None:
        start, stop = int(match["first"]), int(match["last"]) + 1 if match["last"] else None
        if stop is None or start < stop:
            return start, stop
    raise SetupError(f"{text!r} is not a range; examples: 0-99, 100-, -10")


def _print(address: Address, byte_range: str | None, access: Access, *, guarded: bool) -> int:
    if sys.__stdout__ is None:
        raise CommandError(EXIT_FAILED, "standard output is closed")
    start, stop = (None, None) if byte_range is None else parse_range(byte_range)
    with (
        access.open_document(address) as (docs, key),
        access.progress("get", (lambda: docs.info(key).size) if byte_range is None else None) as bar,
    ):
        guarded = guarded and sys.stdout.isatty()
        for piece in docs.iter_content(key, start=start, stop=stop):
            if guarded and is_binary(piece):
                raise CommandError(
                    EXIT_USAGE, "the content is binary; write it to a file with -o FILE, or print it with -o -"
                )
            guarded = False
            try:
                sys.stdout.buffer.write(piece)
                sys.stdout.buffer.flush()
            except BrokenPipeError:
                raise
            except OSError as error:
                raise CommandError(EXIT_FAILED, f"standard output: {error.strerror}") from error
            bar.advance(len(piece))
    return EXIT_OK


def is_binary(start: bytes) -> bool:
    """Whether content that begins so would disturb a terminal: it is not UTF-8 text."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return True
    return re.search(_CONTROL, start) is not None


def _get_file(address: Address, output: str, access: Access) -> int:
    target = Path(output)
    if target.is_dir() or output.endswith("/"):
        from docstore.cli.download import UnsafeKey, check_segments

        try:
            target = target / check_segments(address.name)[0]
        except UnsafeKey as error:
            raise CommandError(EXIT_USAGE, f"{error}; name a file with -o FILE") from None
    target = target.resolve()  # a link is kept and its target replaced
    if not target.parent.is_dir():
        raise CommandError(EXIT_FAILED, f"{target.parent}: no such folder; create it, or choose another with -o")
    if target.exists() and not target.is_file():
        raise CommandError(EXIT_USAGE, f"{target} is not a regular file; use: docstore get {address} > {target}")
    with access.open_document(address) as (docs, key), access.progress("get", lambda: docs.info(key).size) as bar:
        docs.download(key, target, progress=bar.advance)
    return EXIT_OK


def _get_folder(address: Address, path: Path, access: Access) -> int:
    from docstore.cli.transfer import TransferOptions, download_all

    opened = access.open_matching(address)
    with opened as (docs, prefix, matches), access.summary("get", address, "fetched") as summary:
        root, _ = split_prefix(prefix)
        transfer = TransferOptions(selects=lambda name: matches(root + name))
        return download_all(docs, prefix, path, summary, transfer)


def _only_match(address: Address, access: Access) -> Address:
    """Return the address of the only document that matches. Raise NotFound, SetupError."""
    with access.open_matching(address) as (docs, prefix, matches):
        keys = [*islice((info.key for info in docs.documents(prefix) if matches(info.key)), 2)]
    if not keys:
        raise NotFound(f"{address.text}: no document matches")
    if len(keys) > 1:
        raise SetupError(f"{address.text} matches several documents; add -o FOLDER")
    beginning = address.beginning()
    return replace(beginning, path=beginning.path[: len(beginning.path) - len(prefix)] + keys[0])
