"""What each verb of each resource reads and answers, for the OpenAPI document.

The table is keyed by the name of the method in its class, as in `DocumentResource.GET`, and so knows no resource and
can be read beside any. What a verb does is said by its docstring and not repeated here. A verb that stands in a class
and not in this table has no place in the document, and the document can't be made: that is how it is noticed.

Descriptions on the methods themselves, by a decorator, were rejected: they would bury what a verb does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from docstore.http.stored_headers import STORED_HEADERS
from docstore.server.resources.listing import FORMATS

_TYPES_OF_LISTING: Final = {media_type: "Listing" if name == "json" else "" for name, media_type in FORMATS.items()}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is no refusal. `media_types` maps to names of schemas, "" for any content of that type.

    `headers` are always there, `optional` ones sometimes; both are names in `openapi_components.HEADERS`.
    """

    description: str
    media_types: Mapping[str, str] = field(default_factory=dict)
    headers: tuple[str, ...] = ("Cache-Control",)
    optional: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """What a verb reads (groups of parameters, a body, by their names) and what it answers, refusals by name."""

    answers: Mapping[int, Answer]
    problems: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    body: str = ""


_ENGINE: Final = ("engine-failed", "unavailable")
_KEY: Final = ("invalid-target", "invalid-key")
_UNSAFE: Final = ("cross-site", "forbidden", "no-space", *_ENGINE)
_UPLOAD: Final = ("expectation-failed", "incomplete", "digest-mismatch", "timeout", "too-large", "invalid-field")
_STORING: Final = (*_UNSAFE, *_UPLOAD, "precondition-failed", "partial-put", "fields-too-large")

_VALIDATORS: Final = ("Cache-Control", "ETag", "Last-Modified")
_DOCUMENT: Final = (*_VALIDATORS, "Accept-Ranges")
_MAYBE: Final = (*(header.name for header in STORED_HEADERS.values() if header.name not in _VALIDATORS), "Sunset")
_DIGESTS: Final = ("Content-Digest", "Digest", "Repr-Digest")

_WRITTEN: Final = {"text/plain": "", "*/*": ""}
"""The key and a newline, or with `return=representation` the document."""

_CREATED: Final = Answer(
    "Stored under a key that was free: the key and a newline, or what Prefer asks for.",
    _WRITTEN,
    ("Cache-Control", "ETag", "Location"),
    ("Preference-Applied", "Content-Location"),
)
_REPLACED: Final = Answer(
    "Stored in place of what was there: the key and a newline, or what Prefer asks for.",
    _WRITTEN,
    ("Cache-Control", "ETag"),
    ("Preference-Applied", "Content-Location"),
)
_MINIMAL: Final = Answer(
    "Stored, and Prefer asked for no content.", headers=("Cache-Control", "ETag", "Preference-Applied")
)
_ALLOW: Final = Answer("What can be done here.", headers=("Allow", "Cache-Control"))

_LISTING: Final = Operation(
    {
        200: Answer("The listing.", _TYPES_OF_LISTING, ("Cache-Control", "Vary"), ("Link",)),
        304: Answer("The reader has some listing already.", {}, ("Cache-Control", "Vary")),
    },
    ("invalid-target", "invalid-query", "not-acceptable", "precondition-failed", *_ENGINE),
    ("listing", "conditions"),
)
_ADDING: Final = Operation(
    {201: _CREATED}, ("invalid-target", *_STORING), ("conditions", "stored", "lifetime", "prefer", "digests"), "content"
)
_WRITING: Final = Operation(
    {200: _REPLACED, 201: _CREATED, 204: _MINIMAL},
    (*_KEY, *_STORING, "changed-meanwhile", "obstructed"),
    ("conditions", "stored", "lifetime", "prefer", "digests"),
    "content",
)
_READABLE: Final = ("precondition-failed", "not-found", *_KEY, *_ENGINE)


