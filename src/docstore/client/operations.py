"""The operations of one request and one response, as coroutines over a Transport, for both clients.

Each has the name of the clients' method; `client.py` adds only how to wait for it. `atomic.py` has the operations that
repeat when other clients were faster, `download.py` those that stream, `listing.py` those of the whole collection.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar, Unpack

from docstore.client.address import CollectionAddress
from docstore.client.body import ClientBody, ContentLike, body_of
from docstore.client.errors import error_for, only_document_missing
from docstore.client.options import (
    TTL,
    Condition,
    PartOptions,
    PutOptions,
    StoreOptions,
    check_options,
    condition_headers,
    range_headers,
    store_headers,
    ttl_headers,
)
from docstore.client.results import (
    Info,
    NotModified,
    PutResult,
    StoredContent,
    document_size,
    info_from_headers,
    version_in,
)
from docstore.client.retry import RetryPolicy, exchange
from docstore.client.transport import ClientRequest, ClientResponse, RequestHeaders, Transport
from docstore.errors import (
    DigestMismatch,
    DocstoreError,
    EngineError,
    OutcomeUnknown,
    RequestError,
    StorageUnavailable,
)
from docstore.http.stored_headers import parse_stored_fields
from docstore.http.url import InvalidTarget, segments
from docstore.model import Fields, version_of

D = TypeVar("D")

JSON_TYPE: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
ACCEPT: Final = ("accept", "application/problem+json, */*;q=0.5")
"""The type of a document is fixed by its writer; an error should be a problem (RFC 9457)."""
WANT_DIGEST: Final = ("want-repr-digest", "sha-256=1")


class Operations:
    """The operations on one collection over one transport."""

    def __init__(self, transport: Transport, address: CollectionAddress, policy: RetryPolicy) -> None:
        self.transport = transport
        self.address = address
        self.headers: Final = (ACCEPT, *address.headers)
        """Headers of every request."""
        self.policy = policy

    def over(self, transport: Transport) -> "Operations":
        """The same operations over another transport."""
        return self if transport is self.transport else Operations(transport, self.address, self.policy)

    async def send(
        self,
        method: str,
        key: str,
        headers: RequestHeaders = (),
        body: ClientBody | None = None,
        *,
        send_once: bool = False,
    ) -> ClientResponse:
        """The response to a request about a document, whatever its status."""
        request = ClientRequest(method, self.address.target(key), (*self.headers, *headers), body, send_once)
        return await exchange(self.transport, request, self.policy, describe_call(method, key))

    async def get(
        self,
        key: str,
        default: D | None = None,
        /,
        *,
        if_none_match: Condition | None = None,
        **options: Unpack[PartOptions],
    ) -> StoredContent | NotModified | D | None:
        """See Client.get."""
        check_options(options, PartOptions)
        headers = (WANT_DIGEST, *range_headers(options), *condition_headers(options.get("if_match"), if_none_match))
        response = await self.send("GET", key, headers)
        if response.status == 304:
            return NotModified(version_in(response.headers))
        if response.status in (200, 206):
            return _stored_content(key, response)
        error = error_for(response, describe_call("GET", key))
        if only_document_missing(error):
            return default
        raise error

    async def content(self, key: str) -> StoredContent:
        """The content of a document. Raise NotFound."""
        response = await self.send("GET", key, (WANT_DIGEST,))
        if response.status != 200:
            raise error_for(response, describe_call("GET", key))
        return _stored_content(key, response)

    async def get_json(self, key: str, default: Any = None, /) -> Any:
        """The value of a JSON document, or `default`. Raise NotJSON."""
        content = await self.get(key)
        return content.json() if isinstance(content, StoredContent) else default

    async def head_info(self, key: str, *, explain: bool = True) -> Info:
        """The info that a response to HEAD contains; see `listing.stored_info`. Raise NotFound.

        Without `explain` no other request asks for the reason of a failure.
        """
        response = await self.send("HEAD", key, (WANT_DIGEST,))
        if response.status != 200:
            raise await self._head_error(key, response) if explain else error_for(response, describe_call("HEAD", key))
        return info_from_headers(key, response.headers, document_size(response.headers))

    async def contains(self, key: str) -> bool:
        """Whether the document exists."""
        response = await self.send("HEAD", key)
        if response.status not in (200, 404):
            raise await self._head_error(key, response)
        return response.status == 200

    async def _head_error(self, key: str, response: ClientResponse) -> DocstoreError:
        """The error for a response to HEAD. It has no content, so a GET of one byte asks for the reason."""
        with suppress(StorageUnavailable):
            explained = await self.send("GET", key, (("range", "bytes=0-0"),))
            if explained.status == response.status:
                response = explained
        return error_for(response, describe_call("HEAD", key))

    async def put(self, key: str, body: ClientBody, options: PutOptions) -> PutResult:
        """Store content; see `atomic.put`."""
        response = await self.write(key, body, options, options.get("if_match"), options.get("if_none_match"))
        # A 403 can mean that the document exists now: a token that may only create can't replace it.
        if response.maybe_applied and response.status in (403, 409, 412):
            if not await self._is_stored(key, version_in(response.headers), body, options):
                raise outcome_unknown(response, describe_call("PUT", key))
            return PutResult(key, version_in(response.headers), options.get("if_match") is None)
        return await self.verified_result(key, response, "PUT", body, options)

    async def _is_stored(self, key: str, version: str, body: ClientBody, options: StoreOptions) -> bool:
        """Whether `version` is this content with these fields, and the media type that the store chose if none is
        given."""
        if "content-type" not in dict(store_headers(options, body)):
            try:
                options = {**options, "type": (await self.head_info(key, explain=False)).type}
            except DocstoreError:
                return False
        return version == _expected_version(options, body)

    async def write(
        self,
        key: str,
        body: ClientBody,
        options: StoreOptions,
        if_match: Condition | None = None,
        if_none_match: Condition | None = None,
    ) -> ClientResponse:
        """The response to a PUT, whatever its status. Raise RequestError for fields that no store accepts."""
        headers = await self._prepare(body, options)
        return await self.send("PUT", key, (*headers, *condition_headers(if_match, if_none_match)), body)

    async def _prepare(self, body: ClientBody, options: StoreOptions) -> RequestHeaders:
        """Validate the options of a write, and return its headers."""
        _fields(store_headers(options, body))  # before a large file is hashed
        body.progress = options.get("progress")
        if options.get("digest") is True and body.replayable:
            await self.transport.work(body.hash)
        return store_headers(options, body)

    async def verified_result(
        self, key: str, response: ClientResponse, method: str, body: ClientBody, options: StoreOptions
    ) -> PutResult:
        """The result of a write of content, whose digest is compared here if it could not be sent ahead.

        Raise the error that the response is, and DigestMismatch.
        """
        result = _put_result(key, response, method)
        if body.data is not None:
            body.report(len(body.data))
        digest = options.get("digest")
        check = digest == "after" or (digest is True and not body.replayable)
        if check and result.version != _expected_version(options, body):
            try:
                info = await self.head_info(key)
            except StorageUnavailable as error:
                raise OutcomeUnknown(f"{describe_call(method, key)}: stored, but not verified: {error}") from error
            if info.version == result.version and info.digest not in (None, body.digest):
                raise DigestMismatch(f"{describe_call(method, key)}: the store received other content; send it again")
        return result

    async def patch(
        self,
        key: str,
        change: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        /,
        *,
        if_match: Condition | None = None,
        ttl: TTL | None = None,
    ) -> PutResult:
        """Change a JSON document; either all of `change` is applied or nothing.

        A mapping is a merge patch (RFC 7396), a list of operations a JSON Patch (RFC 6902). Type and fields stay, and
        without `ttl` the expiry too. It is retried only with `if_match`. Raise NotFound, Conflict, RequestError for a
        patch that does not fit, OutcomeUnknown.
        """
        data = json_bytes(change)
        media_type = MERGE_PATCH if isinstance(change, Mapping) else JSON_PATCH
        headers = (("content-type", media_type), *ttl_headers(ttl), *condition_headers(if_match))
        response = await self.send("PATCH", key, headers, ClientBody.from_bytes(data), send_once=if_match is None)
        if response.maybe_applied and response.status >= 400:
            raise outcome_unknown(response, describe_call("PATCH", key))
        return _put_result(key, response, "PATCH")

    async def delete(self, key: str, /, *, if_match: Condition | None = None) -> None:
        """Remove a document. Raise NotFound, Conflict, and OutcomeUnknown if no response arrived.

        A retry that finds no document counts as successful. With `if_match` it is OutcomeUnknown, because another
        client may have removed the document.
        """
        response = await self.send("DELETE", key, condition_headers(if_match))
        if response.status == 200 or (response.status == 404 and response.maybe_applied and if_match is None):
            return
        if response.maybe_applied and response.status in (404, 409, 412):
            raise outcome_unknown(response, describe_call("DELETE", key))
        raise error_for(response, describe_call("DELETE", key))

    async def add(self, content: ContentLike, /, **options: Unpack[StoreOptions]) -> PutResult:
        """Store `content` under a new key, a UUID that the store chooses. It is sent only once.

        Raise what `put` raises. After OutcomeUnknown a document with an unknown key may exist.
        """
        check_options(options, StoreOptions)
        body = body_of(content)
        headers = await self._prepare(body, options)
        request = ClientRequest("POST", self.address.path, (*self.headers, *headers), body, send_once=True)
        response = await exchange(self.transport, request, self.policy, "POST to the collection")
        key = _new_key(response.headers.get("location", ""))
        return await self.verified_result(key, response, "POST", body, options)


def json_bytes(value: object) -> bytes:
    """Raise TypeError or ValueError if JSON cannot express the value."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")


