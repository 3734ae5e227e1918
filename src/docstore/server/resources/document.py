"""A document: the bytes under a key, and its verbs."""

from dataclasses import replace
from hashlib import sha256
from secrets import token_hex

from docstore.content import BytesContent, Content
from docstore.errors import Conflict
from docstore.http import ranges
from docstore.http.conditions import CONDITIONAL_GET_HEADERS, ConditionOutcome, Conditions, if_range_holds
from docstore.http.digests import digest_headers, wanted_digests
from docstore.http.merge_patch import ACCEPT_PATCH
from docstore.http.message import NO_CONTENT, ContentSequence, HeaderPairs, Request, Response
from docstore.http.negotiation import names
from docstore.model import ANY, Clock, Expectation, Meta
from docstore.server import openapi_schema as schema
from docstore.server.errors import HTTPProblem
from docstore.server.mounts import Mount
from docstore.server.openapi_schema import Answer, Operation
from docstore.server.resources.listing import has_documents
from docstore.server.resources.patch import patch
from docstore.server.resources.resource import Resource, options, redirection
from docstore.server.resources.write import MAX_ATTEMPTS, check_preconditions, precondition_failed, shows_state, write
from docstore.server.responses import document_headers, full_response, not_modified_response, small_response
from docstore.server.security.guarded_engine import unguarded
from docstore.server.security.other_protocols import check_form
from docstore.units import format_count


class ReadOnlyDocument(Resource):
    """`/{mount}/{key}` of a read-only mount."""

    __slots__ = ("_clock", "_key", "_mount")
    hint = "this mount is read-only"

    def __init__(self, mount: Mount, key: str, clock: Clock) -> None:
        self._mount = mount
        self._key = key
        self._clock = clock

    @Operation(
        {
            200: Answer("The document.", {"*/*": ""}, schema.DOCUMENT_HEADERS),
            206: Answer(
                "The requested ranges; several as multipart/byteranges.",
                {"*/*": ""},
                (*schema.DOCUMENT_HEADERS, "Content-Range?"),
            ),
            303: schema.FOLDER_ANSWER,
            304: schema.DOCUMENT_NOT_MODIFIED,
        },
        (*schema.READ_PROBLEMS, "range-not-satisfiable"),
        ("conditions", "ranges", "wanted digests"),
    )
    async def GET(self, request: Request) -> Response:
        """Read the document, or the requested ranges of it."""
        document = await self._mount.engine.get(self._key)
        if document is None:
            return await self._folder(request)
        meta, now_ns, cache_control = document.meta, self._clock(), self._mount.cache_control
        # PERF: most requests have none of these headers and skip everything that evaluates them.
        if CONDITIONAL_GET_HEADERS.isdisjoint(request.headers.names):
            return full_response(meta, document.content, now_ns, cache_control)
        not_modified = _not_modified(request, meta, now_ns, cache_control)
        return not_modified or _conditional_get(request, meta, document.content, now_ns, cache_control)

    @Operation(
        {
            200: Answer("The headers of the document.", {}, schema.DOCUMENT_HEADERS),
            303: replace(schema.FOLDER_ANSWER, media_types={}),
            304: schema.DOCUMENT_NOT_MODIFIED,
        },
        schema.READ_PROBLEMS,
        ("conditions", "wanted digests"),
    )
    async def HEAD(self, request: Request) -> Response:
        """Read the headers of the document. Range is defined for GET only (RFC 9110 §14.2)."""
        meta, now_ns = await self._mount.engine.head(self._key), self._clock()
        if meta is None:
            response = await self._folder(request)
            response.head_only = True
            return response
        cache_control = self._mount.cache_control
        if CONDITIONAL_GET_HEADERS.isdisjoint(request.headers.names):
            response = full_response(meta, NO_CONTENT, now_ns, cache_control)
        elif (not_modified := _not_modified(request, meta, now_ns, cache_control)) is not None:
            response = not_modified
        else:
            response = full_response(meta, NO_CONTENT, now_ns, cache_control)
            if wanted := request.headers.cached(wanted_digests):
                response.headers += digest_headers(wanted, meta.digest, None)
        response.head_only = True
        return response

    async def _folder(self, request: Request) -> Response:
        """303 to the folder of this name. Raise HTTPProblem (404) if there is none.

        Browsers name text/html, and programs that read folders accept everything. Other clients look for documents
        only. Mounts with a quota never redirect: misses are frequent there and must be cheap. 308 would be wrong,
        because a document may be stored here later.
        """
        folder, accept = f"{self._key}/", request.headers.get("accept")
        if (
            self._mount.keys != "path"
            or not (names(accept, "text/html") or names(accept, "*/*"))
            or self._mount.is_metered
            or not self._mount.permits("list", folder)
            or not await has_documents(self._mount, folder)
        ):
            raise HTTPProblem("not-found")
        location = redirection(request, self._mount.prefix + folder)
        more = [(b"location", location.encode("ascii")), (b"vary", b"Accept")]
        return small_response(f"{location}\n", "text/plain", status=303, cache=b"no-store", more=more)

    @Operation(
        {204: Answer("The methods of the document.", {}, ("Accept-Patch", "Accept-Ranges", "Allow", "Cache-Control"))},
        schema.KEY_PROBLEMS,
    )
    async def OPTIONS(self, request: Request) -> Response:
        more = [(b"accept-ranges", b"bytes")]
        if "PATCH" in self.verbs:
            more.append((b"accept-patch", ACCEPT_PATCH.encode("ascii")))
        return options(self, request, self._mount.cors_policy, more)


