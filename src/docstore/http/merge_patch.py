"""JSON Merge Patch (RFC 7396), and PATCH (RFC 5789): the patch types and a patch applied to bytes.

A merge patch has the shape of the document; null removes a member. It never fails: any JSON value is a patch of any
other.

Applying a patch rewrites the document: values are kept exactly and members in their order, whitespace is not.
"""

from collections.abc import Callable, Mapping
from typing import Final

from docstore.http.json import JSON, InvalidJSON, JSONTooLarge, format_json, parse_json
from docstore.http.json_patch import MalformedPatch, PatchConflict, PatchTooLarge, json_patch


def merge_patch(target: JSON, patch: JSON) -> JSON:
    """Return `target` changed by `patch`, as in §2; the arguments are not changed."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


PATCH_TYPES: Final[Mapping[str, Callable[[JSON, JSON], JSON]]] = {
    "application/merge-patch+json": merge_patch,
    "application/json-patch+json": json_patch,
}
"""By media type, in lower case and without parameters; any other is 415 with Accept-Patch."""

ACCEPT_PATCH: Final = ", ".join(PATCH_TYPES)


def apply_patch(media_type: str, document: bytes, patch: bytes, *, size_limit: int) -> bytes:
    """Return `document` after `patch` of a `media_type` in PATCH_TYPES; at most `size_limit` bytes.

    Raise a PatchError, and no other error whatever the bytes are.
    """
    try:
        change = parse_json(patch)
    except InvalidJSON as error:
        raise MalformedPatch(f"the patch is not JSON: {error}") from None
    try:
        target = parse_json(document)
    except InvalidJSON as error:
        # 409, not 422: RFC 5789 §2.2 has it for a document without the structure that the patch assumes.
        raise PatchConflict(f"the document is not JSON: {error}") from None
    try:
        return format_json(PATCH_TYPES[media_type](target, change), size_limit=size_limit)
    except JSONTooLarge as error:
        raise PatchTooLarge(str(error)) from None
