"""Files on this machine as the source or the target of a transfer: their keys, sizes and digests, in order of key."""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docstore.cli.download import PARTS
from docstore.errors import SetupError
from docstore.model import Fields, Meta

_NO_FIELDS = Fields()
_ENGINE_FOLDER = ".docstore"
"""The metadata folder of a `file:` store."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file, and its metadata as a document; the digest is computed only if the sizes are equal."""

    path: Path
    meta: Meta

    def has_content(self, other: Meta) -> bool:
        """Whether this is the content of a document."""
        if self.meta.size != other.size:
            return False
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").digest() == other.digest
        except OSError:
            return False


def find_files(paths: tuple[Path, ...], skipped: dict[str, str]) -> dict[str, LocalFile]:
    """Return every regular file in and below `paths` by its key, in order, without the metadata of `file:` stores.

    Add a line to `skipped` for anything else, by what would be its key. Raise SetupError for two files with one key.
    """
    files: dict[str, LocalFile] = {}
    for top in paths:
        for path in _walk(top, skipped) if top.is_dir() else [top]:
            key = path.name if path == top else path.relative_to(top).as_posix()
            if not path.is_file():
                skipped[key] = f"{path}: {'not a regular file' if path.exists() else 'a link to nothing'}"
            elif re.search("[\ud800-\udfff]", key):  # how Python represents bytes that are not UTF-8
                skipped[key] = f"{os.fsencode(path)!r}: the name is not valid UTF-8, so it can't be a key"
            elif key in files:
                raise SetupError(f"{files[key].path} and {path} would both be stored as {key!r}")
            else:
                files[key] = _local_file(path, key)
    return dict(sorted(files.items()))


def _local_file(path: Path, key: str) -> LocalFile:
    try:
        status = path.stat()
        size, modified_ns = status.st_size, status.st_mtime_ns
    except OSError:  # a file that is gone: reading it will say so
        size = modified_ns = 0
    return LocalFile(path, Meta(key, "", size, b"", _NO_FIELDS, modified_ns))


def _walk(top: Path, skipped: dict[str, str]) -> Iterator[Path]:
    def skip(path: Path, why: str | None) -> None:
        skipped[path.relative_to(top).as_posix()] = f"{path}: {why}"

    for folder, subfolders, names in os.walk(top, onerror=lambda error: skip(Path(error.filename), error.strerror)):
        if Path(folder) == top and PARTS in subfolders:
            subfolders.remove(PARTS)  # partial downloads
        if _ENGINE_FOLDER in subfolders and _is_engine_folder(Path(folder) / _ENGINE_FOLDER):
            subfolders.remove(_ENGINE_FOLDER)
        subfolders.sort()
        for path in (Path(folder) / name for name in subfolders):
            if path.is_symlink():
                skip(path, "links to folders are not followed")
        yield from (Path(folder) / name for name in sorted(names))


def _is_engine_folder(folder: Path) -> bool:
    """Whether a `file:` store wrote its metadata here. The engine itself is not loaded, because that takes long."""
    try:
        with (folder / "format").open("rb") as file:
            return file.read(14) == b"docstore file "
    except OSError:
        return False
