"""Digests on the wire: Content-Digest and Repr-Digest (RFC 9530), and the older Content-MD5 (RFC 1864) and
Digest (RFC 3230), announced by writers and wanted by readers.

Nothing here hashes stored content: the store keeps SHA-256 with each document, and whoever wants to answer with
another algorithm, or with the digest of a part, has to read the bytes and hands in what came out.

In a request of ours all four fields are over the bytes that arrive, so one pass checks them all. For PATCH too: those
bytes are the patch (RFC 9530 Appendix B). Algorithms that are not supported are ignored. What an algorithm
that is supported is given, but can't be its digest, is a mismatch and not a thing to ignore: the sender asked for a
check that fails. The exception is a Content-Digest or Repr-Digest that is no dictionary of byte sequences: RFC 9651
§4.2 has it count as not sent.
"""

import base64
import binascii
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from docstore.content import Upload
from docstore.errors import DigestMismatch
from docstore.http import structured
from docstore.http.headers import parse_parameters, parse_quality, split_list
from docstore.http.message import HeaderPairs, Headers

if TYPE_CHECKING:
    from hashlib import _Hash

KEPT: Final = ("sha-256",)
"""The algorithm whose digest of the whole content the store knows without reading it."""

_STRUCTURED: Final = ("content-digest", "repr-digest")
_STRUCTURED_ALGORITHMS: Final = ("sha-256", "sha-512")
_NEW_HASH: Final[dict[str, Callable[[], "_Hash"]]] = {
    "sha-256": hashlib.sha256,
    "sha-512": hashlib.sha512,
    "sha": partial(hashlib.sha1, usedforsecurity=False),
    "md5": partial(hashlib.md5, usedforsecurity=False),
}
_PREFERENCE_LIMIT: Final = 10


@dataclass(frozen=True, slots=True)
class Digest:
    """One digest that a field announced; `value` is None when what it said can't be one."""

    field: str
    algorithm: str
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Announced:
    """The digests that came with a write, of the algorithms that are supported; at least one."""

    digests: tuple[Digest, ...]

    @classmethod
    def of(cls, headers: Headers) -> "Announced | None":
        """None when there is nothing to check."""
        digests = (*_structured(headers), *_content_md5(headers), *_digest(headers))
        return cls(digests) if digests else None


def _structured(headers: Headers) -> Iterator[Digest]:
    for field in _STRUCTURED:
        members = structured.byte_sequences(headers.get(field) or "") or {}
        for algorithm in _STRUCTURED_ALGORITHMS:
            if algorithm in members:
                yield Digest(field, algorithm, members[algorithm])


def _content_md5(headers: Headers) -> Iterator[Digest]:
    for line in headers.lines("content-md5"):
        yield Digest("content-md5", "md5", _decode(line))


def _digest(headers: Headers) -> Iterator[Digest]:
    """RFC 3230 §4.3.2; its algorithms are compared without case."""
    for member in split_list(headers.get("digest") or ""):
        algorithm, _, value = member.partition("=")
        algorithm = algorithm.lower()
        if algorithm in _NEW_HASH:
            yield Digest("digest", algorithm, _decode(value))


def _decode(text: str) -> bytes | None:
    """Base64 with its padding and nothing else (RFC 4648 §3.3); None for anything else."""
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None


class Verifier:
    """Compares content that goes by with the digests that were announced for it."""

    __slots__ = ("_announced", "_hashes")

    def __init__(self, announced: Announced) -> None:
        self._announced = announced
        self._hashes = {digest.algorithm: _NEW_HASH[digest.algorithm]() for digest in announced.digests}

    def update(self, chunk: bytes) -> None:
        for state in self._hashes.values():
            state.update(chunk)

    def check(self) -> None:
        """Raises DigestMismatch for the first digest that is not the content's."""
        for digest in self._announced.digests:
            if digest.value != self._hashes[digest.algorithm].digest():
                raise DigestMismatch(f"the content's {digest.algorithm} is not the one that {digest.field} announced")


