"""Documents in the columns of an SQL database: times of 64 bits, and the range of keys with one prefix."""

from dataclasses import replace
from typing import Final

from docstore.model import Meta

MAX_TIME_NS: Final = 2**63 - 1
"""The latest time in 64 bits, in the year 2262."""


def limit_times(meta: Meta) -> Meta:
    """Return `meta` with times that a column can hold: later ones become MAX_TIME_NS."""
    if max(meta.modified_ns, meta.expires_ns or 0) <= MAX_TIME_NS:
        return meta
    expires_ns = None if meta.expires_ns is None else min(meta.expires_ns, MAX_TIME_NS)
    return replace(meta, modified_ns=min(meta.modified_ns, MAX_TIME_NS), expires_ns=expires_ns)


def end_of(prefix: str) -> str | None:
    """Return the least text that sorts after all keys that start with `prefix`; None if there is none.

    Bytewise order of UTF-8 is that of code points, so this is the prefix with its last character replaced by the next.
    No character follows U+10FFFF, and none lies between U+D7FF and U+E000.
    """
    stem = prefix.rstrip("\U0010ffff")
    if not stem:
        return None
    following = ord(stem[-1]) + 1
    return stem[:-1] + chr(0xE000 if following == 0xD800 else following)
