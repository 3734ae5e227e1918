"""TLS: the certificate and the key, which are loaded again when their files change.

Certificates are replaced while servers run (ACME). A new one is loaded as a whole into a context of its own, which new
connections then use: if the two files don't belong together yet, the old certificate stays in use.
"""

import logging
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from docstore.errors import SetupError

log: Final = logging.getLogger("docstore")


@dataclass
class Certificate:
    """The certificate chain and the private key of a server, in PEM files."""

    chain: Path
    key: Path
    _context: ssl.SSLContext | None = field(default=None, repr=False)
    _current: ssl.SSLContext | None = field(default=None, repr=False)
    _seen: object = field(default=None, repr=False)
    """The state of the files that were loaded."""
    _failed: object = field(default=None, repr=False)
    """The state of the files that could not be loaded, and were logged."""

    def context(self) -> ssl.SSLContext:
        """Return the context for a server. It gives each connection the newest certificate. Raise SetupError."""
        if self._context is None:
            self._seen = self._state()
            try:
                self._context = self._current = self._load()
            except (OSError, ValueError) as error:
                raise SetupError(f"TLS: {_reason(error)}: {self.chain}, {self.key}") from None
            self._context.sni_callback = self._choose
        return self._context

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        if self._current is not None:
            connection.context = self._current

    def reload(self) -> None:
        """Use the certificate in the files if they have changed. While it is invalid, keep the old one; log it once."""
        seen = self._state()
        if seen == self._seen:
            return
        try:
            self._current = self._load()
        except (OSError, ValueError) as error:
            if seen != self._failed:
                log.error("TLS: the new certificate is not used: %s: %s, %s", _reason(error), self.chain, self.key)
            self._failed = seen
        else:
            self._seen, self._failed = seen, None
            log.info("TLS: a new certificate is used: %s", self.chain)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(self.chain, self.key, password=_no_password)
        return context

    def _state(self) -> object:
        """What changes when the files change."""
        states: list[object] = []
        for path in (self.chain, self.key):
            try:
                state = path.stat()
                states.append((state.st_mtime_ns, state.st_size, state.st_ino))
            except OSError as error:
                states.append(error.errno)
        return states


def _no_password() -> str:
    raise ValueError("the key is encrypted; Docstore needs one without a passphrase")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (
            "the files are no certificate and its key in PEM"
            if error.reason is None
            else error.reason.lower().replace("_", " ")
        )
    return str(getattr(error, "strerror", None) or error)
