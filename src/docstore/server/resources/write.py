"""PUT, and the parts that all writes share: headers, conditions, the upload and the response.

Everything in the headers is checked before a byte of the body is requested.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Final

from docstore.content import BytesContent, SizeLimitedUpload, Upload
from docstore.engines.contract import PutRequest
from docstore.errors import Conflict, ContentTooLarge, EngineError
from docstore.frozen import frozen_dataclass
from docstore.http.conditions import CONDITION_HEADERS, ConditionOutcome, Conditions, expectation
from docstore.http.dates import parse_ttl_s
from docstore.http.digests import AnnouncedDigest, DigestVerifiedUpload, announced_digests
from docstore.http.message import HeaderPairs, Headers, Request, Response
from docstore.http.negotiation import PreferredReturn, preferred_return
from docstore.http.stored_headers import StoredFieldsTooLarge, parse_stored_fields
from docstore.http.url import encode
from docstore.media_types import TEXT_LIMIT, guess_media_type
from docstore.model import ANY, Clock, Expectation, Fields, Meta, WriteResult
from docstore.server.errors import HTTPProblem
from docstore.server.mounts import Mount
from docstore.server.responses import document_headers, etag, small_block, small_response
from docstore.server.security.guarded_engine import unguarded

MAX_ATTEMPTS = 100
"""How often a write is retried if the document changed meanwhile and its conditions still hold."""

REPLAY_LIMIT: Final = 64 * 1024
"""Bytes up to which a body is buffered before the write, so that the write can be retried."""


@frozen_dataclass(frozen=True, slots=True)
class WriteHeaders:
    """The headers of a write, checked before the body is requested."""

    fields: Fields
    has_type: bool
    """Whether Content-Type was sent."""
    ttl_s: int | None
    digests: tuple[AnnouncedDigest, ...]
    preferred_return: PreferredReturn | None

    @classmethod
    def of(cls, request: Request, mount: Mount) -> "WriteHeaders":
        """Raise HTTPProblem: 400 for headers that can't be stored, 413, 417."""
        # PERF: clients store many documents with the same few headers, so the parsed value is cached with them: 0.3 us
        # instead of 18 of a PUT.
        headers = request.headers.cached(cls.parse)
        if request.body.size is not None and request.body.size > mount.size_limit:
            raise ContentTooLarge(mount.size_limit)
        return headers

    @staticmethod
    def parse(headers: Headers) -> "WriteHeaders":
        """Raise HTTPProblem, but not for the size of the body."""
        rare = not _RARE_HEADERS.isdisjoint(headers.names)
        if rare:
            check_expect(headers)
            if "content-range" in headers:
                raise HTTPProblem("partial-put", "a write must not have Content-Range")
        try:
            fields = parse_stored_fields(headers)
            ttl_s = parse_ttl_s(headers) if rare else None
        except StoredFieldsTooLarge as error:
            raise HTTPProblem("fields-too-large", str(error)) from None
        except ValueError as error:
            raise HTTPProblem("invalid-field", str(error)) from None
        digests = announced_digests(headers) if rare else ()
        return WriteHeaders(fields, "content-type" in headers, ttl_s, digests, preferred_return(headers))

    def expires_ns(self, clock: Clock) -> int | None:
        """The TTL counts from the end of a small upload, and from the start of a streamed one."""
        return None if self.ttl_s is None else clock() + self.ttl_s * 10**9

    async def receive(self, key: str, body: Upload, mount: Mount) -> tuple[Upload, Fields, Callable[[], str] | None]:
        """Return the upload, the fields and `guess_type` of a PutRequest.

        The upload is limited in size, verified at its end, and BytesContent when it is small.
        """
        upload = body
        if self.digests or not isinstance(body, BytesContent):  # `of` has checked the size of BytesContent
            limited = SizeLimitedUpload(body, mount.size_limit)
            upload = await buffer_if_small(DigestVerifiedUpload(limited, self.digests) if self.digests else limited)
        if isinstance(upload, BytesContent):
            return upload, self.fields_of(key, upload, mount), None
        if self.has_type or not mount.guess_type:
            return upload, self.fields, None
        started = StartRecorder(upload)
        return started, self.fields, lambda: self._guess_type(key, started.start, complete=False)

    def fields_of(self, key: str, content: BytesContent, mount: Mount) -> Fields:
        """Return the fields to store with this content."""
        if self.has_type or not mount.guess_type:
            return self.fields
        return Fields(self._guess_type(key, content.data, complete=True), self.fields.others)

    def _guess_type(self, key: str, start: bytes, *, complete: bool) -> str:
        coded = any(name == "content-encoding" for name, _ in self.fields.others)  # the type is of the decoded content
        return guess_media_type(key, b"" if coded else start, complete=complete)


