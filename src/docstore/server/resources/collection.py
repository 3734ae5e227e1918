"""A collection, which lists the documents of a mount and stores documents under new keys, and its folders."""

from dataclasses import replace
from uuid import uuid4

from docstore.content import BytesContent
from docstore.engines.contract import PutRequest
from docstore.http.conditions import ConditionOutcome, Conditions
from docstore.http.message import HeaderPairs, Request, Response, StreamedContent
from docstore.http.negotiation import names
from docstore.model import ABSENT, Clock
from docstore.server import openapi_schema as schema
from docstore.server import pages
from docstore.server.errors import HTTPProblem
from docstore.server.mounts import Mount
from docstore.server.openapi_schema import Operation
from docstore.server.resources import download, html_listing, listing
from docstore.server.resources.document import DocumentResource
from docstore.server.resources.resource import ReadableResource, negotiate, options
from docstore.server.resources.write import WriteHeaders, write_response
from docstore.server.responses import content_headers
from docstore.server.security.other_protocols import check_post


class ListingResource(ReadableResource):
    """The documents below a URL that ends with a slash."""

    def __init__(self, mount: Mount, clock: Clock, folder: str = "") -> None:
        """`folder` is "" for the whole collection, otherwise the start of keys up to a slash."""
        self._mount = mount
        self._clock = clock
        self._folder = folder

    @schema.LISTING
    async def GET(self, request: Request) -> Response:
        """List the documents in bytewise order of their keys.

        Without a limit, NDJSON and text are the whole listing, and so is HTML for clients that do not name text/html as
        browsers do. Zip and tar are downloads of the documents themselves.
        """
        query = listing.Query.parse(request.query, self._folder)
        offers = {format.media_type: name for name, format in listing.LISTING_FORMATS.items()}
        format = query.format or offers[negotiate(request, list(offers))]
        if format == "html" and self._mount.index and not request.query:
            index = await self._index(request)
            if index is not None:
                return index
        if self._folder and not await listing.has_documents(self._mount, self._folder):
            raise HTTPProblem("not-found", "no key begins with this path")
        outcome = _evaluate_conditions(request)
        if outcome is ConditionOutcome.FAILED:
            raise HTTPProblem("precondition-failed", "the collection has no ETag")
        headers: HeaderPairs = [(b"cache-control", b"no-cache"), (b"vary", b"Accept")]
        if outcome is ConditionOutcome.NOT_MODIFIED:
            return Response(304, headers)
        chosen = listing.LISTING_FORMATS[format]
        if chosen.members is not None:
            archived = download.archive_query(replace(query, format=format))
            content = await download.read_archive_content(self._mount, archived, chosen.members)
            headers += download.archive_headers(self._mount, archived, format)
            return Response(200, [*headers, *content_headers(chosen.media_type)], content)
        if query.keys:
            raise HTTPProblem("invalid-query", "keys is for format=zip and format=tar")
        if chosen.render is None:
            return await self._html(request, query, headers)
        headers += content_headers(chosen.media_type)
        page = listing.without_future(await listing.read_page(self._mount, query), self._clock())
        if chosen.in_lines and query.limit is None:
            lines = listing.stream_lines(self._mount, page, chosen.render, self._clock)
            return Response(200, headers, StreamedContent(lines))
        text = chosen.render(self._mount, page, request.root)
        return self._list_response(headers, page, text.encode("utf-8"), request.root)

    async def _index(self, request: Request) -> Response | None:
        """The document `index.html` of the folder; None if there is none."""
        key = f"{self._folder}index.html"
        if not self._mount.permits("read", key):
            return None
        document = DocumentResource(self._mount, key, self._clock)
        try:
            response = await document.verbs[request.method](document, request)
        except HTTPProblem as problem:
            if problem.type.name != "not-found":
                raise
            return None
        if response.status == 303:  # `index.html` is a folder
            return None
        response.headers.append((b"vary", b"Accept"))
        return response

    async def _html(self, request: Request, query: listing.Query, headers: HeaderPairs) -> Response:
        if query.delimiter is None and self._mount.keys == "path":
            query = replace(query, delimiter="/")
        # By a signed link, everybody gets the index: the script of the page sends requests without the link.
        if query.link or (query.limit is None and not names(request.headers.get("accept"), "text/html")):
            headers += content_headers("text/html")
            page = await listing.read_page(self._mount, query)
            chunks = html_listing.stream_index(self._mount, query, page, root=request.root, now_ns=self._clock())
            if page.next:
                return Response(200, headers, StreamedContent(chunks))
            return self._list_response(headers, page, b"".join([chunk async for chunk in chunks]), request.root)
        nonce = pages.new_nonce()
        page = listing.without_future(await listing.read_page(self._mount, query, html=True), self._clock())
        headers += content_headers("text/html", pages.policy(nonce))
        html = html_listing.render_page(
            self._mount, query, page, root=request.root, now_ns=self._clock(), nonce=nonce, user=request.user
        )
        return self._list_response(headers, page, html.encode("utf-8"), request.root)

    def _list_response(self, headers: HeaderPairs, page: listing.ListingPage, data: bytes, root: str) -> Response:
        headers.append((b"content-length", b"%d" % len(data)))
        if link := listing.next_link(self._mount, page, root):
            headers.append((b"link", f'<{link}>; rel="next"'.encode("ascii")))
        return Response(200, headers, BytesContent(data))

    @Operation({204: schema.ALLOW_ANSWER}, ("invalid-target",))
    async def OPTIONS(self, request: Request) -> Response:
        return options(self, request, self._mount.cors_policy)


class FolderResource(ListingResource):
    """`/{mount}/{folder}/`: the documents whose keys begin with the folder."""

    hint = "a folder is not a document; write to a document in it, such as this path and a name"

    @schema.FOLDER_LISTING
    async def GET(self, request: Request) -> Response:
        """List the documents of the folder, as the collection with `prefix`. The keys are whole."""
        return await super().GET(request)

    @Operation({204: schema.ALLOW_ANSWER}, ("invalid-target", "invalid-key"))
    async def OPTIONS(self, request: Request) -> Response:
        return await super().OPTIONS(request)


class ReadOnlyCollection(ListingResource):
    """`/{mount}/` of a read-only mount."""

    hint = "this mount is read-only"


class CollectionResource(ListingResource):
    """`/{mount}/` of a mount that can be written."""

    @schema.COLLECTION_WRITE
    async def POST(self, request: Request) -> Response:
        """Store a document under a new UUID."""
        check_post(request.headers)
        headers = WriteHeaders.of(request, self._mount)
        if _evaluate_conditions(request) is not ConditionOutcome.PROCEED:
            raise HTTPProblem("precondition-failed", "the collection exists and has no ETag")
        key = str(uuid4())
        upload, fields, guess_type = await headers.receive(key, request.body, self._mount)
        expires_ns = headers.expires_ns(self._clock)
        result = await self._mount.engine.put(
            PutRequest(key, upload, fields, expires_ns, ABSENT, guess_type=guess_type)
        )
        return await write_response(self._mount, result, headers.preferred_return, self._clock, request.root)


class PuttableCollection(CollectionResource):
    """As in the original, PUT stores under a new UUID: a deliberate departure from RFC 9110 §9.3.4."""

    @schema.COLLECTION_WRITE
    async def PUT(self, request: Request) -> Response:
        """As POST."""
        return await self.POST(request)


def collection_class(mount: Mount) -> type[ListingResource]:
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
