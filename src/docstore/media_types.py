"""The media type of a document that was stored without one: one rule for servers, clients, commands and folders.

1. The ending of the key, from ENDINGS. `text/*` gets `; charset=utf-8` if the content starts as UTF-8 text.
2. Otherwise the content: a signature of SIGNATURES; a JSON object or array, if all of it has at most JSON_LIMIT bytes;
   UTF-8 text without control characters.
3. Otherwise, and for empty content, application/octet-stream.

Only the start of the content is looked at, so uploads are streamed. The table of the system (`mimetypes`) was rejected:
it differs among machines, and with the type the ETag would. HTML and SVG are recognized by the ending only.
"""

import codecs
import json
import re
from collections.abc import Mapping
from typing import Final, NoReturn

from docstore.model import DEFAULT_MEDIA_TYPE

TEXT_LIMIT: Final = 4096
"""Bytes of the content that must be text."""
JSON_LIMIT: Final = 32 * 1024
"""Bytes of the largest content that is parsed, in a millisecond or two."""
JSON_DEPTH_LIMIT: Final = 200
"""The deepest nesting that is parsed: what Python's parser accepts differs among its versions."""

_UTF_8: Final = "; charset=utf-8"
_TEXT: Final = f"text/plain{_UTF_8}"

ENDINGS: Final[Mapping[str, str]] = {
    ending: media_type
    for media_type, endings in {
        "text/plain": "txt log",
        "text/markdown": "md markdown",
        "text/html": "html htm",
        "text/css": "css",
        "text/javascript": "js mjs",
        "text/csv": "csv",
        "text/tab-separated-values": "tsv",
        "text/calendar": "ics",
        "text/x-python": "py",
        "text/x-sh": "sh",
        "application/json": "json",
        "application/x-ndjson": "ndjson jsonl",
        "application/geo+json": "geojson",
        "application/yaml": "yaml yml",
        "application/toml": "toml",
        "application/xml": "xml",
        "application/pdf": "pdf",
        "application/rtf": "rtf",
        "application/epub+zip": "epub",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
        "application/vnd.oasis.opendocument.text": "odt",
        "application/vnd.oasis.opendocument.spreadsheet": "ods",
        "application/zip": "zip",
        "application/gzip": "gz tgz",
        "application/x-bzip2": "bz2",
        "application/x-xz": "xz",
        "application/zstd": "zst",
        "application/x-7z-compressed": "7z",
        "application/x-tar": "tar",
        "application/java-archive": "jar",
        "application/wasm": "wasm",
        "application/vnd.apache.parquet": "parquet",
        "application/octet-stream": "bin",
        "image/png": "png",
        "image/jpeg": "jpg jpeg",
        "image/gif": "gif",
        "image/webp": "webp",
        "image/avif": "avif",
        "image/svg+xml": "svg",
        "image/x-icon": "ico",
        "image/tiff": "tiff tif",
        "audio/mpeg": "mp3",
        "audio/mp4": "m4a",
        "audio/ogg": "ogg opus",
        "audio/flac": "flac",
        "audio/wav": "wav",
        "video/mp4": "mp4",
        "video/webm": "webm",
        "video/quicktime": "mov",
        "font/woff": "woff",
        "font/woff2": "woff2",
        "font/ttf": "ttf",
        "font/otf": "otf",
    }.items()
    for ending in endings.split()
}
"""By what follows the last dot of the key's last segment, in lower case."""

