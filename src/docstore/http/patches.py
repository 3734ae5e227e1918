"""PATCH (RFC 5789): the media types of patches, and a patch applied to bytes.

The document is rewritten: its values are kept exactly and its members in their order, the blanks between them are not.
Whether there is a document, and what its fields become, is decided elsewhere; the fields of the request that carries a
patch describe the patch and nothing else (§2).
"""

from collections.abc import Callable, Mapping
from typing import Final

from docstore.http.json import JSON, InvalidJSON, JSONTooLarge, format_json, parse_json
from docstore.http.json_patch import (
    MalformedPatch,
    PatchConflict,
    PatchError,
    PatchNotApplicable,
    PatchTooLarge,
    json_patch,
)
from docstore.http.merge_patch import merge_patch

__all__ = [
    "ACCEPT_PATCH",
    "PATCHES",
    "MalformedPatch",
    "PatchConflict",
    "PatchError",
    "PatchNotApplicable",
    "PatchTooLarge",
    "patched",
]

PATCHES: Final[Mapping[str, Callable[[JSON, JSON], JSON]]] = {
    "application/merge-patch+json": merge_patch,
    "application/json-patch+json": json_patch,
}
"""By media type, in lower case and without parameters; any other is 415 with Accept-Patch."""

ACCEPT_PATCH: Final = ", ".join(PATCHES)


def patched(media_type: str, document: bytes, patch: bytes, *, size_limit: int) -> bytes:
    """`document` after `patch`, which is of a `media_type` in PATCHES; at most `size_limit` bytes.

    Raises a PatchError, and nothing else whatever the bytes are.
    """
    try:
        change = parse_json(patch)
    except InvalidJSON as error:
        raise MalformedPatch(f"the patch is not JSON: {error}") from None
    try:
        target = parse_json(document)
    except InvalidJSON as error:
        # 409, not 422: RFC 5789 §2.2 has it for a document that lacks the structure which the patch assumes.
        raise PatchConflict(f"the document is not JSON: {error}") from None
    try:
        return format_json(PATCHES[media_type](target, change), size_limit=size_limit)
    except JSONTooLarge as error:
        raise PatchTooLarge(str(error)) from None
