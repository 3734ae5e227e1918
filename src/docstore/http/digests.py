"""Digest headers: Content-Digest and Repr-Digest (RFC 9530), the older Content-MD5 (RFC 1864) and Digest (RFC 3230).

In a request all four are over the bytes that arrive, so one pass verifies them all. For PATCH too: those bytes are the
patch (RFC 9530 Appendix B). Unsupported algorithms are ignored. A supported algorithm with a value that can't be its
digest is a mismatch, not ignored: the sender asked for a check that fails. A Content-Digest or Repr-Digest that is not
a dictionary of byte sequences counts as not sent (RFC 9651 §4.2).

Responses have SHA-256 only, which the store keeps with each document; other algorithms would require reading the
content.
"""

import base64
import binascii
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from docstore.content import Upload
from docstore.errors import DigestMismatch
from docstore.http.headers import parse_parameters, parse_quality, split_list
from docstore.http.message import HeaderPairs, Headers
from docstore.http.structured import byte_sequences, parse_dictionary

if TYPE_CHECKING:
    from hashlib import _Hash

STORED_ALGORITHM: Final = "sha-256"
_STRUCTURED_FIELDS: Final = ("content-digest", "repr-digest")
_STRUCTURED_ALGORITHMS: Final = ("sha-256", "sha-512")
_NEW_HASH: Final[dict[str, Callable[[], "_Hash"]]] = {
    "sha-256": hashlib.sha256,
    "sha-512": hashlib.sha512,
    "sha": partial(hashlib.sha1, usedforsecurity=False),
    "md5": partial(hashlib.md5, usedforsecurity=False),
}
_PREFERENCE_LIMIT: Final = 10


@dataclass(frozen=True, slots=True)
class AnnouncedDigest:
    """One digest that a request header announced; `value` is None when it can't be decoded."""

    field: str
    algorithm: str
    value: bytes | None


def announced_digests(headers: Headers) -> tuple[AnnouncedDigest, ...]:
    """Return the digests of supported algorithms that a request announces. Raise TooManyMembers."""
    digests = []
    for field in _STRUCTURED_FIELDS:
        members = byte_sequences(headers.get(field) or "") or {}
        digests += [AnnouncedDigest(field, name, members[name]) for name in _STRUCTURED_ALGORITHMS if name in members]
    digests += [AnnouncedDigest("content-md5", "md5", _decode(line)) for line in headers.lines("content-md5")]
    for member in split_list(headers.get("digest") or "", complete=True):
        algorithm, _, value = member.partition("=")
        if algorithm.lower() in _NEW_HASH:  # RFC 3230 §4.1.1: case-insensitive
            digests.append(AnnouncedDigest("digest", algorithm.lower(), _decode(value)))
    return tuple(digests)


def _decode(text: str) -> bytes | None:
    """Decode strict Base64 with padding (RFC 4648 §3.3); None for anything else."""
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None


class DigestVerifiedUpload:
    """An upload that raises DigestMismatch at its end when a digest is not that of its bytes."""

    __slots__ = ("_digests", "_upload", "size")

    def __init__(self, upload: Upload, digests: tuple[AnnouncedDigest, ...]) -> None:
        self._upload = upload
        self._digests = digests
        self.size = upload.size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        hashes = {digest.algorithm: _NEW_HASH[digest.algorithm]() for digest in self._digests}
        async for chunk in self._upload:
            for state in hashes.values():
                state.update(chunk)
            yield chunk
        for digest in self._digests:
            if digest.value != hashes[digest.algorithm].digest():
                raise DigestMismatch(f"the {digest.algorithm} digest in {digest.field} does not match the content")


def wanted_digests(headers: Headers) -> frozenset[str]:
    """Return the names of the digest headers in which a request wants SHA-256 in the response."""
    wanted = {name for name in _STRUCTURED_FIELDS if _wants(headers, f"want-{name}")}
    if _wants_legacy(headers):
        wanted.add("digest")
    return frozenset(wanted)


def _wants(headers: Headers, field: str) -> bool:
    """RFC 9530 §4: integers from 0 (not acceptable) to 10; a field with any other member counts as not sent."""
    preferences = parse_dictionary(headers.get(field) or "") or {}
    if not all(isinstance(value, int) and 0 <= value <= _PREFERENCE_LIMIT for value in preferences.values()):
        return False
    return preferences.get(STORED_ALGORITHM, 0) != 0


def _wants_legacy(headers: Headers) -> bool:
    """RFC 3230 §4.3.1: algorithms with weights, 1 by default. Malformed members are ignored; the last one counts."""
    quality = 0
    for member in split_list(headers.get("want-digest") or ""):
        algorithm, semicolon, rest = member.partition(";")
        parameters = parse_parameters(semicolon + rest)
        weight = None if parameters is None else parse_quality(parameters.get("q", "1"))
        if weight is not None and algorithm.strip(" \t").lower() == STORED_ALGORITHM:
            quality = weight
    return bool(quality)


def digest_headers(wanted: frozenset[str], document: bytes, content: bytes | None) -> HeaderPairs:
    """Return the wanted headers from SHA-256 digests: of the whole `document`, and of the `content` of this response.

    Content-Digest is left out when `content` is None: a server may ignore each preference (RFC 9530 §4).
    """
    pairs: HeaderPairs = []
    if "repr-digest" in wanted:
        pairs.append((b"repr-digest", structured_digest(STORED_ALGORITHM, document).encode("ascii")))
    if "content-digest" in wanted and content is not None:
        pairs.append((b"content-digest", structured_digest(STORED_ALGORITHM, content).encode("ascii")))
    if "digest" in wanted:
        pairs.append((b"digest", f"{STORED_ALGORITHM}={_encode(document)}".encode("ascii")))
    return pairs


def structured_digest(algorithm: str, value: bytes) -> str:
    """Return a value of Content-Digest or Repr-Digest."""
    return f"{algorithm}=:{_encode(value)}:"


def _encode(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
