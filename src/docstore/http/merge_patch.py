"""JSON Merge Patch (RFC 7396): a patch in the likeness of what it changes, where null removes.

It is the RFC's algorithm with a stack in place of its recursion, and it changes no argument: what the patch does not
touch is shared with the target. It never fails: any JSON value is a patch of any other.
"""

from docstore.http.json import JSON


def merge_patch(target: JSON, patch: JSON) -> JSON:
    """`target` as `patch` would have it; arrays and scalars are replaced whole."""
    if not isinstance(patch, dict):
        return patch
    result = _copy(target)
    unmerged = [(result, patch)]
    while unmerged:
        merged, changes = unmerged.pop()
        for name, value in changes.items():
            if value is None:
                merged.pop(name, None)
            elif isinstance(value, dict):
                child = _copy(merged.get(name))
                merged[name] = child
                unmerged.append((child, value))
            else:
                merged[name] = value
    return result


def _copy(target: JSON) -> dict[str, JSON]:
    """What an object of a patch is merged into: what is not an object counts as an empty one."""
    return dict(target) if isinstance(target, dict) else {}
