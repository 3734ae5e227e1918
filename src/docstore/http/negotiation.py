"""Content negotiation (RFC 9110 §12.5): which of the offered media types a client prefers, and which coding it accepts.

Weights come first, then the order of the offers. The most specific range decides about an offer, so
`text/html;q=0, */*` is "anything but HTML". `application/*+json` matches nothing: the RFC has two wildcards only.

An offer without a charset counts as UTF-8, which all of Docstore's own representations are; so
`application/json; charset=utf-8` matches `application/json`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from docstore.http.headers import parse_media_type, parse_quality, split_list

ACCEPT_MEMBERS_LIMIT: Final = 100
"""Members of an Accept header that are parsed; browsers send ten. Later ones are ignored."""

_Parameters = frozenset[tuple[str, str]]
_CHARSET: Final = ("charset", "utf-8")


def choose(accept: str | None, offers: Sequence[str]) -> str | None:
    """Return the best of `offers`, which are in the server's order of preference; None when none is acceptable.

    Without Accept, or with nothing well-formed in it, return the first offer.
    """
    ranges = [] if accept is None else _parse_accept(accept)
    if not ranges:
        return offers[0]
    best, best_quality = None, 0
    for offer in offers:
        quality = _quality(offer, ranges)
        if quality > best_quality:
            best, best_quality = offer, quality
    return best


def accepts_coding(accept_encoding: str | None, coding: str) -> bool:
    """Whether content may be sent in that coding (RFC 9110 §12.5.3): it, or else `*`, has a weight above 0.

    Without the header it may not: every client understands uncoded content.
    """
    weights: dict[str, int] = {}
    for member in split_list(accept_encoding or "")[:ACCEPT_MEMBERS_LIMIT]:
        name, _, parameter = (part.strip(" \t") for part in member.lower().partition(";"))
        quality = parse_quality(parameter.removeprefix("q=")) if parameter else 1000
        if quality is not None:
            weights[name] = max(quality, weights.get(name, 0))
    return weights.get(coding, weights.get("*", 0)) > 0


@dataclass(frozen=True, slots=True)
class _Range:
    """A media range with its weight in thousandths."""

    type: str
    subtype: str
    parameters: _Parameters
    quality: int

    def precedence(self, type: str, subtype: str, parameters: _Parameters) -> tuple[int, int] | None:
        """Return how specifically this range matches that media type, greater being closer; None if it does not."""
        if self.type not in ("*", type) or self.subtype not in ("*", subtype) or not self.parameters <= parameters:
            return None
        return (self.type != "*") + (self.subtype != "*"), len(self.parameters)


def _parse_accept(accept: str) -> list[_Range]:
    ranges = (_parse_range(member) for member in split_list(accept)[:ACCEPT_MEMBERS_LIMIT])
    return [found for found in ranges if found is not None]


def _parse_range(member: str) -> _Range | None:
    """A parameter named q is the weight, wherever it stands."""
    parsed = parse_media_type(member)
    if parsed is None or (parsed.type == "*" and parsed.subtype != "*"):
        return None
    quality = parse_quality(parsed.parameters.get("q", "1"))
    if quality is None:
        return None
    parameters = _folded((name, value) for name, value in parsed.parameters.items() if name != "q")
    return _Range(parsed.type, parsed.subtype, parameters, quality)


def _folded(parameters: Iterable[tuple[str, str]]) -> _Parameters:
    """Return the parameters with values in lower case, as those in use are compared."""
    return frozenset((name, value.lower()) for name, value in parameters)


def _quality(offer: str, ranges: list[_Range]) -> int:
    """Return the weight of the range that matches `offer` most closely, the greater of two; 0 when none matches."""
    parsed = parse_media_type(offer)
    if parsed is None:
        raise ValueError(f"{offer!r} is not a media type")
    parameters = _folded(parsed.parameters.items())
    if "charset" not in parsed.parameters:
        parameters |= {_CHARSET}
    claims = ((found.precedence(parsed.type, parsed.subtype, parameters), found.quality) for found in ranges)
    return max(((closeness, quality) for closeness, quality in claims if closeness is not None), default=(None, 0))[1]