class Verified:
    """An upload that ends in DigestMismatch, not in its end, when its bytes are not those that were announced."""

    __slots__ = ("_upload", "_verifier")

    def __init__(self, upload: Upload, announced: Announced) -> None:
        self._upload = upload
        self._verifier = Verifier(announced)

    @property
    def size(self) -> int | None:
        return self._upload.size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._upload:
            self._verifier.update(chunk)
            yield chunk
        self._verifier.check()


@dataclass(frozen=True, slots=True)
class Wanted:
    """The algorithm with which each field was asked for; None: do not send it.

    `repr_digest` and `digest` are over the whole representation, also when the answer is a part of it or has no content
    (HEAD, 304). `content_digest` is over the content of this answer, and the same as `repr_digest` only when that is
    the whole.
    """

    repr_digest: str | None = None
    content_digest: str | None = None
    digest: str | None = None

    def answer(self, whole: Mapping[str, bytes], sent: Mapping[str, bytes]) -> HeaderPairs:
        """The wanted fields, from digests by algorithm: of the `whole` representation, and of the content `sent`.

        A digest that is not handed in is not answered: each of these wishes may be ignored (RFC 9530 §4).
        """
        pairs: HeaderPairs = []
        for name, algorithm, digests, written in (
            (b"repr-digest", self.repr_digest, whole, structured_digest),
            (b"content-digest", self.content_digest, sent, structured_digest),
            (b"digest", self.digest, whole, legacy_digest),
        ):
            if algorithm is not None and algorithm in digests:
                pairs.append((name, written(algorithm, digests[algorithm]).encode("ascii")))
        return pairs


def wanted(headers: Headers, offers: Sequence[str] = KEPT) -> Wanted | None:
    """What a request asks for, of the algorithms `offers` that the caller can answer with; None when it is nothing.

    The algorithm with the greatest preference wins, the first of `offers` among equals; what is not named or has
    preference 0 is not wanted.
    """
    found = Wanted(
        _preferred(_wishes(headers, "want-repr-digest"), offers),
        _preferred(_wishes(headers, "want-content-digest"), offers),
        _preferred(_older_wishes(headers), offers),
    )
    return None if found == _NOTHING_WANTED else found


_NOTHING_WANTED: Final = Wanted()


def _wishes(headers: Headers, field: str) -> Mapping[str, int]:
    """RFC 9530 §4: preferences from 0 to 10; with one outside, the field counts as not sent."""
    preferences = structured.integers(headers.get(field) or "") or {}
    return preferences if all(0 <= value <= _PREFERENCE_LIMIT for value in preferences.values()) else {}


def _older_wishes(headers: Headers) -> Mapping[str, int]:
    """RFC 3230 §4.3.1: algorithms with weights; 1 where there is none. Members that are malformed are ignored."""
    wishes: dict[str, int] = {}
    for member in split_list(headers.get("want-digest") or ""):
        algorithm, semicolon, rest = member.partition(";")
        parameters = parse_parameters(semicolon + rest)
        quality = None if parameters is None else parse_quality(parameters.get("q", "1"))
        if quality is not None:
            wishes[algorithm.strip(" \t").lower()] = quality
    return wishes


def _preferred(wishes: Mapping[str, int], offers: Sequence[str]) -> str | None:
    best = max(offers, key=lambda algorithm: wishes.get(algorithm, 0))
    return best if wishes.get(best, 0) > 0 else None


def structured_digest(algorithm: str, value: bytes) -> str:
    """A value of Content-Digest or Repr-Digest."""
    return structured.format_dictionary({algorithm: value})


def legacy_digest(algorithm: str, value: bytes) -> str:
    """A value of Digest (RFC 3230)."""
    return f"{algorithm}={_encode(value)}"


def _encode(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
