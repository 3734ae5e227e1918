"""The errors of docstore.errors for the responses of a server, each with the problem that the server described.

The type of the problem decides; if there is none, because a proxy answered, the status does.
"""

import json
from contextlib import suppress
from typing import Any, Final

from docstore import errors
from docstore.client.results import version_in
from docstore.client.transport import ClientResponse
from docstore.errors import DocstoreError, Problem

_BY_NAME: Final[dict[str, type[DocstoreError]]] = {
    "invalid-key": errors.InvalidKey,
    "obstructed": errors.PathConflict,
    "changed-meanwhile": errors.Conflict,
    "digest-mismatch": errors.DigestMismatch,
    "incomplete": errors.IncompleteUpload,
    "timeout": errors.UploadTooSlow,
}
_BY_STATUS: Final[dict[int, type[DocstoreError]]] = {
    404: errors.NotFound,
    412: errors.Conflict,
    413: errors.ContentTooLarge,
    507: errors.NoSpace,
    **dict.fromkeys((408, 429, 502, 503, 504), errors.StorageUnavailable),
}


def error_for(response: ClientResponse, call: str) -> DocstoreError:
    """The error that `response` is to `call`, such as "PUT of 'a'"."""
    problem = _problem(response)
    general = errors.EngineError if response.status >= 500 else errors.RequestError
    kind = _BY_NAME.get(problem.name) or _BY_STATUS.get(response.status, general)
    message = f"{call}: {problem.title}{': ' + problem.detail if problem.detail else ''}"
    error: DocstoreError
    if issubclass(kind, errors.Conflict):
        error = kind(None, message, version=version_in(response.headers) or None)
    elif issubclass(kind, errors.ContentTooLarge):
        error = kind(None, message)
    else:
        error = kind(message)
    error.problem = problem
    return error


def only_document_missing(error: DocstoreError) -> bool:
    """Whether the collection exists without the document. A detail says that more is missing, such as the mount."""
    return isinstance(error, errors.NotFound) and error.problem is not None and not error.problem.detail


def _problem(response: ClientResponse) -> Problem:
    """The problem that the content describes (RFC 9457), or one made of the status."""
    members: Any = {}
    if response.headers.get("content-type", "").partition(";")[0] == "application/problem+json":
        with suppress(ValueError, RecursionError):
            members = json.loads(response.content)
    if not isinstance(members, dict):
        members = {}
    title = str(members.get("title") or f"the server answered {response.status}")
    if 300 <= response.status < 400:
        title = f"the server answered {response.status}; this client does not follow redirects"
    name = str(members.get("type", "")).partition("#")[2]
    detail = str(members.get("detail", ""))
    return Problem(response.status, name, title, "" if detail == title else detail, str(members.get("advice", "")))
