"""Negotiation (RFC 9110 §12.5): the media type that a client prefers, and the codings that it accepts; and Prefer.

For media types weights come first, then the order of the offers. The most specific range decides about an offer, so
`text/html;q=0, */*` is "anything but HTML". `application/*+json` matches nothing: the RFC has two wildcards only.

An offer without a charset counts as UTF-8, which all of Docstore's own representations are; so
`application/json; charset=utf-8` matches `application/json`.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal

from docstore.http.headers import MediaType, parse_media_type, parse_parameters, parse_quality, split_list
from docstore.http.message import Headers

CACHED_ACCEPT_SIZE: Final = 512
"""Characters up to which an Accept is cached."""


def choose(accept: str | None, offers: Sequence[str]) -> str | None:
    """Return the best of `offers`, which are in the server's order of preference; None when none is acceptable.

    Without Accept, or with nothing well-formed in it, return the first offer.
    """
    if accept is None or accept == "*/*":  # PERF: most programs; parsing took half of the instructions of a 404
        return offers[0]
    ranges = _parse_accept(accept)
    if not ranges:
        return offers[0]
    best = max(offers, key=lambda offer: _quality(offer, ranges))  # the first of several
    return best if _quality(best, ranges) else None


def names(accept: str | None, media_type: str) -> bool:
    """Whether the client names exactly this type, with the full weight, as browsers name text/html."""
    return any(found.essence == media_type and quality == 1000 for found, quality in _parse_accept(accept or ""))


def accepts_coding(accept_encoding: str | None, coding: str) -> bool:
    """Whether content may be sent in that coding (RFC 9110 §12.5.3): it, or else `*`, has a weight above 0.

    Without the header it may not: every client understands uncoded content.
    """
    weights: dict[str, int] = {}
    for member in split_list(accept_encoding or ""):
        name, _, parameter = (part.strip(" \t") for part in member.lower().partition(";"))
        quality = parse_quality(parameter.removeprefix("q=")) if parameter else 1000
        if quality is not None:
            weights[name] = max(quality, weights.get(name, 0))
    return weights.get(coding, weights.get("*", 0)) > 0


def _parse_accept(accept: str) -> Sequence[tuple[MediaType, int]]:
    """Return the media ranges and their weights. A parameter named q is the weight, wherever it stands."""
    # PERF: clients repeat their Accept, and a 404 looks at it three times: half of its instructions.
    return _parse_cached(accept) if len(accept) <= CACHED_ACCEPT_SIZE else _parse_uncached(accept)


def _parse_uncached(accept: str) -> Sequence[tuple[MediaType, int]]:
    ranges = []
    for member in split_list(accept.lower()):
        found = parse_media_type(member)
        if found is None or (found.type == "*" and found.subtype != "*"):
            continue
        quality = parse_quality(found.parameters.get("q", "1"))
        if quality is not None:
            ranges.append((found, quality))
    return ranges


_parse_cached: Final = lru_cache(maxsize=256)(_parse_uncached)


def _quality(offer: str, ranges: Sequence[tuple[MediaType, int]]) -> int:
    """Return the weight of the range that matches `offer` most closely, the greater of two; 0 when none matches."""
    offered = parse_media_type(offer.lower())
    if offered is None:
        raise ValueError(f"{offer!r} is not a media type")
    parameters = {"charset": "utf-8", **offered.parameters}.items()
    closest = (0, 0, 0)
    for found, quality in ranges:
        own = {pair for pair in found.parameters.items() if pair[0] != "q"}
        if found.type in ("*", offered.type) and found.subtype in ("*", offered.subtype) and own <= parameters:
            closest = max(closest, ((found.type != "*") + (found.subtype != "*"), len(own), quality))
    return closest[2]


PreferredReturn = Literal["minimal", "representation"]

_RETURNS: Final[dict[str, PreferredReturn]] = {"minimal": "minimal", "representation": "representation"}


def preferred_return(headers: Headers) -> PreferredReturn | None:
    """Return which content the answer to a write should carry, by Prefer (RFC 7240 §4.2); None for the usual one.

    No value is an error: unknown and malformed preferences are ignored, and so are parameters. The first of several
    with one name counts, even when its value is unknown (§2).
    """
    for member in split_list(headers.get("prefer") or ""):
        name, _, word = (part.strip(" \t") for part in member.partition(";")[0].partition("="))
        name = name.lower()
        if name == "return":
            parameters = parse_parameters(f";{name}={word}") if word else None
            return _RETURNS.get((parameters or {}).get(name, "").lower())
    return None
