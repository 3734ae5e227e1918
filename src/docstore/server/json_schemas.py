"""The JSON schemas of contents and keys, for the OpenAPI document.

A schema here accepts exactly what the server accepts, where JSON Schema can say it; tests compare the patterns with
keys.py. Path keys are limited in bytes, which is only described.
"""

from typing import Final

from docstore.links import DEFAULT_LINK_TTL_S, LINK_ID, LINK_METHODS, LINK_TTL_LIMIT_S
from docstore.server.errors import PROBLEM_TYPES, TYPE_BASE

Node = dict[str, object]

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


def text_node(**more: object) -> Node:
    return {"type": "string", **more}


def reference_to(name: str) -> Node:
    return {"$ref": f"#/components/schemas/{name}"}


def object_node(description: str, required: list[str], **properties: Node) -> Node:
    return {"type": "object", "description": description, "required": required, "properties": properties}


def count_node(description: str) -> Node:
    return {"type": "integer", "minimum": 0, "description": description}


def _patch_operation(names: list[str], *more: str) -> Node:
    members: Node = {"op": text_node(enum=names), "path": reference_to("Pointer")}
    members |= {"from": reference_to("Pointer")} if "from" in more else {}
    return {"type": "object", "required": ["op", "path", *more], "properties": members}


SCHEMAS: Final[dict[str, Node]] = {
    "Problem": object_node(
        "Why a request failed (RFC 9457).",
        ["type", "title", "status", "advice"],
        type=text_node(format="uri-reference", enum=[TYPE_BASE + name for name in PROBLEM_TYPES]),
        title=text_node(),
        status={"type": "integer", "minimum": 400, "maximum": 599},
        detail=text_node(description="What is wrong with this request."),
        advice=text_node(description="What to do next."),
    ),
    "Mounts": object_node(
        "The mounts of this store.",
        ["mounts"],
        mounts={
            "type": "array",
            "items": object_node(
                "A mount.",
                ["mount", "engine"],
                mount=text_node(pattern="^/.+/$"),
                engine=text_node(examples=["sqlite"]),
                usage=reference_to("Usage"),
                hidden=count_node("How many of the first 1,000 names in the engine are no keys of this mount."),
            ),
        },
    ),
    "Usage": object_node(
        "The usage of a mount with max_bytes.",
        ["documents", "used_bytes", "max_bytes", "evict", "hits", "misses", "evictions"],
        documents=count_node("Stored documents."),
        used_bytes=count_node("Their content, keys and stored headers, and the overhead of the engine for each."),
        max_bytes=count_node("The limit on used_bytes."),
        evict={
            "enum": ["lru", None],
            "description": "A full mount evicts documents, or rejects writes (507).",
        },
        hits=count_node("Reads that found their document."),
        misses=count_node("Reads that found no document."),
        evictions=count_node("Documents that were evicted."),
    ),
    "Meta": object_node(
        "The metadata of a document.",
        ["key", "version", "size", "sha256", "media_type", "modified"],
        key=text_node(),
        version=text_node(pattern="^[A-Za-z0-9_-]{32}$", description="In quotes it is the ETag."),
        size={"type": "integer", "minimum": 0, "description": "Bytes."},
        sha256=text_node(pattern="^[0-9a-f]{64}$"),
        media_type=text_node(),
        modified=text_node(format="date-time"),
        expires=text_node(format="date-time"),
        fields={
            "type": "object",
            "description": "Other stored headers, by name.",
            "additionalProperties": text_node(),
        },
    ),
    "Listing": object_node(
        "A page of a collection, in bytewise order of the keys.",
        ["mount", "documents", "next"],
        mount=text_node(),
        folder=text_node(description="The folder that the URL names; absent for the collection."),
        documents={"type": "array", "items": reference_to("Meta")},
        folders={"type": "array", "items": text_node(), "description": "With delimiter: common prefixes of keys."},
        next={"type": ["string", "null"], "format": "uri-reference", "description": "The next page."},
        hidden=count_node("The names in the engine between these that are no keys of this mount; absent for 0."),
    ),
    "LinkRequest": object_node(
        "What a signed link allows.",
        ["path"],
        path=text_node(description="The path of a document, of a folder or of a collection, percent-encoded."),
        prefix=text_node(description="Only for keys in the folder or collection that begin with this."),
        methods={"type": "array", "items": text_node(enum=list(LINK_METHODS)), "minItems": 1, "default": ["GET"]},
        ttl={"type": "integer", "minimum": 1, "maximum": LINK_TTL_LIMIT_S, "default": DEFAULT_LINK_TTL_S},
        max_document=count_node("Bytes of the largest document that it stores."),
        types={"type": "array", "items": text_node(), "minItems": 1, "description": "Media types that it stores."},
        once={"type": "boolean", "description": "Whether one request that succeeds uses it up."},
    )
    | {"additionalProperties": False},
    "SignedLink": object_node(
        "A signed link.",
        ["id", "url", "expires"],
        id=text_node(pattern=f"^{LINK_ID.pattern}$", description="For revoking it; no secret."),
        url=text_node(format="uri-reference", description="With the link. It gives its rights to everybody."),
        expires=text_node(format="date-time"),
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
    "Pointer": text_node(pattern="^(?:/(?:[^~/]|~[01])*)*$", description="RFC 6901."),
    "Login": object_node(
        "Who the client is.",
        ["token"],
        token={
            "type": ["object", "null"],
            "description": "null for a client without valid credentials.",
            "required": ["id", "note"],
            "properties": {"id": text_node(), "note": text_node(), "expires": text_node(format="date-time")},
        },
    ),
    "Linkset": object_node("RFC 9264.", ["linkset"], linkset={"type": "array", "items": {"type": "object"}}),
    "OpenAPI": object_node("This document.", ["openapi", "info", "paths"], openapi=text_node(pattern="^3\\.1\\.")),
}
