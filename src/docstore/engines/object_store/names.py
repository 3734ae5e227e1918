"""The names of objects: one flat name for each key, in the order of the keys.

    d/<name of the key>                              the manifest of a document
    b/<name of the key>/<id>                         large content, under an id that is never used again
    x/<time>/<name of the key>/<write id>            marks a document that expires at that time, for the sweep
    t/<id>                                           objects of the race at the start
    format                                           the number of the format, absent for the one described here

A name has letters, digits, and bytes as hex digits after one of four marks. The marks sort among letters and digits as
their bytes do, so names sort like keys. `/` is written so too: "a" and "a/b" are both documents, which a store with
real folders refuses. The end mark sorts before all others, so a key sorts before the keys that it begins. S3 limits a
name to 1,024 bytes. A longer name is cut and completed by a hash; such names sort like keys only up to the cut
(`group_of`).
"""

from hashlib import sha256
from typing import Final

DOCUMENTS: Final = "d/"
BLOBS: Final = "b/"
MARKERS: Final = "x/"
TRIALS: Final = "t/"
FORMAT: Final = "format"

NAME_LIMIT: Final = 800
"""Longest encoded key; with folder, id and time, an object's name stays below 1,024 - PREFIX_LIMIT bytes."""
PREFIX_LIMIT: Final = 128
_END: Final = "!"
_LATEST_NS: Final = 10**20 - 1


def _spell_byte(byte: int) -> str:
    character = chr(byte)
    if character.isascii() and character.isalnum():
        return character
    mark = "-" if byte < ord("0") else "=" if byte < ord("A") else "_" if byte < ord("a") else "~"
    return f"{mark}{byte:02x}"


_SPELLINGS: Final = tuple(map(_spell_byte, range(256)))


def spell(text: str) -> str:
    return "".join([_SPELLINGS[byte] for byte in text.encode("utf-8", "surrogatepass")])


def start_of(prefix: str) -> str:
    """Return what the names of all keys with this prefix start with."""
    return spell(prefix)[:NAME_LIMIT]


def name_before(after: str) -> str:
    """Return a string that sorts before the names of all keys > `after`, but not before those of shorter ones."""
    encoded = spell(after)
    return encoded[:NAME_LIMIT] if len(encoded) > NAME_LIMIT else encoded + _END if after else ""


def name_of(key: str) -> str:
    """Return the name of a key, which differs from that of every other key."""
    encoded = spell(key)
    if len(encoded) <= NAME_LIMIT:
        return encoded + _END
    return encoded[:NAME_LIMIT] + _END + sha256(key.encode()).hexdigest()[:32]


def group_of(name: str) -> str | None:
    """Return what the names of a group share that do not sort like their keys; None for the name of a short key."""
    start, _, rest = name.partition(_END)
    return start if rest else None


def marker_name(name: str, expires_ns: int, write: str) -> str:
    return f"{MARKERS}{min(max(expires_ns, 0), _LATEST_NS):020}/{name}/{write}"


def parse_marker(path: str) -> tuple[int, str, str]:
    """Return time, name and write id of a marker."""
    _, time, name, write = path.split("/")
    return int(time), name, write


def blob_name(name: str, blob: str) -> str:
    return f"{BLOBS}{name}/{blob}"


def parse_blob(path: str) -> tuple[str, str]:
    """Return name and id of a blob."""
    _, name, blob = path.split("/")
    return name, blob