def describe_call(method: str, key: str) -> str:
    """A call in messages."""
    return f"{method} of {key[:100]!r}"


def outcome_unknown(response: ClientResponse, call: str) -> OutcomeUnknown:
    """The error of a conditional write whose retry met another version: its own, or that of another client."""
    error = OutcomeUnknown(f"{call}: a response was lost, and the document has changed, by this write or another one")
    error.problem = error_for(response, call).problem
    return error


def _stored_content(key: str, response: ClientResponse) -> StoredContent:
    """The document, or part of it, in a response. Raise DigestMismatch."""
    partial, content = response.status == 206, response.content
    info = info_from_headers(key, response.headers, document_size(response.headers) if partial else len(content))
    if info.digest is not None and not partial and ClientBody.from_bytes(content).digest != info.digest:
        raise DigestMismatch(f"{describe_call('GET', key)}: the content does not match the digest that the store sent")
    return StoredContent(content, info)


def _put_result(key: str, response: ClientResponse, method: str) -> PutResult:
    if response.status not in (200, 201, 204):
        raise error_for(response, describe_call(method, key))
    if not response.headers.get("etag"):
        raise EngineError(f"{describe_call(method, key)}: the response has no ETag, so it is not from Docstore")
    return PutResult(key, version_in(response.headers), response.status == 201)


def _expected_version(options: StoreOptions, body: ClientBody) -> str | None:
    """The version under which the content and its fields are stored; None if the content was not read to its end."""
    return None if body.digest is None else version_of(body.digest, _fields(store_headers(options, body)))


def _fields(headers: RequestHeaders) -> Fields:
    """The fields that a store makes of these headers. Raise RequestError for headers that no store accepts."""
    from docstore.http.message import Headers  # PERF: only writes need it, which loads the kinds of content

    for name, value in headers:
        if value != value.strip(" \t"):
            raise RequestError(f"{name}: a header value cannot start or end with a blank")
    pairs = ((name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in headers)
    try:
        return parse_stored_fields(Headers(pair for pair in pairs if pair[0] != b"ttl"))
    except ValueError as error:
        raise RequestError(str(error)) from None


def _new_key(location: str) -> str:
    """The key in a Location, which may be relative."""
    try:
        return segments(f"/{location.rpartition('/')[2]}")[-1]
    except InvalidTarget:
        raise EngineError("the response does not name the new key") from None
