"""The OpenAPI document: it is valid, generated from the resources, and correct.

Correct means that schemathesis, with all its checks, finds no difference on a real server. SETTINGS and HOOKS contain
everything that its checks can't know, with the reason for each.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from docstore.engines.registry import EngineURL, open_engine
from docstore.errors import InvalidKey
from docstore.http.json_patch import MalformedPatch, PatchError
from docstore.http.merge_patch import apply_patch
from docstore.http.message import Headers, Request, Response
from docstore.http.stored_headers import STORED_HEADERS, InvalidStoredField, parse_stored_fields, request_name
from docstore.keys import KEY_RULES
from docstore.server.errors import PROBLEM_TYPES, TYPE_BASE
from docstore.server.json_schemas import KEY_PARAMETERS, SCHEMAS
from docstore.server.mounts import Mount, Mounts
from docstore.server.openapi import Path as ApiPath
from docstore.server.openapi import UndocumentedVerb, document
from docstore.server.openapi_schema import OPERATIONS, Answer, Operation
from docstore.server.resources.resource import Resource
from docstore.server.resources.system import openapi_document
from tests.in_process import InProcess, on_a_store, opened
from tests.server_process import RunningServer

VERBS = {"get", "head", "post", "put", "patch", "delete", "options"}


def mounts() -> Mounts:
    """Every option that the document depends on, and names that could be taken for one another."""
    memory = EngineURL.parse("memory:")
    named = {"docs": "name", "docs/key": "name", "cache/ac": "path", "cache-ac": "path"}
    given = [Mount(name, open_engine(memory), keys=keys) for name, keys in named.items()]
    return Mounts([*given, Mount("strict", open_engine(memory), collection_put=False)])


DOCUMENT = json.loads(json.dumps(openapi_document(mounts())))


def operations() -> Iterator[tuple[str, str, dict]]:
    for path, item in DOCUMENT["paths"].items():
        for verb in VERBS & item.keys():
            yield path, verb, item[verb]


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_it_is_a_valid_openapi_document() -> None:
    assert [error.message for error in OPENAPI_31_VALIDATOR.iter_errors(DOCUMENT)] == []
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def test_every_reference_can_be_resolved() -> None:
    components = DOCUMENT["components"]
    there = {f"#/components/{kind}/{name}" for kind, named in components.items() for name in named}
    assert set(references(DOCUMENT)) <= there
    unused = {
        name for name in there - set(references(DOCUMENT)) if name.split("/")[2] not in ("headers", "securitySchemes")
    }
    assert unused == set()


def test_operations_have_unique_ids() -> None:
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(ids) == len(set(ids)) > 50


def test_a_mount_that_refuses_put_to_its_collection_has_no_such_operation() -> None:
    assert "put" in DOCUMENT["paths"]["/docs/"]
    assert "put" not in DOCUMENT["paths"]["/strict/"]


@pytest.mark.parametrize("collection_put", [True, False])
def test_the_operations_are_the_verbs_that_are_allowed(tmp_path: Path, collection_put: bool) -> None:
    async def run() -> None:
        async with opened(tmp_path, ["memory"], collection_put=collection_put) as store:
            for path, item in openapi_document(store.store.mounts)["paths"].items():
                target = path.replace("{key}", "some-key").replace("{file}", "page.js").replace("{id}", "0" * 36)
                allow = (await store.send("OPTIONS", target))["allow"]
                assert {verb.upper() for verb in VERBS & item.keys()} == set(allow.split(", ")), path

    asyncio.run(run())


class Known(Resource):
    async def GET(self, request: Request) -> Response:
        """Something that is described nowhere else."""
        raise AssertionError


class WithoutDocstring(Resource):
    async def GET(self, request: Request) -> Response:
        raise AssertionError


class WithAnOddVerb(Resource):
    async def QUERY(self, request: Request) -> Response:
        """Documentation of a verb."""
        raise AssertionError


@pytest.mark.parametrize("resource", [Known, WithoutDocstring, WithAnOddVerb])
def test_a_verb_without_a_description_raises(resource: type[Resource]) -> None:
    with pytest.raises(UndocumentedVerb, match=resource.__name__):
        document([ApiPath("/new", "new", resource, "new")])


ROW = Operation({200: Answer("An answer.")})


def test_a_verb_that_is_added_to_a_class_is_an_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPERATIONS, Known.GET, ROW)
    item = document([ApiPath("/new", "new", Known, "new")])["paths"]["/new"]
    assert item.keys() == {"get", "options"}
    assert item["get"]["summary"] == "Something that is described nowhere else."


def test_a_row_without_a_docstring_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPERATIONS, WithoutDocstring.GET, ROW)
    with pytest.raises(UndocumentedVerb, match=r"WithoutDocstring\.GET has no docstring"):
        document([ApiPath("/new", "new", WithoutDocstring, "new")])


def test_every_problem_is_the_answer_of_some_operation() -> None:
    """But two: they are the answers to what is no operation."""
    told = set(re.findall(rf'{re.escape(TYPE_BASE)}([a-z-]+)"', json.dumps(DOCUMENT["components"]["responses"])))
    assert PROBLEM_TYPES.keys() - told == {"method-not-allowed", "not-implemented"}
    everywhere = DOCUMENT["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]
    assert everywhere == [TYPE_BASE + name for name in PROBLEM_TYPES]


KEYS = st.text(st.sampled_from("aZ0_-./ ~%é😀\x00\n\x7f\x9f"), max_size=12)


@pytest.mark.parametrize("rule", KEY_RULES)
@given(key=KEYS)
def test_the_schema_of_a_key_is_the_rule_of_its_mount(rule: str, key: str) -> None:
    assert jsonschema_rs.is_valid(KEY_PARAMETERS[rule]["schema"], key) == is_key(rule, key)


FULL = "a" * 255


@pytest.mark.parametrize(
    "key",
    [
        *("", ".", "..", "...", "a/..", "./a", "a//b", "/", "..a/.b", FULL, FULL + "a", "." * 255, "." * 256),
        *(f"{FULL}/{FULL}/{FULL}/{FULL}/", f"{FULL}/{FULL}/{FULL}/{FULL}/a", "a/" * 511 + "aa", "a/" * 511 + "aaa"),
    ],
)
def test_the_schema_of_a_key_has_its_bounds(key: str) -> None:
    for rule in KEY_RULES:
        assert jsonschema_rs.is_valid(KEY_PARAMETERS[rule]["schema"], key) == is_key(rule, key)


def is_key(rule: str, key: str) -> bool:
    try:
        KEY_RULES[rule](key)
    except InvalidKey:
        return False
    return True


@pytest.mark.parametrize("name", STORED_HEADERS)
@given(value=st.text(st.sampled_from('aB9-=,;" \t\\*/'), max_size=14))
def test_the_pattern_of_a_stored_header_matches_the_parser(name: str, value: str) -> None:
    value = value.strip(" \t")
    parameters = re.findall(r';[\t ]*([^=;"]+)=', value.lower())
    if len(parameters) != len(set(parameters)):
        return  # No pattern says that a parameter comes once.
    try:
        parse_stored_fields(Headers([(request_name(name).encode(), value.encode())]))
    except InvalidStoredField:
        accepted = False
    else:
        accepted = True
    assert (re.search(STORED_HEADERS[name].pattern, value) is not None) == accepted


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "Add", ""]),
                "path": st.sampled_from(["", "/a", "a", "/~1", "/~", "/a/0", "//", None]),
                "from": st.sampled_from(["", "/a", "a", "/~2", 1]),
                "value": st.sampled_from([None, 1, {}]),
            },
        ),
        max_size=2,
    )
)
def test_the_schema_of_a_json_patch_matches_the_parser(patch: list[dict]) -> None:
    try:
        apply_patch("application/json-patch+json", b'{"a":[1]}', json.dumps(patch).encode(), size_limit=1000)
    except MalformedPatch:
        accepted = False
    except PatchError:
        accepted = True
    else:
        accepted = True
    schema = {**SCHEMAS["JSONPatch"], "components": {"schemas": SCHEMAS}}
    assert jsonschema_rs.is_valid(schema, patch) == accepted


@on_a_store("memory")
async def test_the_page_shows_what_the_document_contains(store: InProcess) -> None:
    described = json.loads((await store.send("GET", "/-/openapi.json")).content)
    html = (await store.send("GET", "/-/docs")).content.decode()
    for path, item in described["paths"].items():
        assert f"<code>{path}</code>" in html
        for verb in VERBS & item.keys():
            section = html.partition(f'<details id="{item[verb]["operationId"]}"')[2].partition("</details>")[0]
            assert f"<b>{verb.upper()}</b>" in section
            assert all(f"<td>{status}</td>" in section for status in item[verb]["responses"])
            for parameter in references(item[verb].get("parameters", [])):
                assert f"<code>{parameter.rpartition('/')[2]}</code>" in section
    linked = set(re.findall(rf'href="{re.escape(TYPE_BASE)}([a-z-]+)"', html))
    assert PROBLEM_TYPES.keys() - linked == {"method-not-allowed", "not-implemented"}


SETTINGS = """
hooks = {hooks}

