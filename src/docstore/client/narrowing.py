"""Signed links, narrowed without the server. Commands on documents don't load this module."""

import time
from collections.abc import Iterable
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from docstore.client.options import TTL, seconds_of
from docstore.http.url import encode
from docstore.links import LINK_ID, LINK_PARAMETER, Caveats, InvalidLink, SignedLink, in_order, new_once


def narrow_link(
    url: str,
    /,
    *,
    key: str | None = None,
    prefix: str | None = None,
    expires: TTL | None = None,
    methods: Iterable[str] | None = None,
    max_document: int | None = None,
    types: Iterable[str] | None = None,
    once: bool = False,
) -> str:
    """Return the URL of a link that allows less than the link in `url`. No server is asked.

    Each option only takes away. `key` and `prefix` are in the mount of the link. Raise ValueError if `url` has no link,
    or if the link would allow nothing.
    """
    parts, link = _link_in(url)
    before = link.grant()
    caveats = Caveats(
        None if key is None and prefix is None else before.mount,
        key,
        prefix,
        None if methods is None else in_order(methods),
        None if expires is None else int(time.time()) + seconds_of(expires),
        max_document,
        None if types is None else tuple(kind.lower() for kind in types),
        new_once() if once else None,
    )
    narrowed = link.narrowed(caveats)
    after = narrowed.grant()
    if not after.methods:
        raise InvalidLink("the link does not allow this, so there is nothing left of it")
    path = parts.path
    if caveats.mount is not None:
        decoded, scope = unquote(path), f"/{before.mount}/{before.prefix}"
        # Before the mount there may be a path of a proxy, which may have the same name.
        start = len(decoded) - len(scope) if decoded.endswith(scope) else decoded.find(scope)
        if start < 0:
            raise InvalidLink("the URL is not that of the link")
        path = encode(f"{decoded[:start]}/{before.mount}/{after.prefix}")
    return urlunsplit(parts._replace(path=path, query=f"{LINK_PARAMETER}={narrowed.encode()}"))


def link_id(link: str) -> str:
    """Return the id of a link, of which this is the URL or already the id. Raise ValueError."""
    if "?" in link:
        return _link_in(link)[1].id
    if not LINK_ID.fullmatch(link):  # anything else could lead to another path
        raise InvalidLink("that is neither the URL of a signed link nor its id")
    return link


def _link_in(url: str) -> tuple[SplitResult, SignedLink]:
    parts = urlsplit(url)
    found = [
        value for name, _, value in (part.partition("=") for part in parts.query.split("&")) if name == LINK_PARAMETER
    ]
    if len(found) != 1:
        raise InvalidLink("the URL has no signed link, such as http://host/docs/report?link=dsl_...")
    return parts, SignedLink.parse(found[0])
