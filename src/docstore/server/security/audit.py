"""The audit log: a JSON line for each request, which says who did what to which key, and with what result.

A line is written before its response is sent. While lines can't be written, requests are rejected, so that nothing
happens without a trace. Contents, credentials and queries are not logged. Each process appends whole lines to the same
file. It looks at the file's name for each line, so a file that was renamed is replaced by a new one.
"""

import json
import logging
import os
from pathlib import Path
from typing import Final

from docstore.engines.shared.fs import translate_open_errors
from docstore.http.message import Request, Response
from docstore.model import Clock
from docstore.server.errors import HTTPProblem
from docstore.server.security.access import View
from docstore.server.security.ended import token_of
from docstore.server.security.tokens import redact
from docstore.units import format_rfc3339

log: Final = logging.getLogger("docstore")

PATH_LENGTH_LIMIT: Final = 4096
"""Characters of a path that are logged; keys are shorter."""


class AuditLog:
    """The file to which this process appends."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Create the file if it does not exist. Raise SetupError."""
        self.path: Final = path
        self._clock = clock
        with translate_open_errors(path):
            self._descriptor = self._open()
        self._unwritten = b""
        """The line that could not be written, if any. It comes before all others."""

    def check(self) -> None:
        """Raise HTTPProblem if a line could not be written, and still can't be."""
        # An empty write was rejected: on a full disk it succeeds.
        if self._unwritten and not self._write(self._unwritten):
            raise HTTPProblem("access-unavailable")

    def record(self, request: Request, view: View | None, path: str, response: Response) -> None:
        """Log a request. `path` is the mount and the key, decoded, or the path as received if it is in no mount."""
        token = view.token.id if view is not None and view.token is not None else None
        # Also of a session that has just begun, and of a link that has ended.
        if signed := request.session or request.link:
            token = token_of(signed)
        body = request.body.size if response.status < 300 and request.method in _WRITES else response.content.size
        headers = dict(response.headers)
        etag = headers.get(b"etag")
        line = {
            "time": format_rfc3339(self._clock()),
            "token": token,
            **({"link": request.link} if request.link else {}),
            "address": request.address,
            "method": request.method[:PATH_LENGTH_LIMIT],
            "path": redact(path)[:PATH_LENGTH_LIMIT],
            "status": response.status,
            "bytes": 0 if response.head_only else body,
            **({"etag": etag.decode("ascii")} if etag else {}),
        }
        if not self._unwritten or self._write(self._unwritten):
            self._write(json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n")

    def _write(self, line: bytes) -> bool:
        """Append a line, and return whether it is written. A failure is logged once, until it is over."""
        written = 0
        try:
            if not self._is_current():
                descriptor, self._descriptor = self._descriptor, self._open()
                os.close(descriptor)
            # In one call, so that lines of several processes don't mix.
            written = os.write(self._descriptor, line)
            if written != len(line):
                raise OSError(f"only a part of a line was written to {self.path}")
        except OSError as error:
            if not self._unwritten:
                log.error("the audit log can't be written, and requests are rejected until it can: %s", error)
            # After a part of a line, the whole line begins on a new one.
            self._unwritten = b"\n" + line.lstrip(b"\n") if written else line
            return False
        self._unwritten = b""
        return True

    def _is_current(self) -> bool:
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def close(self) -> None:
        os.close(self._descriptor)


_WRITES: Final = ("PUT", "POST", "PATCH")
