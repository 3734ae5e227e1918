"""Signed links: the rights to a key or a prefix of one mount, in a text that is a parameter of the document's URL.

A link is an id and caveats, in one or more blocks. The server signs the id and the first block with a key that only it
knows; the signature of each further block has the one before as its key (HMAC-SHA256). So a holder can add blocks
without the server, but can't remove or change any, because the earlier signatures are not in the link. Each caveat
takes rights away. A link has one encoding only: what parses is, encoded again, the same text.

    dsl_ BASE64URL( id, 18 bytes; blocks of JSON, each on a line; signature, 32 bytes )
"""

import base64
import binascii
import hmac
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

LINK_PARAMETER: Final = "link"
"""The name of the parameter in the query of a URL."""
LINK_SIZE_LIMIT: Final = 4096
"""Characters of a link."""
BLOCKS_LIMIT: Final = 16
DEFAULT_LINK_TTL_S: Final = 3600
LINK_TTL_LIMIT_S: Final = 366 * 86_400
LINK_METHODS: Final = ("GET", "LIST", "PUT", "POST", "PATCH", "DELETE")
"""What a link may allow: `GET` includes HEAD of documents, and `LIST` is GET and HEAD of listings."""
LINK_PREFIX: Final = "dsl_"
LINK_FORM: Final = re.compile(f"{LINK_PREFIX}[A-Za-z0-9_-]+")

