"""The wire: HTTP/1.1 (RFC 9112) between a socket and `handle`, as a protocol class for uvicorn.

Its bounds are settings (`docstore.limits`). From the bottom up:

    refusals    the answers that are given before there is a request to handle
    fields      a header section: field lines, and what they say about framing and persistence
    head        a request line and its target; with `fields`, the head of a request
    framing     where a body ends: counted or chunked
    connection  the state machine: what has come, whether the connection is kept, when it is over; no I/O, no clock
    patience    how long each state may last; no clock of its own either
    answers     the bytes of an answer's head, and of its content when that is small
    body        a request's body on its way to the handler, with back-pressure
    sending     content on its way out, with back-pressure, through sendfile where there is one
    running     a coroutine run without a Task until it waits
    house       what all connections of a process share: limits, counts, the sweep of those that take too long
    protocol    the transport part, which does what `connection` decides

uvicorn keeps sockets, processes, signals, TLS and the graceful stop: `uvicorn.Config(Application(...), http=Protocol)`.

httptools was tried and rejected as the parser. It stops at a method it doesn't know (no 501 is possible), at `PRI` and
at anything that looks like an upgrade; it takes two spaces for one, RTSP for HTTP, a coding before chunked for
nothing, and has no bound on a line, a section or a chunk's extension; it can't be halted between two requests of one
segment, so what a client pipelines is parsed before it is wanted. Each of these would need the raw bytes looked at a
second time.
"""

from docstore.server.http1.protocol import Protocol
from docstore.server.http1.registry import Application

__all__ = ["Application", "Protocol"]
