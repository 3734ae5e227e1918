"""Two checks against other sites' pages, which can send requests to this machine through its user's browser.

The Host check, against DNS rebinding: a page can make its name resolve to this machine, but then sends that name. So a
store on loopback answers only to loopback names and its public ones, to programs too.

The same-site check, against cross-site request forgery: an unsafe method is rejected if any header that a browser adds
names another site, unless the mount's CORS policy allows that site. Programs send none of these headers. A proxy that
rewrites Host makes the store's own pages look foreign: then the public URLs say which origins are the store's own.
"""

from collections.abc import Collection
from typing import Final

from docstore.http.message import Headers, Request
from docstore.http.url import normalize_origin
from docstore.server.errors import HTTPProblem
from docstore.server.security.cors import CorsPolicy

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "QUERY"})
BROWSER_HEADERS: Final = frozenset({b"sec-fetch-site", b"origin", b"referer"})


def check_host(headers: Headers, hosts: frozenset[str] | None) -> None:
    """Raise HTTPProblem if Host names none of `hosts`; None allows any.

    Requests without Host pass: only HTTP/1.0 has them, and no browser sends it.
    """
    if hosts is not None and (name := headers.cached(host_name)) is not None and name not in hosts:
        raise HTTPProblem("wrong-host", f"this store does not accept the host {(headers.get('host') or '')[:100]!r}")


def host_name(headers: Headers) -> str | None:
    """Return the name in Host, in lower case and without a port: `[::1]:8080` gives `[::1]`; None without Host."""
    host = headers.get("host")
    return None if host is None else _without_port(host)


def host_of(origin: str) -> str:
    """Return the name in a normalized origin, as Host would have it."""
    return _without_port(origin.partition("://")[2])


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and (port.isdigit() or not port) else host).lower()


def check_same_site(request: Request, cors: CorsPolicy | None, public_origins: Collection[str] = ()) -> None:
    """Raise HTTPProblem if a browser sends this on behalf of a site that `cors` does not allow."""
    headers = request.headers
    if BROWSER_HEADERS.isdisjoint(headers.names) or (cors is not None and cors.allows_write(headers)):
        return
    site = headers.get("sec-fetch-site")
    if site not in (None, "same-origin", "none"):
        raise HTTPProblem("cross-site", f"sent by a {site[:20]} page, says the browser")
    for name in ("origin", "referer"):
        url = headers.get(name)
        if url is not None and not _is_own(url, request, public_origins):
            raise HTTPProblem("cross-site", f"sent by {url[:100]!r}; --public-url names other origins of the store")


def check_same_origin(request: Request, public_origins: Collection[str] = ()) -> None:
    """Raise HTTPProblem unless a browser says that a page of the store sends this: CORS does not count here.

    A browser adds the cookie of a session by itself, so requests with one need more than the absence of another site.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is None and origin is None:
        raise HTTPProblem("cross-site", "with the cookie of a login, writes need Origin or Sec-Fetch-Site")
    if site not in (None, "same-origin") or (origin is not None and not _is_own(origin, request, public_origins)):
        raise HTTPProblem("cross-site", "with the cookie of a login, only pages of the store itself can write")


def _is_own(url: str, request: Request, public_origins: Collection[str]) -> bool:
    origin = normalize_origin(url)
    return origin is not None and (origin in public_origins or origin == _own_origin(request, origin))


def _own_origin(request: Request, origin: str) -> str | None:
    """Return the origin that Host names, with the scheme of `origin` if only the browser knows it, behind a proxy."""
    scheme = request.scheme or origin.partition(":")[0]
    return normalize_origin(f"{scheme}://{request.headers.get('host') or ''}")
