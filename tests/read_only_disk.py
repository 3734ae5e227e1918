"""Folders that another process can't write, for tests; root ignores the mode bits of a folder.

A folder is a read-only mount in a namespace of the process that uses it, where the system allows that, and for others
stays writable. Everywhere else it loses the right to write, and the process runs as a user without permissions.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_MOUNT = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
_AS_NOBODY = """
import os, sys
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
os.execv(sys.argv[1], sys.argv[1:])
"""


def _in_namespace(folder: Path) -> list[str]:
    return [
        "unshare",
        "--mount",
        *([] if os.geteuid() == 0 else ["--map-root-user"]),
        "sh",
        "-c",
        _MOUNT,
        "sh",
        f"{folder}",
    ]


@cache
def can_mount() -> bool:
    folder = Path(__file__).parent
    try:
        return subprocess.run([*_in_namespace(folder), "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@contextmanager
def read_only(folder: Path) -> Iterator[list[str]]:
    """Yield the command that runs Python with `folder` read-only."""
    if can_mount():
        yield [*_in_namespace(folder), sys.executable]
        return
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    try:
        yield [sys.executable, "-c", _AS_NOBODY, sys.executable]
    finally:
        for path in folders:
            path.chmod(0o755)