_RARE_HEADERS: Final = frozenset(
    {b"expect", b"content-range", b"ttl", b"content-digest", b"repr-digest", b"content-md5", b"digest"}
)
RARE_WRITE_HEADERS: Final = _RARE_HEADERS | CONDITION_HEADERS | {b"prefer"}
"""A PUT without any of these only stores its content, with the headers that are stored with it."""


def check_expect(headers: Headers) -> None:
    """Raise HTTPProblem for an unknown expectation (RFC 9110 §10.1.1)."""
    expect = headers.get("expect")
    if expect is not None and expect.lower() != "100-continue":
        raise HTTPProblem("expectation-failed", f"unknown expectation {expect[:100]!r}")


class ReplayedUpload:
    """An upload whose first chunks were already received."""

    __slots__ = ("_chunks", "_rest", "size")

    def __init__(self, chunks: list[bytes], rest: AsyncIterator[bytes], size: int | None) -> None:
        self._chunks = chunks
        self._rest = rest
        self.size = size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks, self._chunks = self._chunks, []
        for chunk in chunks:
            yield chunk
        async for chunk in self._rest:
            yield chunk


async def buffer_if_small(upload: Upload) -> Upload:
    """Return BytesContent, which can be read again, for up to REPLAY_LIMIT bytes; else an upload of the same bytes."""
    if isinstance(upload, BytesContent) or (upload.size is not None and upload.size > REPLAY_LIMIT):
        return upload
    chunks: list[bytes] = []
    arrived, rest = 0, aiter(upload)
    async for chunk in rest:
        chunks.append(chunk)
        arrived += len(chunk)
        if arrived > REPLAY_LIMIT:
            return ReplayedUpload(chunks, rest, upload.size)
    return BytesContent(b"".join(chunks))


class StartRecorder:
    """An upload that keeps its first TEXT_LIMIT bytes while it is read.

    Reading them ahead was rejected: a client that waits for 100 would send what the engine may still reject.
    """

    __slots__ = ("_upload", "size", "start")

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self.size = upload.size
        self.start = b""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._upload:
            if len(self.start) < TEXT_LIMIT:
                self.start += chunk[:TEXT_LIMIT]
            yield chunk


