"""A collection: the documents of a mount, listed, and a place to store a document under a new key."""

from uuid import uuid4

from docstore.content import BytesContent
from docstore.engines.contract import PutRequest
from docstore.http.conditions import ConditionOutcome, Conditions
from docstore.http.message import HeaderPairs, Request, Response, StreamedContent
from docstore.model import ABSENT, Clock
from docstore.server import openapi_schema as schema
from docstore.server import pages
from docstore.server.errors import HTTPProblem
from docstore.server.mounts import Mount
from docstore.server.openapi_schema import Operation
from docstore.server.resources import listing
from docstore.server.resources.resource import ReadableResource, negotiate, options
from docstore.server.resources.write import WriteHeaders, write_response
from docstore.server.responses import content_headers
from docstore.server.security.other_protocols import check_post


class ReadOnlyCollection(ReadableResource):
    """`/{mount}/` of a read-only mount."""

    hint = "this mount is read-only"

    def __init__(self, mount: Mount, clock: Clock) -> None:
        self._mount = mount
        self._clock = clock

    @schema.LISTING
    async def GET(self, request: Request) -> Response:
        """List the documents in bytewise order of their keys. NDJSON without a limit is the whole collection."""
        query = listing.Query.parse(request.query)
        offers = {format.media_type: name for name, format in listing.LISTING_FORMATS.items()}
        format = query.format or offers[negotiate(request, list(offers))]
        outcome = _evaluate_conditions(request)
        if outcome is ConditionOutcome.FAILED:
            raise HTTPProblem("precondition-failed", "the collection has no ETag")
        headers: HeaderPairs = [(b"cache-control", b"no-cache"), (b"vary", b"Accept")]
        if outcome is ConditionOutcome.NOT_MODIFIED:
            return Response(304, headers)
        render = listing.LISTING_FORMATS[format].render
        if render is None:
            return await self._page(query, headers)
        headers += content_headers(listing.LISTING_FORMATS[format].media_type)
        if format == "ndjson" and query.limit is None and not query.delimiter:
            return Response(200, headers, StreamedContent(listing.stream_ndjson(self._mount, query)))
        page = await listing.read_page(self._mount, query)
        return self._list_response(headers, page, render(self._mount, page))

    async def _page(self, query: listing.Query, headers: HeaderPairs) -> Response:
        nonce = pages.new_nonce()
        page = await listing.read_page(self._mount, query, html=True)
        headers += content_headers("text/html", pages.policy(nonce))
        html = listing.render_html(self._mount, query, page, now_ns=self._clock(), nonce=nonce)
        return self._list_response(headers, page, html)

    def _list_response(self, headers: HeaderPairs, page: listing.ListingPage, text: str) -> Response:
        data = text.encode("utf-8")
        headers.append((b"content-length", b"%d" % len(data)))
        if link := listing.next_link(self._mount, page):
            headers.append((b"link", f'<{link}>; rel="next"'.encode("ascii")))
        return Response(200, headers, BytesContent(data))

    @Operation({204: schema.ALLOW_ANSWER}, ("invalid-target",))
    async def OPTIONS(self, request: Request) -> Response:
        return options(self, request, self._mount.cors_policy)


class CollectionResource(ReadOnlyCollection):
    """`/{mount}/` of a mount that can be written."""

    hint = ""

    @schema.COLLECTION_WRITE
    async def POST(self, request: Request) -> Response:
        """Store a document under a new UUID."""
        check_post(request.headers)
        headers = WriteHeaders.of(request, self._mount)
        if _evaluate_conditions(request) is not ConditionOutcome.PROCEED:
            raise HTTPProblem("precondition-failed", "the collection exists and has no ETag")
        upload = await headers.upload(request.body, self._mount)
        expires_ns = headers.expires_ns(self._clock)
        result = await self._mount.engine.put(
            PutRequest(str(uuid4()), upload, headers.fields, expires_ns=expires_ns, expect=ABSENT)
        )
        return await write_response(self._mount, result, headers.preferred_return, self._clock)


class PuttableCollection(CollectionResource):
    """As in the original, PUT stores under a new UUID: a deliberate departure from RFC 9110 §9.3.4."""

    @schema.COLLECTION_WRITE
    async def PUT(self, request: Request) -> Response:
        """As POST."""
        return await self.POST(request)


def collection_class(mount: Mount) -> type[ReadOnlyCollection]:
    if mount.readonly:
        return ReadOnlyCollection
    return PuttableCollection if mount.collection_put else CollectionResource


def _evaluate_conditions(request: Request) -> ConditionOutcome:
    """The collection exists and has neither ETag nor Last-Modified (RFC 9110 §13.2.2)."""
    conditions = Conditions.of(request.headers)
    if conditions is None:
        return ConditionOutcome.PROCEED
    if conditions.if_match is not None and not conditions.if_match.star:
        return ConditionOutcome.FAILED
    if conditions.if_none_match is not None and conditions.if_none_match.star:
        return ConditionOutcome.NOT_MODIFIED
    return ConditionOutcome.PROCEED
