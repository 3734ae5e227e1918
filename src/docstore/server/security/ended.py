"""Ids that end before their time, such as those of used or revoked links: an empty file each, until their time is over.

An id has the id of the token behind it and its time, so that a file needs no content: it is created in one step, which
only one of several workers can do. A look-up is one `stat`, without a cache, so that all workers know it at once.

    4f9c2a71be 0068f0a1b2 9d8e7f6a5b4c3d2e     token, seconds since 1970, random; written without blanks

A token may have a bounded number of such files, so that no client can fill the folder, or keep others from ending
theirs.
"""

import asyncio
import logging
import os
import re
import secrets
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from docstore.engines.shared.fs import make_folder, sync_folder
from docstore.model import Clock
from docstore.server.errors import HTTPProblem

log: Final = logging.getLogger("docstore")

ENDED_LIMIT: Final = 10_000
"""Ids of one token that may have ended; each process of a server counts on its own what others add meanwhile."""
KEPT_S: Final = 86_400
"""How long a file is kept after the time of its id, because a clock may be set back."""

_TOKEN_SIZE: Final = 10
_TIME_SIZE: Final = 10
ENDABLE_ID: Final = re.compile(f"[0-9a-f]{{{_TOKEN_SIZE + _TIME_SIZE + 16}}}")
"""Matches an id."""


def make_endable_id(token_id: str, expires_s: int) -> str:
    """Return a new id, for something that a token made and that expires then."""
    return f"{token_id}{expires_s:0{_TIME_SIZE}x}{secrets.token_hex(8)}"


def token_of(id: str) -> str:
    """Return the id of the token in an id."""
    return id[:_TOKEN_SIZE]


def expiry_of(id: str) -> int:
    """Return the time in an id, in seconds."""
    return int(id[_TOKEN_SIZE : _TOKEN_SIZE + _TIME_SIZE], 16)


class EndedIds:
    """A folder in the data folder. All ids must match ENDABLE_ID. Methods raise HTTPProblem (503)."""

    def __init__(self, data: str | Path, clock: Clock, name: str = "ended") -> None:
        self.path: Final = Path(data) / name
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        """How many ids of a token have ended, as far as this process knows."""

    def has(self, id: str) -> bool:
        """Whether the id has ended. It does not look at the time."""
        try:
            self._file(id).stat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _unavailable(self.path, error) from None
        return True

    def end(self, id: str) -> bool:
        """End an id durably, and return whether this call did it. It blocks."""
        file = self._file(id)
        try:
            self._make_space(token_of(id))
            while True:
                make_folder(file.parent)
                # A sweep may remove the folder meanwhile.
                with suppress(FileNotFoundError):
                    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
                    sync_folder(file.parent)
                    return True
        except FileExistsError:
            return False
        except OSError as error:
            raise _unavailable(self.path, error) from None

    def release(self, id: str) -> None:
        """Take back what `end` did."""
        try:
            self._file(id).unlink(missing_ok=True)
        except OSError as error:
            raise _unavailable(self.path, error) from None

    async def sweep(self, *, limit: int = 0) -> int:
        """Remove the files of ids whose time is over, in a thread; for the Sweeper, which need not call it again."""
        await asyncio.to_thread(self.remove_expired)
        return 0

    def remove_expired(self) -> None:
        """Remove the files of ids whose time is over, and folders without files. It blocks."""
        try:
            for folder in _entries(self.path):
                if self._remove_expired(folder.name) == 0:
                    with suppress(OSError):  # another process has added an id
                        (self.path / folder.name).rmdir()
        except OSError as error:
            log.error("can't remove expired ids in %s: %s", self.path, error)

    def _file(self, id: str) -> Path:
        return self.path / token_of(id) / id[_TOKEN_SIZE:]

    def _make_space(self, token_id: str) -> None:
        """Count one more id of a token. Raise HTTPProblem if it has too many, and OSError."""
        with self._lock:
            count = self._counts.get(token_id, ENDED_LIMIT)
            if count >= ENDED_LIMIT:
                count = self._remove_expired(token_id)
                if count >= ENDED_LIMIT:
                    raise HTTPProblem("access-unavailable", "too many links and sessions of this token have ended")
                if len(self._counts) >= ENDED_LIMIT:
                    self._counts.clear()
            self._counts[token_id] = count + 1

    def _remove_expired(self, token_id: str) -> int:
        """Remove the files of a token whose time is over, and return how many others there are. Raise OSError."""
        before_s = self._clock() // 10**9 - KEPT_S
        count = 0
        for entry in _entries(self.path / token_id):
            id = token_id + entry.name
            if ENDABLE_ID.fullmatch(id) and expiry_of(id) < before_s:
                Path(entry).unlink(missing_ok=True)
            else:
                count += 1
        return count


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        return list(entries)
    return []


def _unavailable(path: Path, error: OSError) -> HTTPProblem:
    log.error("%s can't be used, and requests that depend on it are rejected: %s", path, error)
    return HTTPProblem("access-unavailable")
