"""A store as lines of JSON, one document per line: for small stores, and for use with jq, an editor and diff.

    {"key":"greeting","version":"2lTme578…","size":5,"sha256":"2cf24d…","media_type":"text/plain",
     "modified_ns":1700000000000000000,"text":"hello"}
    {"documents":1}

Members have the names of a listing, but times are in nanoseconds. Content is in `text` if it is UTF-8, otherwise in
`base64`. The last line has the number of documents; without it the file was cut off.

Lines written by hand need only `key` and content: `version`, `size` and `sha256` are computed if absent and verified if
present. A whole line is in memory, so the size of documents is limited.
"""

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import IO, Final, TypeVar

from docstore.content import BytesContent, Upload, read_all
from docstore.errors import ArchiveError, CorruptData, DocstoreError
from docstore.export.copy import OnBytes, Step
from docstore.model import DEFAULT_MEDIA_TYPE, Document, Fields, Meta, version_of
from docstore.units import format_count

_T = TypeVar("_T")

DOCUMENT_LIMIT: Final = 4 * 1024 * 1024
"""Bytes of content per document."""

LINE_LIMIT: Final = 8 * DOCUMENT_LIMIT
"""Bytes of a line: a character takes at most six, as in \\u0000."""


class TooLargeForLines(DocstoreError):
    """A document is too large for ndjson."""


@dataclass(slots=True)
class LineWriter:
    """Writes documents to `file`. Raises TooLargeForLines and CorruptData; the file then has no last line."""

    file: IO[bytes]
    on_bytes: OnBytes
    count: int = 0

    async def add(self, document: Document) -> Step:
        meta = document.meta
        if meta.size > DOCUMENT_LIMIT:
            advice = f"ndjson is limited to {DOCUMENT_LIMIT:,} per document: use --format tar"
            raise TooLargeForLines(f"{meta.key!r} has {meta.size:,} bytes; {advice}")
        data = await read_all(document.content)
        self.file.write(_line(_meta_members(meta) | _content_member(data)))
        self.on_bytes(len(data))
        self.count += 1
        return Step.exported(meta, hashlib.sha256(data).digest())

    def end(self) -> None:
        self.file.write(_line({"documents": self.count}))


def _line(value: dict[str, object]) -> bytes:
    return (json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def _meta_members(meta: Meta) -> dict[str, object]:
    members: dict[str, object] = {
        "key": meta.key,
        "version": meta.version,
        "size": meta.size,
        "sha256": meta.digest.hex(),
        "media_type": meta.fields.media_type,
        "modified_ns": meta.modified_ns,
    }
    if meta.fields.others:
        members["fields"] = dict(meta.fields.others)
    if meta.expires_ns is not None:
        members["expires_ns"] = meta.expires_ns
    return members


def _content_member(data: bytes) -> dict[str, object]:
    try:
        return {"text": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


async def read_lines(file: IO[bytes]) -> AsyncIterator[tuple[Meta, Upload] | Step]:
    """Yield the documents of all lines, and a Step for each broken one. Raise ArchiveError if lines are missing."""
    count = 0
    while line := file.readline(LINE_LIMIT):
        if not line.endswith(b"\n"):
            raise ArchiveError(f"the file ends early, or a line is too long, after {format_count(count, 'document')}")
        if not line.isspace():
            value = _parse(line, count)
            if "documents" in value:
                if value["documents"] != count:
                    raise ArchiveError(f"the file has {format_count(count, 'document')} of {value['documents']}")
                return
            if count == 0 and "key" not in value:
                raise ArchiveError("the first line has no key")
            yield _document(value)
            count += 1
    raise ArchiveError(f"the file ends early, after {format_count(count, 'document')}")


def _parse(line: bytes, count: int) -> dict[str, object]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ArchiveError(f"the line after {format_count(count, 'document')} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ArchiveError(f"the line after {format_count(count, 'document')} is not a JSON object")
    return value


def _document(value: dict[str, object]) -> tuple[Meta, Upload] | Step:
    key = str(value.get("key", ""))
    try:
        data = _content(value)
        meta = _meta(key, value, data)
    except (CorruptData, ValueError) as error:
        return Step.broken(key, str(error))
    if meta.digest != hashlib.sha256(data).digest() or meta.size != len(data):
        return Step.broken(key, "the content does not match sha256 and size")
    if meta.version != version_of(meta.digest, meta.fields):
        return Step.broken(key, "the version does not match the content and the fields")
    return meta, BytesContent(data)


def _content(value: dict[str, object]) -> bytes:
    match value:
        case {"text": str(text)} if "base64" not in value:
            return text.encode("utf-8")
        case {"base64": str(text)} if "text" not in value:
            try:
                return base64.b64decode(text, validate=True)
            except ValueError as error:
                raise ValueError(f"invalid base64: {error}") from error
    raise ValueError("the line needs either text or base64")


def _meta(key: str, value: dict[str, object], data: bytes) -> Meta:
    """Return the metadata of a line; absent members are computed. Raise ValueError."""
    match value.get("fields", {}):
        case dict() as others if all(isinstance(text, str) for text in others.values()):
            fields = Fields.make(_member(value, "media_type", DEFAULT_MEDIA_TYPE), others)
        case _:
            raise ValueError("fields must be an object of strings")
    digest = bytes.fromhex(_member(value, "sha256", hashlib.sha256(data).hexdigest()))
    version = _member(value, "version", version_of(digest, fields))
    size = _member(value, "size", len(data))
    expires_ns = _member(value, "expires_ns", 0) if value.get("expires_ns") is not None else None
    return Meta(key, version, size, digest, fields, _member(value, "modified_ns", 0), expires_ns)


def _member(value: dict[str, object], name: str, default: _T) -> _T:
    """Return a member, which must have the type of `default`. Raise ValueError."""
    member = value.get(name, default)
    if type(member) is not type(default):
        raise ValueError(f"{name} must be {'a string' if isinstance(default, str) else 'a whole number'}")
    return member
