"""The members of an archive that is written as a stream: bytes in, bytes out, no I/O of the caller's.

A writer calls `begin` for a document, `add` for each piece of its content, which it then writes itself, and `finish`;
and `end` once. tar.py and zip.py have one class each.
"""

import re
from collections.abc import Iterator
from typing import Final, Protocol

from docstore.model import Meta

_UNSAFE: Final = re.compile(r"\\|%(?=5C|3A|25)|(?:(?<=^[A-Za-z])|(?<=/[A-Za-z])):")


class Members(Protocol):
    """An archive format. `end` makes an archive complete; without it, no program takes the archive for complete."""

    def begin(self, meta: Meta, name: str) -> bytes:
        """Return what precedes the content."""

    def add(self, chunk: bytes) -> None:
        """Take note of the next piece of the content."""

    def finish(self) -> bytes:
        """Return what follows the content."""

    def end(self) -> Iterator[bytes]:
        """Yield what follows the last document."""

    def close(self) -> None:
        """Free what the archive holds, also one without an end."""


def member_name(key: str) -> str:
    r"""Return the name of a document in an archive: its key, in which nothing leads out of the folder of an extraction.

    No key has the segments "" (so none is absolute), `.` or `..`. Windows also takes `\` for a separator and `C:` for a
    drive: these characters are percent-encoded, and so is a `%` that would look like one of them. Names stay unique.
    """
    return _UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", key)
