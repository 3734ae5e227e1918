"""Every way in which a request is refused: one table, one exception, three representations.

A refusal is a line of text for a person at a shell (`not found`, as in the original), a page for one at a browser, and
an RFC 9457 problem for a client that names JSON. The table is what the documentation and the OpenAPI list.
"""

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from docstore import errors
from docstore.http.message import HeaderPairs, Response
from docstore.http.negotiation import choose
from docstore.server import pages
from docstore.server.responses import answer

TYPE_BASE: Final = "/-/problems#"
_OFFERS: Final = ("text/plain", "text/html", "application/problem+json", "application/json")


@dataclass(frozen=True, slots=True)
class Problem:
    """A kind of refusal: `title` is its line of text, `advice` says what to do next."""

    name: str
    status: int
    title: str
    advice: str


PROBLEMS: Final = {
    problem.name: problem
    for problem in (
        Problem("invalid-target", 400, "invalid path", "Send a path that is percent-encoded UTF-8."),
        Problem("invalid-key", 400, "invalid key", "Choose a key that follows the rule of this mount."),
        Problem("invalid-query", 400, "invalid query", "Correct the parameter that is named."),
        Problem("invalid-field", 400, "invalid header field", "Correct or leave out the field that is named."),
        Problem("partial-put", 400, "partial content refused", "Send the whole document, without Content-Range."),
        Problem("incomplete", 400, "incomplete content", "Send the content again; nothing was stored."),
        Problem("digest-mismatch", 400, "digest mismatch", "Send the content again; nothing was stored."),
        Problem("invalid-patch", 400, "invalid patch", "Correct the patch document."),
        Problem("forbidden", 403, "forbidden", "Ask whoever runs this store for access."),
        Problem("cross-site", 403, "cross-site write refused", "Write from this store's own pages or a program."),
        Problem("not-found", 404, "not found", "Check the path, or store a document under it with PUT."),
        Problem("method-not-allowed", 405, "method not allowed", "Use one of the methods in the Allow field."),
        Problem("not-acceptable", 406, "not acceptable", "Accept one of the types that are named, or use ?format=."),
        Problem("timeout", 408, "the content came too slowly", "Send the content again, faster."),
        Problem("changed-meanwhile", 409, "changed meanwhile", "Read the document again and repeat the write."),
        Problem(
            "patch-conflict", 409, "patch conflicts with the document", "Read the document again and make a new patch."
        ),
        Problem("obstructed", 409, "something is in the way", "Use another key, or have what is named moved away."),
        Problem("precondition-failed", 412, "precondition failed", "Read the document again; use its present ETag."),
        Problem("too-large", 413, "content too large", "Send less, or use a mount with a higher limit."),
        Problem("unsupported-type", 415, "unsupported media type", "Use one of the types that are named."),
        Problem(
            "range-not-satisfiable", 416, "range not satisfiable", "Ask for a range within the size that is named."
        ),
        Problem("expectation-failed", 417, "expectation failed", "Leave out Expect, or send 100-continue."),
        Problem("wrong-host", 421, "wrong host", "Use the address that the store was started with."),
        Problem("not-applicable", 422, "patch not applicable", "Correct the patch: it fits no state of the document."),
        Problem("fields-too-large", 431, "header fields too large", "Shorten or leave out the field that is named."),
        Problem("internal", 500, "internal error", "The fault is the server's; its log says more."),
        Problem("engine-failed", 500, "storage failed", "The storage failed; the server's log names what."),
        Problem("not-implemented", 501, "method not implemented", "Use a method of RFC 9110."),
        Problem("unavailable", 503, "storage unavailable", "Try again in a moment."),
        Problem("no-space", 507, "no space left", "Delete documents or give the mount more room."),
    )
}


class Refusal(Exception):
    """The request is refused and nothing was changed; `detail` says what is wrong with just this one."""

    def __init__(self, name: str, detail: str = "", headers: HeaderPairs | None = None) -> None:
        super().__init__(name, detail)
        self.problem = PROBLEMS[name]
        self.detail = detail
        self.headers = headers or []


_NAMES: Final[list[tuple[type[errors.DocstoreError], str]]] = [
    (errors.InvalidKey, "invalid-key"),
    (errors.Conflict, "precondition-failed"),
    (errors.PathConflict, "obstructed"),
    (errors.DigestMismatch, "digest-mismatch"),
    (errors.ContentTooLarge, "too-large"),
    (errors.UploadTooSlow, "timeout"),
    (errors.UploadError, "incomplete"),
    (errors.NoSpace, "no-space"),
    (errors.StorageUnavailable, "unavailable"),
    (errors.DocstoreError, "engine-failed"),
]


def refusal_of(error: errors.DocstoreError) -> Refusal:
    """What the errors of the store are in HTTP. What storage says of itself stays in the log."""
    name = next(name for kind, name in _NAMES if isinstance(error, kind))
    headers: HeaderPairs = [(b"retry-after", b"1")] if name == "unavailable" else []
    return Refusal(name, "" if isinstance(error, errors.EngineError) else str(error), headers)


def respond(refusal: Refusal, accept: str | None) -> Response:
    """The refusal in the representation that `accept` asks for; a text line when it asks for nothing we have."""
    problem = refusal.problem
    media_type = choose(accept, _OFFERS) or "text/plain"
    if media_type == "text/plain":
        body = f"{problem.title}: {refusal.detail}\n" if refusal.detail else f"{problem.title}\n"
    elif media_type == "text/html":
        body = pages.problem(problem.status, problem.title, refusal.detail, problem.advice)
    else:
        body = _problem_json(refusal)
        media_type = "application/problem+json"
    more = [(b"vary", b"Accept"), *refusal.headers]
    return answer(body, media_type, status=problem.status, cache=b"no-store", more=more)


def _problem_json(refusal: Refusal) -> str:
    problem = refusal.problem
    members = {
        "type": TYPE_BASE + problem.name,
        "title": problem.title,
        "status": problem.status,
        "detail": refusal.detail or HTTPStatus(problem.status).description,
        "advice": problem.advice,
    }
    return json.dumps({name: value for name, value in members.items() if value}, ensure_ascii=False) + "\n"
