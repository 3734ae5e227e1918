"""`docstore get`: a document to standard output or into a file, a collection into a folder."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from docstore.cli.addresses import Address
from docstore.cli.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, CommandError, exits
from docstore.cli.options import ADDRESS, Access, access_options
from docstore.errors import SetupError

if TYPE_CHECKING:
    from docstore import Info
    from docstore.cli.parallel import Progress

_RANGE: Final = re.compile(r"(?P<first>[0-9]{1,18})-(?P<last>[0-9]{0,18})|-(?P<suffix>[0-9]{1,18})")


@click.command(
    epilog="""\b
Examples:
  docstore get docs/greeting
  docstore get docs/report -o report.pdf
  docstore get -r docs/ -o backup"""
)
@click.argument("address", type=ADDRESS)
@click.option("-o", "--output", help="The file, or the folder, to write into; - is standard output.")
@click.option("-r", "--recursive", is_flag=True, help="All documents whose keys begin with the address, as files.")
@click.option(
    "--range", "wanted", metavar="FIRST-LAST", help="Only these bytes, as in 0-99, 100- or -10 (the last ten)."
)
@access_options
@exits
def get(address: Address, output: str | None, recursive: bool, wanted: str | None, access: Access) -> int:
    """Get a document, byte for byte.

    A file is in its place only when it is whole and its digest is right. What a broken download leaves (FILE.part and
    FILE.part.etag) is gone on with by the same command, and begun anew if the document is another by then; Ctrl-C takes
    it away.

    With -r keys become paths in a folder. What is the same there already is not fetched again, and nothing outside the
    folder is ever written, whatever the keys are: a key that can't be a file there is told, and the exit status is 1.
    """
    if recursive:
        if wanted is not None or output in (None, "-"):
            raise SetupError("-r needs a folder to write into (-o FOLDER), and takes no --range")
        return _folder(address, Path(output or ""), access)
    if output in (None, "-"):
        return _print(address, wanted, access)
    if wanted is not None:
        raise SetupError("--range goes to standard output; send it on with >")
    return _file(address, Path(output or ""), str(output), access)


def parse_range(text: str) -> tuple[int | None, int | None]:
    """Start and stop, as of a slice, of what HTTP writes as first and last. Raises SetupError."""
    match = _RANGE.fullmatch(text)
    if match is not None and match["suffix"] is not None and int(match["suffix"]):
        return -int(match["suffix"]), None
    if match is not None and match["first"] is not None:
        first, stop = int(match["first"]), int(match["last"]) + 1 if match["last"] else None
        if stop is None or first < stop:
            return first, stop
    raise SetupError(f"{text!r} is not a range; one looks like 0-99, 100- or -10")


def _print(address: Address, wanted: str | None, access: Access) -> int:
    if sys.__stdout__ is None:
        raise CommandError(EXIT_FAILED, "standard output is closed")
    start, stop = (None, None) if wanted is None else parse_range(wanted)
    with access.open_document(address) as (docs, key):
        total = docs.info(key).size if access.shows_progress and wanted is None else None
        with access.progress("get", total) as bar:
            for piece in docs.iter_content(key, start=start, stop=stop):
                try:
                    sys.stdout.buffer.write(piece)
                    sys.stdout.buffer.flush()
                except BrokenPipeError:
                    raise
                except OSError as error:
                    raise CommandError(EXIT_FAILED, f"standard output: {error.strerror}") from error
                bar.advance(len(piece))
    return EXIT_OK


def _file(address: Address, target: Path, text: str, access: Access) -> int:
    from docstore.cli.download import into

    if target.is_dir() or text.endswith("/"):
        from docstore.cli.folder import UnsafeKey, check_segments

        try:
            target = target / check_segments(address.name)[0]
        except UnsafeKey as error:
            raise CommandError(EXIT_USAGE, f"{error}; name a file with -o FILE") from None
    target = target.resolve()  # a link stays, and what it leads to is replaced
    if target.exists() and not target.is_file():
        raise CommandError(EXIT_USAGE, f"{target} is no plain file; docstore get {address} > {target} writes into it")
    with access.open_document(address) as (docs, key):
        total = docs.info(key).size if access.shows_progress else None
        with access.progress("get", total) as bar:
            into(docs, key, target, bar)
    return EXIT_OK


def _folder(address: Address, path: Path, access: Access) -> int:
    from docstore.cli.download import download
    from docstore.cli.folder import Folder
    from docstore.cli.parallel import WorkerPool

    # The whole of the name that the address leaves open stays in the paths, its folders do not.
    with access.open_prefix(address) as (docs, prefix), Folder(path) as folder, access.progress("get") as bar:
        cut = prefix.rfind("/") + 1

        def fetch(info: "Info", advance: "Progress") -> None:
            name = info.key[cut:]
            segments = folder.claim(name)
            if info.digest is None or folder.digest_of(segments, info.size) != info.digest:
                part = folder.part(name)
                download(docs, info.key, part, bar, lambda: folder.place(part, segments), lambda: advance(0))
            bar.advance(documents=1)

        return WorkerPool(fetch, lambda info: repr(info.key), bar).run(docs.documents(prefix))
