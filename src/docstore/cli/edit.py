"""`docstore edit`: edit a document and write it back only over the version that was read.

Edits are never lost: what can't be written stays in its file, and the command prints its name.
"""

import difflib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from docstore.cli.addresses import Address
from docstore.cli.errors import EXIT_FAILED, EXIT_NOT_FOUND, EXIT_OK, CommandError, exits, print_error
from docstore.cli.get import is_binary
from docstore.cli.options import ADDRESS, Access, access_options
from docstore.cli.output import escape_controls
from docstore.errors import Conflict, DocstoreError, NotFound, SetupError
from docstore.media_types import ENDINGS
from docstore.units import format_count

if TYPE_CHECKING:
    from docstore import Client, StoredContent

_SUFFIX_LIMIT: Final = 16


@click.command(
    epilog="""\b
Example:
  docstore edit docs/todo"""
)
@click.argument("address", type=ADDRESS)
@click.option("--type", "media_type", help="Media type of a new document.  [default: guessed from key and content]")
@click.option("-y", "--yes", is_flag=True, help="Edit binary content without asking.")
@access_options
@exits
def edit(address: Address, media_type: str | None, yes: bool, access: Access) -> int:
    """Edit a document in $VISUAL or $EDITOR. Binary content is edited only if you agree.

    The document is written back unless it changed meanwhile. In that case both changes are shown, yours stays
    in a file and nothing is overwritten. A document that does not exist is created. Without a change nothing is
    written.
    """
    with access.open_document(address, writes=True, must_exist=True) as (docs, key):
        session = _Session(docs, key, address, media_type, docs.get(key))
        if is_binary(session.old) and not yes and not _confirmed(address):
            return EXIT_NOT_FOUND
        path, status = session.create_file(), EXIT_FAILED
        try:
            _run_editor(path)
            status = session.write_back(path, access)
            return status
        except (DocstoreError, CommandError, OSError, KeyboardInterrupt):
            if session.is_changed(path):
                print_error(f"your text is in {path}")
            raise
        finally:
            if status == EXIT_OK or not session.is_changed(path):
                path.unlink(missing_ok=True)


def _confirmed(address: Address) -> bool:
    """Ask whether to edit binary content, which many editors damage. Raise SetupError without a terminal."""
    if not sys.stdin.isatty():
        raise SetupError(f"the content of {address} is binary, not text; add --yes to edit it")
    return click.confirm(f"the content of {address} is binary, not text; edit it?", err=True)


@dataclass(frozen=True, slots=True)
class _Session:
    """The editing of one document; `base` is what it was before, None if it did not exist."""

    docs: "Client"
    key: str
    address: Address
    media_type: str | None
    base: "StoredContent | None"

    @property
    def old(self) -> bytes:
        return bytes(self.base or b"")

    def create_file(self) -> Path:
        """Create a file with the content, which only this user can read."""
        descriptor, name = tempfile.mkstemp(self._suffix(), "docstore-")
        with open(descriptor, "wb") as file:  # noqa: PTH123 - it is a descriptor
            file.write(self.old)
        return Path(name)

    def _suffix(self) -> str:
        """Return a suffix from which an editor recognizes the kind of text: that of the key, or one for the type."""
        suffix = Path(self.address.name).suffix
        if suffix and len(suffix) <= _SUFFIX_LIMIT and suffix[1:].isalnum():
            return suffix
        media_type = "text/plain" if self.base is None else self.base.info.type.partition(";")[0].strip().lower()
        return next((f".{ending}" for ending, kind in ENDINGS.items() if kind == media_type), "")

    def is_changed(self, path: Path) -> bool:
        try:
            return path.read_bytes() != self.old
        except OSError:
            return False

    def write_back(self, path: Path, access: Access) -> int:
        """Store the content of `path` over `base` and nothing else; return the exit status."""
        text = path.read_bytes()
        if text == self.old:
            access.hint("no change; nothing was written")
            return EXIT_OK
        try:
            self._put(text)
        except (Conflict, NotFound):
            theirs = self.docs.get(self.key)
            if theirs is None or bytes(theirs) != text:
                self._report_conflict(text, theirs, path)
                return EXIT_NOT_FOUND
        return EXIT_OK

    def _put(self, text: bytes) -> None:
        """Raise Conflict or NotFound if the document is no longer `base`, or has expired."""
        if self.base is None:
            self.docs.put(self.key, text, type=self.media_type, if_none_match="*")
            return
        self.docs.put(self.key, text, keep=True, if_match=self.base.info.etag)

    def _report_conflict(self, text: bytes, theirs: "StoredContent | None", path: Path) -> None:
        base_name = "base" if self.base is None else f"base {self.base.info.version}"
        click.echo(_diff(self.old, text, base_name, "mine"))
        if theirs is None:
            click.echo("theirs: the document was removed")
        else:
            click.echo(_diff(self.old, bytes(theirs), base_name, f"theirs {theirs.info.version}"))
        print_error(f"{self.address} changed while you were editing; your text was not written, it is in {path}")
        condition = "--if-none-match '*'" if theirs is None else f"--if-match {theirs.info.version}"
        name = shlex.quote(str(self.address))
        print_error(f"edit theirs: docstore edit {name}; or overwrite it: docstore put {condition} {name} {path}")


def _run_editor(path: Path) -> None:
    """Raise CommandError if there is no editor, or if it fails."""
    names = (os.environ.get(variable, "").strip() for variable in ("VISUAL", "EDITOR"))
    editor = next(filter(None, names), "vi")
    try:
        command = [*shlex.split(editor), str(path)]
        with _interrupts_ignored():
            status = subprocess.call(command)  # noqa: S603 - it is the editor that the user chose
    except (OSError, ValueError) as error:
        raise CommandError(EXIT_FAILED, f"can't start the editor {editor!r} ({error}); set EDITOR") from None
    if status == -signal.SIGINT:
        raise KeyboardInterrupt
    if status != 0:
        raise CommandError(EXIT_FAILED, f"the editor {editor!r} exited with status {status}; nothing was written")


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Leave Ctrl-C to the editor."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _diff(old: bytes, new: bytes, old_name: str, new_name: str) -> str:
    """Return a unified diff of text; of anything else, the sizes."""
    try:
        before, after = old.decode("utf-8").splitlines(), new.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        sizes = format_count(len(old), "byte"), format_count(len(new), "byte")
        return f"--- {old_name}: {sizes[0]}\n+++ {new_name}: {sizes[1]}, not text"
    lines = difflib.unified_diff(before, after, old_name, new_name, lineterm="")
    return "\n".join(escape_controls(line) for line in lines) or f"{new_name}: only the line ends differ"
