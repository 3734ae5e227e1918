"""The key with which a server signs: `signing.key` in the data folder, the same for all workers.

Tokens are kept as hashes only, so they can't sign. Each use of the key has a purpose of its own, so that a signature
for one is worth nothing for another. Removing the file ends all that was signed. A file that is not exactly as this
module writes it is an error: a known key, such as zeros after a crash, would let anybody in.
"""

import asyncio
import hmac
import logging
import re
import secrets
from pathlib import Path
from typing import Final

from docstore.errors import SetupError
from docstore.server.errors import HTTPProblem
from docstore.server.security.state_files import WatchedFile, locked, read_state, replace_state

log: Final = logging.getLogger("docstore")

_KEY_SIZE: Final = 32
_FORM: Final = re.compile(rb"docstore signing key 1: ([0-9a-f]{64})\n")


class SigningKey:
    """The key of the store in a data folder."""

    def __init__(self, data: str | Path) -> None:
        self.path: Final = Path(data) / "signing.key"
        self._file = WatchedFile(self.path, self._parse, b"")

    def current(self) -> bytes | None:
        """Return the key; None if none was made yet. Raise HTTPProblem (503) while it can't be read."""
        # Another worker may have made it since this one looked, and what it signed is valid at once.
        key = self._file.current() or self._file.current(check=True)
        if key is None:
            raise HTTPProblem("access-unavailable")
        return key or None

    async def get_or_create(self) -> bytes:
        """Return the key, which is made if there is none. Raise HTTPProblem (503)."""
        key = self.current()
        return await asyncio.to_thread(self.create) if key is None else key

    def create(self) -> bytes:
        """As `get_or_create`, but it blocks. Raise HTTPProblem (503)."""
        try:
            with locked(self.path):
                read = read_state(self.path)
                if read is not None:
                    return self._parse(read[0])
                key = secrets.token_bytes(_KEY_SIZE)
                replace_state(self.path, b"docstore signing key 1: %s\n" % key.hex().encode("ascii"))
                return key
        except SetupError as error:
            log.error("there is no key for signing: %s", error)
            raise HTTPProblem("access-unavailable") from None

    def _parse(self, data: bytes) -> bytes:
        match = _FORM.fullmatch(data)
        key = bytes.fromhex(match[1].decode("ascii")) if match else b""
        if not any(key):
            raise SetupError(f"{self.path} is damaged, so nothing that was signed is accepted: restore it or remove it")
        return key


def mac(key: bytes, purpose: bytes, data: bytes) -> bytes:
    """Return the signature of `data` for a purpose, which has no NUL (HMAC-SHA256)."""
    return hmac.digest(key, purpose + b"\0" + data, "sha256")
