"""The parts of the OpenAPI document that operations share: responses, parameters, request bodies, headers.

A schema accepts exactly what the server accepts, where JSON Schema can say it; tests compare the patterns with http.
Malformed conditions and ranges are ignored by the server, so those headers may be any text. Two limits are only
described: a parameter of Content-Disposition may occur once, and all stored headers together have a limit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from docstore.http.dates import TTL_LIMIT_S
from docstore.http.merge_patch import PATCH_TYPES
from docstore.http.stored_headers import META_LIMIT, STORED_HEADERS, STORED_SIZE_LIMIT
from docstore.links import LINK_PARAMETER
from docstore.server.json_schemas import Node, object_node, reference_to, text_node
from docstore.server.resources.listing import DEFAULT_LIMIT, HTML_LIMIT, KEYS_LIMIT, LISTING_FORMATS, MAX_LIMIT

V = TypeVar("V")


def _query(name: str, schema: Node, description: str) -> Node:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _header(name: str, description: str, schema: Node | None = None) -> Node:
    return {"name": name, "in": "header", "description": description, "schema": schema or text_node()}


GROUPS: Final[dict[str, list[Node]]] = {
    "listing": [
        _query("prefix", text_node(), "Only keys with this prefix; in a folder, after the name of the folder."),
        _query("after", text_node(), "Only keys after this one."),
        _query(
            "limit",
            {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
            f"Documents in a page; by default {DEFAULT_LIMIT} in JSON, {HTML_LIMIT} in browsers, otherwise all.",
        ),
        _query(
            "delimiter", text_node(enum=["", "/"]), "With /, keys that share a prefix up to a slash are one folder."
        ),
        _query(
            "format", text_node(enum=list(LISTING_FORMATS)), "The format; overrides Accept. zip and tar are downloads."
        ),
        _query("keys", text_node(), f"In a download: only these keys and folders, one a line, at most {KEYS_LIMIT}."),
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
        _header(header.request_name, f"Stored with the document. {header.summary}", text_node(pattern=header.pattern))
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
        "description": "A token, and the path to which the server redirects browsers.",
        "required": True,
        "content": {
            media_type: {"schema": object_node("A login.", ["token"], token=text_node(), next=text_node())}
            for media_type in ("application/json", "application/x-www-form-urlencoded")
        },
    },
    "link": {
        "description": "What the link is for.",
        "required": True,
        "content": {"application/json": {"schema": reference_to("LinkRequest")}},
    },
    "patch": {
        "description": "A patch for a JSON document.",
        "required": True,
        "content": {
            media_type: {"schema": reference_to(name)}
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
    **{header.name: {"description": "As it was stored.", "schema": text_node()} for header in STORED_HEADERS.values()},
    "Accept-Patch": {"description": "The media types of patches.", "schema": text_node()},
    "Accept-Ranges": {"description": "Byte ranges are supported.", "schema": text_node(const="bytes")},
    "Allow": {"description": "The methods of this resource.", "schema": text_node()},
    "Cache-Control": {
        "description": "Always present; the stored one, if any, or that of the mount.",
        "schema": text_node(),
    },
    "Content-Digest": {"description": "If it was requested.", "schema": text_node()},
    "Content-Location": {"description": "The document in this response.", "schema": text_node()},
    "Content-Range": {
        "description": "The position of these bytes, or the size of the document.",
        "schema": text_node(),
    },
    "Digest": {"description": "If it was requested.", "schema": text_node()},
    "ETag": {"description": "The version, in quotes.", "schema": text_node(pattern='^"[A-Za-z0-9_-]{32}"$')},
    "Last-Modified": {"description": "In whole seconds.", "schema": text_node()},
    "Link": {"description": "Related resources (RFC 8288).", "schema": text_node()},
    "Location": {"description": "The path of the document or folder.", "schema": text_node(format="uri-reference")},
    "Preference-Applied": {"description": "The preference that was applied.", "schema": text_node()},
    "Repr-Digest": {"description": "If it was requested.", "schema": text_node()},
    "RateLimit": {"description": "The requests that are left, and in how many seconds all are.", "schema": text_node()},
    "RateLimit-Policy": {"description": "The requests in a window of seconds.", "schema": text_node()},
    "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 0}},
    "Sunset": {"description": "When the document expires (RFC 8594).", "schema": text_node()},
    "Vary": {"description": "The request headers that this response depends on.", "schema": text_node()},
    "WWW-Authenticate": {"description": "The schemes of a token: Bearer and Basic.", "schema": text_node()},
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
