"""Who sends a request, and what that client may see: `AccessControl.view` turns credentials into mounts.

A client gets only the mounts in which it has rights, each with an engine that enforces them (`guarded_engine.py`). So
every resource that works on the mounts of a view, such as a listing or the list of mounts, shows what the client may
see and nothing else. Credentials are a token, as Bearer (RFC 6750) or as the password of Basic (RFC 7617, any user),
the cookie of a session that began with a token, or a signed link in the URL. Nothing is kept for failed attempts, so
they take no memory and lock no client out.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from docstore.http.message import HeaderPairs, Headers, Request
from docstore.model import Clock
from docstore.server.errors import HTTPProblem
from docstore.server.mounts import Mount, Mounts
from docstore.server.security.ended import EndedIds
from docstore.server.security.guarded_engine import guarded
from docstore.server.security.rates import RateLimiter
from docstore.server.security.rights import ALL_RIGHTS, Rights
from docstore.server.security.sessions import Sessions
from docstore.server.security.signed_links import SignedLinks, VerifiedLink, narrowed_mounts
from docstore.server.security.signing_key import SigningKey
from docstore.server.security.state_files import WatchedFile
from docstore.server.security.token_quota import TokenQuotaEngine, TokenUsage
from docstore.server.security.tokens import NO_DIGEST, TOKEN_PATTERN, Token, Tokens
from docstore.units import parse_rate

CHALLENGES: Final = [
    (b"www-authenticate", b'Bearer realm="docstore"'),
    (b"www-authenticate", b'Basic realm="docstore", charset="UTF-8"'),
]

_OPEN_SERVICES: Final = ("health", "web", "problems")
"""The services below `/-/` that everybody may use: they show nothing of the store."""

LINK_VIEWS: Final = 1000
"""Links whose views are kept."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The id of the token that a client sent, and the digest of its secret; empty if it is no token."""

    id: str
    sha256: str


@dataclass(frozen=True, slots=True)
class View:
    """What one client sees of a store."""

    mounts: Mounts
    token: Token | None
    """None for a client without credentials."""
    denial: Callable[[str], HTTPProblem] | None
    """Makes the problem for a write outside these mounts; None for a client that sees all mounts as they are."""

    limiter: RateLimiter | None = None
    link: VerifiedLink | None = None
    """The link by which the client sees it; `token` is then the one that made the link."""

    def check_unsafe(self, method: str, mount: Mount | None, key: str, parts: list[str] | None) -> None:
        """Raise HTTPProblem for an unsafe method that the client may not perform, whatever the state of the store.

        Outside the mounts of the client the answer is the same, whether or not there is a mount.
        """
        if self.link is not None:
            self.link.check_method(method)
        if mount is not None:
            if mount.rights is not None:
                mount.rights.check_unsafe(method, key)
        elif self.denial is not None and (self.token is None or not is_service(parts)):
            raise self.denial({"DELETE": "delete", "PATCH": "replace"}.get(method, "create"))

    def permits(self, method: str, mount: Mount | None, key: str, parts: list[str] | None) -> bool:
        try:
            self.check_unsafe(method, mount, key, parts)
        except HTTPProblem:
            return False
        return True


