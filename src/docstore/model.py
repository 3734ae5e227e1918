"""Documents as values: a document is content plus meta, of one version.

This module does not depend on HTTP, engines or time. It has frozen values, the function that computes a version, and
the one serialized form of meta that engines store beside content.

A version is computed, never counted: the same content with the same stored fields has the same version on every
engine, after a restart and after a copy. Counters and modification times were rejected for that reason.
"""

import binascii
import hashlib
import json
from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from docstore.errors import CorruptData
from docstore.frozen import frozen_dataclass

if TYPE_CHECKING:
    from docstore.content import Content

DEFAULT_MEDIA_TYPE: Final = "application/octet-stream"

Clock = Callable[[], int]
"""Nanoseconds since the epoch (POSIX time, UTC); `time.time_ns` outside tests."""


@frozen_dataclass(frozen=True, slots=True)
class Fields:
    """The header fields stored with content: its media type and others.

    `others` are pairs of lower-case name and value, sorted by name, each name once; `make` ensures that.
    """

    media_type: str = DEFAULT_MEDIA_TYPE
    others: tuple[tuple[str, str], ...] = ()

    @classmethod
    def make(cls, media_type: str = DEFAULT_MEDIA_TYPE, others: dict[str, str] | None = None) -> "Fields":
        return cls(media_type, tuple(sorted((others or {}).items())))

    def pack(self) -> str:
        """Serialize to one canonical line of JSON: equal fields give equal lines, as versions require."""
        return _pack(self.media_type, self.others)

    @classmethod
    def unpack(cls, packed: str) -> "Fields":
        """Parse the output of `pack`. Raise CorruptData for anything else."""
        try:
            media_type, *others = json.loads(packed)
            return cls(str(media_type), tuple((str(name), str(value)) for name, value in others))
        except (ValueError, TypeError, RecursionError) as error:
            raise CorruptData(f"stored fields are unreadable: {packed[:80]!r}") from error


@lru_cache(maxsize=1024)
def _pack(media_type: str, others: tuple[tuple[str, str], ...]) -> str:
    # PERF: most documents of a store have the same few fields; without the cache this was 3/4 of `version_of`.
    return json.dumps([media_type, *others], ensure_ascii=True, separators=(",", ":"))


def version_of(digest: bytes, fields: Fields) -> str:
    """Compute the version of content with this SHA-256 `digest` and these fields: 32 of `[A-Za-z0-9_-]`."""
    state = hashlib.sha256(b"docstore version 1\n" + digest + fields.pack().encode("ascii"))
    return binascii.b2a_base64(state.digest()[:24], newline=False).translate(_URL_SAFE).decode("ascii")


_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


@frozen_dataclass(frozen=True, slots=True)
class Meta:
    """Everything about a document except its content. Times are nanoseconds since the epoch, UTC."""

    key: str
    version: str
    size: int
    digest: bytes
    fields: Fields
    modified_ns: int
    expires_ns: int | None = None

    def expired(self, now_ns: int) -> bool:
        """Return whether the document has expired: from `expires_ns` on, inclusive, it is absent."""
        return self.expires_ns is not None and self.expires_ns <= now_ns

    def pack(self) -> str:
        """Serialize to one line of JSON, for engines that do not have a column for each value."""
        return json.dumps(
            {
                "key": self.key,
                "version": self.version,
                "size": self.size,
                "sha256": self.digest.hex(),
                "fields": self.fields.pack(),
                "modified_ns": self.modified_ns,
                "expires_ns": self.expires_ns,
            },
            separators=(",", ":"),
        )

    @classmethod
    def unpack(cls, packed: str | bytes) -> "Meta":
        """Parse the output of `pack`. Raise CorruptData for anything else, and for a version that does not match."""
        try:
            stored = json.loads(packed)
            digest, fields = bytes.fromhex(stored["sha256"]), Fields.unpack(stored["fields"])
            expires_ns = None if stored["expires_ns"] is None else int(stored["expires_ns"])
            meta = cls(
                str(stored["key"]),
                str(stored["version"]),
                int(stored["size"]),
                digest,
                fields,
                int(stored["modified_ns"]),
                expires_ns,
            )
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise CorruptData(f"stored meta is unreadable: {packed[:80]!r}") from error
        if meta.version != version_of(digest, fields):
            raise CorruptData(f"stored meta of {meta.key!r} does not match its version")
        return meta


@frozen_dataclass(frozen=True, slots=True)
class Document:
    """One version of one document."""

    meta: Meta
    content: "Content"


@frozen_dataclass(frozen=True, slots=True)
class WriteResult:
    """The new state after a write, and whether the document was absent before."""

    meta: Meta
    created: bool


class _Expect(Enum):
    ANY = "anything"
    ABSENT = "absent"


ANY: Final = _Expect.ANY
ABSENT: Final = _Expect.ABSENT

Expectation = _Expect | str
"""What a write requires of the state that it replaces: ANY, ABSENT, or one exact version."""


def satisfies(expect: Expectation, current: Meta | None) -> bool:
    """Return whether `current` (None for no document) is what a write expects."""
    if expect is ANY:
        return True
    if expect is ABSENT:
        return current is None
    return current is not None and current.version == expect
