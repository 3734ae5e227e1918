"""The parts that the OpenAPI document shares among its operations: schemas, parameters, request bodies, header fields.

A schema here says what is refused and what is not, exactly where JSON Schema can: the tests hold the patterns against
the rules in keys.py and http. A condition or a range that is malformed is ignored and not refused, so those fields
are any text. Three limits no pattern says, and the descriptions do: lengths of path keys are in bytes, a parameter of
Content-Disposition comes once, and all stored fields together have a limit.
"""

from typing import Final

from docstore.http.patches import PATCHES
from docstore.http.stored_headers import META_LIMIT, SIZE_LIMIT, STORED_HEADERS
from docstore.http.ttl import TTL_LIMIT_S
from docstore.server.errors import PROBLEMS, TYPE_BASE
from docstore.server.resources.listing import DEFAULT_LIMIT, FORMATS, HTML_LIMIT, MAX_LIMIT

Node = dict[str, object]

_CHARACTER: Final = "[^/\\u0000-\\u001f\\u007f-\\u009f]"
_NOT_DOT: Final = "[^./\\u0000-\\u001f\\u007f-\\u009f]"
_SEGMENT: Final = f"(?:{_NOT_DOT}{_CHARACTER}{{0,254}}|\\.{_NOT_DOT}{_CHARACTER}{{0,253}}|\\.\\.{_CHARACTER}{{1,253}})"
KEY_SCHEMAS: Final[dict[str, Node]] = {
    "name": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,255}$"},
    "path": {"type": "string", "pattern": f"^{_SEGMENT}(?:/{_SEGMENT})*$", "maxLength": 1024},
}
"""By rule of keys.KEY_RULES."""

KEY_DESCRIPTIONS: Final = {
    "name": "The document's name.",
    "path": (
        "The document's name: segments of 1 to 255 bytes, at most 1,024 bytes in all, none of them '.' or '..'. "
        "Its slashes may stand in the URL as they are."
    ),
}


def _text(**more: object) -> Node:
    return {"type": "string", **more}


def _reference(name: str) -> Node:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(description: str, required: list[str], **properties: Node) -> Node:
    return {"type": "object", "description": description, "required": required, "properties": properties}


def _count(description: str) -> Node:
    return {"type": "integer", "minimum": 0, "description": description}


def _operation(names: list[str], *more: str) -> Node:
    members: Node = {"op": _text(enum=names), "path": _reference("Pointer")}
    members |= {"from": _reference("Pointer")} if "from" in more else {}
    return {"type": "object", "required": ["op", "path", *more], "properties": members}


SCHEMAS: Final[dict[str, Node]] = {
    "Problem": _object(
        "Why a request was refused (RFC 9457).",
        ["type", "title", "status", "advice"],
        type=_text(format="uri-reference", enum=[TYPE_BASE + name for name in PROBLEMS]),
        title=_text(),
        status={"type": "integer", "minimum": 400, "maximum": 599},
        detail=_text(description="What is wrong with just this request."),
        advice=_text(description="What to do next."),
    ),
    "Mounts": _object(
        "The mounts of this store.",
        ["mounts"],
        mounts={
            "type": "array",
            "items": _object(
                "A mount.",
                ["mount", "engine"],
                mount=_text(pattern="^/.+/$"),
                engine=_text(examples=["sqlite"]),
                usage=_reference("Usage"),
            ),
        },
    ),
    "Usage": _object(
        "How a mount with max_bytes uses its room.",
        ["documents", "used_bytes", "max_bytes", "evict", "hits", "misses", "evictions"],
        documents=_count("Documents that are held."),
        used_bytes=_count("Their content, keys and stored fields, and what the engine needs for each."),
        max_bytes=_count("The most that it may be."),
        evict={"enum": ["lru", None], "description": "What a full mount does: evict, or refuse with 507."},
        hits=_count("Reads that found their document."),
        misses=_count("Reads that found none."),
        evictions=_count("Documents that went for others."),
    ),
    "Meta": _object(
        "What is known of a document but its content.",
        ["key", "version", "size", "sha256", "media_type", "modified"],
        key=_text(),
        version=_text(pattern="^[A-Za-z0-9_-]{32}$", description="In quotes it is the ETag."),
        size={"type": "integer", "minimum": 0, "description": "Bytes."},
        sha256=_text(pattern="^[0-9a-f]{64}$"),
        media_type=_text(),
        modified=_text(format="date-time"),
        expires=_text(format="date-time"),
        fields={"type": "object", "description": "Other stored fields.", "additionalProperties": _text()},
    ),
    "Listing": _object(
        "A page of a collection, in the bytewise order of keys.",
        ["mount", "documents", "next"],
        mount=_text(),
        documents={"type": "array", "items": _reference("Meta")},
        folders={"type": "array", "items": _text(), "description": "With delimiter: what keys have in common."},
        next={"type": ["string", "null"], "format": "uri-reference", "description": "The next page."},
    ),
    "MergePatch": {"description": "RFC 7396: any JSON. null removes a member; what is no object replaces all."},
    "JSONPatch": {
        "type": "array",
        "description": "RFC 6902: operations, all or none of which are done.",
        "items": {
            "oneOf": [
                _operation(["add", "replace", "test"], "value"),
                _operation(["remove"]),
                _operation(["move", "copy"], "from"),
            ]
        },
    },
    "Pointer": _text(pattern="^(?:/(?:[^~/]|~[01])*)*$", description="RFC 6901."),
    "Linkset": _object("RFC 9264.", ["linkset"], linkset={"type": "array", "items": {"type": "object"}}),
    "OpenAPI": _object("This document.", ["openapi", "info", "paths"], openapi=_text(pattern="^3\\.1\\.")),
}


