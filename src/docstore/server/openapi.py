"""The OpenAPI document (3.1.1), made from the resources: the verbs of a class are the operations of its paths.

What a verb does is its docstring; what it reads and answers is its decorator, an Operation. A verb
without either raises UndocumentedVerb. This module knows no resource; resources/system.py lists the paths.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from inspect import getdoc
from typing import Final

from docstore.server.errors import PROBLEM_TYPES, TYPE_BASE
from docstore.server.json_schemas import SCHEMAS, Node
from docstore.server.openapi_schema import (
    BODIES,
    GROUPS,
    HEADERS,
    OPERATIONS,
    PARAMETERS,
    SECURITY_SCHEMES,
    Answer,
    Operation,
)
from docstore.server.resources.resource import Resource

_DESCRIPTION: Final = """\
Stores bytes under a key that you choose, and returns the same bytes.

Errors are problems (RFC 9457) for clients that accept JSON, a page for clients that accept HTML, and a line of text \
otherwise. A method without an operation here is 405 with Allow, an unknown one is 501. Responses have \
X-Content-Type-Options, Cross-Origin-Resource-Policy and Referrer-Policy; documents are sandboxed by their \
Content-Security-Policy, unless their mount serves web apps."""

VERSION: Final = version("docstore")
_EVERYWHERE: Final = (
    "unauthorized",
    "forbidden",
    "access-unavailable",
    "too-many-requests",
    "wrong-host",
    "fields-too-large",
    "internal",
)


class UndocumentedVerb(LookupError):
    """A resource has a verb without a docstring or an Operation; the message names it."""


@dataclass(frozen=True, slots=True)
class Path:
    """A path, its resource, and a unique dotted name for operationIds."""

    path: str
    name: str
    resource: type[Resource]
    tag: str
    parameters: tuple[Node, ...] = ()
    """The path parameters."""


def document(all_paths: Sequence[Path], server: str = "/") -> dict[str, object]:
    """Return the whole document; `server` is the URL of the root. Raise UndocumentedVerb."""
    responses: dict[str, Node] = {}
    paths = {path.path: _path_item(path, responses) for path in all_paths}
    return {
        "openapi": "3.1.1",
        "info": {"title": "Docstore", "version": VERSION, "description": _DESCRIPTION},
        "servers": [{"url": server}],
        "tags": [{"name": tag} for tag in dict.fromkeys(path.tag for path in all_paths)],
        "security": [{}, {"bearer": []}, {"basic": []}, {"session": []}, {"link": []}],
        "paths": paths,
        "components": {
            "securitySchemes": SECURITY_SCHEMES,
            "schemas": SCHEMAS,
            "parameters": PARAMETERS,
            "requestBodies": BODIES,
            "headers": {
                name + suffix: header | ({} if suffix else {"required": True})
                for name, header in HEADERS.items()
                for suffix in ("", _OPTIONAL)
            },
            "responses": responses,
        },
    }


_OPTIONAL: Final = ".optional"
"""The suffix of header components that a response may lack."""


def _path_item(path: Path, responses: dict[str, Node]) -> Node:
    item: Node = {"parameters": list(path.parameters)} if path.parameters else {}
    for verb in sorted(path.resource.verbs):
        item[verb.lower()] = _operation(path, verb, responses)
    return item


def _operation(path: Path, verb: str, responses: dict[str, Node]) -> Node:
    operation, text = _described(path.resource, verb)
    summary, _, description = text.partition("\n\n")
    operation_node: Node = {
        "operationId": f"{path.name}.{verb.lower()}",
        "tags": [path.tag],
        "summary": " ".join(summary.split()),
    }
    if description:
        operation_node["description"] = description
    names = [str(parameter["name"]) for group in operation.parameters for parameter in GROUPS[group]]
    if names:
        operation_node["parameters"] = [{"$ref": f"#/components/parameters/{name}"} for name in names]
    if operation.body:
        operation_node["requestBody"] = {"$ref": f"#/components/requestBodies/{operation.body}"}
    operation_node["responses"] = {
        **_answers(operation.answers, f"{path.resource.__name__}.{verb}", responses),
        **_problems((*operation.problems, *_EVERYWHERE), responses, with_content=verb != "HEAD"),
    }
    return operation_node


def summary_of(resource: type[Resource], verb: str) -> str:
    """Return the first sentence about a verb. Raise UndocumentedVerb."""
    return " ".join(_described(resource, verb)[1].partition("\n\n")[0].split())


def _described(resource: type[Resource], verb: str) -> tuple[Operation, str]:
    """Return the operation of a verb and its docstring, which may be inherited. Raise UndocumentedVerb."""
    function = resource.verbs[verb]
    operation, text = OPERATIONS.get(function), getdoc(function)
    if operation is None and verb == "HEAD":
        get, _ = _described(resource, "GET")
        operation = replace(get, answers={s: replace(answer, media_types={}) for s, answer in get.answers.items()})
    if operation is None or not text:
        raise UndocumentedVerb(f"{function.__qualname__} has no {'docstring' if operation else 'Operation'}")
    return operation, text


def _answers(answers: Mapping[int, Answer], name: str, responses: dict[str, Node]) -> Node:
    """Return references by status; each response is a component, which mounts share."""
    for status, answer in answers.items():
        responses[f"{name}.{status}"] = _answer(answer)
    return {str(status): {"$ref": f"#/components/responses/{name}.{status}"} for status in answers}


def _answer(answer: Answer) -> Node:
    node: Node = {
        "description": answer.description,
        "headers": {
            name.rstrip("?"): {"$ref": f"#/components/headers/{name.replace('?', _OPTIONAL)}"}
            for name in answer.headers
        },
    }
    if answer.media_types:
        node["content"] = {
            media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}} if schema else {}
            for media_type, schema in answer.media_types.items()
        }
    return node


def _problems(names: Iterable[str], responses: dict[str, Node], *, with_content: bool) -> Node:
    """Return references by status; a repeated group of problems is one component, named after them."""
    by_status: dict[int, list[str]] = {}
    for name in PROBLEM_TYPES:
        if name in names:
            by_status.setdefault(PROBLEM_TYPES[name].status, []).append(name)
    references: Node = {}
    for status, group in by_status.items():
        component = ".".join(group) + ("" if with_content else ".head")
        responses[component] = _problem(status, group, with_content=with_content)
        references[str(status)] = {"$ref": f"#/components/responses/{component}"}
    return references


_MORE_HEADERS: Final = {
    401: ("WWW-Authenticate",),
    412: ("ETag?",),
    415: ("Accept-Patch?",),
    416: ("Content-Range",),
    429: ("Retry-After", "RateLimit", "RateLimit-Policy"),
    503: ("Retry-After?",),
}


def _problem(status: int, names: list[str], *, with_content: bool) -> Node:
    node = _answer(
        Answer(
            "; ".join(PROBLEM_TYPES[name].title for name in names).capitalize() + ".",
            headers=("Cache-Control", "Vary", *_MORE_HEADERS.get(status, ())),
        )
    )
    if with_content:
        types: Node = {"enum": [TYPE_BASE + name for name in names]}
        problem: Node = {"$ref": "#/components/schemas/Problem", "properties": {"type": types}}
        node["content"] = {"application/problem+json": {"schema": problem}, "text/plain": {}, "text/html": {}}
    return node
