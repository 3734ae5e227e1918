"""A document: the bytes under a key, and everything that can be done with them."""

from hashlib import sha256
from secrets import token_hex
from typing import Final

from docstore.content import BytesContent, Content
from docstore.errors import Conflict
from docstore.http import ranges
from docstore.http.conditions import Conditions, Outcome, if_range_holds
from docstore.http.digests import wanted
from docstore.http.message import NOTHING, HeaderPairs, Joined, Request, Response
from docstore.http.patches import ACCEPT_PATCH
from docstore.model import ANY, Clock, Expectation, Meta
from docstore.server.errors import Refusal
from docstore.server.mounts import Mount
from docstore.server.representation import headers_of, validators, whole
from docstore.server.resources.patch import patch
from docstore.server.resources.resource import Resource, options
from docstore.server.resources.write import MAX_ATTEMPTS, failed, judge, write
from docstore.server.responses import answer


class DocumentResource(Resource):
    """`/{mount}/{key}`."""

    __slots__ = ("_clock", "_key", "_mount")

    def __init__(self, mount: Mount, key: str, clock: Clock) -> None:
        self._mount = mount
        self._key = key
        self._clock = clock

    async def GET(self, request: Request) -> Response:
        """The document, or those ranges of it that are asked for."""
        document = await self._mount.engine.get(self._key)
        if document is None:
            raise Refusal("not-found")
        meta, now_ns = document.meta, self._clock()
        # PERF: most requests ask for nothing special, and then nothing of it is built.
        if _SPECIAL.isdisjoint(request.headers.names):
            return whole(meta, document.content, now_ns)
        return _early(request, meta, now_ns) or _special(request, meta, document.content, now_ns)

    async def HEAD(self, request: Request) -> Response:
        """As GET without Range, which is defined for GET alone (RFC 9110 §14.2)."""
        meta, now_ns = await self._mount.engine.head(self._key), self._clock()
        if meta is None:
            raise Refusal("not-found")
        if _SPECIAL.isdisjoint(request.headers.names):
            response = whole(meta, NOTHING, now_ns)
        elif (early := _early(request, meta, now_ns)) is not None:
            response = early
        else:
            response = whole(meta, NOTHING, now_ns)
            if wishes := wanted(request.headers):
                response.headers += wishes.answer({"sha-256": meta.digest}, {})
        response.head_only = True
        return response

    async def PUT(self, request: Request) -> Response:
        """Stores the content under the key, in place of what was there."""
        return await write(self._mount, self._key, request, self._clock)

    async def POST(self, request: Request) -> Response:
        """As in the original: POST to a key stores under it."""
        return await write(self._mount, self._key, request, self._clock)

    async def PATCH(self, request: Request) -> Response:
        """Changes a JSON document: all of the patch is applied, or nothing of it."""
        return await patch(self._mount, self._key, request, self._clock)

    async def DELETE(self, request: Request) -> Response:
        """Removes the document. The answer is 200 with no content: several clients take 204 for a failure."""
        conditions, engine = Conditions.of(request.headers), self._mount.engine
        for _ in range(MAX_ATTEMPTS):
            expect: Expectation = ANY
            if conditions is not None:
                current = await engine.head(self._key)
                if current is None:
                    raise Refusal("not-found")
                expect = judge("DELETE", conditions, current, self._clock)
            try:
                removed = await engine.delete(self._key, expect=expect)
            except Conflict:
                continue
            if removed is None:
                raise Refusal("not-found")
            return answer(b"", "text/plain", cache=b"no-store")
        raise Refusal("changed-meanwhile", "others write this document all the time")

    async def OPTIONS(self, request: Request) -> Response:
        offers = [(b"accept-patch", ACCEPT_PATCH.encode("ascii")), (b"accept-ranges", b"bytes")]
        return options(self, request, self._mount.cors, offers)


_SPECIAL: Final = frozenset(
    {
        *(b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"range", b"if-range"),
        *(b"want-repr-digest", b"want-content-digest", b"want-digest"),
    }
)


def _early(request: Request, meta: Meta, now_ns: int) -> Response | None:
    """304, when the reader has it already; raises Refusal for 412."""
    conditions = Conditions.of(request.headers)
    if conditions is None:
        return None
    outcome = conditions.evaluate(request.method, meta, now_ns // 10**9)
    if outcome is Outcome.FAILED:
        raise failed(meta)
    return Response(304, validators(meta, now_ns)) if outcome is Outcome.NOT_MODIFIED else None


def _special(request: Request, meta: Meta, content: Content, now_ns: int) -> Response:
    """The ranges and the digests that were asked for. Raises Refusal for 416."""
    selected = _selected(request, meta, now_ns)
    if selected is ranges.UNSATISFIABLE:
        unsatisfied = ranges.unsatisfied_range(meta.size).encode("ascii")
        raise Refusal("range-not-satisfiable", f"it has {meta.size} bytes", [(b"content-range", unsatisfied)])
    digest = {"sha-256": meta.digest}
    if selected is ranges.WHOLE:
        response, sent = whole(meta, content, now_ns), digest
    else:
        response = _partial(headers_of(meta, now_ns), meta, content, selected)
        part = response.content
        # A part's digest is told when it costs no reading of files.
        sent = {"sha-256": sha256(part.data).digest()} if isinstance(part, BytesContent) else {}
    if wishes := wanted(request.headers):
        response.headers += wishes.answer(digest, sent)
    return response


def _selected(request: Request, meta: Meta, now_ns: int) -> ranges.Selection:
    """What Range asks for, when If-Range lets it."""
    wanted = request.headers.get("range")
    if wanted is None:
        return ranges.WHOLE
    unless_changed = request.headers.get("if-range")
    if unless_changed is not None and not if_range_holds(unless_changed, meta, now_ns // 10**9):
        return ranges.WHOLE
    return ranges.select(wanted, meta.size)


def _partial(headers: HeaderPairs, meta: Meta, content: Content, spans: tuple[ranges.Span, ...]) -> Response:
    """206, with one part as it is or with several as multipart/byteranges.

    The stored fields go along even after If-Range, where RFC 9110 §15.3.7 says they should not: players that join
    parts from a cache look at the type of each.
    """
    if len(spans) == 1:
        start, stop = spans[0]
        headers.append((b"content-range", ranges.content_range(start, stop, meta.size).encode("ascii")))
        headers.append((b"content-length", b"%d" % (stop - start)))
        return Response(206, headers, content.slice(start, stop))
    boundary = token_hex(16)
    parts = ranges.multipart(spans, meta.fields.media_type, meta.size, boundary)
    joined = Joined(tuple(BytesContent(p) if isinstance(p, bytes) else content.slice(*p) for p in parts.pieces))
    headers = [(name, value) for name, value in headers if name != b"content-type"]
    headers.append((b"content-type", ranges.byteranges(boundary).encode("ascii")))
    headers.append((b"content-length", b"%d" % parts.length))
    return Response(206, headers, joined)
