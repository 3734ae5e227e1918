"""Merge patches (RFC 7396): the table of the RFC and its pseudocode; patches of both kinds applied to bytes."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docstore.http.json import DEPTH_LIMIT, JSON, equal
from docstore.http.json_patch import MalformedPatch, PatchConflict, PatchTooLarge
from docstore.http.merge_patch import ACCEPT_PATCH, PATCH_TYPES, apply_patch, merge_patch

MERGE, OPERATIONS = "application/merge-patch+json", "application/json-patch+json"

# RFC 7396, Appendix A: original, patch, result.
MERGES = [
    ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
    ('{"a":"b"}', '{"a":null}', "{}"),
    ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
    ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
    ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
    ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
    ('["a","b"]', '["c","d"]', '["c","d"]'),
    ('{"a":"b"}', '["c"]', '["c"]'),
    ('{"a":"foo"}', "null", "null"),
    ('{"a":"foo"}', '"bar"', '"bar"'),
    ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'),
    ("[1,2]", '{"a":"b","c":null}', '{"a":"b"}'),
    ("{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'),
]


@pytest.mark.parametrize(("original", "patch", "result"), MERGES, ids=[f"A.{row}" for row in range(1, 16)])
def test_merge_patches_do_what_the_table_of_the_rfc_says(original: str, patch: str, result: str) -> None:
    assert apply_patch(MERGE, original.encode(), patch.encode(), size_limit=100) == result.encode()


def test_a_merge_patch_keeps_order_and_untouched_numbers() -> None:
    document = b'{ "z": 1E400, "y": 0.1000000000000000055, "x": {"b": 1, "a": 2} }'
    result = b'{"z":1E400,"y":0.1000000000000000055,"x":{"b":1,"a":3,"c":1.0}}'
    assert apply_patch(MERGE, document, b'{"x":{"a":3,"c":1.0}}', size_limit=100) == result


def test_a_merge_patch_may_be_as_deep_as_json() -> None:
    patch = b'{"a":' * (DEPTH_LIMIT - 1) + b"{}" + b"}" * (DEPTH_LIMIT - 1)
    assert apply_patch(MERGE, b"{}", patch, size_limit=10_000) == patch


def test_a_result_over_the_size_or_the_depth_is_rejected() -> None:
    document, patch = b'["aa"]', b'[{"op":"add","path":"/-","value":"bb"}]'
    assert apply_patch(OPERATIONS, document, patch, size_limit=11) == b'["aa","bb"]'
    with pytest.raises(PatchTooLarge, match="10"):
        apply_patch(OPERATIONS, document, patch, size_limit=10)
    deep = b"[" * (DEPTH_LIMIT - 2) + b"]" * (DEPTH_LIMIT - 2)
    patch = b'[{"op":"replace","path":"/0/0/0","value":' + deep + b"}]"
    assert apply_patch(OPERATIONS, b"[[0]]", patch.replace(b"/0/0/0", b"/0/0"), size_limit=1000) == b"[[" + deep + b"]]"
    with pytest.raises(PatchTooLarge, match=str(DEPTH_LIMIT)):
        apply_patch(OPERATIONS, b"[[[0]]]", patch, size_limit=1000)


def test_a_document_that_is_not_json_is_a_conflict_and_not_an_invalid_patch() -> None:
    for media_type, patch in ((MERGE, b"{}"), (OPERATIONS, b"[]")):
        with pytest.raises(PatchConflict, match="document"):
            apply_patch(media_type, b"hello", patch, size_limit=100)
        with pytest.raises(MalformedPatch, match="patch"):
            apply_patch(media_type, b"hello", b"{", size_limit=100)


def test_the_kinds_of_patch_are_those_that_are_advertised() -> None:
    assert ACCEPT_PATCH.split(", ") == list(PATCH_TYPES) == [MERGE, OPERATIONS]


SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.text("a/~-0", max_size=2)
NAMES = st.text("a/~-01", max_size=2)
VALUES: st.SearchStrategy[JSON] = st.recursive(
    SCALARS, lambda values: st.lists(values, max_size=3) | st.dictionaries(NAMES, values, max_size=3), max_leaves=8
)
WITHOUT_NULL = st.recursive(
    st.booleans() | st.integers(-9, 9),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(NAMES, values, max_size=3),
    max_leaves=8,
)


def difference(one: JSON, other: JSON) -> JSON:
    """A merge patch from `one` to `other`, which has no nulls; written from RFC 7396 §1, backwards."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return other
    removed = {name: None for name in one if name not in other}
    changed = {name: difference(one[name], value) if name in one else value for name, value in other.items()}
    return {**removed, **changed}


def reference_merge(target: JSON, patch: JSON) -> JSON:
    """RFC 7396 §2, as it is written there."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = reference_merge(result.get(name), value)
    return result


@given(VALUES, VALUES)
def test_a_merge_follows_the_pseudocode_of_the_rfc_and_changes_no_argument(target: JSON, patch: JSON) -> None:
    before = copy.deepcopy((target, patch))
    assert merge_patch(target, patch) == reference_merge(target, patch)
    assert (target, patch) == before


@given(VALUES, WITHOUT_NULL)
def test_the_difference_of_two_values_merges_one_into_the_other(one: JSON, other: JSON) -> None:
    assert equal(merge_patch(one, difference(one, other)), other)