[generation]
database = "none"
# Fields and parameters that nobody knows are ignored, as RFC 9110 §5.1 has it: they make no request invalid.
allow-extra-parameters = false

[checks.positive_data_acceptance]
# A request that is well-formed meets a state that it does not suit: no such document or version (404, 412), a test that
# does not hold (409), fewer bytes than the range asks for (416), no JSON or no such member to patch (422).
expected-statuses = ["2xx", "3xx", "404", "409", "412", "416", "422"]

[[operations]]
include-method = "PATCH"
# A condition is judged from the header, before the patch is looked at: RFC 9110 §13.2.1.
checks.negative_data_rejection.expected-statuses = ["400", "404", "412", "415", "422"]

[[operations]]
include-method = "POST"
# A form with files is rejected (415), which no schema of any content can say.
checks.positive_data_acceptance.expected-statuses = ["2xx", "3xx", "404", "409", "412", "415", "416", "422"]

[[operations]]
include-method = "OPTIONS"
# After a DELETE it still tells what can be done with the key (RFC 9110 §9.3.7), which is no use of what was freed.
phases.stateful.enabled = false
"""

HOOKS = r"""
import re

import schemathesis


@schemathesis.hook
def before_call(context, case, **kwargs):
    headers = case.headers or {}
    # The digest of generated content is never the one that is generated for it. test_digests.py has those that are.
    for name in ("Content-Digest", "Repr-Digest", "Content-MD5", "Digest"):
        headers.pop(name, None)
    # No pattern says that each parameter comes once, and a generator likes to repeat itself.
    names = re.findall(r';[\t ]*([^=;"]+)=', headers.get("Content-Disposition", "").lower())
    if case.meta.generation.mode.is_positive and len(names) != len(set(names)):
        headers.pop("Content-Disposition")
"""

EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "3")
"""Requests for each operation, besides those that go through the bounds of each schema; more of them take longer."""


def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    hooks = tmp_path / "hooks.py"
    hooks.write_text(HOOKS)
    settings = tmp_path / "settings.toml"
    settings.write_text(SETTINGS.format(hooks=json.dumps(str(hooks))))
    engines = ["--mount", f"cache/ac=sqlite:{tmp_path}/docs.db"]
    with RunningServer(tmp_path / "data", "--log-level", "warning", *engines) as server:
        schemathesis = Path(sys.executable).with_name("schemathesis")
        options = ["--checks=all", f"--max-examples={EXAMPLES}", "--generation-deterministic", "--no-color"]
        # JSON responses are checked against their schemas; other types are accepted too.
        accept = ["-H", "Accept: application/json, */*;q=0.1"]
        run = subprocess.run(
            [schemathesis, "--config-file", settings, "run", f"{server.url}/-/openapi.json", *options, *accept],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"Selected: (\d+)/\1\n  Tested: \1\n", run.stdout), run.stdout
