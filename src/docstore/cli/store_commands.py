"""The commands on whole stores: check, export, import and engines.

Results go to standard output; the summary and the progress bar go to standard error. Exit status of all but `engines`:
0 success, 1 some documents failed or the work ended early, others if the command could not start.
"""

import asyncio
import gzip
import io
import os
import secrets
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, cast

import click

from docstore.cli.addresses import Address
from docstore.cli.collection_engine import open_place
from docstore.cli.errors import (
    EXIT_FAILED,
    EXIT_OK,
    EXIT_PARTIAL,
    discard_output,
    exits,
    print_error,
    print_notice,
    report_error,
)
from docstore.cli.options import ADDRESS, Access, access_options, check_found
from docstore.cli.output import json_line
from docstore.cli.progress import Bar, progress
from docstore.cli.summary import Summary
from docstore.config import MountSettings
from docstore.engines.contract import Engine, Readable, Snapshotting
from docstore.engines.registry import EngineKind, EngineURL, Processes, kind_of, schemes
from docstore.engines.shared.verify import Finding, check_store
from docstore.errors import ArchiveError, DocstoreError, EngineError, NoSpace, NotFound, SetupError, without_password
from docstore.export.archive import ARCHIVE_FORMATS, export_store, import_store, read_archive
from docstore.export.copy import Rooted
from docstore.units import format_count, format_size

_FILE: Final = click.argument(
    "file",
    required=False,
    type=click.Path(path_type=Path, dir_okay=False),
    callback=lambda _, __, file: None if file == Path("-") else file,  # as for most programs
)
_REFUSED: Final = (".zip", ".7z", ".rar", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".lz4")
"""Ends of names that ask for a format which an export does not have."""


@click.command(
    epilog="""\b
Example:
  docstore check sqlite:docstore-data/docs.db"""
)
@click.argument("engine_url")
@click.option("--repair", is_flag=True, help="Remove orphans: files that belong to no document. Nothing else.")
@exits
def check(engine_url: str, repair: bool) -> int:
    """Verify a store on disk: all digests, all index entries, no orphans.

    Nothing is changed. A server may have the store open (not on shelve). Each problem is one line. Exit status: 0
    success, 1 problems found, 2 could not start.
    """
    removed = 0
    try:
        with progress("check") as bar:
            summary = Summary(bar)
            for checked in check_store(MountSettings.make("store", EngineURL.parse(engine_url)).engine, repair=repair):
                if isinstance(checked, Finding):
                    bar.print_with(partial(click.echo, str(checked)))
                    removed += checked.removed
                    summary.failed += not checked.removed
                else:
                    summary.count("", checked.size)
                    bar.advance(checked.size)
    except (EngineError, OSError) as error:
        report_error(error)
        summary.failed += 1
    text = f"{format_count(summary.documents, 'sound document')} of {format_size(summary.size)}"
    text += f", {format_count(removed, 'orphan')} removed" if repair else ""
    print_notice(f"{without_password(engine_url)}: {text}, {format_count(summary.failed, 'finding')}")
    return EXIT_PARTIAL if summary.failed else EXIT_OK


@click.command(
    epilog="""\b
Examples:
  docstore export sqlite:docs.db backup.tar
  docstore export docs/ backup.tar.gz"""
)
@click.argument("address", type=ADDRESS)
@_FILE
@click.option("--format", type=click.Choice(list(ARCHIVE_FORMATS)),
              help="tar for any store; ndjson, one line of JSON per document, for small ones.  "
              "[default: by the name of FILE, otherwise tar]")  # fmt: skip
@click.option("--live", is_flag=True,
              help="Read each document when its turn comes. Needs no disk space beside the store.")  # fmt: skip
