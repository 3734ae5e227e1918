"""HTTP/1.1 (RFC 9112) between a socket and `handle`, as a protocol class for uvicorn.

uvicorn keeps sockets, processes, signals, TLS and the graceful stop: `uvicorn.Config(UvicornApplication(...),
http=Protocol)`. `connection` decides, without I/O; `protocol` acts on a transport; `registry` holds what all
connections of a process share. The bounds are settings (`docstore.limits`).

httptools was rejected as the parser: it accepts malformed requests, stops at methods it doesn't know, has no bound on
a line or a section, and can't pause between pipelined requests. Each rule would have to read the raw bytes again.
"""

from docstore.server.http1.protocol import Protocol
from docstore.server.http1.registry import UvicornApplication

__all__ = ["Protocol", "UvicornApplication"]