SIGNATURES: Final[Mapping[str, bytes]] = {
    "image/png": rb"\x89PNG\r\n\x1a\n",
    "image/jpeg": rb"\xff\xd8\xff",
    "image/gif": rb"GIF8[79]a",
    "image/webp": rb"RIFF.{4}WEBP",
    "image/avif": rb".{4}ftypavif",
    "application/pdf": rb"%PDF-",
    "application/zip": rb"PK(?:\x03\x04|\x05\x06)",
    "application/gzip": rb"\x1f\x8b\x08",
    "application/x-bzip2": rb"BZh[1-9]1AY&SY",
    "application/x-xz": rb"\xfd7zXZ\0",
    "application/zstd": rb"\x28\xb5\x2f\xfd",
    "application/x-7z-compressed": rb"7z\xbc\xaf\x27\x1c",
    "application/x-tar": rb".{257}ustar",
    "application/wasm": rb"\0asm",
    "application/vnd.apache.parquet": rb"PAR1",
    "application/vnd.sqlite3": rb"SQLite format 3\0",
    "audio/wav": rb"RIFF.{4}WAVE",
    "audio/flac": rb"fLaC",
    "audio/mpeg": rb"ID3[\x02-\x04]",
    "audio/ogg": rb"OggS\0",
    "video/mp4": rb".{4}ftyp(?:iso[m2-6]|mp4[12]|avc1|M4V )",
    "video/quicktime": rb".{4}ftypqt  ",
    "font/woff": rb"wOFF",
    "font/woff2": rb"wOF2",
}
"""Regular expressions for the first bytes of the content."""

LONGEST_GUESS: Final = max(map(len, (*ENDINGS.values(), *SIGNATURES))) + len(_UTF_8)

_SIGNATURE: Final = re.compile(b"|".join(b"(%b)" % pattern for pattern in SIGNATURES.values()), re.DOTALL)
_SIGNATURE_TYPES: Final = tuple(SIGNATURES)
_CONTROL_CHARACTERS: Final = bytes(code for code in (*range(32), 127) if code not in b"\t\n\f\r\x1b")
_JSON_START: Final = re.compile(rb"[ \t\r\n]*+[{\[]")


def guess_media_type(key: str, start: bytes, *, complete: bool) -> str:
    """Return the media type for a key and the start of its content: at least TEXT_LIMIT bytes, or all if `complete`."""
    named = ENDINGS.get(_ending(key))
    return named if named and not named.startswith("text/") else media_type_of(key, type_of_content(start, complete))


def media_type_of(key: str, content_type: str) -> str:
    """Return the media type for a key and the type of its content alone."""
    named = ENDINGS.get(_ending(key))
    if named is None:
        return content_type
    is_text = named.startswith("text/") and content_type in (_TEXT, "application/json")
    return named + _UTF_8 if is_text else named


def type_of_content(start: bytes, complete: bool) -> str:
    """Return the media type for the start of the content: at least TEXT_LIMIT bytes, or all if `complete`."""
    if found := _SIGNATURE.match(start):
        return _SIGNATURE_TYPES[(found.lastindex or 1) - 1]
    if not start or not _is_text(start, complete):
        return DEFAULT_MEDIA_TYPE
    return "application/json" if complete and len(start) <= JSON_LIMIT and _is_json(start) else _TEXT


def _ending(key: str) -> str:
    stem, _, ending = key.rpartition("/")[2].rpartition(".")
    return ending.lower() if stem else ""


def _is_text(start: bytes, complete: bool) -> bool:
    """Only the last character of the first TEXT_LIMIT bytes may be cut off."""
    head = start[:TEXT_LIMIT]
    # PERF: a regular expression takes ten times as long.
    if len(head.translate(None, _CONTROL_CHARACTERS)) != len(head):
        return False
    try:
        codecs.utf_8_decode(head, "strict", complete and len(start) <= TEXT_LIMIT)
    except UnicodeDecodeError:
        return False
    return True


def _is_json(content: bytes) -> bool:
    if not _JSON_START.match(content) or _depth(content) > JSON_DEPTH_LIMIT:
        return False
    try:
        _DECODER.decode(content.decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    return True


def _depth(content: bytes) -> int:
    """The deepest nesting of arrays and objects, if the content is JSON; 0 if there are few of them."""
    depth = deepest = 0
    if content.count(b"[") + content.count(b"{") > JSON_DEPTH_LIMIT:
        for bracket in _BRACKET.findall(_JSON_STRING.sub(b"", content)):
            depth += 1 if bracket in b"[{" else -1
            deepest = max(deepest, depth)
    return deepest


_JSON_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_BRACKET: Final = re.compile(rb"[\[\]{}]")


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER: Final = json.JSONDecoder(parse_constant=_reject_constant)