@access_options
@exits
def export(address: Address, file: Path | None, format: str | None, live: bool, access: Access) -> int:
    """Write a store as one file, to FILE, or to standard output without FILE or for -.

    The documents are those whose keys begin with ADDRESS, with all metadata. FILE is compressed if its name ends with
    .gz or .tgz. It appears only when it is complete; a pipe or a device is written to directly. The store may be in use
    (not on shelve). On sqlite the export is one state of the whole store, which is kept beside it until the end; on
    file and on a server each document is exported in one complete version.
    """
    guessed, compressed = _format_of(file)
    format = format or guessed
    if file is None and sys.__stdout__ is None:
        raise SetupError("standard output is closed; name a file")
    if file is None and sys.stdout.isatty() and format == "tar":
        raise SetupError("a tar is binary and standard output is a terminal; name a file, or redirect with > or |")
    url, prefix = access.find_prefix(address)

    async def run(summary: Summary) -> None:
        async with AsyncExitStack() as stack:
            engine = await stack.enter_async_context(open_place(access.for_address(address), url, writes=False))
            check_found(address, prefix, await engine.list(prefix=prefix, limit=1))
            state = engine if live else await _snapshot(engine, stack, summary.bar)
            with _output_file(file) as raw:
                archive = cast(IO[bytes], gzip.GzipFile("", "wb", 6, raw, mtime=0)) if compressed else raw
                steps = export_store(state, archive, format=format, prefix=prefix, on_bytes=summary.bar.advance)
                await summary.count_steps(steps)
                if archive is not raw:
                    archive.close()

    return _run(run, "export", str(file or "standard output"), "exported", "gone", access)


def _format_of(file: Path | None) -> tuple[str, bool]:
    """Return the format that the name of a file asks for, and whether it is compressed. Raise SetupError."""
    name = "" if file is None else file.name.lower()
    if name.endswith(_REFUSED):
        raise SetupError(f"{file}: an export is a tar or ndjson; name it .tar, .tar.gz, .ndjson or .ndjson.gz")
    compressed = name.endswith((".gz", ".tgz"))
    return "ndjson" if name.removesuffix(".gz").endswith((".ndjson", ".jsonl")) else "tar", compressed


@click.command(
    "import",
    epilog="""\b
Examples:
  docstore import sqlite:docs.db backup.tar.gz
  zcat backup.tar.gz | docstore import docs/""",
)
@click.argument("address", type=ADDRESS)
@_FILE
@click.option("--replace", is_flag=True, help="Replace documents that exist in another version.")
@access_options
@exits
def import_(address: Address, file: Path | None, replace: bool, access: Access) -> int:
    """Store the documents of an export, tar or ndjson, from FILE or standard input.

    If ADDRESS is a folder, the documents are stored below it. Each document is verified, and stored completely or not
    at all. If FILE is not an export, no store is created. Documents that exist in the same version are skipped, so an
    import can be run again. Documents that exist in another version are kept unless --replace is given.
    """
    address.check_collection()
    if file is None and sys.__stdin__ is None:
        raise SetupError("standard input is closed; name a file")
    url, prefix = access.find_prefix(address)

    async def run(summary: Summary) -> None:
        with sys.stdin.buffer if file is None else _open(file, "rb") as raw:
            if file is not None:
                summary.bar.set_total(os.fstat(raw.fileno()).st_size)
            archive: io.BufferedReader = io.BufferedReader(cast(Any, raw))
            try:
                documents = await read_archive(archive)
            except ArchiveError as error:  # before a store is created
                raise SetupError(f"{file or 'standard input'}: not a complete export: {error}") from error
            async with open_place(access.for_address(address), url, writes=True) as store:
                target = Rooted(store, prefix) if prefix else store
                await summary.count_steps(
                    import_store(target, documents, time.time_ns, replace=replace, on_bytes=summary.bar.advance)
                )

    return _run(run, "import", str(address), "imported", "the same already or expired", access)


