"""The parts of the OpenAPI document that operations share: responses, schemas, parameters, request bodies, headers.

A schema here accepts exactly what the server accepts, where JSON Schema can say it; tests compare the patterns with
keys.py and http. Malformed conditions and ranges are ignored by the server, so those headers may be any text. Three
limits are only described: path keys are limited in bytes, a parameter of Content-Disposition may occur once, and all
stored headers together have a limit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from docstore.http.dates import TTL_LIMIT_S
from docstore.http.merge_patch import PATCH_TYPES
from docstore.http.stored_headers import META_LIMIT, STORED_HEADERS, STORED_SIZE_LIMIT
from docstore.links import DEFAULT_LINK_TTL_S, LINK_METHODS, LINK_PARAMETER, LINK_TTL_LIMIT_S
from docstore.server.errors import PROBLEM_TYPES, TYPE_BASE
from docstore.server.resources.listing import DEFAULT_LIMIT, HTML_LIMIT, KEYS_LIMIT, LISTING_FORMATS, MAX_LIMIT

Node = dict[str, object]
V = TypeVar("V")

_CHARACTER: Final = "[^/\\u0000-\\u001f\\u007f-\\u009f]"
_NOT_DOT: Final = "[^./\\u0000-\\u001f\\u007f-\\u009f]"
_SEGMENT: Final = f"(?:{_NOT_DOT}{_CHARACTER}{{0,254}}|\\.{_NOT_DOT}{_CHARACTER}{{0,253}}|\\.\\.{_CHARACTER}{{1,253}})"
KEY_PARAMETERS: Final[dict[str, Node]] = {
    "name": {
        "description": "The document's name.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,255}$"},
    },
    "path": {
        "description": (
            "The document's name: segments of 1 to 255 bytes, at most 1,024 bytes in all, none of them '.' or '..'. "
            "Slashes need no encoding in the URL."
        ),
        "schema": {"type": "string", "pattern": f"^{_SEGMENT}(?:/{_SEGMENT})*$", "maxLength": 1024},
    },
}
"""By the rule in keys.KEY_RULES."""


def _text(**more: object) -> Node:
    return {"type": "string", **more}


def _reference(name: str) -> Node:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(description: str, required: list[str], **properties: Node) -> Node:
    return {"type": "object", "description": description, "required": required, "properties": properties}


def _count(description: str) -> Node:
    return {"type": "integer", "minimum": 0, "description": description}


def _patch_operation(names: list[str], *more: str) -> Node:
    members: Node = {"op": _text(enum=names), "path": _reference("Pointer")}
    members |= {"from": _reference("Pointer")} if "from" in more else {}
    return {"type": "object", "required": ["op", "path", *more], "properties": members}


SCHEMAS: Final[dict[str, Node]] = {
    "Problem": _object(
        "Why a request failed (RFC 9457).",
        ["type", "title", "status", "advice"],
        type=_text(format="uri-reference", enum=[TYPE_BASE + name for name in PROBLEM_TYPES]),
        title=_text(),
        status={"type": "integer", "minimum": 400, "maximum": 599},
        detail=_text(description="What is wrong with this request."),
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
                hidden=_count("How many of the first 1,000 names in the engine are no keys of this mount."),
            ),
        },
    ),
    "Usage": _object(
        "The usage of a mount with max_bytes.",
        ["documents", "used_bytes", "max_bytes", "evict", "hits", "misses", "evictions"],
        documents=_count("Stored documents."),
        used_bytes=_count("Their content, keys and stored headers, and the overhead of the engine for each."),
        max_bytes=_count("The limit on used_bytes."),
        evict={
            "enum": ["lru", None],
            "description": "A full mount evicts documents, or rejects writes (507).",
        },
        hits=_count("Reads that found their document."),
        misses=_count("Reads that found no document."),
        evictions=_count("Documents that were evicted."),
    ),
    "Meta": _object(
        "The metadata of a document.",
        ["key", "version", "size", "sha256", "media_type", "modified"],
        key=_text(),
        version=_text(pattern="^[A-Za-z0-9_-]{32}$", description="In quotes it is the ETag."),
        size={"type": "integer", "minimum": 0, "description": "Bytes."},
        sha256=_text(pattern="^[0-9a-f]{64}$"),
        media_type=_text(),
        modified=_text(format="date-time"),
        expires=_text(format="date-time"),
        fields={
            "type": "object",
            "description": "Other stored headers, by name.",
            "additionalProperties": _text(),
        },
    ),
    "Listing": _object(
        "A page of a collection, in bytewise order of the keys.",
        ["mount", "documents", "next"],
        mount=_text(),
        folder=_text(description="The folder that the URL names; absent for the collection."),
        documents={"type": "array", "items": _reference("Meta")},
        folders={"type": "array", "items": _text(), "description": "With delimiter: common prefixes of keys."},
        next={"type": ["string", "null"], "format": "uri-reference", "description": "The next page."},
        hidden=_count("The names in the engine between these that are no keys of this mount; absent for 0."),
    ),
    "LinkRequest": _object(
        "What a signed link allows.",
        ["path"],
        path=_text(description="The path of a document, of a folder or of a collection, percent-encoded."),
        prefix=_text(description="Only for keys in the folder or collection that begin with this."),
        methods={"type": "array", "items": _text(enum=list(LINK_METHODS)), "minItems": 1, "default": ["GET"]},
        ttl={"type": "integer", "minimum": 1, "maximum": LINK_TTL_LIMIT_S, "default": DEFAULT_LINK_TTL_S},
        max_document=_count("Bytes of the largest document that it stores."),
        types={"type": "array", "items": _text(), "minItems": 1, "description": "Media types that it stores."},
        once={"type": "boolean", "description": "Whether one request that succeeds uses it up."},
    )
    | {"additionalProperties": False},
    "SignedLink": _object(
        "A signed link.",
        ["id", "url", "expires"],
        id=_text(pattern="^[0-9a-f]{36}$", description="For revoking it; no secret."),
        url=_text(format="uri-reference", description="With the link: whoever has it may do what it allows."),
        expires=_text(format="date-time"),
    ),
    "MergePatch": {"description": "RFC 7396: any JSON. null removes a member; anything but an object replaces all."},
    "JSONPatch": {
        "type": "array",
        "description": "RFC 6902: operations, of which all apply or none.",
        "items": {
            "oneOf": [
                _patch_operation(["add", "replace", "test"], "value"),
                _patch_operation(["remove"]),
                _patch_operation(["move", "copy"], "from"),
            ]
        },
    },
    "Pointer": _text(pattern="^(?:/(?:[^~/]|~[01])*)*$", description="RFC 6901."),
    "Login": _object(
        "Who the client is.",
        ["token"],
        token={
            "type": ["object", "null"],
            "description": "null for a client without valid credentials.",
            "required": ["id", "note"],
            "properties": {"id": _text(), "note": _text(), "expires": _text(format="date-time")},
        },
    ),
    "Linkset": _object("RFC 9264.", ["linkset"], linkset={"type": "array", "items": {"type": "object"}}),
    "OpenAPI": _object("This document.", ["openapi", "info", "paths"], openapi=_text(pattern="^3\\.1\\.")),
}


def _query(name: str, schema: Node, description: str) -> Node:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _header(name: str, description: str, schema: Node | None = None) -> Node:
    return {"name": name, "in": "header", "description": description, "schema": schema or _text()}


GROUPS: Final[dict[str, list[Node]]] = {
    "listing": [
        _query("prefix", _text(), "Only keys with this prefix; in a folder, after the name of the folder."),
        _query("after", _text(), "Only keys after this one."),
        _query(
            "limit",
            {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
            f"Documents in a page; by default {DEFAULT_LIMIT} in JSON, {HTML_LIMIT} in browsers, otherwise all.",
        ),
        _query("delimiter", _text(enum=["", "/"]), "With /, keys that share a prefix up to a slash are one folder."),
        _query("format", _text(enum=list(LISTING_FORMATS)), "The format; overrides Accept. zip and tar are downloads."),
        _query("keys", _text(), f"In a download: only these keys and folders, one a line, at most {KEYS_LIMIT}."),
    ],
    "conditions": [
        _header("If-Match", "Only if the ETag is one of these; * if the document exists."),
        _header("If-None-Match", "Only if the ETag is none of these; * if the document does not exist."),
        _header("If-Modified-Since", "Only if the document is newer. Invalid dates are ignored."),
        _header("If-Unmodified-Since", "Only if the document is not newer. Invalid dates are ignored."),
    ],
    "ranges": [
        _header("Range", "The bytes to send: bytes=0-99, or bytes=-100 for the last hundred. Other units are ignored."),
        _header("If-Range", "Apply Range only if this is the ETag or exactly the Last-Modified."),
    ],
    "wanted digests": [
        _header("Want-Repr-Digest", "Request the digest of the whole document: sha-256=1 (RFC 9530)."),
        _header("Want-Content-Digest", "Request the digest of the content of this answer (RFC 9530)."),
        _header("Want-Digest", "The older way to request a digest (RFC 3230)."),
    ],
    "digests": [
        _header("Content-Digest", "Verified before anything is stored (RFC 9530)."),
        _header("Repr-Digest", "Verified before anything is stored (RFC 9530)."),
        _header("Content-MD5", "Verified before anything is stored (RFC 1864)."),
        _header("Digest", "Verified before anything is stored (RFC 3230)."),
    ],
    "expiry": [
        _header(
            "TTL",
            "Seconds until the document expires; without it the document never does.",
            {"type": "integer", "minimum": 0, "maximum": TTL_LIMIT_S},
        ),
    ],
    "prefer": [_header("Prefer", "return=minimal or return=representation (RFC 7240); others are ignored.")],
    "stored": [
        _header(header.request_name, f"Stored with the document. {header.summary}", _text(pattern=header.pattern))
        for header in STORED_HEADERS.values()
    ],
}
"""Parameters that are used together, by the name that operations use."""

PARAMETERS: Final[dict[str, Node]] = {
    str(parameter["name"]): parameter for group in GROUPS.values() for parameter in group
}

BODIES: Final[dict[str, Node]] = {
    "content": {
        "description": (
            "Any bytes of any media type. Content-Type is stored (by default guessed from key and content), and so are "
            f"headers that start with Meta-: at most {META_LIMIT}. All together are at most {STORED_SIZE_LIMIT} bytes."
        ),
        "content": {"*/*": {}, "application/octet-stream": {}},
    },
    "login": {
        "description": "A token, and for people the path where the browser goes then.",
        "required": True,
        "content": {
            media_type: {"schema": _object("A login.", ["token"], token=_text(), next=_text())}
            for media_type in ("application/json", "application/x-www-form-urlencoded")
        },
    },
    "link": {
        "description": "What the link is for.",
        "required": True,
        "content": {"application/json": {"schema": _reference("LinkRequest")}},
    },
    "patch": {
        "description": "A patch for a JSON document.",
        "required": True,
        "content": {
            media_type: {"schema": _reference(name)}
            for media_type, name in zip(PATCH_TYPES, ("MergePatch", "JSONPatch"), strict=True)
        },
    },
}

SECURITY_SCHEMES: Final[dict[str, Node]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A token, unless the store is open."},
    "basic": {"type": "http", "scheme": "basic", "description": "A token as the password; the user is ignored."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "docstore-session",
        "description": "The cookie that /-/login sets. Its name has the port, if the URL has one; https adds __Host-.",
    },
    "link": {"type": "apiKey", "in": "query", "name": LINK_PARAMETER, "description": "A signed link."},
}

HEADERS: Final[dict[str, Node]] = {
    **{header.name: {"description": "As it was stored.", "schema": _text()} for header in STORED_HEADERS.values()},
    "Accept-Patch": {"description": "The media types of patches.", "schema": _text()},
    "Accept-Ranges": {"description": "Byte ranges are supported.", "schema": _text(const="bytes")},
    "Allow": {"description": "The methods of this resource.", "schema": _text()},
    "Cache-Control": {
        "description": "Always present; the stored one, if any, or that of the mount.",
        "schema": _text(),
    },
    "Content-Digest": {"description": "If it was requested.", "schema": _text()},
    "Content-Location": {"description": "The document in this response.", "schema": _text()},
    "Content-Range": {"description": "The position of these bytes, or the size of the document.", "schema": _text()},
    "Digest": {"description": "If it was requested.", "schema": _text()},
    "ETag": {"description": "The version, in quotes.", "schema": _text(pattern='^"[A-Za-z0-9_-]{32}"$')},
    "Last-Modified": {"description": "In whole seconds.", "schema": _text()},
    "Link": {"description": "Related resources (RFC 8288).", "schema": _text()},
    "Location": {"description": "The path of the document or folder.", "schema": _text(format="uri-reference")},
    "Preference-Applied": {"description": "The preference that was applied.", "schema": _text()},
    "Repr-Digest": {"description": "If it was requested.", "schema": _text()},
    "RateLimit": {"description": "The requests that are left, and in how many seconds all are.", "schema": _text()},
    "RateLimit-Policy": {"description": "The requests in a window of seconds.", "schema": _text()},
    "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 0}},
    "Sunset": {"description": "When the document expires (RFC 8594).", "schema": _text()},
    "Vary": {"description": "The request headers that this response depends on.", "schema": _text()},
    "WWW-Authenticate": {"description": "The schemes of a token: Bearer and Basic.", "schema": _text()},
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful response. `media_types` maps to names of schemas, "" for any content of that type.

    `headers` are names in HEADERS; one with a question mark is not always present.
    """

    description: str
    media_types: Mapping[str, str] = field(default_factory=dict)
    headers: tuple[str, ...] = ("Cache-Control",)


