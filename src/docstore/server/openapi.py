"""The OpenAPI document (3.1.1), made from the resources: the verbs of a class are the operations of its paths.

What stands where comes as a list of places; which verbs it answers is read from the class, what a verb does from its
docstring, what it reads and answers from openapi_operations. Nothing of it is kept by hand beside the code, so what is
not described can't be left out in silence: it raises Undescribed.

Nothing here knows a resource; service.py says which there are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from inspect import cleandoc
from typing import Final

from docstore.server.errors import PROBLEMS, TYPE_BASE
from docstore.server.openapi_components import BODIES, GROUPS, HEADERS, PARAMETERS, SCHEMAS, Node
from docstore.server.openapi_operations import OPERATIONS, Answer, Operation
from docstore.server.resources.resource import Resource

OPENAPI_PATH: Final = "/-/openapi.json"
DOCS_PATH: Final = "/-/docs"
SERVICE_LINKS: Final = (
    f'<{OPENAPI_PATH}>; rel="service-desc"; type="application/json", <{DOCS_PATH}>; rel="service-doc"; type="text/html"'
).encode("ascii")
"""The Link field of the root (RFC 8631)."""

_DESCRIPTION: Final = """\
Stores whatever bytes you send it, under the key you choose, and gives them back.

A refusal is a problem (RFC 9457) for who accepts JSON, a page for who accepts HTML, and a line of text otherwise. A \
method that a path has no operation for is 405 with Allow, one that nobody knows is 501. Answers carry \
X-Content-Type-Options, Cross-Origin-Resource-Policy and Referrer-Policy; documents are sandboxed by their \
Content-Security-Policy."""

_VERSION: Final = version("docstore")
_EVERYWHERE: Final = ("wrong-host", "internal")


class Undescribed(LookupError):
    """A resource answers a verb that nobody has described; the message names it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A path, what stands there, and a name for it: dotted, unique, good for an operationId."""

    path: str
    name: str
    resource: type[Resource]
    tag: str
    parameters: tuple[Node, ...] = ()
    """Those of the path."""


def document(places: Sequence[Place]) -> dict[str, object]:
    """The whole document, a JSON object. Raises Undescribed."""
    responses: dict[str, Node] = {}
    paths = {place.path: _path_item(place, responses) for place in places}
    return {
        "openapi": "3.1.1",
        "info": {"title": "Docstore", "version": _VERSION, "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(place.tag for place in places)],
        "paths": paths,
        "components": {
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
"""What the name of a header component ends with, when an answer may be without it."""


def _path_item(place: Place, responses: dict[str, Node]) -> Node:
    item: Node = {"parameters": list(place.parameters)} if place.parameters else {}
    for verb in sorted(place.resource.verbs):
        item[verb.lower()] = _operation(place, verb, responses)
    return item


def _operation(place: Place, verb: str, responses: dict[str, Node]) -> Node:
    operation = operation_of(place.resource, verb)
    summary, _, description = text_of(place.resource, verb).partition("\n\n")
    described: Node = {"operationId": f"{place.name}.{verb.lower()}", "tags": [place.tag], "summary": summary}
    if description:
        described["description"] = description
    names = [str(parameter["name"]) for group in operation.parameters for parameter in GROUPS[group]]
    if names:
        described["parameters"] = [{"$ref": f"#/components/parameters/{name}"} for name in names]
    if operation.body:
        described["requestBody"] = {"$ref": f"#/components/requestBodies/{operation.body}"}
    described["responses"] = {
        **_answers(operation.answers, f"{place.resource.__name__}.{verb}", responses),
        **_refusals((*operation.problems, *_EVERYWHERE), responses, with_content=verb != "HEAD"),
    }
    return described


def operation_of(resource: type[Resource], verb: str) -> Operation:
    """The row of the table for a verb. Raises Undescribed."""
    name = getattr(resource, verb).__qualname__
    if name in OPERATIONS:
        return OPERATIONS[name]
    if verb != "HEAD" or "GET" not in resource.verbs:
        raise Undescribed(f"openapi_operations.py does not say what {name} reads and answers")
    get = operation_of(resource, "GET")
    return replace(get, answers={status: replace(one, media_types={}) for status, one in get.answers.items()})


def text_of(resource: type[Resource], verb: str) -> str:
    """What a verb does: its docstring, or that of the method that it overrides. Raises Undescribed."""
    for owner in resource.__mro__:
        text = owner.__dict__[verb].__doc__ if verb in owner.__dict__ else None
        if text:
            first, blank, rest = cleandoc(text).partition("\n\n")
            return " ".join(first.split()) + blank + rest
    if verb == "HEAD" and "GET" in resource.verbs:
        return "The header fields that GET answers with, without the content."
    raise Undescribed(f"{resource.__qualname__}.{verb} has no docstring")


def _answers(answers: Mapping[int, Answer], name: str, responses: dict[str, Node]) -> Node:
    """By status; each a component, for what one mount answers, others of its kind answer too."""
    for status, answer in answers.items():
        responses[f"{name}.{status}"] = _answer(answer)
    return {str(status): {"$ref": f"#/components/responses/{name}.{status}"} for status in answers}


def _answer(answer: Answer) -> Node:
    described: Node = {
        "description": answer.description,
        "headers": {
            **{name: {"$ref": f"#/components/headers/{name}"} for name in answer.headers},
            **{name: {"$ref": f"#/components/headers/{name}{_OPTIONAL}"} for name in answer.optional},
        },
    }
    if answer.media_types:
        described["content"] = {
            media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}} if schema else {}
            for media_type, schema in answer.media_types.items()
        }
    return described


def _refusals(names: Iterable[str], responses: dict[str, Node], *, with_content: bool) -> Node:
    """By status; a group of problems that comes again is one component, named after the problems."""
    by_status: dict[int, list[str]] = {}
    for name in PROBLEMS:
        if name in names:
            by_status.setdefault(PROBLEMS[name].status, []).append(name)
    references: Node = {}
    for status, group in by_status.items():
        component = ".".join(group) + ("" if with_content else ".head")
        responses[component] = _refusal(status, group, with_content=with_content)
        references[str(status)] = {"$ref": f"#/components/responses/{component}"}
    return references


_MORE_HEADERS: Final[Mapping[int, tuple[str, ...]]] = {415: ("Accept-Patch",), 416: ("Content-Range",)}
_OPTIONAL_HEADERS: Final[Mapping[int, tuple[str, ...]]] = {412: ("ETag",), 503: ("Retry-After",)}


def _refusal(status: int, names: list[str], *, with_content: bool) -> Node:
    described = _answer(
        Answer(
            "; ".join(PROBLEMS[name].title for name in names).capitalize() + ".",
            headers=("Cache-Control", "Vary", *_MORE_HEADERS.get(status, ())),
            optional=_OPTIONAL_HEADERS.get(status, ()),
        )
    )
    if with_content:
        types: Node = {"enum": [TYPE_BASE + name for name in names]}
        problem: Node = {"$ref": "#/components/schemas/Problem", "properties": {"type": types}}
        described["content"] = {"application/problem+json": {"schema": problem}, "text/plain": {}, "text/html": {}}
    return described
