"""What keeps other people's web pages away from a store, and everybody from changing one that is for reading: checks
of Host, Origin, Sec-Fetch-Site and rights.

A page on another site can send requests to a server on this machine, and DNS rebinding can make it look like the same
site. So a store on loopback answers only to loopback names, and an unsafe method that a browser marks as coming from
another site is refused. Programs send a Host too, and no Origin: for them only the first matters.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from docstore.http.message import Headers, Response
from docstore.server.errors import Refusal
from docstore.server.security.cors import Cors

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "QUERY"})
_OF_BROWSERS: Final = frozenset({b"sec-fetch-site", b"origin"})
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True, slots=True)
class Guard:
    """Who may speak to the store. `hosts` are the names in Host that it answers to, None for any."""

    hosts: frozenset[str] | None = None
    anonymous: str = "write"
    """What those without credentials may do: `write` (everything) or `read`."""

    def check_host(self, headers: Headers) -> None:
        """Raises Refusal for a name that this store has not: a page that was rebound to it has one.

        Only HTTP/1.0 knows requests without Host, and no browser sends any.
        """
        if self.hosts is not None and (name := headers.learn(_name)) is not None and name not in self.hosts:
            raise Refusal("wrong-host", f"this store does not answer to {(headers.get('host') or '')[:100]!r}")

    def check_unsafe(self, headers: Headers, cors: Cors | None) -> None:
        """Raises Refusal for what may change something and comes from whom it must not: from a page on a site that the
        mount is not open to, or from anybody without credentials."""
        if cors is None or not cors.allows(headers):
            _check_site(headers)
        if self.anonymous != "write":
            raise Refusal("forbidden", "this store is open for reading only")

    def narrow(self, response: Response) -> None:
        """Leaves in the Allow of an answer to OPTIONS what this client may do, and so says who may write."""
        if self.anonymous == "write":
            return
        for index, (name, value) in enumerate(response.headers):
            # Not in the answer to a preflight, which brings no rights with it and asks for a request that may.
            if name == b"allow":
                safe = [method for method in value.decode("ascii").split(", ") if method in SAFE_METHODS]
                response.headers[index] = (name, ", ".join(safe).encode("ascii"))


def _check_site(headers: Headers) -> None:
    """Raises Refusal for what a browser sends on behalf of another site."""
    if _OF_BROWSERS.isdisjoint(headers.names):
        return
    site = headers.get("sec-fetch-site")
    if site is not None:
        if site not in ("same-origin", "none"):
            raise Refusal("cross-site", f"the browser says that it comes from a {site[:20]} page")
        return
    origin, host = headers.get("origin"), headers.get("host")
    if origin is not None and not (host and _authority(origin) == host.lower()):
        raise Refusal("cross-site", f"it comes from {origin[:100]!r}")


def _name(headers: Headers) -> str | None:
    """The name in Host, lower-case, without its port: `[::1]:8080` gives `[::1]`; None when there is no Host."""
    host = headers.get("host")
    if host is None:
        return None
    name, colon, port = host.rpartition(":")
    return (name if colon and (port.isdigit() or not port) else host).lower()


def _authority(origin: str) -> str:
    """Host and port of an Origin, lower-case; "" for `null` and for what is no origin."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