@dataclass(frozen=True, slots=True)
class Operation:
    """What a verb answers and reads: answers by status, names of problem types, of parameter groups and of a body.

    It is the decorator of the verb's function, whose docstring says what the verb does.
    """

    answers: Mapping[int, Answer]
    problems: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    body: str = ""

    def __call__(self, verb: V) -> V:
        OPERATIONS[verb] = self
        return verb


OPERATIONS: Final[dict[object, Operation]] = {}
"""By the verb's function."""

ENGINE_PROBLEMS: Final = ("engine-failed", "unavailable")
KEY_PROBLEMS: Final = ("invalid-target", "invalid-key")
READ_PROBLEMS: Final = ("precondition-failed", "not-found", *KEY_PROBLEMS, *ENGINE_PROBLEMS)
UNSAFE_PROBLEMS: Final = (
    "invalid-query",
    "invalid-field",
    "cross-site",
    "forbidden",
    "quota-exceeded",
    "read-only",
    "no-space",
    "outcome-unknown",
    *ENGINE_PROBLEMS,
)
UPLOAD_PROBLEMS: Final = (
    "expectation-failed",
    "incomplete",
    "digest-mismatch",
    "timeout",
    "too-large",
)
_WRITE_PROBLEMS: Final = (*UNSAFE_PROBLEMS, *UPLOAD_PROBLEMS, "precondition-failed", "partial-put")

