"""The Host check, against DNS rebinding: a page can make its name resolve to this machine, but then sends that name.

So a store on loopback accepts only loopback names. Programs send a Host too, so the check applies to them as well.
"""

from typing import Final

from docstore.http.message import Headers
from docstore.server.errors import HTTPProblem

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


def check_host(headers: Headers, hosts: frozenset[str] | None) -> None:
    """Raise HTTPProblem if Host names none of `hosts`; None allows any.

    Requests without Host pass: only HTTP/1.0 has them, and no browser sends it.
    """
    if hosts is not None and (name := headers.cached(_host_name)) is not None and name not in hosts:
        raise HTTPProblem("wrong-host", f"this store does not accept the host {(headers.get('host') or '')[:100]!r}")


def _host_name(headers: Headers) -> str | None:
    """Return the name in Host, in lower case and without a port: `[::1]:8080` gives `[::1]`; None without Host."""
    host = headers.get("host")
    return None if host is None else _without_port(host)


def host_of(origin: str) -> str:
    """Return the name in a normalized origin, as Host would have it."""
    return _without_port(origin.partition("://")[2])


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and (port.isdigit() or not port) else host).lower()
