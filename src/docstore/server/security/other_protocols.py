"""Writes of other protocols, which would change a document by accident. Docstore refuses them.

S3 tools put the operation into the query (`POST /key?uploads`, `DELETE /key?tagging`) or into a header
(`x-amz-copy-source`), WebDAV tools into `Destination`, web frameworks into `X-HTTP-Method-Override`; Git LFS POSTs its
batches as a media type of its own. So a write accepts no query parameter that it does not know, and no header that asks
for an operation that it does not have. Headers that only describe (`x-amz-date`, `user-agent`) pass.
"""

from collections.abc import Collection
from typing import Final
from urllib.parse import parse_qsl

from docstore.http.message import Headers, Request
from docstore.http.url import PARAMETERS_LIMIT
from docstore.server.errors import HTTPProblem

OPERATION_HEADERS: Final = frozenset(
    {
        *(b"x-amz-copy-source", b"x-amz-write-offset-bytes", b"x-goog-copy-source", b"x-ms-copy-source"),
        *(b"x-copy-from", b"destination", b"overwrite", b"x-update-range"),
        *(b"x-http-method-override", b"x-http-method", b"x-method-override"),
    }
)

_FOREIGN_TYPES: Final = {
    "application/vnd.git-lfs+json": "Git LFS",
    "application/x-git-upload-pack-request": "Git",
    "application/x-git-receive-pack-request": "Git",
    "application/grpc": "gRPC",
    "application/grpc-web": "gRPC",
    "application/soap+xml": "SOAP",
    "application/json-rpc": "JSON-RPC",
}
"""Media types that only a request of another protocol has, and its name."""

_OPERATIONS: Final = {"PUT": "PutObject", "DELETE": "DeleteObject"}
"""What S3's tools write into `x-id`: the operation that the method has anyway."""


def check_operation(request: Request, ignored: Collection[str]) -> None:
    """Raise HTTPProblem for a query parameter or a header of this write that asks for an operation of another protocol.

    `ignored` are the parameters that the mount allows.
    """
    if not OPERATION_HEADERS.isdisjoint(request.headers.names):
        name = min(OPERATION_HEADERS.intersection(request.headers.names)).decode("ascii")
        raise HTTPProblem("invalid-field", f"{name} asks for an operation that this store lacks; nothing was changed")
    if request.query:
        if request.query.count("&") >= PARAMETERS_LIMIT:
            raise HTTPProblem("invalid-query", f"more than {PARAMETERS_LIMIT} parameters; nothing was changed")
        for name, value in parse_qsl(request.query, keep_blank_values=True):
            if name not in ignored and (name, value) != ("x-id", _OPERATIONS.get(request.method)):
                raise HTTPProblem("invalid-query", f"a write has no parameter {name[:100]!r}; nothing was changed")


def check_form(headers: Headers) -> None:
    """Raise HTTPProblem for a POST of a form with files (`curl -F`): its content is an envelope around the file."""
    if _essence(headers, "content-type") == "multipart/form-data":
        detail = "multipart/form-data is a form around the content; send the content itself, as in curl -T FILE URL"
        raise HTTPProblem("unsupported-type", detail)


def _essence(headers: Headers, name: str) -> str:
    return (headers.get(name) or "").partition(";")[0].strip().lower()


def check_post(headers: Headers) -> None:
    """Raise HTTPProblem for a POST to a collection that is a form or a request of another protocol."""
    check_form(headers)
    for field in ("content-type", "accept"):
        if protocol := _FOREIGN_TYPES.get(_essence(headers, field)):
            raise HTTPProblem("unsupported-type", f"Docstore does not speak {protocol}; nothing was stored")
