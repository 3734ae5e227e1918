"""JSON patches (RFC 6902) and pointers (RFC 6901): examples, edge cases, properties and limits."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docstore.http import json_patch as limits
from docstore.http.json import JSON, equal, format_json, parse_json
from docstore.http.json_patch import (
    MalformedPatch,
    PatchConflict,
    PatchError,
    PatchNotApplicable,
    PatchTooLarge,
    find,
    json_patch,
    parse_pointer,
)
from docstore.http.merge_patch import apply_patch

# RFC 6902, Appendix A: document, patch, and the result or the error.
EXAMPLES: dict[str, tuple[str, str, str | type[PatchError]]] = {
    "A.1": ('{"foo":"bar"}', '{"op":"add","path":"/baz","value":"qux"}', '{"foo":"bar","baz":"qux"}'),
    "A.2": ('{"foo":["bar","baz"]}', '{"op":"add","path":"/foo/1","value":"qux"}', '{"foo":["bar","qux","baz"]}'),
    "A.3": ('{"baz":"qux","foo":"bar"}', '{"op":"remove","path":"/baz"}', '{"foo":"bar"}'),
    "A.4": ('{"foo":["bar","qux","baz"]}', '{"op":"remove","path":"/foo/1"}', '{"foo":["bar","baz"]}'),
    "A.5": (
        '{"baz":"qux","foo":"bar"}',
        '{"op":"replace","path":"/baz","value":"boo"}',
        '{"baz":"boo","foo":"bar"}',
    ),
    "A.6": (
        '{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}',
        '{"op":"move","from":"/foo/waldo","path":"/qux/thud"}',
        '{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}',
    ),
    "A.7": (
        '{"foo":["all","grass","cows","eat"]}',
        '{"op":"move","from":"/foo/1","path":"/foo/3"}',
        '{"foo":["all","cows","eat","grass"]}',
    ),
    "A.8": (
        '{"baz":"qux","foo":["a",2,"c"]}',
        '{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}',
        '{"baz":"qux","foo":["a",2,"c"]}',
    ),
    "A.9": ('{"baz":"qux"}', '{"op":"test","path":"/baz","value":"bar"}', PatchConflict),
    "A.10": (
        '{"foo":"bar"}',
        '{"op":"add","path":"/child","value":{"grandchild":{}}}',
        '{"foo":"bar","child":{"grandchild":{}}}',
    ),
    "A.11": ('{"foo":"bar"}', '{"op":"add","path":"/baz","value":"qux","xyz":123}', '{"foo":"bar","baz":"qux"}'),
    "A.12": ('{"foo":"bar"}', '{"op":"add","path":"/baz/bat","value":"qux"}', PatchConflict),
    "A.13": ('{"foo":"bar"}', '{"op":"add","path":"/baz","value":"qux","op":"remove"}', MalformedPatch),
    "A.14": ('{"/":9,"~1":10}', '{"op":"test","path":"/~01","value":10}', '{"/":9,"~1":10}'),
    "A.15": ('{"/":9,"~1":10}', '{"op":"test","path":"/~01","value":"10"}', PatchConflict),
    "A.16": ('{"foo":["bar"]}', '{"op":"add","path":"/foo/-","value":["abc","def"]}', '{"foo":["bar",["abc","def"]]}'),
}

EDGES: dict[str, tuple[str, str, str | type[PatchError]]] = {
    "no operation": ("[1]", "", "[1]"),
    "add at the end by index": ("[1]", '{"op":"add","path":"/1","value":2}', "[1,2]"),
    "add beyond the end": ("[1]", '{"op":"add","path":"/2","value":2}', PatchConflict),
    "add at the start": ("[1]", '{"op":"add","path":"/0","value":2}', "[2,1]"),
    "add a member that is there": ('{"a":1,"b":2}', '{"op":"add","path":"/a","value":3}', '{"a":3,"b":2}'),
    "add null": ("{}", '{"op":"add","path":"/a","value":null}', '{"a":null}'),
    "add the whole": ('{"a":1}', '{"op":"add","path":"","value":[]}', "[]"),
    "add to the empty name": ("{}", '{"op":"add","path":"/","value":1}', '{"":1}'),
    "add to a scalar": ('"a"', '{"op":"add","path":"/0","value":1}', PatchConflict),
    "a leading zero": ("[1,2]", '{"op":"replace","path":"/01","value":1}', PatchConflict),
    "a sign": ("[1,2]", '{"op":"replace","path":"/-1","value":1}', PatchConflict),
    "a plus": ("[1,2]", '{"op":"replace","path":"/+1","value":1}', PatchConflict),
    "an exponent": ("[1,2]", '{"op":"replace","path":"/1e0","value":1}', PatchConflict),
    "a digit of another script": ("[1,2]", '{"op":"replace","path":"/\u0661","value":1}', PatchConflict),
    "a huge index": ("[1]", f'{{"op":"remove","path":"/{"9" * 5000}"}}', PatchConflict),
    "an index as a name": ('{"01":1}', '{"op":"remove","path":"/01"}', "{}"),
    "- in an object": ('{"-":1}', '{"op":"remove","path":"/-"}', "{}"),
    "remove -": ("[1]", '{"op":"remove","path":"/-"}', PatchConflict),
    "replace -": ("[1]", '{"op":"replace","path":"/-","value":2}', PatchConflict),
    "copy from -": ("[1]", '{"op":"copy","from":"/-","path":"/0"}', PatchConflict),
    "through -": ("[[]]", '{"op":"add","path":"/-/0","value":2}', PatchConflict),
    "remove nothing": ("{}", '{"op":"remove","path":"/a"}', PatchConflict),
    "remove the whole": ("{}", '{"op":"remove","path":""}', PatchNotApplicable),
    "replace nothing": ("{}", '{"op":"replace","path":"/a","value":1}', PatchConflict),
    "replace the whole": ("{}", '{"op":"replace","path":"","value":null}', "null"),
    "replace keeps the place": ('{"a":1,"b":2}', '{"op":"replace","path":"/a","value":{"c":3}}', '{"a":{"c":3},"b":2}'),
    "move to itself": ('{"a":[1]}', '{"op":"move","from":"/a","path":"/a"}', '{"a":[1]}'),
    "move nothing to itself": ('{"a":[1]}', '{"op":"move","from":"/b","path":"/b"}', PatchConflict),
    "move into a child": ('{"a":{"b":1}}', '{"op":"move","from":"/a","path":"/a/b"}', PatchNotApplicable),
    "move the whole into itself": ('{"a":1}', '{"op":"move","from":"","path":"/b"}', PatchNotApplicable),
    "move beside a like name": ('{"a":1}', '{"op":"move","from":"/a","path":"/ab"}', '{"ab":1}'),
    "move over a parent": ('{"a":{"b":[1]}}', '{"op":"move","from":"/a/b","path":"/a"}', '{"a":[1]}'),
    "move to the whole": ('{"a":{"b":[1]}}', '{"op":"move","from":"/a/b","path":""}', "[1]"),
    "copy the whole into itself": ('{"a":1}', '{"op":"copy","from":"","path":"/b"}', '{"a":1,"b":{"a":1}}'),
    "a copy is its own": (
        '{"a":[1]}',
        '{"op":"add","path":"/a/-","value":2},{"op":"copy","from":"/a","path":"/b"},{"op":"add","path":"/a/-","value":3}',
        '{"a":[1,2,3],"b":[1,2]}',
    ),
    "a value that is added twice": (
        "{}",
        '{"op":"add","path":"/a","value":[]},{"op":"copy","from":"/a","path":"/b"},{"op":"add","path":"/b/-","value":1}',
        '{"a":[],"b":[1]}',
    ),
    "test a null": ('{"a":null}', '{"op":"test","path":"/a","value":null}', '{"a":null}'),
    "test what is not there": ("{}", '{"op":"test","path":"/a","value":null}', PatchConflict),
    "test numbers": ("[1]", '{"op":"test","path":"/0","value":1.0}', "[1]"),
    "test true": ("[1]", '{"op":"test","path":"/0","value":true}', PatchConflict),
    "test objects": (
        '{"a":{"b":[1],"c":2}}',
        '{"op":"test","path":"","value":{"a":{"c":2,"b":[1]}}}',
        '{"a":{"b":[1],"c":2}}',
    ),
    "test after a change": (
        '{"a":1}',
        '{"op":"replace","path":"/a","value":2},{"op":"test","path":"/a","value":1}',
        PatchConflict,
    ),
    "names of a prototype": ("{}", '{"op":"add","path":"/__proto__","value":1}', '{"__proto__":1}'),
    # 409 if another document would accept the patch, else 422
    "a place that is missing before a move that makes no sense": (
        "{}",
        '{"op":"remove","path":"/a"},{"op":"move","from":"/b","path":"/b/c"}',
        PatchConflict,
    ),
    # 400, whatever the document and the operations before it
    "not an object": ("{}", '"remove"', MalformedPatch),
    "no op": ("{}", '{"path":"/a"}', MalformedPatch),
    "an unknown op": ("{}", '{"op":"spam","path":"/a"}', MalformedPatch),
    "an op in capitals": ('{"a":1}', '{"op":"Remove","path":"/a"}', MalformedPatch),
    "an op that is no string": ("{}", '{"op":[],"path":"/a"}', MalformedPatch),
    "no path": ("{}", '{"op":"remove"}', MalformedPatch),
    "a path that is no string": ("{}", '{"op":"remove","path":1}', MalformedPatch),
    "no value to add": ("{}", '{"op":"add","path":"/a"}', MalformedPatch),
    "no value to test": ('{"a":null}', '{"op":"test","path":"/a"}', MalformedPatch),
    "no value to replace": ('{"a":1}', '{"op":"replace","path":"/a"}', MalformedPatch),
    "no from to move": ("{}", '{"op":"move","path":"/a"}', MalformedPatch),
    "no from to copy": ("{}", '{"op":"copy","path":"/a","from":null}', MalformedPatch),
    "a path without a slash": ("{}", '{"op":"add","path":"a","value":1}', MalformedPatch),
    "a broken escape": ("{}", '{"op":"add","path":"/~2","value":1}', MalformedPatch),
    "a broken end": ('{"a~":1}', '{"op":"copy","from":"/a~","path":"/b"}', MalformedPatch),
    "malformed after a conflict": ("{}", '{"op":"test","path":"","value":1},{"op":"x"}', MalformedPatch),
}


@pytest.mark.parametrize(
    ("document", "operations", "outcome"), [*EXAMPLES.values(), *EDGES.values()], ids=[*EXAMPLES, *EDGES]
)
def test_operations_do_what_the_rfc_says(document: str, operations: str, outcome: str | type[PatchError]) -> None:
    patch = f"[{operations}]".encode()
    if isinstance(outcome, str):
        assert apply_patch("application/json-patch+json", document.encode(), patch, size_limit=1000) == outcome.encode()
        return
    with pytest.raises(PatchError) as caught:
        apply_patch("application/json-patch+json", document.encode(), patch, size_limit=1000)
    assert type(caught.value) is outcome
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("patch", ["{}", "null", '"[]"', '{"op":"add","path":"/a","value":1}'])
def test_a_json_patch_is_an_array(patch: str) -> None:
    with pytest.raises(MalformedPatch, match="array"):
        json_patch({}, parse_json(patch.encode()))


def test_a_failed_operation_is_named_by_its_index() -> None:
    with pytest.raises(PatchConflict, match=r"^operation 1 \(test\): "):
        json_patch({}, [{"op": "test", "path": "", "value": {}}, {"op": "test", "path": "", "value": []}])


POINTED: JSON = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
}
POINTERS = [
    ("", POINTED),
    ("/foo", ["bar", "baz"]),
    ("/foo/0", "bar"),
    ("/", 0),
    ("/a~1b", 1),
    ("/c%d", 2),
    ("/e^f", 3),
    ("/g|h", 4),
    ("/i\\j", 5),
    ('/k"l', 6),
    ("/ ", 7),
    ("/m~0n", 8),
]


@pytest.mark.parametrize(("pointer", "value"), POINTERS)
def test_pointers_refer_to_the_values_in_section_5_of_the_rfc(pointer: str, value: JSON) -> None:
    assert find(POINTED, parse_pointer(pointer)) == value


@pytest.mark.parametrize(
    ("pointer", "tokens"),
    [("/~01", ("~1",)), ("/~10", ("/0",)), ("/~0~1", ("~/",)), ("//", ("", "")), ("/a/", ("a", ""))],
)
def test_a_pointer_is_unescaped_in_one_order(pointer: str, tokens: tuple[str, ...]) -> None:
    assert parse_pointer(pointer) == tokens


@pytest.mark.parametrize("pointer", ["a", "a/b", " /a", "/~", "/a~", "/~2", "/~~0", "#/a"])
def test_other_text_is_no_pointer(pointer: str) -> None:
    with pytest.raises(MalformedPatch):
        parse_pointer(pointer)


def test_the_number_of_operations_of_a_patch_is_limited() -> None:
    operation: JSON = {"op": "test", "path": "", "value": {}}
    assert json_patch({}, [operation] * limits.OPERATIONS_LIMIT) == {}
    with pytest.raises(PatchTooLarge, match=str(limits.OPERATIONS_LIMIT)):
        json_patch({}, [operation] * (limits.OPERATIONS_LIMIT + 1))


def test_a_patch_that_copies_exponentially_is_rejected_before_it_is_large() -> None:
    bomb: JSON = [{"op": "copy", "from": "", "path": "/-"}] * 100
    with pytest.raises(PatchTooLarge):
        json_patch(["x" * 1000], bomb)


def test_copies_that_are_removed_again_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "COPIED_SIZE_LIMIT", 30)
    once: list[JSON] = [{"op": "copy", "from": "/a", "path": "/b"}, {"op": "remove", "path": "/b"}]
    document: JSON = {"a": "x" * 8}
    assert json_patch(document, once * 3) == document
    with pytest.raises(PatchTooLarge, match="copies"):
        json_patch(document, once * 4)


def test_a_copy_can_be_changed_without_its_source() -> None:
    patch: JSON = [{"op": "copy", "from": "/a", "path": "/b"}, {"op": "add", "path": "/b/-", "value": 2}]
    assert json_patch({"a": [1]}, patch) == {"a": [1], "b": [1, 2]}


SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.text("a/~-0", max_size=2)
NAMES = st.text("a/~-01", max_size=2)
VALUES: st.SearchStrategy[JSON] = st.recursive(
    SCALARS, lambda values: st.lists(values, max_size=3) | st.dictionaries(NAMES, values, max_size=3), max_leaves=8
)
PATHS = st.lists(st.sampled_from(["0", "1", "-", "a", "~1", "01", ""]), max_size=3).map(
    lambda tokens: "".join(f"/{token}" for token in tokens)
)
OPERATION = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
        "path": PATHS,
        "from": PATHS,
        "value": VALUES,
    }
)


def unshared(value: JSON) -> JSON:
    """As it is parsed from a request: no container occurs twice."""
    return parse_json(format_json(value))


@given(VALUES, VALUES)
def test_the_whole_document_can_be_tested_and_replaced(one: JSON, other: JSON) -> None:
    patch: JSON = [{"op": "test", "path": "", "value": one}, {"op": "replace", "path": "", "value": other}]
    assert equal(json_patch(one, patch), other)


@given(VALUES, st.lists(OPERATION, max_size=6))
def test_operations_apply_as_one_by_one_or_not_at_all(target: JSON, operations: list[JSON]) -> None:
    expected: JSON | None = unshared(target)
    error: type[PatchError] | None = None
    for operation in operations:
        try:
            expected = json_patch(expected, unshared([operation]))
        except PatchError as caught:
            error = type(caught)
            break
    if error is None:
        assert format_json(json_patch(unshared(target), unshared(operations))) == format_json(expected)
    else:
        with pytest.raises(error):
            json_patch(unshared(target), unshared(operations))


@given(VALUES, VALUES | st.lists(VALUES | OPERATION, max_size=3))
def test_any_json_as_a_patch_raises_nothing_but_patch_errors(target: JSON, patch: JSON) -> None:
    try:
        result = json_patch(unshared(target), unshared(patch))
    except PatchError:
        return
    assert json.loads(format_json(result)) == result


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/0", "value": 1},
        {"op": "move", "from": "/0", "path": "/-"},
        {"op": "remove", "path": "/0"},
    ],
    ids=["add", "move", "remove"],
)
def test_shifting_a_long_array_repeatedly_is_bounded(operation: JSON) -> None:
    document: JSON = [0] * 1_000_000
    assert isinstance(json_patch(document, [operation] * 40), list)
    with pytest.raises(PatchTooLarge):
        json_patch(document, [operation] * 60)


def test_appending_to_a_long_array_shifts_nothing() -> None:
    document: JSON = [0] * 1_000_000
    changed = json_patch(document, [{"op": "add", "path": "/-", "value": 1}] * 1000)
    assert isinstance(changed, list)
    assert len(changed) == 1_001_000
