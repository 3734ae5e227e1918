"""Upload options and sources of put.

All uploads carry or verify a digest. It is sent ahead of the content, so a file is read twice; a trailer would avoid
that, but hardly any proxy forwards trailers.
"""

import mimetypes
import os
import stat
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, cast

from docstore.cli.errors import EXIT_FAILED, CommandError

if TYPE_CHECKING:
    from docstore import Client, PutOptions, PutResult
    from docstore.cli.progress import Advance
    from docstore.client.options import StoreOptions

SMALL_SIZE: Final = 1024 * 1024
"""Content below this size is read into memory, so the library can send it again if a response is lost."""
_COMPRESSED_TYPES: Final = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}
"""Media types of compressed files, which are stored as they are."""


def with_type(options: "PutOptions", *names: str) -> "PutOptions":
    """Add the media type of the first name that suggests one, unless `options` has one."""
    if options.get("type") is not None:
        return options
    return {**options, "type": next(filter(None, map(_media_type, names)), None)}


def _media_type(name: str) -> str | None:
    media_type, coding = mimetypes.guess_type(name)
    return _COMPRESSED_TYPES.get(coding) if coding else media_type


def put_file(docs: "Client", key: str, path: Path, options: "PutOptions", advance: "Advance") -> None:
    """Store the content of a regular file. Raise OSError, and IncompleteUpload if the file changes meanwhile."""
    # O_NONBLOCK: opening a named pipe would wait for a writer.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise CommandError(EXIT_FAILED, f"{path} is not a regular file; pipe it to standard input and name -")
        options = {**with_type(options, path.name, key), "digest": True, "progress": advance}
        docs.put(key, file, **options)


def put_stream(
    docs: "Client", key: str | None, stream: IO[bytes], options: "PutOptions", advance: "Advance"
) -> "PutResult":
    """Store the rest of `stream`, under a new key if `key` is None; then `options` has no conditions."""
    first = stream.read(SMALL_SIZE)
    more = iter(partial(stream.read, SMALL_SIZE), b"")
    content = first if len(first) < SMALL_SIZE else chain([first], more)
    options = {**options, "digest": True, "progress": advance}
    return docs.add(content, **cast("StoreOptions", options)) if key is None else docs.put(key, content, **options)
