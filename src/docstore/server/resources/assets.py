"""`/-/web/...`: the style sheets and script modules of the pages.

Browsers revalidate each with its ETag. A longer freshness was rejected: after an upgrade a page would mix modules of
two versions. Each is kept twice, plain and gzipped, with an ETag for each; gzip makes a page a third of the size.
"""

import gzip
from dataclasses import replace
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final

from docstore.content import BytesContent
from docstore.http.conditions import ConditionOutcome, Conditions
from docstore.http.message import Request, Response
from docstore.http.negotiation import accepts_coding
from docstore.model import Fields, Meta, version_of
from docstore.server.errors import HTTPProblem
from docstore.server.openapi_schema import ALLOW_ANSWER, Answer, Operation
from docstore.server.resources.resource import ReadableResource
from docstore.server.resources.write import precondition_failed
from docstore.server.responses import etag, small_response

_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


ASSETS: Final = {
    file.name: file.read_bytes()
    for file in files("docstore").joinpath("web").iterdir()
    if file.name.rpartition(".")[2] in _TYPES
}
"""The files by name."""


@cache
def asset(name: str, *, gzipped: bool) -> tuple[Meta, BytesContent]:
    """Return a file as it is sent. It is compressed when it is first asked for, because most servers show no page."""
    data = gzip.compress(ASSETS[name], mtime=0) if gzipped else ASSETS[name]
    fields = Fields.make(_TYPES[name.rpartition(".")[2]], {"content-encoding": "gzip"} if gzipped else {})
    digest = sha256(data).digest()
    return Meta(name, version_of(digest, fields), len(data), digest, fields, modified_ns=0), BytesContent(data)


class Asset(ReadableResource):
    """`/-/web/{file}`."""

    def __init__(self, name: str) -> None:
        """Raise HTTPProblem."""
        if name not in ASSETS:
            raise HTTPProblem("not-found")
        self._name = name

    @Operation(
        {
            200: Answer("The file.", dict.fromkeys(_TYPES.values(), ""), ("Cache-Control", "ETag")),
            304: Answer("The client has this version.", {}, ("Cache-Control", "ETag")),
        },
        ("not-found", "precondition-failed"),
        ("conditions",),
    )
    async def GET(self, request: Request) -> Response:
        """A file of the pages."""
        gzipped = accepts_coding(request.headers.get("accept-encoding"), "gzip")
        meta, content = asset(self._name, gzipped=gzipped)
        headers = [(b"etag", etag(meta)), (b"vary", b"Accept-Encoding")]
        conditions = Conditions.of(request.headers)
        if conditions is not None:
            # There is no Last-Modified, so dates are ignored (RFC 9110 §13.1.3).
            tags = replace(conditions, if_modified_since=None, if_unmodified_since=None)
            outcome = tags.evaluate(request.method, meta, 0)
            if outcome is ConditionOutcome.FAILED:
                raise precondition_failed(meta)
            if outcome is ConditionOutcome.NOT_MODIFIED:
                return Response(304, [*headers, (b"cache-control", b"no-cache")])
        if gzipped:
            headers.append((b"content-encoding", b"gzip"))
        return small_response(content.data, meta.fields.media_type, more=headers)

    @Operation({204: ALLOW_ANSWER}, ("not-found",))
    async def OPTIONS(self, request: Request) -> Response:
        return await super().OPTIONS(request)
