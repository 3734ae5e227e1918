"""`docstore edit`: a document in the editor, written back only over the version that was read.

What was typed is never lost: when it can't be written it stays in its file, whose name is told.
"""

import difflib
import mimetypes
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from docstore.cli.addresses import Address
from docstore.cli.errors import EXIT_FAILED, EXIT_NOT_FOUND, CommandError, exits, print_error
from docstore.cli.options import ADDRESS, Access, access_options
from docstore.cli.output import printable
from docstore.cli.put_options import kept
from docstore.errors import Conflict, DocstoreError, NotFound

if TYPE_CHECKING:
    from docstore import Client, StoredContent

_SUFFIXES: Final = {"text/plain": ".txt", "application/json": ".json", "text/markdown": ".md", "text/html": ".html"}
"""Of types for which the system's table has several."""
_SUFFIX_LIMIT: Final = 16


@click.command(
    epilog="""\b
Example:
  docstore edit docs/todo"""
)
@click.argument("address", type=ADDRESS)
@click.option("--type", "media_type", help="Media type of a new document.  [default: by its name]")
@access_options
@exits
def edit(address: Address, media_type: str | None, access: Access) -> int:
    """Edit a document in $VISUAL or $EDITOR.

    It is written back if nobody changed it meanwhile. If somebody did, both changes are shown, yours stays in a file
    and nothing is overwritten. A document that is not there yet is made. Without a change nothing is written.
    """
    with access.open_document(address) as (docs, key):
        base = docs.get(key)
        content = b"" if base is None else bytes(base)
        path = _copy(content, _suffix(address.name, base))
        keep = False
        try:
            _run_editor(path)
            mine = path.read_bytes()
            if mine == content:
                access.hint("no change, nothing written")
                return 0
            keep = True
            status = _write(docs, key, base, mine, media_type, path, address)
            keep = status != 0
            return status
        except (DocstoreError, CommandError, OSError, KeyboardInterrupt):
            keep = keep or _differs(path, content)
            if keep:
                print_error(f"your text is in {path}")
            raise
        finally:
            if not keep:
                path.unlink(missing_ok=True)


def _differs(path: Path, content: bytes) -> bool:
    """Whether there is anything in the file that somebody typed."""
    try:
        return path.read_bytes() != content
    except OSError:
        return False


def _suffix(name: str, base: "StoredContent | None") -> str:
    """What tells an editor what it edits: the end of the key, or one that fits the type."""
    end = Path(name).suffix
    if end and len(end) <= _SUFFIX_LIMIT and end[1:].isalnum():
        return end
    media_type = "text/plain" if base is None else base.info.type.partition(";")[0].strip().lower()
    return _SUFFIXES.get(media_type) or mimetypes.guess_extension(media_type) or ""


def _copy(content: bytes, suffix: str) -> Path:
    """A file that only this user can read."""
    descriptor, name = tempfile.mkstemp(suffix, "docstore-")
    with open(descriptor, "wb") as file:  # noqa: PTH123 - it is a descriptor
        file.write(content)
    return Path(name)


def _run_editor(path: Path) -> None:
    """Raises CommandError when there is no editor, or it did not end well."""
    named = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        command = [*shlex.split(named), str(path)]
        with _interrupts_ignored():
            status = subprocess.call(command)  # noqa: S603 - it is the editor that the user chose
    except (OSError, ValueError) as error:
        raise CommandError(
            EXIT_FAILED, f"the editor {named!r} can't be started ({error}); name another in EDITOR"
        ) from None
    if status == -signal.SIGINT:
        raise KeyboardInterrupt
    if status != 0:
        raise CommandError(EXIT_FAILED, f"the editor {named!r} ended with status {status}; nothing was written")


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """While an editor has the terminal, Ctrl-C is its own key."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _write(
    docs: "Client",
    key: str,
    base: "StoredContent | None",
    mine: bytes,
    media_type: str | None,
    path: Path,
    address: Address,
) -> int:
    """Writes over `base` and nothing else; the exit status."""
    try:
        if base is None:
            guessed = media_type or mimetypes.guess_type(address.name)[0] or "text/plain; charset=utf-8"
            docs.put(key, mine, type=guessed, if_none_match="*")
        else:
            _over(docs, key, base.info.etag, mine)
    except (Conflict, NotFound):
        theirs = docs.get(key)
        if theirs is not None and bytes(theirs) == mine:
            return 0
        _show_both(base, mine, theirs)
        _tell_what_next(address, theirs, path)
        return EXIT_NOT_FOUND
    return 0


def _over(docs: "Client", key: str, etag: str, mine: bytes) -> None:
    """Raises Conflict or NotFound when the document is not that of `etag` any more, because its life is over too."""
    options = kept(docs.info(key))
    if options is None:
        raise Conflict(None)
    options["if_match"] = etag
    docs.put(key, mine, **options)


def _show_both(base: "StoredContent | None", mine: bytes, theirs: "StoredContent | None") -> None:
    old = b"" if base is None else bytes(base)
    named = "base" if base is None else f"base {base.info.version}"
    click.echo(_diff(old, mine, named, "mine"))
    if theirs is None:
        click.echo("theirs: the document was removed")
    else:
        click.echo(_diff(old, bytes(theirs), named, f"theirs {theirs.info.version}"))


def _tell_what_next(address: Address, theirs: "StoredContent | None", path: Path) -> None:
    print_error(f"{address} was changed meanwhile; yours was not written, it is in {path}")
    condition = "--if-none-match '*'" if theirs is None else f"--if-match {theirs.info.version}"
    named = shlex.quote(str(address))
    print_error(f"edit theirs: docstore edit {named}; or overwrite it: docstore put {condition} {named} {path}")


def _diff(old: bytes, new: bytes, old_name: str, new_name: str) -> str:
    """A unified diff of text, or what is to be told of anything else."""
    try:
        before, after = old.decode("utf-8").splitlines(), new.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        return f"--- {old_name}: {len(old):,} bytes\n+++ {new_name}: {len(new):,} bytes, no text"
    lines = difflib.unified_diff(before, after, old_name, new_name, lineterm="")
    return "\n".join(printable(line) for line in lines) or f"{new_name}: only the ends of lines differ"
