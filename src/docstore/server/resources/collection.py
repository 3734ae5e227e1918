"""A collection: the documents of a mount, listed, and a place to put a document that has no key yet."""

from uuid import uuid4

from docstore.content import BytesContent
from docstore.engines.contract import PutRequest
from docstore.http.conditions import Conditions, Outcome
from docstore.http.message import Generated, HeaderPairs, Request, Response
from docstore.http.negotiation import choose
from docstore.model import ABSENT, Clock
from docstore.server import pages
from docstore.server.errors import Refusal
from docstore.server.mounts import Mount
from docstore.server.resources import listing
from docstore.server.resources.resource import Readable, options
from docstore.server.resources.write import Incoming, confirm
from docstore.server.responses import content_headers


class CollectionResource(Readable):
    """`/{mount}/`."""

    __slots__ = ("_clock", "_mount")

    def __init__(self, mount: Mount, clock: Clock) -> None:
        self._mount = mount
        self._clock = clock

    async def GET(self, request: Request) -> Response:
        """The listing, in the bytewise order of keys. NDJSON without a limit is the whole collection."""
        query = listing.Query.parse(request.query)
        format = query.format or _negotiated(request)
        outcome = _judged(request)
        if outcome is Outcome.FAILED:
            raise Refusal("precondition-failed", "the collection has no ETag")
        headers: HeaderPairs = [(b"cache-control", b"no-cache"), (b"vary", b"Accept")]
        if outcome is Outcome.NOT_MODIFIED:
            return Response(304, headers)
        if format == "html":
            return await self._page(query, headers)
        headers += content_headers(listing.FORMATS[format])
        if format == "ndjson" and query.limit is None and not query.delimiter:
            return Response(200, headers, Generated(listing.stream_ndjson(self._mount, query)))
        page = await listing.read_page(self._mount, query)
        return self._listed(headers, page, listing.render(self._mount, page, format))

    async def _page(self, query: listing.Query, headers: HeaderPairs) -> Response:
        nonce = pages.new_nonce()
        page = await listing.read_page(self._mount, query, html=True)
        headers += content_headers("text/html", pages.policy(nonce))
        html = listing.render_html(self._mount, query, page, now_ns=self._clock(), nonce=nonce)
        return self._listed(headers, page, html)

    def _listed(self, headers: HeaderPairs, page: listing.Page, text: str) -> Response:
        data = text.encode("utf-8")
        headers.append((b"content-length", b"%d" % len(data)))
        if link := listing.link_next(self._mount, page):
            headers.append((b"link", f'<{link}>; rel="next"'.encode("ascii")))
        return Response(200, headers, BytesContent(data))

    async def POST(self, request: Request) -> Response:
        """Stores under a new UUID; a key that is taken, however unlikely, is not overwritten."""
        incoming = Incoming.of(request, self._mount)
        if _judged(request) is not Outcome.PROCEED:
            raise Refusal("precondition-failed", "the collection exists and has no ETag")
        key = str(uuid4())
        upload = await incoming.upload(request.body, self._mount)
        written = await self._mount.engine.put(
            PutRequest(key, upload, incoming.fields, expires_ns=incoming.expires_ns(self._clock), expect=ABSENT)
        )
        return await confirm(self._mount, written, incoming.preferences, self._clock)

    async def OPTIONS(self, request: Request) -> Response:
        return options(self, request, self._mount.cors)


class OriginalCollection(CollectionResource):
    """As in the original, PUT to the collection stores under a new UUID: a knowing departure from RFC 9110 §9.3.4."""

    __slots__ = ()

    async def PUT(self, request: Request) -> Response:
        """As POST."""
        return await self.POST(request)


def _judged(request: Request) -> Outcome:
    """Preconditions are about the collection: it exists, and has neither ETag nor Last-Modified (RFC 9110 §13.2.2)."""
    conditions = Conditions.of(request.headers)
    if conditions is None:
        return Outcome.PROCEED
    if conditions.if_match is not None and not conditions.if_match.star:
        return Outcome.FAILED
    if conditions.if_none_match is not None and conditions.if_none_match.star:
        return Outcome.NOT_MODIFIED
    return Outcome.PROCEED


def _negotiated(request: Request) -> str:
    media_type = choose(request.headers.get("accept"), list(listing.FORMATS.values()))
    for format, offered in listing.FORMATS.items():
        if offered == media_type:
            return format
    raise Refusal("not-acceptable", f"there are {', '.join(listing.FORMATS.values())}")
