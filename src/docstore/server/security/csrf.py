"""The same-site check, against cross-site request forgery: pages on other sites can send requests to this machine.

An unsafe method that a browser marks as coming from another site is rejected, unless the mount's CORS policy allows
that site. Programs send neither Sec-Fetch-Site nor Origin.
"""

from typing import Final
from urllib.parse import urlsplit

from docstore.http.message import Headers
from docstore.server.errors import HTTPProblem
from docstore.server.security.cors import CorsPolicy

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "QUERY"})
_BROWSER_HEADERS: Final = frozenset({b"sec-fetch-site", b"origin"})


def check_same_site(headers: Headers, cors: CorsPolicy | None) -> None:
    """Raise HTTPProblem if a browser sends this on behalf of a site that `cors` does not allow."""
    if _BROWSER_HEADERS.isdisjoint(headers.names) or (cors is not None and cors.allows(headers)):
        return
    site = headers.get("sec-fetch-site")
    if site is not None:
        if site not in ("same-origin", "none"):
            raise HTTPProblem("cross-site", f"the browser reports a {site[:20]} request")
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
