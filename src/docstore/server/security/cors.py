"""CORS (the Fetch standard): which other sites' pages may use a mount. Off unless the mount names them.

A page of a named site may do what a page of the store may, credentials included, but not write with the cookie of a
login. So the headers are exact: an origin is echoed instead of `*`, Authorization is listed by name, and responses of
every status have them. Preflights get a response without credentials.
"""

from dataclasses import dataclass
from typing import Final

from docstore.http.headers import LIST_LIMIT, is_token
from docstore.http.message import Headers, Response
from docstore.http.stored_headers import STORED_HEADERS
from docstore.http.url import normalize_origin

_SAFELISTED: Final = {"cache-control", "content-language"}
"""Stored headers that scripts may read without being named (the Fetch standard's CORS-safelisted response headers)."""

EXPOSED: Final = ", ".join(
    sorted(
        [
            *(header.name for name, header in STORED_HEADERS.items() if name not in _SAFELISTED),
            *("Accept-Patch", "Accept-Ranges", "Allow", "Content-Digest", "Content-Location", "Content-Range"),
            *("Digest", "ETag", "Link", "Location", "Preference-Applied", "RateLimit", "RateLimit-Policy"),
            *("Repr-Digest", "Retry-After", "Sunset"),
        ]
    )
)
"""Headers that scripts may read, besides the safelisted ones and the `Meta-*` of the response."""

ALLOWED: Final = ", ".join(
    sorted(
        [
            *(header.request_name for header in STORED_HEADERS.values()),
            *("Accept", "Authorization", "Cache-Control", "Content-Digest", "Content-MD5", "Content-Type", "Digest"),
            *("If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Prefer", "Range"),
            *("Repr-Digest", "TTL", "Want-Content-Digest", "Want-Digest", "Want-Repr-Digest"),
        ]
    )
)
"""Headers that scripts may send, besides the `Meta-*` that a preflight names."""

PREFLIGHT_LIFETIME_S: Final = 600


@dataclass(frozen=True, slots=True)
class CorsPolicy:
    """The normalized origins, such as `https://app.example`, whose pages may use a mount; `*` for all, without
    credentials."""

    origins: frozenset[str]

    def allows(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        return origin is not None and ("*" in self.origins or normalize_origin(origin) in self.origins)

    def allows_write(self, headers: Headers) -> bool:
        """As `allows`. For `*`, Basic credentials are rejected: a browser adds them by itself, also without CORS."""
        basic = (headers.get("authorization") or "").lower().startswith("basic")
        return self.allows(headers) and not ("*" in self.origins and basic)

    def add_headers(self, headers: Headers, response: Response) -> None:
        """Add the CORS headers to any response of the mount."""
        star = "*" in self.origins
        if not star:
            _add_vary_origin(response)
        if not self.allows(headers):
            return
        origin = "*" if star else headers.get("origin") or ""
        response.headers.append((b"access-control-allow-origin", origin.encode("latin-1")))
        own = [name for name, _ in response.headers if name.startswith(b"meta-")]
        response.headers.append((b"access-control-expose-headers", b", ".join([EXPOSED.encode("ascii"), *own])))
        if not star:
            response.headers.append((b"access-control-allow-credentials", b"true"))

    def add_preflight_headers(self, headers: Headers, response: Response) -> None:
        """Add to a response to OPTIONS what a preflight asks for, if it is one."""
        if "access-control-request-method" not in headers or not self.allows(headers):
            return
        requested = (headers.get("access-control-request-headers") or "").lower().split(",", LIST_LIMIT)
        names = {name.strip(" \t") for name in requested[:LIST_LIMIT]}
        meta = sorted(name for name in names if name.startswith("meta-") and is_token(name))
        allow = next(value for name, value in response.headers if name == b"allow")
        response.headers += [
            (b"access-control-allow-methods", allow),
            (b"access-control-allow-headers", ", ".join([ALLOWED, *meta]).encode("latin-1")),
            (b"access-control-max-age", b"%d" % PREFLIGHT_LIFETIME_S),
        ]


def _add_vary_origin(response: Response) -> None:
    for index, (name, value) in enumerate(response.headers):
        if name == b"vary":
            response.headers[index] = (name, value + b", Origin")
            return
    response.headers.append((b"vary", b"Origin"))
