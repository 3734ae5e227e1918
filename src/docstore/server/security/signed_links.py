"""The links of a store: signed for a token, verified, used up and revoked. `docstore/links.py` has their format.

A link has the rights of its token as they are now, less what its caveats take away, and it ends with the token. The
hash of the token's secret is part of what is signed, so that another token with the same id would not revive a link.
"""

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import unquote_plus

from docstore.errors import DocstoreError, EngineError, NoSpace, OutcomeUnknown, StorageUnavailable
from docstore.http.headers import TooManyMembers
from docstore.http.message import Request, Response
from docstore.links import LINK_PARAMETER, Caveats, Grant, InvalidLink, SignedLink, sign_block
from docstore.model import Clock
from docstore.server.errors import HTTPProblem
from docstore.server.mounts import Mount, Mounts
from docstore.server.responses import ALWAYS_PRIVATE
from docstore.server.security.ended import EndedIds, make_endable_id, token_of
from docstore.server.security.guarded_engine import guarded
from docstore.server.security.rights import ALL_RIGHTS, Rights
from docstore.server.security.signing_key import SigningKey, mac
from docstore.server.security.state_files import CHECK_INTERVAL_S
from docstore.server.security.tokens import NO_DIGEST, Token

CHECKED_LINKS: Final = 1000
"""Links of which it is known when they were checked."""

_RIGHTS_OF: Final = {
    "GET": frozenset({"read"}),
    "LIST": frozenset({"list"}),
    "PUT": frozenset({"create", "replace"}),
    "POST": frozenset({"create", "replace"}),
    "PATCH": frozenset({"read", "replace"}),
    "DELETE": frozenset({"delete"}),
}
_ONLY_LINK: Final = f"{LINK_PARAMETER}="
_ONE_SUFFICES: Final = ("PUT", "POST")
"""Methods that are of use with one of their rights."""


def missing_rights(methods: tuple[str, ...], held: frozenset[str]) -> list[str]:
    """Return the rights that a token lacks to sign a link for these methods."""
    missing: set[str] = set()
    for method in methods:
        needed = _RIGHTS_OF[method]
        if not (method in _ONE_SUFFICES and needed & held):
            missing |= needed - held
    return sorted(missing)


@dataclass(frozen=True, slots=True)
class VerifiedLink:
    """A link whose signature is right."""

    id: str
    token: Token
    grant: Grant
    methods: frozenset[str]
    """Of HTTP, that it allows for some document or listing."""
    expires_ns: int
    """When it ends, or its token before it."""
    use_id: str
    """The id that ends when a link with `once` is used; "" for a link without."""
    key: bytes = field(repr=False)
    """The key that has signed it."""

    @classmethod
    def make(cls, id: str, token: Token, grant: Grant, use_id: str, key: bytes) -> "VerifiedLink":
        reading = {"GET", "HEAD"} if grant.methods & {"GET", "LIST"} else set()
        ends_ns = [moment_ns for moment_ns in (grant.until * 10**9, token.expires_ns) if moment_ns is not None]
        return cls(id, token, grant, grant.methods - {"LIST"} | reading | {"OPTIONS"}, min(ends_ns), use_id, key)

    def check_method(self, method: str) -> None:
        """Raise HTTPProblem for a method that the link does not allow."""
        if method not in self.methods:
            raise HTTPProblem("forbidden", f"the link does not allow {method[:20]}")

    def is_used_up_by(self, method: str) -> bool:
        """Whether a request that succeeds uses it up."""
        return self.use_id != "" and method not in ("HEAD", "OPTIONS")

    def check(self, request: Request, mount: Mount | None) -> None:
        """Raise HTTPProblem for a request that the link does not allow, whatever document it is about."""
        if mount is None:
            raise HTTPProblem("forbidden", "a link is for the documents that it names, and for nothing else")
        self.check_method(request.method)
        if self.grant.types and request.method in ("PUT", "POST"):
            media_type = request.headers.get("content-type")
            if media_type is None or not self.grant.accepts_type(media_type):
                types = " and ".join(" or ".join(group) for group in self.grant.types)
                raise HTTPProblem("unsupported-type", f"with this link, Content-Type must be {types}")