class DocumentResource(ReadOnlyDocument):
    """`/{mount}/{key}` of a mount that can be written."""

    __slots__ = ()
    hint = ""

    @schema.DOCUMENT_WRITE
    async def PUT(self, request: Request) -> Response:
        """Store the content under the key, replacing the document if there is one."""
        return await write(self._mount, self._key, request, self._clock)

    @schema.DOCUMENT_POST
    async def POST(self, request: Request) -> Response:
        """As PUT; the original Docstore stored with POST."""
        check_form(request.headers)
        return await write(self._mount, self._key, request, self._clock)

    @Operation(
        {200: schema.REPLACED, 204: schema.NO_CONTENT_ANSWER},
        (
            *(*schema.KEY_PROBLEMS, *schema.UNSAFE_PROBLEMS, *schema.UPLOAD_PROBLEMS, "not-found"),
            *("precondition-failed", "changed-meanwhile", "invalid-patch", "patch-conflict", "unsupported-type"),
            "not-applicable",
        ),
        ("conditions", "expiry", "prefer", "digests"),
        "patch",
    )
    async def PATCH(self, request: Request) -> Response:
        """Change a JSON document: the whole patch is applied, or nothing."""
        return await patch(self._mount, self._key, request, self._clock)

    @Operation(
        {200: Answer("Deleted.", {"text/plain": ""})},
        (*schema.KEY_PROBLEMS, *schema.UNSAFE_PROBLEMS, "not-found", "precondition-failed", "changed-meanwhile"),
        ("conditions",),
    )
    async def DELETE(self, request: Request) -> Response:
        """Delete the document. The response is 200 without content, because several clients treat 204 as a failure."""
        conditions, engine = Conditions.of(request.headers), self._mount.engine
        for _ in range(MAX_ATTEMPTS):
            expect: Expectation = ANY
            if conditions is not None:
                current = await unguarded(engine).head(self._key)
                if current is None:
                    raise HTTPProblem("not-found")
                shown = shows_state(self._mount, self._key)
                expect = check_preconditions("DELETE", conditions, current, self._clock, shown=shown)
            try:
                removed = await engine.delete(self._key, expect=expect)
            except Conflict:
                continue
            if removed is None:
                raise HTTPProblem("not-found")
            return small_response(b"", "text/plain", cache=b"no-store")
        raise HTTPProblem("changed-meanwhile", "other clients keep changing this document")


def document_class(mount: Mount) -> type[ReadOnlyDocument]:
    return ReadOnlyDocument if mount.readonly else DocumentResource


def _not_modified(request: Request, meta: Meta, now_ns: int, cache_control: str) -> Response | None:
    """304 if the client has this version; None if the method must be performed. Raise HTTPProblem (412)."""
    # PERF: a client repeats its headers when it polls a document, and http1 reuses the Headers for them.
    conditions = request.headers.cached(Conditions.of)
    if conditions is None:
        return None
    outcome = conditions.evaluate(request.method, meta, now_ns // 10**9)
    if outcome is ConditionOutcome.FAILED:
        raise precondition_failed(meta)
    return not_modified_response(meta, now_ns, cache_control) if outcome is ConditionOutcome.NOT_MODIFIED else None


def _conditional_get(request: Request, meta: Meta, content: Content, now_ns: int, cache_control: str) -> Response:
    """The requested ranges and digests. Raise HTTPProblem (416)."""
    selected = _selected_ranges(request, meta, now_ns)
    if selected == ():
        unsatisfied = ranges.unsatisfied_range(meta.size).encode("ascii")
        detail = f"the document has {format_count(meta.size, 'byte')}"
        raise HTTPProblem("range-not-satisfiable", detail, [(b"content-range", unsatisfied)])
    wanted = request.headers.cached(wanted_digests)
    content_digest: bytes | None = meta.digest
    if selected is None:
        response = full_response(meta, content, now_ns, cache_control)
    else:
        response = _partial_response(document_headers(meta, now_ns, cache_control), meta, content, selected)
        part = response.content
        # The digest of a part in a file would cost reading it twice.
        content_digest = sha256(part.data).digest() if wanted and isinstance(part, BytesContent) else None
    if wanted:
        response.headers += digest_headers(wanted, meta.digest, content_digest)
    return response


def _selected_ranges(request: Request, meta: Meta, now_ns: int) -> ranges.Selection:
    range_header = request.headers.get("range")
    if range_header is None:
        return None
    if_range = request.headers.get("if-range")
    if if_range is not None and not if_range_holds(if_range, meta, now_ns // 10**9):
        return None
    return ranges.select(range_header, meta.size)


def _partial_response(headers: HeaderPairs, meta: Meta, content: Content, spans: tuple[ranges.Span, ...]) -> Response:
    """206, with one part, or with several as multipart/byteranges.

    The stored headers are included even after If-Range, where RFC 9110 §15.3.7 says they should not be: players that
    join parts from a cache look at the type of each.
    """
    if len(spans) == 1:
        start, stop = spans[0]
        headers.append((b"content-range", ranges.content_range(start, stop, meta.size).encode("ascii")))
        headers.append((b"content-length", b"%d" % (stop - start)))
        return Response(206, headers, content.slice(start, stop))
    boundary = token_hex(16)
    pieces = ranges.multipart(spans, meta.fields.media_type, meta.size, boundary)
    body = ContentSequence(tuple(BytesContent(p) if isinstance(p, bytes) else content.slice(*p) for p in pieces))
    headers = [(name, value) for name, value in headers if name != b"content-type"]
    headers.append((b"content-type", ranges.byteranges(boundary).encode("ascii")))
    headers.append((b"content-length", b"%d" % body.size))
    return Response(206, headers, body)
