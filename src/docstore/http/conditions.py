"""Conditional requests (RFC 9110 §13): the headers, their evaluation against a document, and the engine's expectation.

The conditions of a write are evaluated twice: here, before its content is read, and by the engine inside the commit,
which knows only an expectation. A caller does this:

    conditions = Conditions.of(request.headers)
    outcome = conditions.evaluate(method, current, now)         # FAILED: 412, NOT_MODIFIED: 304
    engine.put(..., expect=expectation(conditions, current))    # Conflict: evaluate again with its `current`

The expectation is the exact version that was evaluated, so a date is as safe as a tag: if the document changes after
the evaluation, the engine raises Conflict and the caller evaluates again. To pass on only conditions that name a
version, and trust the first evaluation for the rest, was rejected: it leaves a gap between check and act.

Documents have a strong entity tag, whose opaque part is their version, and a Last-Modified in whole seconds.
"""

from enum import Enum
from typing import Final

from docstore.frozen import frozen_dataclass
from docstore.http.dates import parse_http_date
from docstore.http.entity_tags import EntityTag, Tags, parse_entity_tag, parse_entity_tags
from docstore.http.message import Headers
from docstore.model import ABSENT, ANY, Expectation, Meta

CONDITION_HEADERS: Final = frozenset({b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since"})
CONDITIONAL_GET_HEADERS: Final = CONDITION_HEADERS | {
    *(b"range", b"if-range", b"want-repr-digest", b"want-content-digest", b"want-digest")
}
"""A GET without any of these fields is answered with the whole document."""
_UNCONDITIONAL: Final = {"OPTIONS", "CONNECT", "TRACE"}
_NEEDS_DOCUMENT: Final = {"GET", "HEAD", "DELETE", "PATCH"}
_READS: Final = {"GET", "HEAD"}


class ConditionOutcome(Enum):
    PROCEED = "perform the method"
    NOT_MODIFIED = "304"
    FAILED = "412"


@frozen_dataclass(frozen=True, slots=True)
class Conditions:
    """The preconditions of one request. Dates stay text until evaluation: one form needs the current year."""

    if_match: Tags | None = None
    if_none_match: Tags | None = None
    if_modified_since: str | None = None
    if_unmodified_since: str | None = None

    @classmethod
    def of(cls, headers: Headers) -> "Conditions | None":
        """Return None when the request has no precondition; that is one look-up. Raise TooManyMembers."""
        if CONDITION_HEADERS.isdisjoint(headers.names):
            return None
        if_match, if_none_match = headers.get("if-match"), headers.get("if-none-match")
        return cls(
            None if if_match is None else parse_entity_tags(if_match),
            None if if_none_match is None else parse_entity_tags(if_none_match),
            headers.get("if-modified-since"),
            headers.get("if-unmodified-since"),
        )

    def evaluate(self, method: str, current: Meta | None, now: int) -> ConditionOutcome:
        """Evaluate all but If-Range in the order of §13.2.2; `now` is POSIX seconds.

        Without a document (`current` is None) GET, HEAD, DELETE and PATCH always PROCEED to the caller's 404:
        conditions are ignored if the response without them is not a success (§13.2.1). For other methods If-Match is
        then false, If-None-Match is true, and dates are ignored.
        """
        if method in _UNCONDITIONAL or (current is None and method in _NEEDS_DOCUMENT):
            return ConditionOutcome.PROCEED
        if self.if_match is not None:
            if not _matches(self.if_match, current):
                return ConditionOutcome.FAILED
        elif self._modified_after(self.if_unmodified_since, current, now) is True:
            return ConditionOutcome.FAILED
        if self.if_none_match is not None:
            if _matches(self.if_none_match, current, weakly=True):
                return ConditionOutcome.NOT_MODIFIED if method in _READS else ConditionOutcome.FAILED
        elif method in _READS and self._modified_after(self.if_modified_since, current, now) is False:
            return ConditionOutcome.NOT_MODIFIED
        return ConditionOutcome.PROCEED

    @staticmethod
    def _modified_after(date: str | None, current: Meta | None, now: int) -> bool | None:
        """Return None without a header, a valid date (a list is not one) or a document."""
        seconds = None if date is None or current is None else parse_http_date(date, now)
        return None if seconds is None or current is None else last_modified(current) > seconds

    @property
    def binds_writes(self) -> bool:
        """Whether there is a condition other than If-Modified-Since, which is for reads only (§13.1.3)."""
        return (self.if_match, self.if_none_match, self.if_unmodified_since) != (None, None, None)


def last_modified(meta: Meta) -> int:
    """Return the document's Last-Modified, in POSIX seconds."""
    return meta.modified_ns // 10**9


def expectation(conditions: Conditions | None, current: Meta | None) -> Expectation:
    """Return what the engine must expect of the state that a write replaces, after `evaluate` allowed `current`."""
    if conditions is None or not conditions.binds_writes:
        return ANY
    return ABSENT if current is None else current.version


def if_range_holds(value: str, current: Meta, now: int) -> bool:
    """Whether Range applies beside this If-Range (§13.1.5); `now` is POSIX seconds.

    A tag must match strongly. A date must equal Last-Modified, and that second must be over: within it the document may
    change again under the same date (§8.8.2.2). Anything else is false.
    """
    tag = parse_entity_tag(value)
    if tag is not None:
        return tag == EntityTag(weak=False, opaque=current.version)
    modified = last_modified(current)
    return modified < now and parse_http_date(value, now) == modified


def _matches(tags: Tags, current: Meta | None, *, weakly: bool = False) -> bool:
    if current is None:
        return False
    return tags.star or tags.match(current.version, weakly=weakly)