def _page(description: str, *media_types: str, schema: str = "") -> Operation:
    """What the service has to read, always the same."""
    types = {media_type: schema if "json" in media_type else "" for media_type in media_types}
    return Operation({200: Answer(description, types)})


OPERATIONS: Final[dict[str, Operation]] = {
    "Resource.OPTIONS": Operation({204: _ALLOW}),
    "RootResource.GET": Operation(
        {
            200: Answer(
                "The mounts.",
                {"text/html": "", "application/json": "Mounts", "text/plain": ""},
                ("Cache-Control", "Link", "Vary"),
            )
        },
        ("not-acceptable",),
    ),
    "CollectionResource.GET": _LISTING,
    "CollectionResource.POST": _ADDING,
    "OriginalCollection.PUT": _ADDING,
    "CollectionResource.OPTIONS": Operation({204: _ALLOW}, ("invalid-target",)),
    "DocumentResource.GET": Operation(
        {
            200: Answer("The document, as it was sent.", {"*/*": ""}, _DOCUMENT, (*_MAYBE, *_DIGESTS)),
            206: Answer(
                "The ranges that were asked for; several of them as multipart/byteranges.",
                {"*/*": ""},
                _DOCUMENT,
                (*_MAYBE, *_DIGESTS, "Content-Range"),
            ),
            304: Answer("The reader has it already.", {}, _VALIDATORS, ("Sunset",)),
        },
        (*_READABLE, "range-not-satisfiable"),
        ("conditions", "ranges", "wishes"),
    ),
    "DocumentResource.HEAD": Operation(
        {
            200: Answer("The header fields of the document.", {}, _DOCUMENT, (*_MAYBE, *_DIGESTS)),
            304: Answer("The reader has it already.", {}, _VALIDATORS, ("Sunset",)),
        },
        _READABLE,
        ("conditions", "wishes"),
    ),
    "DocumentResource.PUT": _WRITING,
    "DocumentResource.POST": _WRITING,
    "DocumentResource.PATCH": Operation(
        {200: _REPLACED, 204: _MINIMAL},
        (
            *(*_KEY, *_UNSAFE, *_UPLOAD, "not-found", "precondition-failed", "changed-meanwhile"),
            *("invalid-patch", "patch-conflict", "unsupported-type", "not-applicable"),
        ),
        ("conditions", "lifetime", "prefer", "digests"),
        "patch",
    ),
    "DocumentResource.DELETE": Operation(
        {200: Answer("Deleted.", {"text/plain": ""})},
        (*_KEY, *_UNSAFE, "not-found", "precondition-failed", "changed-meanwhile"),
        ("conditions",),
    ),
    "DocumentResource.OPTIONS": Operation(
        {204: Answer("What can be done here.", {}, ("Accept-Patch", "Accept-Ranges", "Allow", "Cache-Control"))}, _KEY
    ),
    "Health.GET": _page("It answers.", "text/plain"),
    "Ready.GET": Operation({200: Answer("Every engine answers.", {"text/plain": ""})}, ("unavailable",)),
    "OpenAPI.GET": _page("The document.", "application/json", schema="OpenAPI"),
    "Docs.GET": _page("The page.", "text/html"),
    "Problems.GET": Operation(
        {200: Answer("The problems.", {"text/html": "", "text/plain": ""}, ("Cache-Control", "Vary"))},
        ("not-acceptable",),
    ),
    "Catalog.GET": Operation(
        {200: Answer("The links.", {"application/linkset+json": "Linkset"}, ("Cache-Control", "Link"))}
    ),
    "Asset.OPTIONS": Operation({204: _ALLOW}, ("not-found",)),
    "Asset.GET": Operation(
        {
            200: Answer(
                "The file.", {"text/css": "", "text/javascript": "", "image/svg+xml": ""}, ("Cache-Control", "ETag")
            ),
            304: Answer("The reader has it already.", {}, ("Cache-Control", "ETag")),
        },
        ("not-found", "precondition-failed"),
        ("conditions",),
    ),
}
"""By the qualified name of the method. HEAD, where it is not here, is as GET, without content."""
