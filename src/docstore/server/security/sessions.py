"""Sessions: a browser that has logged in with a token sends a cookie from then on, and does not keep the token.

    docstore-session-8080=ID.SIGNATURE  the port, if Host has one, because browsers send cookies to all ports of a host;
                                        ID as in `ended.py`: the id of the token, the end of the session, random

Nothing is kept about a session until it is ended. The signature covers the digest of the token, so a session dies with
its token, and it has the rights that the token has now. A cookie that is damaged, foreign or old is no credential, and
the response removes it.
"""

import asyncio
import hmac
import re
from collections.abc import Mapping
from typing import Final

from docstore.http.headers import split_list
from docstore.http.message import HeaderPairs, Headers, Request, Response
from docstore.http.negotiation import names
from docstore.model import Clock
from docstore.server.security.ended import ENDABLE_ID, EndedIds, expiry_of, make_endable_id, token_of
from docstore.server.security.signing_key import SigningKey, mac
from docstore.server.security.tokens import Token

SESSION_S: Final = 12 * 3600
"""Seconds after which a session ends, or earlier with its token."""
CLOCK_DIFFERENCE_S: Final = 60
"""By how much the clock of the server where a session began may be ahead of that of another one."""

_PURPOSE: Final = b"session"
_NAME: Final = "docstore-session"
_SECURE_PREFIX: Final = "__Host-"
"""Browsers accept a name with it from https only, and no other host can set it (RFC 6265bis, cookie name prefixes)."""
_VALUE: Final = re.compile(rf"({ENDABLE_ID.pattern})\.([0-9a-f]{{64}})")
_BROWSER_HEADERS: Final = frozenset({b"cookie", b"sec-fetch-mode", b"x-requested-with"})


class Sessions:
    """The sessions of a store. Methods raise HTTPProblem (503) if the key can't be used."""

    def __init__(self, key: SigningKey, ended: EndedIds, clock: Clock) -> None:
        self._key = key
        self._ended = ended
        self._clock = clock

    def authenticate(self, request: Request, tokens: Mapping[str, Token]) -> Token | None:
        """Return the token of the session whose cookie the request has, and set `request.session`."""
        values = _values(request)
        if not values:
            return None
        match = _VALUE.fullmatch(values[0]) if len(values) == 1 else None
        token = None if match is None else tokens.get(token_of(match[1]))
        if match is None or token is None or not self._is_valid(match[1], match[2], token):
            request.session = ""
            return None
        request.session = match[1]
        return token

    def _is_valid(self, id: str, signature: str, token: Token) -> bool:
        now_ns = self._clock()
        key = self._key.current()
        if key is None or not hmac.compare_digest(signature, _sign(key, id, token)):
            return False
        # A clock that was set back must not make a session longer.
        in_time = now_ns < expiry_of(id) * 10**9 <= now_ns + (SESSION_S + CLOCK_DIFFERENCE_S) * 10**9
        return in_time and not token.is_expired(now_ns) and not self._ended.has(id)

    async def begin(self, request: Request, token: Token) -> HeaderPairs:
        """Begin a session, and return the header that sets its cookie."""
        now_s = self._clock() // 10**9
        expires_s = now_s + SESSION_S
        if token.expires_ns is not None:
            expires_s = min(expires_s, token.expires_ns // 10**9)
        key = await self._key.get_or_create()
        id = request.session = make_endable_id(token.id, expires_s)
        name, secure_name = _names(request.headers)
        if _is_https(request):
            name = secure_name
        return [_set_cookie(name, f"{id}.{_sign(key, id, token)}", max(0, expires_s - now_s))]

    async def end(self, request: Request) -> None:
        """End the session of a request for all workers; the Store removes its cookie."""
        if request.session:
            await asyncio.to_thread(self._ended.end, request.session)
            request.session = ""


def remove_cookies(request: Request, response: Response) -> None:
    """Let the browser remove the cookies of the request."""
    cookies = request.headers.cached(_parse_cookies)
    response.headers += [_set_cookie(name, "", 0) for name in _names(request.headers) if name in cookies]


def make_private(response: Response) -> None:
    """Let no cache share the response, unless the document was stored with `public`.

    Shared caches keep responses to requests with a cookie or a link, unlike those with Authorization (RFC 9111 §3.5).
    Pages and listings, which have no ETag, are not kept at all: browsers show what they have kept by Back, also after
    the logout.
    """
    has_etag = any(name == b"etag" for name, _ in response.headers)
    for index, (name, value) in enumerate(response.headers):
        if name == b"cache-control":
            directives = {directive.lower() for directive in split_list(value.decode("latin-1"))}
            if not has_etag:
                response.headers[index] = (name, b"no-store")
            elif directives.isdisjoint(("no-store", "private", "public")):
                response.headers[index] = (name, value + b", private")
            return
    response.headers.append((b"cache-control", b"private"))


def shows_login(headers: Headers) -> bool:
    """Whether the client is a browser that shows the login: a challenge of Basic would open a dialog instead."""
    return not _BROWSER_HEADERS.isdisjoint(headers.names) or names(headers.get("accept"), "text/html")


def _values(request: Request) -> list[str]:
    """Return the values of the cookie that counts."""
    cookies = request.headers.cached(_parse_cookies) if b"cookie" in request.headers.names else None
    if not cookies:
        return []
    name, secure_name = _names(request.headers)
    # Over https, a cookie without the prefix may come from another host.
    return cookies.get(secure_name) or ([] if request.scheme == "https" else cookies.get(name, []))


def _names(headers: Headers) -> tuple[str, str]:
    """Return the names of the cookie for http and for https."""
    port = (headers.get("host") or "").rpartition(":")[2]
    suffix = f"-{port}" if port.isascii() and port.isdigit() else ""
    return _NAME + suffix, _SECURE_PREFIX + _NAME + suffix


def _parse_cookies(headers: Headers) -> dict[str, list[str]]:
    """Return the values of the cookies of sessions, of those at other ports too, by name."""
    cookies: dict[str, list[str]] = {}
    for line in headers.lines("cookie"):
        for pair in line.split(";"):
            name, _, value = pair.strip(" \t").partition("=")
            if name.removeprefix(_SECURE_PREFIX).startswith(_NAME):
                cookies.setdefault(name, []).append(value)
    return cookies


def _sign(key: bytes, id: str, token: Token) -> str:
    return mac(key, _PURPOSE, f"{id}.{token.sha256}".encode("ascii")).hex()


def _is_https(request: Request) -> bool:
    """Whether the browser uses https, as far as the server knows: by its own TLS, a trusted proxy, or the page."""
    return request.scheme == "https" or (request.headers.get("origin") or "").lower().startswith("https://")


def _set_cookie(name: str, value: str, max_age_s: int) -> tuple[bytes, bytes]:
    secure = "; Secure" if name.startswith(_SECURE_PREFIX) else ""
    text = f"{name}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}"
    return b"set-cookie", text.encode("ascii")
