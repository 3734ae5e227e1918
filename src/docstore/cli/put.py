"""`docstore put`: content from files, folders or standard input into documents."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from docstore.cli.addresses import Address
from docstore.cli.errors import EXIT_NOT_FOUND, EXIT_OK, exits, print_error
from docstore.cli.options import ADDRESS, DURATION, META, Access, access_options, unique_names
from docstore.cli.upload import Wish, put_file, put_stream
from docstore.errors import SetupError

if TYPE_CHECKING:
    from docstore.cli.parallel import Progress


@click.command(
    epilog="""\b
Examples:
  echo hello | docstore put docs/greeting
  docstore put docs/report report.pdf --ttl 7d --meta author=ana
  docstore put -r file/ folder"""
)
@click.argument("address", type=ADDRESS)
@click.argument("files", nargs=-1, type=click.Path(exists=True, allow_dash=True, path_type=Path), metavar="[FILE]...")
@click.option("-r", "--recursive", is_flag=True, help="All files in folders, their paths below the folder as keys.")
@click.option("--type", "media_type", help="Media type.  [default: by the name]")
@click.option("--ttl", "ttl_s", type=DURATION, help="How long it lives: seconds, or 10m, 2h, 7d.  [default: for ever]")
@click.option("--if-match", metavar="ETAG", help="Only over this version; * for any that is there.")
@click.option("--if-none-match", metavar="ETAG", help="Only if it is not this version; * if there is none.")
@click.option(
    "--meta",
    type=META,
    multiple=True,
    callback=unique_names,
    help="A field of your own, stored with it; several times for several.",
)
@click.option("--language", help="Content-Language, such as de.")
@click.option("--encoding", help="Content-Encoding that the content has, such as gzip.")
@click.option("--disposition", help="Content-Disposition, such as 'attachment; filename=\"a.txt\"'.")
@click.option("--cache-control", help="Cache-Control of answers.")
@access_options
@exits
def put(address: Address, files: tuple[Path, ...], recursive: bool, access: Access, **given: Any) -> int:
    """Store content as a document, from FILE or standard input.

    Standard input is read when there is no FILE, or - in its place. To an address that ends with a slash files go under
    their names, and standard input under a new key, which is printed. With -r the files of folders go there under their
    paths, several at unique_names; a mount with keys=path takes paths. The server checks the digest of what it got.
    """
    wish = _wish(**given)
    if recursive or len(files) > 1:
        return _many(address, files, recursive, wish, access)
    path = files[0] if files else Path("-")
    if str(path) == "-":
        return _stream(address, wish, access)
    if path.is_dir():
        raise SetupError(f"{path} is a folder; -r stores what is in it")
    target = address.child(path.name) if address.is_collection else address
    total = path.stat().st_size if access.shows_progress else None
    with access.open_document(target, writes=True) as (docs, key), access.progress("put", total) as bar:
        put_file(docs, key, path, wish, bar)
    return EXIT_OK


def _wish(media_type: str | None, ttl_s: int | None, if_match: str | None, if_none_match: str | None,
          meta: tuple[tuple[str, str], ...], **fields: str | None) -> Wish:  # fmt: skip
    stored = {
        f"content-{name}" if name != "cache_control" else "cache-control": value for name, value in fields.items()
    }
    others = tuple((name, value) for name, value in stored.items() if value is not None)
    return Wish(media_type, ttl_s, if_match, if_none_match, others, meta)


def _stream(address: Address, wish: Wish, access: Access) -> int:
    if sys.stdin.isatty():
        access.hint("reading from the terminal; Ctrl-D ends it")
    if not address.is_collection:
        with access.open_document(address, writes=True) as (docs, key), access.progress("put") as bar:
            put_stream(docs, key, sys.stdin.buffer, wish.typed(address.name), bar)
        return EXIT_OK
    with access.open_prefix(address, writes=True) as (docs, prefix), access.progress("put") as bar:
        if prefix:
            raise SetupError(f"{address} is a folder in a collection; name the document, or the collection alone")
        stored = put_stream(docs, None, sys.stdin.buffer, wish, bar)
    click.echo(stored.key)
    return EXIT_OK


@dataclass(frozen=True, slots=True)
class _Found:
    path: Path
    key: str


def _many(address: Address, files: tuple[Path, ...], recursive: bool, wish: Wish, access: Access) -> int:
    from docstore.cli.parallel import WorkerPool

    if not address.is_collection:
        raise SetupError(f"{address} is one document; several go to a collection, which ends with a slash")
    if not files or Path("-") in files:
        raise SetupError("several documents come from files or folders; name them behind the address")
    if not recursive and (folder := next((path for path in files if path.is_dir()), None)):
        raise SetupError(f"{folder} is a folder; -r stores what is in it")
    passed: list[str] = []
    with access.open_prefix(address, writes=True) as (docs, prefix), access.progress("put") as bar:

        def send(found: _Found, advance: "Progress") -> None:
            put_file(docs, prefix + found.key, found.path, wish, bar, lambda: advance(0))
            bar.advance(documents=1)

        work = WorkerPool(send, lambda found: str(found.path), bar)
        status = work.run(_found(files, passed))
    for line in passed:
        print_error(line)
    return max(status, EXIT_NOT_FOUND if passed else EXIT_OK)


def _found(files: tuple[Path, ...], passed: list[str]) -> Iterator[_Found]:
    """Every plain file in `files` and below them, and its key; what is none is `passed` over."""
    for path in files:
        if path.is_dir():
            yield from _below(path, passed)
        else:
            yield from _one(path, path.name, passed)


def _below(top: Path, passed: list[str]) -> Iterator[_Found]:
    for above, folders, names in os.walk(top, onerror=lambda error: passed.append(str(error))):
        folders.sort()
        here = Path(above)
        for name in folders:
            if (here / name).is_symlink():
                passed.append(f"{here / name}: a link to a folder is not followed")
        for name in sorted(names):
            yield from _one(here / name, (here / name).relative_to(top).as_posix(), passed)


def _one(path: Path, key: str, passed: list[str]) -> Iterator[_Found]:
    try:
        key.encode("utf-8")
    except UnicodeEncodeError:
        passed.append(f"{os.fsencode(path)!r}: a key is UTF-8")
        return
    if path.exists() and not path.is_file():
        passed.append(f"{path}: not a plain file")
        return
    yield _Found(path, key)