_VALIDATORS: Final = ("Cache-Control", "ETag", "Last-Modified")
DOCUMENT_HEADERS: Final = (
    *(*_VALIDATORS, "Accept-Ranges", "Sunset?", "Content-Digest?", "Digest?", "Repr-Digest?"),
    *(f"{header.name}?" for header in STORED_HEADERS.values() if header.name not in _VALIDATORS),
)
DOCUMENT_NOT_MODIFIED: Final = Answer("The client has this version.", {}, (*_VALIDATORS, "Sunset?"))

FOLDER_ANSWER: Final = Answer(
    "There is no document, but a folder of this name; for clients that accept text/html or */* with full weight.",
    {"text/plain": ""},
    ("Cache-Control", "Location", "Vary"),
)

_WRITE_CONTENT: Final = {"text/plain": "", "*/*": ""}
"""The key and a newline, or with `return=representation` the document."""

CREATED: Final = Answer(
    "A new document: its key and a newline, or what Prefer requests.",
    _WRITE_CONTENT,
    ("Cache-Control", "ETag", "Location", "Preference-Applied?", "Content-Location?"),
)
REPLACED: Final = Answer(
    "The document was replaced: its key and a newline, or what Prefer requests.",
    _WRITE_CONTENT,
    ("Cache-Control", "ETag", "Preference-Applied?", "Content-Location?"),
)
NO_CONTENT_ANSWER: Final = Answer(
    "Stored; Prefer requested no content.", headers=("Cache-Control", "ETag", "Preference-Applied")
)
ALLOW_ANSWER: Final = Answer("The methods of this resource.", headers=("Allow", "Cache-Control"))

