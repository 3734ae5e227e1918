"""Error responses: one table of problem types, one exception, three representations.

A problem is a line of text by default (`not found`), a page for browsers, and RFC 9457 JSON for clients that accept it.
The documentation and the OpenAPI document list the same table. A new problem type is a row here and its `raise`.
"""

import json
from dataclasses import dataclass
from typing import Final

from docstore import errors
from docstore.http.message import HeaderPairs, Response
from docstore.http.negotiation import choose
from docstore.server.responses import small_response

TYPE_BASE: Final = "/-/problems#"
_OFFERS: Final = ("text/plain", "text/html", "application/problem+json", "application/json")


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One kind of error response."""

    name: str
    status: int
    title: str
    """One line that says what happened."""
    advice: str
    """What the client can do next."""
    retry_after_s: int = 0
    """The Retry-After of the response; 0 for none."""


RETRY_AFTER_S: Final = 1
"""Retry-After of every 503, that of `http1/` for too many connections included."""

PROBLEM_TYPES: Final = {
    problem_type.name: problem_type
    for problem_type in (
        ProblemType("invalid-target", 400, "invalid path", "Send a path that is percent-encoded UTF-8."),
        ProblemType("invalid-key", 400, "invalid key", "Choose a key that follows the rule of this mount."),
        ProblemType("invalid-query", 400, "invalid query", "Correct the named parameter."),
        ProblemType("invalid-field", 400, "invalid header field", "Correct or omit the named header."),
        ProblemType("partial-put", 400, "partial content rejected", "Send the whole document without Content-Range."),
        ProblemType("incomplete", 400, "incomplete content", "Send the content again; nothing was stored."),
        ProblemType("digest-mismatch", 400, "digest mismatch", "Send the content again; nothing was stored."),
        ProblemType("invalid-patch", 400, "invalid patch", "Correct the patch document."),
        ProblemType("invalid-link", 400, "no link can be signed for this", "Correct the named member."),
        ProblemType(
            "unauthorized", 401, "unauthorized", "Send a token of this store, as Bearer or as the password of Basic."
        ),
        ProblemType("forbidden", 403, "forbidden", "Ask the operator of this store for access."),
        ProblemType("cross-site", 403, "cross-site write rejected", "Write from this store's pages or from a program."),
        ProblemType("not-found", 404, "not found", "Check the path, or store a document there with PUT."),
        ProblemType("method-not-allowed", 405, "method not allowed", "Use one of the methods in the Allow header."),
        ProblemType("not-acceptable", 406, "not acceptable", "Accept one of the named types, or use ?format=."),
        ProblemType("timeout", 408, "the content arrived too slowly", "Send the content again, faster."),
        ProblemType("changed-meanwhile", 409, "changed meanwhile", "Read the document again and repeat the write."),
        ProblemType(
            "patch-conflict", 409, "patch conflicts with the document", "Read the document again and make a new patch."
        ),
        ProblemType("obstructed", 409, "path conflict", "Use another key, or ask the operator to move the named file."),
        ProblemType("precondition-failed", 412, "precondition failed", "Read the document again and use its ETag."),
        ProblemType("too-large", 413, "content too large", "Send less, or use a mount with a higher limit."),
        ProblemType("unsupported-type", 415, "unsupported media type", "Use one of the named types."),
        ProblemType("range-not-satisfiable", 416, "range not satisfiable", "Request a range within the named size."),
        ProblemType("expectation-failed", 417, "expectation failed", "Omit Expect, or send 100-continue."),
        ProblemType(
            "wrong-host",
            421,
            "wrong host",
            "Use the address that the store was started with, or start it with --public-url.",
        ),
        ProblemType("not-applicable", 422, "patch not applicable", "Correct the patch: it applies to no document."),
        ProblemType(
            "too-many-requests", 429, "too many requests", "Send the request again after the time in Retry-After."
        ),
        ProblemType("fields-too-large", 431, "header fields too large", "Shorten or omit the named header."),
        ProblemType("internal", 500, "internal error", "The server has a bug; see its log."),
        ProblemType("engine-failed", 500, "storage failed", "The server's log has the cause."),
        ProblemType("not-implemented", 501, "method not implemented", "Use a method of RFC 9110."),
        ProblemType("unavailable", 503, "storage unavailable", "Try again in a moment.", retry_after_s=RETRY_AFTER_S),
        ProblemType(
            "read-only", 503, "read-only for now", "Send the request again later; reading works.", retry_after_s=10
        ),
        ProblemType(
            "access-unavailable",
            503,
            "access can't be checked",
            "Ask the operator of this store: the server's log has the cause.",
            retry_after_s=RETRY_AFTER_S,
        ),
        ProblemType(
            "outcome-unknown",
            503,
            "outcome unknown",
            "Read the document again: the write may have been applied or not.",
            retry_after_s=RETRY_AFTER_S,
        ),
        ProblemType(
            "quota-exceeded",
            507,
            "quota of the token exceeded",
            "Delete documents, or ask for a token with a larger quota.",
        ),
        ProblemType("no-space", 507, "no space left", "Delete documents or raise the limit of the mount."),
    )
}


class HTTPProblem(Exception):
    """The request failed and changed nothing, unless the type says otherwise; `detail` says what is wrong with it."""

    def __init__(self, name: str, detail: str = "", headers: HeaderPairs | None = None) -> None:
        super().__init__(name, detail)
        self.type = PROBLEM_TYPES[name]
        self.detail = detail
        self.headers = headers or []


_PROBLEM_NAMES: Final[list[tuple[type[errors.DocstoreError], str]]] = [
    (errors.InvalidKey, "invalid-key"),
    (errors.Conflict, "precondition-failed"),
    (errors.PathConflict, "obstructed"),
    (errors.DigestMismatch, "digest-mismatch"),
    (errors.ContentTooLarge, "too-large"),
    (errors.UploadTooSlow, "timeout"),
    (errors.UploadError, "incomplete"),
    (errors.NoSpace, "no-space"),
    (errors.OutcomeUnknown, "outcome-unknown"),
    (errors.StorageUnavailable, "unavailable"),
    (errors.DocstoreError, "engine-failed"),
]


def problem_for(error: errors.DocstoreError) -> HTTPProblem:
    """Translate an error of the store. The message of an engine's error stays in the log."""
    name = next(name for kind, name in _PROBLEM_NAMES if isinstance(error, kind))
    return HTTPProblem(name, "" if isinstance(error, errors.EngineError) else str(error))


def problem_media_type(accept: str | None) -> str:
    """The representation that `accept` prefers; plain text when it accepts none of them."""
    return choose(accept, _OFFERS) or "text/plain"


def problem_response(problem: HTTPProblem, media_type: str, page: str = "") -> Response:
    """The problem in a representation of `problem_media_type`; `page` is the one for text/html."""
    kind = problem.type
    if media_type == "text/plain":
        body = f"{kind.title}: {problem.detail}\n" if problem.detail else f"{kind.title}\n"
    elif media_type == "text/html":
        body = page
    else:
        body = _problem_json(problem)
        media_type = "application/problem+json"
    more = [(b"vary", b"Accept"), *problem.headers]
    if kind.retry_after_s:
        more.append((b"retry-after", b"%d" % kind.retry_after_s))
    return small_response(body, media_type, status=kind.status, cache=b"no-store", more=more)


def _problem_json(problem: HTTPProblem) -> str:
    kind = problem.type
    members = {
        "type": TYPE_BASE + kind.name,
        "title": kind.title,
        "status": kind.status,
        "detail": problem.detail or kind.title,
        "advice": kind.advice,
    }
    return json.dumps({name: value for name, value in members.items() if value}, ensure_ascii=False) + "\n"
