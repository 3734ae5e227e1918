"""Drives the Connection state machine as a transport would, without sockets."""

from dataclasses import dataclass, field

from docstore.content import BytesContent
from docstore.http.message import Request
from docstore.limits import Limits
from docstore.server.http1.connection import Connection, Phase
from docstore.server.http1.parser import ProtocolError


@dataclass
class Seen:
    """One request as the handler would see it; `body` is None if it was incomplete."""

    request: Request
    body: bytes | None
    kept: bool

    def facts(self) -> tuple[str, str, str, list[tuple[bytes, bytes]], bytes | None, bool]:
        return (
            self.request.method,
            self.request.path,
            self.request.query,
            self.request.headers.pairs(),
            self.body,
            self.kept,
        )


@dataclass
class Driven:
    """A connection whose requests are all read completely and answered at once."""

    limits: Limits = field(default_factory=Limits)
    seen: list[Seen] = field(default_factory=list)
    refused: int | None = None

    def __post_init__(self) -> None:
        self.connection = Connection(self.limits)
        self._request: Request | None = None
        self._body = b""

    def receive(self, data: bytes) -> None:
        self.connection.receive(data)
        while self._step():
            pass

    def end(self) -> None:
        self.connection.receive_eof()
        if self.connection.phase is Phase.BODY:
            self.connection.abort_body()
            self._answer(None)
        while self._step():
            pass

    def _step(self) -> bool:
        """Do one thing; return whether there may be more to do."""
        connection = self.connection
        try:
            if connection.phase is Phase.HEAD:
                self._request = connection.take_request()
                if self._request is None:
                    return False
                assert isinstance(self._request.body, BytesContent)
                self._body = self._request.body.data
            if connection.phase is Phase.BODY:
                self._body += connection.take_body()
        except ProtocolError as refused:
            self.refused = refused.status
            if connection.phase is Phase.ABORTED:
                self._answer(None)
            return False
        if connection.phase is not Phase.COMPLETE:
            return False
        self._answer(self._body)
        return True

    def _answer(self, body: bytes | None) -> None:
        assert self._request is not None
        self.seen.append(Seen(self._request, body, self.connection.decide_keep_alive()))
        self.connection.finish_response()

    def facts(self) -> tuple[list[object], int | None, Phase]:
        """Return what must not depend on how the bytes were split."""
        return [seen.facts() for seen in self.seen], self.refused, self.connection.phase


def drive(*segments: bytes, limits: Limits | None = None, end: bool = False) -> Driven:
    driven = Driven(limits or Limits())
    for segment in segments:
        driven.receive(segment)
    if end:
        driven.end()
    return driven
