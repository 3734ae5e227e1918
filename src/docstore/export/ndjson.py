"""A store as lines of JSON, a document a line: for small stores, and for people with jq, an editor and diff.

    {"key":"greeting","version":"2lTme578…","size":5,"sha256":"2cf24d…","media_type":"text/plain",
     "modified_ns":1700000000000000000,"text":"hello"}
    {"documents":1}

Members have the names that they have in a listing, but times are whole and to the nanosecond. Content is in `text`
when it is UTF-8, else in `base64`. The last line has the number of documents; without it the lines were cut off.

What a person writes or edits needs only `key` and content: `version`, `size` and `sha256` are computed when they are
left out, and verified when they are not. A line is in memory as a whole, so documents have a bound here.
"""

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import IO, Final, Protocol

from docstore.content import BytesContent, Upload, read_all
from docstore.errors import ArchiveError, CorruptData, DocstoreError
from docstore.export.copy import Moved, Outcome, Step
from docstore.model import DEFAULT_MEDIA_TYPE, Document, Fields, Meta, version_of

SIZE_LIMIT: Final = 4 * 1024 * 1024
"""Bytes of the content of a document."""

LINE_LIMIT: Final = 8 * SIZE_LIMIT
"""Bytes of a line: a character of text takes at most six, as in \\u0000."""


class TooLargeForLines(DocstoreError):
    """A document does not fit into a line."""


class Source(Protocol):
    """What lines are read from."""

    def readline(self, limit: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class LineWriter:
    """Writes documents to `file`. Raises TooLargeForLines, and CorruptData: there is no end then."""

    file: IO[bytes]
    moved: Moved

    async def add(self, document: Document) -> Step:
        meta = document.meta
        if meta.size > SIZE_LIMIT:
            why = f"{meta.key!r} has {meta.size:,} bytes, and ndjson is for documents of up to {SIZE_LIMIT:,}"
            raise TooLargeForLines(f"{why}: use --format tar")
        data = await read_all(document.content)
        self.file.write(_line(_described(meta) | _written(data)))
        self.moved(len(data))
        if hashlib.sha256(data).digest() != meta.digest:
            why = "its content is not what was written: the digest differs; no import will take it"
            return Step(meta.key, Outcome.BROKEN, why=why)
        return Step(meta.key, Outcome.STORED, meta.size)

    def end(self, count: int) -> None:
        self.file.write(_line({"documents": count}))


def _line(value: dict[str, object]) -> bytes:
    return (json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def _described(meta: Meta) -> dict[str, object]:
    described: dict[str, object] = {
        "key": meta.key,
        "version": meta.version,
        "size": meta.size,
        "sha256": meta.digest.hex(),
        "media_type": meta.fields.media_type,
        "modified_ns": meta.modified_ns,
    }
    if meta.fields.others:
        described["fields"] = dict(meta.fields.others)
    if meta.expires_ns is not None:
        described["expires_ns"] = meta.expires_ns
    return described


def _written(data: bytes) -> dict[str, object]:
    try:
        return {"text": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


async def read_lines(file: Source, first: bytes) -> AsyncIterator[tuple[Meta, Upload] | Step]:
    """The documents of all lines, the first of which begins with `first`; a Step for one that is broken.

    Raises ArchiveError at what is no whole export.
    """
    count = 0
    while line := first + file.readline(LINE_LIMIT):
        first = b""
        if not line.endswith(b"\n"):
            raise ArchiveError(f"it ends early, or a line is too long, after {count} documents")
        if not line.isspace():
            value = _parsed(line, count)
            if "documents" in value:
                if value["documents"] != count:
                    raise ArchiveError(f"it holds {count} documents of {value['documents']}")
                return
            yield _document(value)
            count += 1
    raise ArchiveError(f"it ends early, after {count} documents")


def _parsed(line: bytes, count: int) -> dict[str, object]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ArchiveError(f"after {count} documents comes what is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise ArchiveError(f"after {count} documents comes what is no object")
    return value


def _document(value: dict[str, object]) -> tuple[Meta, Upload] | Step:
    key = str(value.get("key", ""))
    try:
        data = _content(value)
        meta = _meta(key, value, data)
    except (CorruptData, ValueError) as error:
        return Step(key, Outcome.BROKEN, why=str(error))
    if meta.digest != hashlib.sha256(data).digest() or meta.size != len(data):
        return Step(key, Outcome.BROKEN, why="its content is not what its sha256 and size tell of")
    if meta.version != version_of(meta.digest, meta.fields):
        return Step(key, Outcome.BROKEN, why="its version is not that of its content and fields")
    return meta, BytesContent(data)


def _content(value: dict[str, object]) -> bytes:
    match value:
        case {"text": str(text)} if "base64" not in value:
            return text.encode("utf-8")
        case {"base64": str(text)} if "text" not in value:
            try:
                return base64.b64decode(text, validate=True)
            except ValueError as error:
                raise ValueError(f"its base64 is none: {error}") from error
    raise ValueError("it needs either text or base64")


def _meta(key: str, value: dict[str, object], data: bytes) -> Meta:
    """What the line says, and what it leaves out computed. Raises ValueError."""
    match value.get("fields", {}):
        case dict() as others if all(isinstance(text, str) for text in others.values()):
            fields = Fields.make(_text(value, "media_type", DEFAULT_MEDIA_TYPE), others)
        case _:
            raise ValueError("fields is an object of texts")
    digest = bytes.fromhex(_text(value, "sha256", hashlib.sha256(data).hexdigest()))
    version = _text(value, "version", version_of(digest, fields))
    size = _number(value, "size", len(data))
    expires_ns = _number(value, "expires_ns", 0) if value.get("expires_ns") is not None else None
    return Meta(key, version, size, digest, fields, _number(value, "modified_ns", 0), expires_ns)


def _text(value: dict[str, object], name: str, default: str) -> str:
    text = value.get(name, default)
    if not isinstance(text, str):
        raise ValueError(f"{name} is text")
    return text


def _number(value: dict[str, object], name: str, default: int) -> int:
    number = value.get(name, default)
    if not isinstance(number, int) or isinstance(number, bool):
        raise ValueError(f"{name} is a whole number")
    return number