class SignedLinks:
    """The links of a store."""

    def __init__(
        self,
        key: SigningKey,
        ended: EndedIds,
        used: EndedIds,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ended` are the ids of links that were revoked, and of sessions; `used` are use ids."""
        self._key = key
        self.ended: Final = ended
        self.used: Final = used
        self._clock = clock
        self._monotonic = monotonic
        self._next_checks_s: dict[str, float] = {}
        """When to look again whether a link was revoked, or the key replaced, by the link's id."""

    async def sign(self, token: Token, caveats: Caveats) -> SignedLink:
        """Return a new link of a token; it needs a scope, `methods` and `until`. Raise HTTPProblem and InvalidLink."""
        id = make_endable_id(token.id, caveats.until or 0)
        return sign_block(id, caveats, _root(await self._key.get_or_create(), id, token.sha256))

    def verify(self, text: str, tokens: Mapping[str, Token]) -> VerifiedLink:
        """Check everything that stays true while key and tokens are the same. Raise HTTPProblem (403, 503)."""
        key = self._key.current()
        try:
            link, grant = SignedLink.parse_with_grant(text)
        except InvalidLink:
            raise _invalid() from None
        token = tokens.get(token_of(link.id))
        # For an unknown token, the comparison takes as long and fails.
        root = _root(key or b"", link.id, NO_DIGEST if token is None else token.sha256)
        signatures = link.signatures(root)
        valid = hmac.compare_digest(signatures[-1], link.signature)
        if key is None or token is None or not valid:
            raise _invalid()
        use_id = "" if grant.once is None else link.id[:-16] + signatures[grant.once][:8].hex()
        return VerifiedLink.make(link.id, token, grant, use_id, key)

    def check(self, link: VerifiedLink) -> None:
        """Check what may change with each request. Raise HTTPProblem (403, 503)."""
        if link.expires_ns <= (now_ns := self._clock()):
            cause = " with the token that made it" if link.token.is_expired(now_ns) else ""
            raise HTTPProblem("forbidden", f"the link has expired{cause}")
        # PERF: as for tokens, not at each request: a look-up takes a third of the time of a GET.
        if (now_s := self._monotonic()) >= self._next_checks_s.get(link.id, 0.0):
            if self._key.current() != link.key:
                raise _invalid()
            if self.ended.has(link.id):
                raise HTTPProblem("forbidden", "the link was revoked")
            if len(self._next_checks_s) >= CHECKED_LINKS:
                self._next_checks_s.clear()
            self._next_checks_s[link.id] = now_s + CHECK_INTERVAL_S
        if link.use_id and self.used.has(link.use_id):
            raise _used()

    async def use(self, link: VerifiedLink, perform: Callable[[], Awaitable[Response]], *, safe: bool) -> Response:
        """Perform a request that uses up a link with `once`, unless nothing was done.

        The link stays used if nobody knows what was done, because it must not be used twice.
        """
        if not await asyncio.to_thread(self.used.end, link.use_id):
            raise _used()
        try:
            response = await perform()
        except Exception as error:
            if safe or _changed_nothing(error):
                await self._release(link)
            raise
        if response.status >= 300:
            await self._release(link)
        return response

    async def _release(self, link: VerifiedLink) -> None:
        await asyncio.to_thread(self.used.release, link.use_id)

    async def revoke(self, id: str) -> None:
        """End a link before its time, for this process at once. Raise HTTPProblem (503)."""
        await asyncio.to_thread(self.ended.end, id)
        self._next_checks_s.pop(id, None)


def _rights_for(method: str, grant: Grant) -> frozenset[str]:
    """Return the rights that a request has by its method: a link for PATCH does not read, though PATCH needs to."""
    names = grant.methods if method == "OPTIONS" else grant.methods & {"GET", "LIST", method}
    return frozenset[str]().union(*(_RIGHTS_OF[name] for name in names))


def narrowed_mounts(grant: Grant, method: str, mounts: Mounts) -> Mounts:
    """Return the mount of a link, as it is for a request by the link, from those that its token sees."""
    mount = mounts.at(f"/{grant.mount}")
    if mount is None:
        return Mounts([])
    held = ALL_RIGHTS if mount.rights is None else mount.rights.on(grant.prefix)
    rights = Rights(grant.prefix, held & _rights_for(method, grant), frozenset(), _denial, grant.is_key)
    limit = mount.size_limit if grant.max_document is None else min(mount.size_limit, grant.max_document)
    engine = guarded(mount.engine, rights)
    return Mounts([replace(mount, engine=engine, rights=rights, max_document=limit, cache_control=ALWAYS_PRIVATE)])


def find_link(query: str) -> str | None:
    """Return the link in a query; None if it has none. Raise HTTPProblem."""
    # PERF: nearly all queries with a link have nothing else.
    if query.startswith(_ONLY_LINK) and "&" not in query:
        return query[len(_ONLY_LINK) :]
    if "link" not in query and "%" not in query:
        return None
    found = [part for part in query.split("&") if unquote_plus(part.partition("=")[0]) == LINK_PARAMETER]
    if len(found) > 1:
        raise HTTPProblem("invalid-query", "a URL has at most one link")
    return found[0].partition("=")[2] if found else None


def _changed_nothing(error: Exception) -> bool:
    """Whether a write that raised this was certainly not carried out."""
    if isinstance(error, EngineError):
        return isinstance(error, NoSpace | StorageUnavailable) and not isinstance(error, OutcomeUnknown)
    return isinstance(error, HTTPProblem | TooManyMembers | DocstoreError)


def _root(key: bytes, id: str, secret_sha256: str) -> bytes:
    return mac(key, b"link", f"{secret_sha256} {id}".encode("ascii"))


def _denial(rights: str) -> HTTPProblem:
    return HTTPProblem("forbidden", f"the link lacks the right: {rights}")


def _invalid() -> HTTPProblem:
    return HTTPProblem("forbidden", "the link is not valid: it was changed, or the token that made it was revoked")


def _used() -> HTTPProblem:
    return HTTPProblem("forbidden", "the link was used, and it can be used only once")
