"""The read-only switch: `read-only.json` in the data folder stops the writes of clients, to the server or some mounts.

It works at run time, for maintenance and for moving a store to another machine, and stays over restarts. Such writes
are 503 with Retry-After, because they will be possible again; those to a mount with `readonly=yes` are 405.
"""

import json
from pathlib import Path
from typing import Final

from docstore.errors import SetupError
from docstore.server.errors import HTTPProblem
from docstore.server.mounts import Mount
from docstore.server.security.state_files import WatchedFile, locked, read_state, replace_state

EVERYTHING: Final = "*"
"""Stands for the whole server among the names of mounts; no mount has this name."""


class ReadOnlySwitch:
    """The names of the mounts that are read-only for now. Methods raise SetupError."""

    def __init__(self, data: str | Path) -> None:
        self.path: Final = Path(data) / "read-only.json"
        self._file = WatchedFile(self.path, self._parse, frozenset[str]())

    def names(self) -> frozenset[str]:
        read = read_state(self.path)
        return frozenset() if read is None else self._parse(read[0])

    def turn(self, *, on: bool, names: frozenset[str]) -> frozenset[str]:
        """Make mounts read-only or writable, and return all that are read-only. EVERYTHING off ends it for all."""
        with locked(self.path):
            before = self.names()
            after = before | names if on else frozenset() if EVERYTHING in names else before - names
            replace_state(self.path, json.dumps(sorted(after)).encode("ascii") + b"\n")
        return after

    def check(self, mount: Mount) -> None:
        """Raise HTTPProblem for a write to the mount while it is read-only, or while the file can't be read."""
        names = self._file.current()
        if names is None or mount.name in names or EVERYTHING in names:
            raise HTTPProblem("read-only")

    def _parse(self, data: bytes) -> frozenset[str]:
        try:
            names = json.loads(data)
        except (ValueError, RecursionError):
            names = None
        if type(names) is not list or not all(type(name) is str for name in names):
            raise SetupError(f"{self.path} is damaged, so writes are rejected: remove it")
        return frozenset(names)
