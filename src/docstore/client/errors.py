"""Answers that are not what was asked for, as the errors of the store, each with the server's problem in it.

The server's own name of a problem decides; where there is none, because a proxy answered, the status does.
"""

import json
from typing import Any, Final

from docstore import errors
from docstore.client.results import version_in
from docstore.client.transport import Answer
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
    408: errors.StorageUnavailable,
    412: errors.Conflict,
    413: errors.ContentTooLarge,
    429: errors.StorageUnavailable,
    502: errors.StorageUnavailable,
    503: errors.StorageUnavailable,
    504: errors.StorageUnavailable,
    507: errors.NoSpace,
}


def error_of(answer: Answer, what: str) -> DocstoreError:
    """The error that `answer` is to the call `what`, such as `PUT of 'a'`."""
    problem = problem_of(answer)
    kind = _BY_NAME.get(problem.name) or _BY_STATUS.get(answer.status) or _general(answer.status)
    said = f"{what}: {problem.title}{': ' + problem.detail if problem.detail else ''}"
    error: DocstoreError
    if issubclass(kind, errors.Conflict):
        error = kind(None, said, version=version_in(answer.headers) or None)
    elif issubclass(kind, errors.ContentTooLarge):
        error = kind(None, said)
    else:
        error = kind(said)
    error.problem = problem
    return error


def problem_of(answer: Answer) -> Problem:
    """What the answer says of itself, in the problem of RFC 9457 that it is or in its status alone."""
    members = _members(answer)
    title = str(members.get("title") or f"the server answered {answer.status}")
    if 300 <= answer.status < 400:
        title = f"the server answered {answer.status} and points elsewhere, where this client does not follow"
    name = str(members.get("type", "")).partition("#")[2]
    detail, advice = str(members.get("detail", "")), str(members.get("advice", ""))
    return Problem(answer.status, name, title, detail, advice)


def _members(answer: Answer) -> dict[str, Any]:
    if answer.headers.get("content-type", "").partition(";")[0] != "application/problem+json":
        return {}
    try:
        members = json.loads(answer.content)
    except (ValueError, RecursionError):
        return {}
    return members if isinstance(members, dict) else {}


def _general(status: int) -> type[DocstoreError]:
    return errors.EngineError if status >= 500 else errors.RequestError
