"""`/-/web/...`: the style sheets and the modules that the pages are made of.

Each has an ETag and is asked for again each time, which is answered 304. A longer life was rejected: after an upgrade
modules of two versions would meet in one page. Each is there twice, with a tag for each: as it is, and as gzip for whom
takes that, which makes all of the page a third as heavy.
"""

import gzip
from dataclasses import replace
from hashlib import sha256
from importlib.resources import files
from typing import Final

from docstore.content import BytesContent
from docstore.http.conditions import Conditions, Outcome
from docstore.http.message import Request, Response
from docstore.http.negotiation import accepts_coding
from docstore.model import Fields, Meta, version_of
from docstore.server.errors import Refusal
from docstore.server.representation import etag
from docstore.server.resources.resource import Readable, options
from docstore.server.resources.write import failed
from docstore.server.responses import answer

_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def _read(data: bytes, name: str, coding: str = "") -> tuple[Meta, BytesContent]:
    fields = Fields.make(_TYPES[name.rpartition(".")[2]], {"content-encoding": coding} if coding else {})
    digest = sha256(data).digest()
    return Meta(name, version_of(digest, fields), len(data), digest, fields, modified_ns=0), BytesContent(data)


def _both(data: bytes, name: str) -> dict[bool, tuple[Meta, BytesContent]]:
    """By whether it is coded."""
    return {False: _read(data, name), True: _read(gzip.compress(data, mtime=0), name, "gzip")}


ASSETS: Final = {
    file.name: _both(file.read_bytes(), file.name)
    for file in files("docstore").joinpath("web").iterdir()
    if file.name.rpartition(".")[2] in _TYPES
}
"""By file name."""


class Asset(Readable):
    """`/-/web/{file}`."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        """Raises Refusal."""
        if name not in ASSETS:
            raise Refusal("not-found")
        self._name = name

    async def GET(self, request: Request) -> Response:
        """What the pages are made of."""
        coded = accepts_coding(request.headers.get("accept-encoding"), "gzip")
        meta, content = ASSETS[self._name][coded]
        told = [(b"etag", etag(meta)), (b"vary", b"Accept-Encoding")]
        conditions = Conditions.of(request.headers)
        if conditions is not None:
            # It has no Last-Modified, so dates are ignored (RFC 9110 §13.1.3).
            tags = replace(conditions, if_modified_since=None, if_unmodified_since=None)
            outcome = tags.evaluate(request.method, meta, 0)
            if outcome is Outcome.FAILED:
                raise failed(meta)
            if outcome is Outcome.NOT_MODIFIED:
                return Response(304, [*told, (b"cache-control", b"no-cache")])
        if coded:
            told.append((b"content-encoding", b"gzip"))
        return answer(content.data, meta.fields.media_type, more=told)

    async def OPTIONS(self, request: Request) -> Response:
        return options(self, request)