_ID_SIZE: Final = 18
LINK_ID: Final = re.compile(f"[0-9a-f]{{{2 * _ID_SIZE}}}")
"""Matches the id of a link."""
_SIGNATURE_SIZE: Final = 32
_TIME_LIMIT_S: Final = 2**40
_SIZE_LIMIT: Final = 2**63
_MEDIA_RANGE: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+/[a-z0-9!#$%&'*+.^_`|~-]+")


class InvalidLink(ValueError):
    """The text is no link, or these caveats can't be in one; the message says why, without the text."""


@dataclass(frozen=True, slots=True)
class Caveats:
    """One block of a link. None is no caveat; the names are those of the JSON."""

    mount: str | None = None
    """Given with either `key` or `prefix`."""
    key: str | None = None
    prefix: str | None = None
    """The beginning of keys; "" for all keys of the mount."""
    methods: tuple[str, ...] | None = None
    """Of LINK_METHODS, in their order."""
    until: int | None = None
    """The second since 1970 at which it ends."""
    max_document: int | None = None
    """Bytes of the largest document that it stores."""
    types: tuple[str, ...] | None = None
    """The media types that it stores, such as `text/csv` or `image/*`, in lower case."""
    once: str | None = None
    """Random digits, if one request uses it up: they make it another link than others with the same caveats."""

    def __post_init__(self) -> None:
        """Raise InvalidLink."""
        scoped = (self.key is not None) + (self.prefix is not None)
        if scoped > 1 or (self.mount is not None) != (scoped == 1):
            raise InvalidLink("a link is for a key or for a prefix of one mount")
        if self.methods is not None and (not self.methods or self.methods != in_order(self.methods)):
            raise InvalidLink(f"methods are some of {', '.join(LINK_METHODS)}, in this order")
        for number, limit in ((self.until, _TIME_LIMIT_S), (self.max_document, _SIZE_LIMIT)):
            if number is not None and not 0 <= number < limit:
                raise InvalidLink("a number is too small or too large")
        if self.types is not None and not (self.types and all(map(_MEDIA_RANGE.fullmatch, self.types))):
            raise InvalidLink("the types of a link look like text/csv or image/*")
        if self.once is not None and not re.fullmatch("[0-9a-f]{16}", self.once):
            raise InvalidLink("invalid digits")

    def encode(self) -> bytes:
        """Raise InvalidLink for text that is not UTF-8."""
        values = {name: value for name in _TYPES if (value := getattr(self, name)) is not None}
        try:
            return _to_json(values).encode("utf-8")
        except UnicodeEncodeError:
            raise InvalidLink("a key is UTF-8") from None

    @classmethod
    def parse(cls, data: bytes) -> "Caveats":
        """Parse what `encode` returns, and nothing else. Raise InvalidLink."""
        try:
            values = json.loads(data.decode("utf-8"))
        except (ValueError, RecursionError):
            raise InvalidLink("a block is not JSON") from None
        caveats = cls(**typed_members(values, _TYPES))
        if not values or caveats.encode() != data:
            raise InvalidLink("a block has another encoding")
        return caveats


_TYPES: Final[Mapping[str, type]] = {
    **dict.fromkeys(("mount", "key", "prefix"), str),
    "methods": list,
    **dict.fromkeys(("until", "max_document"), int),
    "types": list,
    "once": str,
}
"""The members of the JSON in their order, and their types."""
_to_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
NO_CAVEATS: Final = Caveats()


def typed_members(values: Any, types: Mapping[str, type]) -> dict[str, Any]:
    """Return the members of a JSON object, lists of texts as tuples. Raise InvalidLink for one that `types` lacks."""
    if type(values) is not dict:
        raise InvalidLink("a JSON object is needed")
    members: dict[str, Any] = {}
    for name, value in values.items():
        if name not in types:
            raise InvalidLink(f"unknown member {name[:100]!r}; there are {', '.join(types)}")
        if type(value) is not types[name] or (type(value) is list and not all(type(item) is str for item in value)):
            raise InvalidLink(f"{name} is of another type")
        members[name] = tuple(value) if type(value) is list else value
    return members


def in_order(methods: Iterable[str]) -> tuple[str, ...]:
    """Return these methods without repetitions, in the order of LINK_METHODS. Raise InvalidLink for an unknown one."""
    chosen = frozenset(methods)
    if unknown := chosen.difference(LINK_METHODS):
        raise InvalidLink(f"unknown method {min(unknown)[:20]!r}; there are {', '.join(LINK_METHODS)}")
    return tuple(method for method in LINK_METHODS if method in chosen)


def new_once() -> str:
    return os.urandom(8).hex()


@dataclass(frozen=True, slots=True)
class Grant:
    """What all caveats of a link leave."""

    mount: str
    prefix: str
    is_key: bool
    """Whether `prefix` is the key of the only document."""
    methods: frozenset[str]
    until: int
    max_document: int | None = None
    types: tuple[tuple[str, ...], ...] = ()
    """A media type must match one of each group."""
    once: int | None = None
    """The number of the first block with `once`."""

    def narrow(self, caveats: Caveats, number: int) -> "Grant":
        """Return the grant after one more block, the one with this number."""
        grant = self if caveats.mount is None else self._within(caveats)
        methods = grant.methods if caveats.methods is None else grant.methods.intersection(caveats.methods)
        sizes = [size for size in (grant.max_document, caveats.max_document) if size is not None]
        return replace(
            grant,
            methods=methods,
            until=grant.until if caveats.until is None else min(grant.until, caveats.until),
            max_document=min(sizes, default=None),
            types=grant.types if caveats.types is None else (*grant.types, caveats.types),
            once=number if grant.once is None and caveats.once is not None else grant.once,
        )

    def _within(self, caveats: Caveats) -> "Grant":
        """Return the part of the keys that `caveats` name, without any method if no key is in both."""
        is_key = caveats.key is not None
        prefix = (caveats.key if is_key else caveats.prefix) or ""
        if caveats.mount == self.mount:
            if prefix.startswith(self.prefix) and (not self.is_key or (is_key and prefix == self.prefix)):
                # A key has no listing, and that of all keys which begin with it would show others.
                methods = self.methods - {"LIST"} if is_key else self.methods
                return replace(self, prefix=prefix, is_key=is_key, methods=methods)
            if not is_key and self.prefix.startswith(prefix):
                return self
        return replace(self, methods=frozenset())

    def covers(self, key: str) -> bool:
        return key == self.prefix if self.is_key else key.startswith(self.prefix)

    def accepts_type(self, media_type: str) -> bool:
        """Whether it stores content of this type, which may have parameters."""
        essence = media_type.partition(";")[0].strip(" \t").lower()
        kind, _, subtype = essence.partition("/")
        matching = {essence, f"{kind}/*", "*/*"} if subtype else set()
        return all(not matching.isdisjoint(group) for group in self.types)


@dataclass(frozen=True, slots=True)
class SignedLink:
    """A link, taken apart. Its signature is not checked yet."""

    id: str
    """In hexadecimal digits."""
    blocks: tuple[bytes, ...]
    signature: bytes

    @classmethod
    def parse(cls, text: str) -> "SignedLink":
        """Parse what `encode` returns, and nothing else. Raise InvalidLink."""
        return cls.parse_with_grant(text)[0]

    @classmethod
    def parse_with_grant(cls, text: str) -> "tuple[SignedLink, Grant]":
        """As `parse`, with what all caveats leave."""
        if len(text) > LINK_SIZE_LIMIT or not LINK_FORM.fullmatch(text):
            raise InvalidLink("a link looks like dsl_..., and has at most 4,096 characters")
        digits = text.removeprefix(LINK_PREFIX)
        try:
            data = base64.b64decode(digits + "=" * (-len(digits) % 4), b"-_", validate=True)
        except binascii.Error:
            raise InvalidLink("a link is base64") from None
        blocks = tuple(data[_ID_SIZE:-_SIGNATURE_SIZE].split(b"\n"))
        if len(data) < _ID_SIZE + _SIGNATURE_SIZE or len(blocks) > BLOCKS_LIMIT:
            raise InvalidLink("a link is too short, or has too many blocks")
        link = cls(data[:_ID_SIZE].hex(), blocks, data[-_SIGNATURE_SIZE:])
        if link.encode() != text:
            raise InvalidLink("a link has one encoding")
        return link, link.grant()

    def encode(self) -> str:
        data = bytes.fromhex(self.id) + b"\n".join(self.blocks) + self.signature
        return f"{LINK_PREFIX}{base64.urlsafe_b64encode(data).rstrip(b'=').decode('ascii')}"

    def grant(self) -> Grant:
        """Return what all caveats leave. Raise InvalidLink."""
        first, *others = map(Caveats.parse, self.blocks)
        if first.mount is None or first.methods is None or first.until is None:
            raise InvalidLink("the first block has the mount, the methods and the time")
        is_key = first.key is not None
        start = (first.key if is_key else first.prefix) or ""
        types, once = () if first.types is None else (first.types,), None if first.once is None else 0
        methods, size = frozenset(first.methods), first.max_document
        grant = Grant(first.mount, start, is_key, methods, first.until, size, types, once)
        for number, caveats in enumerate(others, 1):
            grant = grant.narrow(caveats, number)
        return grant

    def signatures(self, root: bytes) -> list[bytes]:
        """Return the signature of each block; `root` is the key of the first."""
        made: list[bytes] = []
        for block in self.blocks:
            made.append(hmac.digest(made[-1] if made else root, block, "sha256"))
        return made

    def narrowed(self, caveats: Caveats) -> "SignedLink":
        """Return the link with one more block. Raise InvalidLink if it would be too long."""
        block = caveats.encode()
        signature = hmac.digest(self.signature, block, "sha256")
        return SignedLink.parse(SignedLink(self.id, (*self.blocks, block), signature).encode())


def sign_block(id: str, caveats: Caveats, root: bytes) -> SignedLink:
    """Return a link of one block. Raise InvalidLink if it would be too long."""
    block = caveats.encode()
    return SignedLink.parse(SignedLink(id, (block,), hmac.digest(root, block, "sha256")).encode())