def _query(name: str, schema: Node, description: str) -> Node:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _header(name: str, description: str, schema: Node | None = None) -> Node:
    return {"name": name, "in": "header", "description": description, "schema": schema or _text()}


_LISTING: Final = [
    _query("prefix", _text(), "Only keys that start with this."),
    _query("after", _text(), "Only keys that come after this one."),
    _query(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
        f"Documents in a page; {DEFAULT_LIMIT} when nothing is said, {HTML_LIMIT} of them in HTML.",
    ),
    _query("delimiter", _text(enum=["", "/"]), "With /, keys that go on behind a slash are told as one folder."),
    _query("format", _text(enum=list(FORMATS)), "The representation, whatever Accept says."),
]
_CONDITIONS: Final = [
    _header("If-Match", "Do it only if the ETag is one of these; * if there is a document."),
    _header("If-None-Match", "Do it only if the ETag is none of these; * if there is no document."),
    _header("If-Modified-Since", "Read it only if it is newer. A date that can't be read is ignored."),
    _header("If-Unmodified-Since", "Do it only if it is not newer. A date that can't be read is ignored."),
]
_RANGES: Final = [
    _header("Range", "The bytes to send, as in bytes=0-99, or -100 for the last hundred. Other units are ignored."),
    _header("If-Range", "Mind Range only if this is the ETag, or exactly the Last-Modified."),
]
_WISHES: Final = [
    _header("Want-Repr-Digest", "Asks for the digest of the whole document, as in sha-256=1 (RFC 9530)."),
    _header("Want-Content-Digest", "Asks for the digest of what this answer carries (RFC 9530)."),
    _header("Want-Digest", "The older way to ask for a digest (RFC 3230)."),
]
_DIGESTS: Final = [
    _header("Content-Digest", "Verified before anything is stored (RFC 9530)."),
    _header("Repr-Digest", "Verified before anything is stored (RFC 9530)."),
    _header("Content-MD5", "Verified before anything is stored (RFC 1864)."),
    _header("Digest", "Verified before anything is stored (RFC 3230)."),
]
_LIFETIME: Final = [
    _header(
        "TTL",
        "Seconds after which the document is gone; without it a document stays.",
        {"type": "integer", "minimum": 0, "maximum": TTL_LIMIT_S},
    ),
]
_PREFER: Final = [_header("Prefer", "return=minimal or return=representation (RFC 7240); others are ignored.")]
_STORED: Final = [
    _header(header.name, f"Stored with the document. {header.summary}", _text(pattern=header.pattern))
    for header in STORED_HEADERS.values()
]

GROUPS: Final[dict[str, list[Node]]] = {
    "listing": _LISTING,
    "conditions": _CONDITIONS,
    "ranges": _RANGES,
    "wishes": _WISHES,
    "digests": _DIGESTS,
    "lifetime": _LIFETIME,
    "prefer": _PREFER,
    "stored": _STORED,
}
"""Parameters that come together, by the name that operations call them with."""

PARAMETERS: Final[dict[str, Node]] = {str(one["name"]): one for group in GROUPS.values() for one in group}

BODIES: Final[dict[str, Node]] = {
    "content": {
        "description": (
            "Any bytes of any media type. Its Content-Type is stored, application/octet-stream when there is none, and "
            f"so are fields of your own whose names start with Meta-: at most {META_LIMIT}, and {SIZE_LIMIT} bytes of "
            "all stored fields."
        ),
        "content": {"*/*": {}, "application/octet-stream": {}},
    },
    "patch": {
        "description": "A patch for a JSON document.",
        "required": True,
        "content": {
            media_type: {"schema": _reference(name)}
            for media_type, name in zip(PATCHES, ("MergePatch", "JSONPatch"), strict=True)
        },
    },
}

HEADERS: Final[dict[str, Node]] = {
    **{header.name: {"description": "As it was stored.", "schema": _text()} for header in STORED_HEADERS.values()},
    "Accept-Patch": {"description": "The media types of patches.", "schema": _text()},
    "Accept-Ranges": {"description": "Ranges of bytes can be asked for.", "schema": _text(const="bytes")},
    "Allow": {"description": "The methods of this resource.", "schema": _text()},
    "Cache-Control": {"description": "Always there; the writer's own when it sent one.", "schema": _text()},
    "Content-Digest": {"description": "When it was wanted.", "schema": _text()},
    "Content-Location": {"description": "The document that this answer carries.", "schema": _text()},
    "Content-Range": {"description": "Which bytes these are, or how many there are.", "schema": _text()},
    "Digest": {"description": "When it was wanted.", "schema": _text()},
    "ETag": {"description": "The version, in quotes.", "schema": _text(pattern='^"[A-Za-z0-9_-]{32}"$')},
    "Last-Modified": {"description": "In whole seconds.", "schema": _text()},
    "Link": {"description": "Links to what belongs to this (RFC 8288).", "schema": _text()},
    "Location": {"description": "The path of the document.", "schema": _text(format="uri-reference")},
    "Preference-Applied": {"description": "What Prefer asked for and got.", "schema": _text()},
    "Repr-Digest": {"description": "When it was wanted.", "schema": _text()},
    "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 0}},
    "Sunset": {"description": "When the document will be gone (RFC 8594).", "schema": _text()},
    "Vary": {"description": "The fields that this answer depends on.", "schema": _text()},
}
