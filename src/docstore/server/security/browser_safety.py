"""Two checks against other sites' pages, which can send requests to this machine through its user's browser.

The Host check, against DNS rebinding: a page can make its name resolve to this machine, but then sends that name. So a
store on loopback answers only to loopback names, to programs too.

The same-site check, against cross-site request forgery: an unsafe method that a browser marks as coming from another
site is rejected, unless the mount's CORS policy allows that site. Programs send neither Sec-Fetch-Site nor Origin.
"""

from typing import Final
from urllib.parse import urlsplit

from docstore.http.message import Headers
from docstore.server.errors import HTTPProblem
from docstore.server.security.cors import CorsPolicy

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "QUERY"})
_BROWSER_HEADERS: Final = frozenset({b"sec-fetch-site", b"origin"})


def check_host(headers: Headers, hosts: frozenset[str] | None) -> None:
    """Raise HTTPProblem if Host names none of `hosts`; None allows any.

    Requests without Host pass: only HTTP/1.0 has them, and no browser sends it.
    """
    if hosts is not None and (name := headers.cached(_host_name)) is not None and name not in hosts:
        raise HTTPProblem("wrong-host", f"this store does not answer to {(headers.get('host') or '')[:100]!r}")


def _host_name(headers: Headers) -> str | None:
    """Return the name in Host, in lower case and without a port: `[::1]:8080` gives `[::1]`; None without Host."""
    host = headers.get("host")
    if host is None:
        return None
    name, colon, port = host.rpartition(":")
    return (name if colon and (port.isdigit() or not port) else host).lower()


def check_same_site(headers: Headers, cors: CorsPolicy | None) -> None:
    """Raise HTTPProblem if a browser sends this on behalf of a site that `cors` does not allow."""
    if _BROWSER_HEADERS.isdisjoint(headers.names) or (cors is not None and cors.allows(headers)):
        return
    site = headers.get("sec-fetch-site")
    if site is not None:
        if site not in ("same-origin", "none"):
            raise HTTPProblem("cross-site", f"sent by a {site[:20]} page, says the browser")
        return
    origin, host = headers.get("origin"), headers.get("host")
    if origin is not None and not (host and _authority(origin) == host.lower()):
        raise HTTPProblem("cross-site", f"sent by {origin[:100]!r}")


def _authority(origin: str) -> str:
    """Return host and port of an Origin, in lower case; "" for `null` and invalid origins."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
