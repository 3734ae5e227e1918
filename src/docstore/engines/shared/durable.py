"""Bytes and names that outlive a power cut: the steps that every engine on disk takes alike.

Each raises OSError as the system does: only the caller knows which file to name and what the failure means.
"""

import errno
import os
import sys
from pathlib import Path


def write_all(descriptor: int, data: bytes) -> None:
    """Writes all of `data`, however little of it the system takes at a time."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(path: Path) -> None:
    """Makes what was created in a folder outlive a power cut. Windows can't, and need not."""
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """The folder and those above it, on the disk when it returns."""
    for folder in (*reversed(path.parents), path):
        if not folder.is_dir():
            if folder.exists():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
            folder.mkdir(exist_ok=True)
            sync_folder(folder.parent)