def check_preconditions(
    method: str, conditions: Conditions | None, current: Meta | None, clock: Clock, *, shown: bool = True
) -> Expectation:
    """Return what the engine must expect of `current`, which the write replaces. Raise HTTPProblem (412).

    Unless `shown`, the client may not learn the version of the document.
    """
    if (
        conditions is not None
        and conditions.evaluate(method, current, clock() // 10**9) is not ConditionOutcome.PROCEED
    ):
        raise precondition_failed(current) if shown else HTTPProblem("precondition-failed")
    return expectation(conditions, current)


def shows_state(mount: Mount, key: str) -> bool:
    """Whether the client may learn the version of a document."""
    return mount.rights is None or mount.rights.shows_state(key)


def _expected(
    mount: Mount, key: str, method: str, conditions: Conditions | None, current: Meta | None, clock: Clock
) -> Expectation:
    """Return what a write must expect of `current`. Raise HTTPProblem: 412, or 403 if the client may not do it."""
    if mount.rights is None:
        return check_preconditions(method, conditions, current, clock)
    creates = conditions is not None and conditions.if_none_match is not None and conditions.if_none_match.star
    if current is not None and not creates:
        # First, because the other conditions would tell a client that may not replace whether it guessed the version.
        mount.rights.narrow(key, ANY, current)
    expect = check_preconditions(method, conditions, current, clock, shown=shows_state(mount, key))
    return mount.rights.narrow(key, expect, current)


def precondition_failed(current: Meta | None) -> HTTPProblem:
    """412, with the current ETag."""
    if current is None:
        return HTTPProblem("precondition-failed", "the document does not exist")
    tag = etag(current)
    return HTTPProblem("precondition-failed", f"the document's ETag is {tag.decode('ascii')}", [(b"etag", tag)])


async def write(mount: Mount, key: str, request: Request, clock: Clock) -> Response:
    """Store a document. Conditions are checked now, and again by the engine inside its commit."""
    conditions = Conditions.of(request.headers)
    headers = WriteHeaders.of(request, mount)
    expect: Expectation = ANY
    if conditions is not None or (mount.rights is not None and not mount.rights.stores_freely(key)):
        expect = _expected(mount, key, request.method, conditions, await unguarded(mount.engine).head(key), clock)
    upload, fields, guess_type = await headers.receive(key, request.body, mount)
    for _ in range(MAX_ATTEMPTS):
        try:
            expires_ns = headers.expires_ns(clock)
            result = await mount.engine.put(PutRequest(key, upload, fields, expires_ns, expect, guess_type=guess_type))
        except Conflict as conflict:
            expect = _expected(mount, key, request.method, conditions, conflict.current, clock)
            if not isinstance(upload, BytesContent):
                raise HTTPProblem("changed-meanwhile", "the document changed during the upload") from None
        else:
            return await write_response(mount, result, headers.preferred_return, clock, request.root)
    raise HTTPProblem("changed-meanwhile", "other clients keep changing this document")


async def write_response(
    mount: Mount, result: WriteResult, preferred: PreferredReturn | None, clock: Clock, root: str
) -> Response:
    """201 with Location or 200, the ETag, and the key and a newline, as in the original.

    `return=minimal` omits that line, `return=representation` sends the document instead (RFC 7240 §4.2).
    """
    meta = result.meta
    created: HeaderPairs = [(b"location", _location(mount, meta, root))] if result.created else []
    status = 201 if result.created else 200
    if preferred == "minimal":
        more = [(b"etag", etag(meta)), (b"preference-applied", b"return=minimal"), *created]
        if result.created:
            return small_response(b"", "text/plain", status=201, cache=b"no-store", more=more)
        return Response(204, [(b"cache-control", b"no-store"), *more])
    if preferred == "representation":
        document = None
        # A failed read must not look like a failed write.
        with suppress(EngineError):
            document = await mount.engine.get(meta.key) if mount.permits("read", meta.key) else None
        if document is not None and document.meta.version == meta.version:
            headers = document_headers(document.meta, clock(), mount.cache_control)
            headers += [(b"content-length", b"%d" % meta.size), (b"content-location", _location(mount, meta, root))]
            headers += [(b"preference-applied", b"return=representation"), *created]
            return Response(status, headers, document.content)
    return stored_response(mount, result, root)


def stored_response(mount: Mount, result: WriteResult, root: str = "") -> Response:
    """Return the response to a write without preferences."""
    meta, lines = result.meta, b"etag: %b\r\n" % etag(result.meta)
    if result.created:
        lines += b"location: %b\r\n" % _location(mount, meta, root)
    data = f"{meta.key}\n".encode()
    block = small_block("text/plain", b"no-store").followed_by(lines, len(data))
    return Response(201 if result.created else 200, [], BytesContent(data), block)


def _location(mount: Mount, meta: Meta, root: str) -> bytes:
    return (root + encode(mount.prefix + meta.key)).encode("ascii")
