"""What the wire refuses by itself, before there is a request that could be handled: a line of text, then the end.

The answers look like those of `server/errors.py` for a client that names no type: at this point nothing that the
client says of itself can be trusted.
"""

from http import HTTPStatus
from typing import Final

from docstore.http.message import HeaderPairs

TITLES: Final = {
    400: "malformed request",
    408: "the request came too slowly",
    413: "content too large",
    414: "request target too long",
    431: "header fields too large",
    500: "internal error",
    501: "not implemented",
    503: "too many connections",
    505: "HTTP version not supported",
}


class ProtocolError(Exception):
    """The bytes on the connection are no request that could be handled; nothing after them is one either."""

    def __init__(self, status: int, detail: str = "") -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail

    @property
    def line(self) -> bytes:
        title = TITLES[self.status]
        return (f"{title}: {self.detail}\n" if self.detail else f"{title}\n").encode("latin-1")

    @property
    def headers(self) -> HeaderPairs:
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(self.line)),
            (b"cache-control", b"no-store"),
        ]
        if self.status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers.append((b"retry-after", b"1"))
        return headers
