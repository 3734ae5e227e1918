"""The same-site check, against cross-site request forgery: pages on other sites can send requests to this machine.

An unsafe method is rejected if any header that a browser adds names another site, unless the mount's CORS policy allows
that site. Programs send none of these headers. A proxy that rewrites Host makes the store's own pages look foreign:
then the public URLs of the store say which origins are its own.
"""

from collections.abc import Collection
from typing import Final

from docstore.http.message import Headers
from docstore.http.url import normalize_origin
from docstore.server.errors import HTTPProblem
from docstore.server.security.cors import CorsPolicy

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "QUERY"})
_BROWSER_HEADERS: Final = frozenset({b"sec-fetch-site", b"origin", b"referer"})


def check_same_site(headers: Headers, cors: CorsPolicy | None, public_origins: Collection[str] = ()) -> None:
    """Raise HTTPProblem if a browser sends this on behalf of a site that `cors` does not allow."""
    if _BROWSER_HEADERS.isdisjoint(headers.names) or (cors is not None and cors.allows(headers)):
        return
    site = headers.get("sec-fetch-site")
    if site not in (None, "same-origin", "none"):
        raise HTTPProblem("cross-site", f"sent by a {site[:20]} page, says the browser")
    for name in ("origin", "referer"):
        url = headers.get(name)
        if url is None:
            continue
        origin = normalize_origin(url)
        if origin is None or (origin not in public_origins and origin != _own_origin(headers, origin)):
            raise HTTPProblem("cross-site", f"sent by {url[:100]!r}; --public-url names other origins of the store")


def _own_origin(headers: Headers, origin: str) -> str | None:
    """Return the origin that Host names, with the scheme of `origin`: behind a proxy only the browser knows it."""
    return normalize_origin(f"{origin.partition(':')[0]}://{headers.get('host') or ''}")