@click.command(
    epilog="""\b
Example:
  docstore engines"""
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@exits
def engines(as_json: bool) -> int:
    """List the installed engines and what each guarantees.

    Engines of other packages are included. If an engine can't be loaded, standard error says why and the exit status
    is 3.
    """
    kinds, status = {}, EXIT_OK
    for scheme in schemes():
        try:
            kinds[scheme] = kind_of(scheme)
        except SetupError as error:
            print_error(error)
            status = EXIT_FAILED
    if as_json:
        click.echo(json_line({"engines": [_engine_json(scheme, kind) for scheme, kind in kinds.items()]}))
    else:
        click.echo("\n\n".join(_engine_text(scheme, kind) for scheme, kind in kinds.items()))
    return status


def _engine_text(scheme: str, kind: EngineKind) -> str:
    lines = [
        f"{scheme}: {kind.summary}",
        f"  survives   {kind.survives}",
        f"  processes  {kind.processes.value}" + ("" if kind.processes is Processes.MANY else " at a time"),
        f"  documents  {'of any size, in constant memory' if kind.streams else 'each in memory as a whole'}",
        f"  example    docstore serve --mount notes={kind.example}",
    ]
    lines += [f"  option     {name}: {meaning}" for name, meaning in kind.options.items()]
    return "\n".join(lines)


def _engine_json(scheme: str, kind: EngineKind) -> dict[str, object]:
    same = {name: getattr(kind, name) for name in ("summary", "survives", "streams", "on_disk", "example")}
    others = {"processes": kind.processes.value, "checked": kind.check is not None, "options": dict(kind.options)}
    return {"engine": scheme, **same, **others}


def _run(
    work: Callable[[Summary], Coroutine[Any, Any, None]],
    title: str,
    subject: str,
    done: str,
    skipped: str,
    access: Access,
) -> int:
    """Run `work`, then print its summary and why it ended early, if it did; return the exit status."""
    failure = ""
    try:
        with access.progress(title) as bar:
            summary = Summary(bar, done, verbose=access.verbose)
            asyncio.run(work(summary))
    except ArchiveError as error:
        failure = f"not a complete export: {error}; all documents before that are stored, a complete file adds the rest"
    except (SetupError, NotFound):
        raise
    except DocstoreError as error:
        failure = str(error)
    except BrokenPipeError:
        discard_output(sys.stdout)
        failure = "the reader of the export closed the pipe"
    except OSError as error:
        failure = f"{error.filename or subject}: {error.strerror or error}"
    text = summary.closing_line(subject, skipped)
    if not access.quiet:
        print_notice(text)
    if failure:
        print_error(failure)
    return EXIT_PARTIAL if failure or summary.failed else EXIT_OK


async def _snapshot(engine: Engine, stack: AsyncExitStack, bar: Bar) -> Readable:
    """Open one state of the whole store if the engine has snapshots; otherwise return the engine."""
    if not isinstance(engine, Snapshotting):
        return engine
    try:
        snapshot = await stack.enter_async_context(engine.snapshot())
    except NoSpace as error:
        raise NoSpace(f"{error}; with --live an export needs no disk space beside the store") from error
    bar.set_total(snapshot.size)
    return snapshot


@contextmanager
def _output_file(path: Path | None) -> Iterator[IO[bytes]]:
    """Open standard output, or a file that appears under its name only when it is complete and on the disk.

    Links are followed. Anything but a regular file, such as a pipe, is written to directly: renaming would replace it.
    """
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if path.exists() and not path.is_file():
        with _open(path, "wb") as file:
            yield file
        return
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f"export-{secrets.token_hex(8)}.partial")
    try:
        with _open(temporary, "xb", shown=target) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _open(path: Path, mode: str, *, shown: Path | None = None) -> IO[bytes]:
    """Open a file. Raise SetupError, which names the file `shown`."""
    try:
        return cast(IO[bytes], path.open(mode))
    except OSError as error:
        raise SetupError(f"{shown or path}: {error.strerror}") from error
