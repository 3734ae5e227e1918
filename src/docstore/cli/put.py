"""`docstore put`: store content from files, folders or standard input.

All uploads carry or verify a digest. Of a small file it is sent ahead of the content. A large one would be read twice
for that, so its digest is compared with that of the stored document. A trailer would be better, but hardly any proxy
forwards trailers.
"""

import os
import stat
import sys
from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast

import click

from docstore.cli.addresses import Address
from docstore.cli.errors import EXIT_FAILED, EXIT_OK, CommandError, exits
from docstore.cli.options import ADDRESS, DURATION, ETAG, META, Access, access_options, unique_names
from docstore.errors import SetupError
from docstore.http.stored_headers import STORED_HEADERS

if TYPE_CHECKING:
    from docstore import Client, PutOptions, PutResult
    from docstore.cli.progress import Advance
    from docstore.client.options import StoreOptions

SMALL_SIZE: Final = 1024 * 1024
"""Content below this size is read into memory, so the library can send it again if a response is lost."""


def _stored_header_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each stored header: `--language` for Content-Language."""
    for name, header in reversed(list(STORED_HEADERS.items())):
        option = f"--{name.removeprefix('content-')}"
        command = click.option(option, f"header_{name}".replace("-", "_"), help=header.summary)(command)
    return command


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
@click.option("--type", "media_type", help="Media type.  [default: guessed from key and content]")
@click.option(
    "--ttl", type=DURATION, help="Expire after this time: seconds, or 10m, 2h, 7d; 0 is at once.  [default: never]"
)
@click.option("--if-match", type=ETAG, metavar="ETAG", help="Only if the document has this version; * if it exists.")
@click.option("--if-none-match", metavar="ETAG", help="Only if it does not have this version; * if it does not exist.")
@click.option("--meta", type=META, multiple=True, callback=unique_names,
              help="A field of your own to store with the document; repeatable.")  # fmt: skip
@_stored_header_options
@click.option("--keep", is_flag=True, help="Keep type, remaining TTL and fields of the present document unless given.")
@access_options
@exits
def put(address: Address, files: tuple[Path, ...], recursive: bool, access: Access, **options: Any) -> int:
    """Store content as a document, from FILE or standard input.

    Standard input is read if there is no FILE, or if FILE is -. If ADDRESS ends with a slash, files are stored under
    their names, and standard input under a new key, which is printed. With -r the files of folders are stored under
    their paths, several at once; a mount with keys=name rejects paths. Files that are stored already, with the same
    content, are skipped unless an option would change them. A document is replaced with all its fields: those that
    are not given are dropped, the TTL too, except with --keep. The server verifies the digest of what it receives, and
    guesses the media type if there is no --type; --type application/octet-stream prevents that.
    """
    put_options = _put_options(**options)
    if put_options["keep"] and put_options["if_none_match"] is not None:
        raise SetupError("--keep can't be combined with --if-none-match")
    if recursive or len(files) > 1:
        return _put_all(address, files, recursive, put_options, access)
    path = files[0] if files else Path("-")
    if str(path) == "-":
        return _put_stdin(address, put_options, access)
    if path.is_dir():
        raise SetupError(f"{path} is a folder; add -r to store its files")
    target = address.child(path.name) if address.is_collection else address
    with (
        access.open_document(target, writes=True) as (docs, key),
        access.progress("put", lambda: path.stat().st_size) as bar,
    ):
        put_file(docs, key, path, put_options, bar.advance)
    return EXIT_OK


def _put_options(
    media_type: str | None, meta: tuple[tuple[str, str], ...], ttl: int | None, keep: bool, **others: str | None
) -> "PutOptions":
    fields = {name: others[f"header_{name}".replace("-", "_")] for name in STORED_HEADERS}
    return {
        "type": media_type,
        "ttl": ttl,
        "meta": dict(meta),
        "fields": {name: value for name, value in fields.items() if value is not None},
        "if_match": others["if_match"],
        "if_none_match": others["if_none_match"],
        "keep": keep,
    }


def _put_stdin(address: Address, options: "PutOptions", access: Access) -> int:
    if sys.stdin.isatty():
        access.hint("reading from the terminal; end with Ctrl-D")
    if not address.is_collection:
        with access.open_document(address, writes=True) as (docs, key), access.progress("put") as bar:
            _put_stream(docs, key, sys.stdin.buffer, options, bar.advance)
        return EXIT_OK
    if any([options.pop("if_match"), options.pop("if_none_match"), options.pop("keep")]):
        raise SetupError(f"{address} is a collection; conditions and --keep need the address of a document")
    with access.open_prefix(address, writes=True) as (docs, prefix), access.progress("put") as bar:
        if prefix:
            raise SetupError(f"{address} is a folder; name a document in it, or the collection")
        result = _put_stream(docs, None, sys.stdin.buffer, options, bar.advance)
    click.echo(result.key)
    return EXIT_OK


def _put_all(address: Address, files: tuple[Path, ...], recursive: bool, options: "PutOptions", access: Access) -> int:
    from docstore.cli.transfer import upload_all

    address.check_collection()
    if not files or Path("-") in files:
        raise SetupError("several documents need files or folders; name them after the address")
    if not recursive and (folder := next((path for path in files if path.is_dir()), None)):
        raise SetupError(f"{folder} is a folder; add -r to store its files")
    opened = access.open_prefix(address, writes=True)
    with opened as (docs, prefix), access.summary("put", address, "stored") as summary:
        return upload_all(docs, prefix, files, options, summary)


def put_file(docs: "Client", key: str, path: Path, options: "PutOptions", advance: "Advance") -> None:
    """Store the content of a regular file. Raise OSError, and IncompleteUpload if the file changes meanwhile."""
    # O_NONBLOCK: opening a named pipe would wait for a writer.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise CommandError(EXIT_FAILED, f"{path} is not a regular file; pipe it to standard input and name -")
        small = os.fstat(file.fileno()).st_size < SMALL_SIZE
        options = {**options, "digest": small or "after", "progress": advance}
        docs.put(key, file, **options)


def _put_stream(
    docs: "Client", key: str | None, stream: IO[bytes], options: "PutOptions", advance: "Advance"
) -> "PutResult":
    """Store the rest of `stream`, under a new key if `key` is None; then `options` has no conditions."""
    first = stream.read(SMALL_SIZE)
    more = iter(partial(stream.read, SMALL_SIZE), b"")
    content = first if len(first) < SMALL_SIZE else chain([first], more)
    options = {**options, "digest": True, "progress": advance}
    return docs.add(content, **cast("StoreOptions", options)) if key is None else docs.put(key, content, **options)