class AccessControl:
    """The clients of a store: those with tokens, and those without credentials, who have the rights `anonymous`."""

    def __init__(self, mounts: Mounts, tokens: Tokens | None, anonymous: frozenset[str], clock: Clock) -> None:
        """Without `tokens`, credentials are ignored."""
        self._mounts = mounts
        self._file = None if tokens is None else WatchedFile[Mapping[str, Token]](tokens.path, tokens.parse, {})
        self.sessions: Sessions | None = None
        self.links: SignedLinks | None = None
        if tokens is not None:
            data = tokens.path.parent
            key, ended = SigningKey(data), EndedIds(data, clock)
            self.sessions = Sessions(key, ended, clock)
            self.links = SignedLinks(key, ended, EndedIds(data, clock, "used"), clock)
        self._anonymous = anonymous
        self._clock = clock
        denial = _unauthorized if tokens else _read_only
        self.anonymous_view: Final = self._make_view(None, denial) if anonymous else None
        """What clients without credentials see; None if they have no rights."""
        self._views: dict[str, View] = {}
        self._viewed: Mapping[str, Token] = {}
        self._link_views: dict[tuple[str, str], View] = {}
        """By the text of a link and the method of a request."""

    def view(self, request: Request, link: str | None = None, *, sessions: bool = True) -> View:
        """Raise HTTPProblem: 401 without valid credentials, 403 for a link that is not, 503 if they can't be checked.

        A link counts alone: with one, other credentials are ignored. Without `sessions`, cookies are ignored, and
        `request.user` stays None.
        """
        tokens = self._tokens()
        if link is not None and self.links is not None:
            return self._view_by_link(request, link, self.links, tokens)
        if sessions and self.sessions is not None:
            request.user = ""
        credentials = None if self._file is None else request.headers.cached(parse_credentials)
        # Beside Authorization, cookies are ignored: what a client sends on purpose counts.
        if credentials is not None:
            return self._view_by_token(self._check(credentials, tokens))
        if sessions and self.sessions is not None:
            token = self.sessions.authenticate(request, tokens)
            if token is not None:
                request.user = token.note or token.id
                return self._view_by_token(token)
        if self.anonymous_view is None:
            hint = "" if tokens else "; this store has no tokens yet, and 'docstore token create' makes one"
            raise _unauthorized(f"send a token{hint}")
        return self.anonymous_view

    def _view_by_token(self, token: Token) -> View:
        view = self._views.get(token.id)
        if view is None:
            view = self._views[token.id] = self._make_view(token, _forbidden)
        return view

    def _view_by_link(self, request: Request, text: str, links: SignedLinks, tokens: Mapping[str, Token]) -> View:
        """Return the view of a link, which is made once, and set `request.link`. Raise HTTPProblem (403, 503)."""
        method = request.method
        # PERF: verifying takes as long as four GETs. A look-up compares hashes, which have a random key.
        view = self._link_views.get((text, method))
        if view is None:
            link = links.verify(text, tokens)
            whole = self._view_by_token(link.token)
            mounts = narrowed_mounts(link.grant, method, whole.mounts)
            view = replace(whole, mounts=mounts, denial=_forbidden, link=link)
            if len(self._link_views) >= LINK_VIEWS:
                del self._link_views[next(iter(self._link_views))]
            self._link_views[text, method] = view
        if view.link is not None:
            request.link = view.link.id
            links.check(view.link)
        return view

    def view_at_login(self, request: Request) -> View | None:
        """As `view`, but None without valid credentials, and all may write: to log in and out."""
        try:
            return replace(self.view(request), denial=None)
        except HTTPProblem as problem:
            if problem.type.name != "unauthorized":
                raise
            return None

    def log_in(self, text: str) -> Token:
        """Return the token with this text. Raise HTTPProblem as `view` does."""
        return self._check(_credentials_of(TOKEN_PATTERN.fullmatch(text.strip())), self._tokens())

    def _tokens(self) -> Mapping[str, Token]:
        """Return the tokens as they are now. Raise HTTPProblem (503) if they can't be read."""
        tokens: Mapping[str, Token] | None = {} if self._file is None else self._file.current()
        if tokens is None:
            raise HTTPProblem("access-unavailable")
        if self._viewed is not tokens:
            # A view that was made for a token which has changed is never used again.
            self._views = {id: view for id, view in self._views.items() if tokens.get(id) == view.token}
            self._link_views.clear()
            self._viewed = tokens
        return tokens

    def _check(self, credentials: Credentials, tokens: Mapping[str, Token]) -> Token:
        """Return the token of these credentials. Raise HTTPProblem (401)."""
        token = tokens.get(credentials.id)
        # For an unknown id, the comparison takes as long and fails.
        valid = hmac.compare_digest(credentials.sha256, NO_DIGEST if token is None else token.sha256)
        if token is None or not valid or token.is_expired(self._clock()):
            raise _unauthorized("the token is unknown, revoked or expired")
        return token

    def _make_view(self, token: Token | None, denial: Callable[[str], HTTPProblem]) -> View:
        usage = None
        if token is not None and token.quota is not None:
            counted = [mount for mount in self._mounts if token.mount in (None, mount.name)]
            usage = TokenUsage([(mount.engine, token.prefix) for mount in counted], token.quota)
        seen = [self._seen(mount, token, denial, usage) for mount in self._mounts]
        mounts = [mount for mount in seen if mount is not None]
        sees_all = all(mount.rights is None for mount in mounts) and len(mounts) == len(seen)
        limiter = RateLimiter("token", parse_rate(token.rate)) if token is not None and token.rate else None
        return View(Mounts(mounts), token, None if sees_all else denial, limiter)

    def _seen(
        self, mount: Mount, token: Token | None, denial: Callable[[str], HTTPProblem], usage: TokenUsage | None
    ) -> Mount | None:
        """Return the mount as the client sees it; None if it has no rights there."""
        covers = token is not None and token.mount in (None, mount.name)
        own, prefix = (token.rights, token.prefix) if token is not None and covers else (frozenset[str](), "")
        rights = Rights(prefix, own | self._anonymous, self._anonymous, denial)
        if not rights.below:
            return None
        engine = TokenQuotaEngine(mount.engine, usage) if covers and usage is not None else mount.engine
        if rights.on("") == ALL_RIGHTS:
            seen = mount if engine is mount.engine else replace(mount, engine=engine)
        else:
            seen = replace(mount, engine=guarded(engine, rights), rights=rights)
        if covers and token is not None and token.max_document is not None:
            seen = replace(seen, max_document=min(mount.size_limit, token.max_document))
        return seen


