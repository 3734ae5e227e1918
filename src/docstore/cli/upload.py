"""Upload options and sources that put, cp and edit share.

All uploads send or verify a digest. It is sent before the content, so a file is read twice; a trailer would avoid
that, but hardly any proxy forwards trailers.
"""

import math
import mimetypes
import os
import stat
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, cast

from docstore.cli.errors import EXIT_FAILED, CommandError

if TYPE_CHECKING:
    from docstore import Client, Info, PutOptions, PutResult
    from docstore.cli.progress import Advance
    from docstore.client.options import StoreOptions

SMALL_SIZE: Final = 1024 * 1024
"""Content below this size is read into memory, so the library can send it again if a response is lost."""
_COMPRESSED_TYPES: Final = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}
"""Media types of compressed files, which are stored as they are."""


def options_of(info: "Info") -> "PutOptions | None":
    """Return the options that store content with the metadata of `info`; None if the document has expired.

    TTLs are whole seconds; the remaining time is rounded up so that a copy never expires early.
    """
    options: PutOptions = {"type": info.type, "fields": info.fields, "meta": info.meta}
    if info.expires is not None:
        left_s = math.ceil((info.expires - datetime.now(UTC)).total_seconds())
        if left_s <= 0:
            return None
        options["ttl"] = left_s
    return options


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
        docs.put(key, file, **_verified(with_type(options, path.name, key), advance))


def put_stream(
    docs: "Client", key: str | None, stream: IO[bytes], options: "PutOptions", advance: "Advance"
) -> "PutResult":
    """Store the rest of `stream`, under a new key if `key` is None; then `options` has no conditions."""
    first = stream.read(SMALL_SIZE)
    more = iter(partial(stream.read, SMALL_SIZE), b"")
    content = first if len(first) < SMALL_SIZE else chain([first], more)
    verified = _verified(options, advance)
    if key is None:
        return docs.add(content, **cast("StoreOptions", verified))
    return docs.put(key, content, **verified)


def _verified(options: "PutOptions", advance: "Advance") -> "PutOptions":
    return {**options, "digest": True, "progress": advance}