LISTING: Final = Operation(
    {
        200: Answer(
            "The listing, or an archive of the documents.",
            {format.media_type: format.schema for format in LISTING_FORMATS.values()},
            ("Cache-Control", "Vary", "Link?", "Content-Disposition?"),
        ),
        304: Answer("The collection exists.", {}, ("Cache-Control", "Vary")),
    },
    ("invalid-target", "invalid-query", "not-acceptable", "not-found", "precondition-failed", *ENGINE_PROBLEMS),
    ("listing", "conditions"),
)
FOLDER_LISTING: Final = replace(LISTING, problems=(*LISTING.problems, "invalid-key"))
_WRITE_PARAMETERS: Final = ("conditions", "stored", "expiry", "prefer", "digests")
COLLECTION_WRITE: Final = Operation(
    {201: CREATED}, ("invalid-target", "unsupported-type", *_WRITE_PROBLEMS), _WRITE_PARAMETERS, "content"
)
_DOCUMENT_PROBLEMS: Final = (*KEY_PROBLEMS, *_WRITE_PROBLEMS, "changed-meanwhile", "obstructed")
DOCUMENT_WRITE: Final = Operation(
    {200: REPLACED, 201: CREATED, 204: NO_CONTENT_ANSWER},
    _DOCUMENT_PROBLEMS,
    _WRITE_PARAMETERS,
    "content",
)
DOCUMENT_POST: Final = replace(DOCUMENT_WRITE, problems=("unsupported-type", *_DOCUMENT_PROBLEMS))
