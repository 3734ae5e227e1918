"""The spelling of keys as names on disk, and back. Pure functions without I/O.

A segment of a key becomes one name in one folder. Bytes that a file system does not allow are escaped as `%xx`, in
lower-case hexadecimal. There are two schemes:

    plain    for file systems that keep any two names apart: only `%` and a leading `.` are escaped
    folded   for those that fold case, normalise Unicode or forbid names: only `a-z`, digits and harmless signs stay

A segment whose name is over 255 bytes is split into folders, all but the last ending in `%+`. If a folder has the name
of a document (`a` and `a/b`), the document is aside, in `a%`. Escapes end in two digits, so both suffixes are
unambiguous.

A name belongs to a document only when it is exactly the spelling of its key. Names that merely decode, like `%41` or,
when folded, `README`, are not documents: accepting them would give one document two files. Hashes as names were
rejected, because people should find a document with `ls`.
"""

import re
from collections.abc import Iterator
from enum import Enum
from typing import Final

from docstore.errors import InvalidKey
from docstore.keys import check_path

NamePath = tuple[bytes, ...]
"""The path of a file or folder below the mount's folder, as names."""

MORE: Final = b"%+"
"""The suffix of a folder that holds the rest of a long segment."""

PIECES_LIMIT: Final = 4
"""The most names that a segment is split into: 255 bytes are at most 765 when escaped."""

_ASIDE_SUFFIX: Final = b"%"
_NAME_LIMIT: Final = 255
_PIECE_SIZE: Final = 200


class Scheme(Enum):
    """The spelling of the names of one mount, chosen when its folder is made."""

    PLAIN = "plain"
    FOLDED = "folded"


_SPECIAL: Final = {
    Scheme.PLAIN: re.compile(rb"%"),
    # `~` is escaped because FAT and NTFS give a long name a short alias, like PROGRA~1.
    Scheme.FOLDED: re.compile(rb"[^a-z0-9 !#$&'()+,.;=@\[\]^_`{}-]"),
}
_UNCHANGED: Final = {
    Scheme.PLAIN: re.compile(rb"[A-Za-z0-9_-][A-Za-z0-9._-]{,254}"),
    Scheme.FOLDED: re.compile(rb"(?!(?:con|prn|aux|nul|com[0-9]|lpt[0-9])\Z)[a-z0-9_-]{1,255}"),
}
"""PERF: most names need no work, and a listing looks at every name of a folder (0.8 s to 0.4 s for 100,000)."""

_RESERVED: Final = re.compile(rb"(?:con|prn|aux|nul|com[0-9]|lpt[0-9]|conin\$|conout\$) *(?:\..*)?", re.DOTALL)
_ESCAPE: Final = re.compile(rb"%([0-9a-f]{2})")
_CHARACTER: Final = re.compile(rb"%[0-9a-f]{2}|[\xc0-\xff][\x80-\xbf]*|.", re.DOTALL)


def place_of(key: str, scheme: Scheme) -> NamePath:
    """The place of the document of `key`; without its last name, that of its folder."""
    return tuple(name for segment in key.split("/") for name in _names(segment, scheme))


def aside_of(key: str, scheme: Scheme) -> NamePath:
    """The place of the document of `key` when a folder has its own name."""
    *folders, last = key.split("/")
    return (*(name for segment in folders for name in _names(segment, scheme)), *_aside(last, scheme))


def folder_segment(names: NamePath, scheme: Scheme) -> str | None:
    """The segment that a folder of these names spells; None when no key has it."""
    segment = _decoded(names, scheme)
    return None if segment is None or names != _names(segment, scheme) else segment


def file_segment(names: NamePath, scheme: Scheme) -> str | None:
    """The last segment of the key whose document is in a file of these names; None when no key has it."""
    segment = _decoded((*names[:-1], names[-1].removesuffix(_ASIDE_SUFFIX)), scheme)
    return None if segment is None or names not in (_names(segment, scheme), _aside(segment, scheme)) else segment


def _names(segment: str, scheme: Scheme) -> NamePath:
    raw = segment.encode()
    if _UNCHANGED[scheme].fullmatch(raw):
        return (raw,)
    escaped = _SPECIAL[scheme].sub(_escape, raw)
    whole = _escape_special(escaped, scheme)
    return (whole,) if len(whole) <= _NAME_LIMIT else _split(escaped, scheme)


def _aside(segment: str, scheme: Scheme) -> NamePath:
    names = _names(segment, scheme)
    if len(names[-1]) == _NAME_LIMIT:
        # There is no space for the suffix, so the name is split although it fits.
        names = _split(_SPECIAL[scheme].sub(_escape, segment.encode()), scheme)
    return (*names[:-1], names[-1] + _ASIDE_SUFFIX)


def _decoded(names: NamePath, scheme: Scheme) -> str | None:
    if len(names) == 1 and _UNCHANGED[scheme].fullmatch(names[0]):
        return names[0].decode("ascii")
    escaped = b"".join(name.removesuffix(MORE) for name in names[:-1]) + names[-1]
    raw = _ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode("ascii")), escaped)
    try:
        segment = raw.decode()
        check_path(segment)
    except (UnicodeDecodeError, InvalidKey):
        return None
    return None if "/" in segment else segment


def _escape(match: re.Match[bytes]) -> bytes:
    return b"%%%02x" % match[0][0]


def _escape_special(name: bytes, scheme: Scheme) -> bytes:
    """Escape what is special only at the start, at the end, or as the whole of a name."""
    reserved = scheme is Scheme.FOLDED and _RESERVED.fullmatch(name)
    if reserved or name.startswith(b"."):
        name = b"%%%02x" % name[0] + name[1:]
    if scheme is Scheme.FOLDED and name.endswith((b".", b" ")):
        name = name[:-1] + b"%%%02x" % name[-1]
    return name


def _split(escaped: bytes, scheme: Scheme) -> NamePath:
    *pieces, last = _pieces(escaped)
    return (*(_escape_special(piece, scheme) + MORE for piece in pieces), _escape_special(last, scheme))


def _pieces(escaped: bytes) -> Iterator[bytes]:
    """Pieces of at most 200 bytes; no escape and no character is divided."""
    piece = b""
    for character in _CHARACTER.findall(escaped):
        if len(piece) + len(character) > _PIECE_SIZE:
            yield piece
            piece = b""
        piece += character
    yield piece