def without_basic(headers: HeaderPairs) -> HeaderPairs:
    """Remove the challenge for which a browser opens a dialog of its own."""
    return [pair for pair in headers if pair != CHALLENGES[1]]


def is_service(parts: list[str] | None) -> bool:
    """Whether these segments of a path are the root or a service, and not in a mount."""
    return parts is not None and (parts in ([], [""]) or parts[0] in ("-", ".well-known"))


def is_login(parts: list[str] | None) -> bool:
    """Whether these segments of a path are those of the login or the logout, which every client may use."""
    return parts is not None and len(parts) == 2 and parts[0] == "-" and parts[1] in ("login", "logout")


def is_open(parts: list[str] | None) -> bool:
    """Whether everybody may use the resource at a path of these segments."""
    return parts is not None and len(parts) > 1 and parts[0] == "-" and parts[1] in _OPEN_SERVICES


def parse_credentials(headers: Headers) -> Credentials | None:
    """Return what Authorization says; None without it."""
    lines = headers.lines("authorization")
    if not lines:
        return None
    scheme, _, value = lines[0].partition(" ")
    match = None
    if len(lines) == 1 and scheme.lower() == "bearer":
        match = TOKEN_PATTERN.fullmatch(value.strip(" "))
    elif len(lines) == 1 and scheme.lower() == "basic":
        match = TOKEN_PATTERN.fullmatch(_password(value.strip(" ")))
    return _credentials_of(match)


def _credentials_of(match: re.Match[str] | None) -> Credentials:
    # The digest is what is kept and compared, so that the time of a comparison says nothing about the secret.
    return Credentials(match[1], sha256(match[2].encode("ascii")).hexdigest()) if match else Credentials("", "")


def _password(value: str) -> str:
    """Return the password in the credentials of Basic; "" if they are invalid."""
    try:
        return base64.b64decode(value.encode("ascii"), validate=True).decode("utf-8").partition(":")[2]
    except (binascii.Error, UnicodeError):
        return ""


def _unauthorized(detail: str) -> HTTPProblem:
    return HTTPProblem("unauthorized", detail, list(CHALLENGES))


def _forbidden(rights: str) -> HTTPProblem:
    return HTTPProblem("forbidden", f"the token lacks the right: {rights}")


def _read_only(rights: str) -> HTTPProblem:
    return HTTPProblem("forbidden", "this store is read-only")
