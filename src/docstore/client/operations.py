"""What can be asked of a collection, each operation once: coroutines over a Wire, for both clients.

An operation is a method that is named as the clients name it; `sync.py` and `asynchronous.py` hand them out and add
nothing but how to wait. These are the ones of one call and one answer. `looping.py` has those that try again when
others were faster, `reading.py` those that stream, `listing.py` those of the whole collection.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar, Unpack

from docstore.client.address import Address
from docstore.client.body import Body, Source, body_of
from docstore.client.errors import error_of
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
from docstore.client.results import Info, NotModified, PutResult, StoredContent, info_of, version_in
from docstore.client.retry import Patience, exchange
from docstore.client.transport import Answer, Call, Pairs, Wire
from docstore.errors import DigestMismatch, DocstoreError, EngineError, NotFound, OutcomeUnknown, RequestError
from docstore.http.digests import KEPT
from docstore.http.headers import parse_natural
from docstore.http.message import Headers
from docstore.http.stored_headers import parse_stored_fields
from docstore.http.url import InvalidTarget, segments
from docstore.model import Fields, version_of

D = TypeVar("D")

JSON_TYPE: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
ACCEPT: Final = ("accept", "application/problem+json, */*;q=0.5")
"""What a document is, its writer decided; a refusal is to be a problem."""
WANT_DIGEST: Final = ("want-repr-digest", f"{KEPT[0]}=1")
_SIZE_LIMIT: Final = 2**63 - 1


class Operations:
    """One collection, over one way to its store."""

    def __init__(self, wire: Wire, address: Address, patience: Patience) -> None:
        self.wire = wire
        self.address = address
        self.headers: Final = (ACCEPT, *address.headers)
        """What every call carries."""
        self.patience = patience

    async def ask(self, method: str, key: str, headers: Pairs = (), body: Body | None = None, **more: bool) -> Answer:
        """The answer to a call about a document, whatever it says."""
        call = Call(method, self.address.target(key), (*self.headers, *headers), body, **more)
        return await exchange(self.wire, call, self.patience, told(method, key))

    async def get(
        self,
        key: str,
        default: D | None = None,
        /,
        *,
        if_none_match: Condition | None = None,
        **options: Unpack[PartOptions],
    ) -> StoredContent | NotModified | D | None:
        """As the clients say."""
        try:
            return await self.read(key, if_none_match, options)
        except NotFound:
            return default

    async def read(
        self, key: str, if_none_match: Condition | None = None, options: PartOptions | None = None
    ) -> StoredContent | NotModified:
        """As `get`. Raises NotFound when there is no document."""
        given = options or {}
        check_options(given, PartOptions)
        headers = (WANT_DIGEST, *range_headers(given), *condition_headers(given.get("if_match"), if_none_match))
        answer = await self.ask("GET", key, headers)
        if answer.status == 304:
            return NotModified(version_in(answer.headers))
        if answer.status not in (200, 206):
            raise error_of(answer, told("GET", key))
        return found(key, answer)

    async def content(self, key: str) -> StoredContent:
        """The content of a document. Raises NotFound."""
        read = await self.read(key)
        if isinstance(read, NotModified):
            raise EngineError(f"{told('GET', key)}: the server answered 304 to a question without conditions")
        return read

    async def json(self, key: str) -> Any:
        """The value of a JSON document. Raises NotFound, ValueError."""
        return (await self.content(key)).json()

    async def info(self, key: str) -> Info:
        """What an answer tells of a document without its content. Raises NotFound."""
        answer = await self.ask("HEAD", key, (WANT_DIGEST,))
        if answer.status != 200:
            raise await self._reason(key, answer)
        return info_of(key, answer.headers, size_in(answer.headers))

    async def contains(self, key: str) -> bool:
        """Whether there is a document under the key."""
        answer = await self.ask("HEAD", key)
        if answer.status not in (200, 404):
            raise await self._reason(key, answer)
        return answer.status == 200

    async def _reason(self, key: str, answer: Answer) -> DocstoreError:
        """The error that an answer to HEAD is. It can't say why it refuses; a GET of one byte is refused alike."""
        if answer.status != 404:
            spoken = await self.ask("GET", key, (("range", "bytes=0-0"),))
            answer = spoken if spoken.status == answer.status else answer
        return error_of(answer, told("HEAD", key))

    async def put(self, key: str, content: Source, /, **options: Unpack[PutOptions]) -> PutResult:
        """Store `content` under `key`, replacing what is there.

        `content` is bytes, text (stored as UTF-8), a path, a binary file or an iterable of bytes; files and iterables
        are streamed. `type` is the media type, `ttl` the seconds (or a timedelta) until the document expires, `fields`
        other header fields to store, such as Content-Language, and `meta` the user's own. With `digest=True` the
        content's SHA-256 is sent ahead, for which a file is read twice; of content that can be read only once, the
        digest is compared after the write. If the SHA-256 is known already, `digest` may be its 32 bytes. `progress` is
        called with the number of bytes after each block.

        Raises Conflict when `if_match` or `if_none_match` does not hold, ContentTooLarge, DigestMismatch, NoSpace,
        RequestError, and OutcomeUnknown when no response came. A write whose response was lost is sent again if its
        content can be read again; if the retry finds exactly this document stored, the write counts as done.
        """
        check_options(options, PutOptions)
        body = body_of(content)
        answer = await self.write(key, body, options, options.get("if_match"), options.get("if_none_match"))
        if answer.unsure and answer.status in (409, 412):
            if version_in(answer.headers) != expected_version(options, body):
                raise unknown(answer, told("PUT", key))
            return PutResult(key, version_in(answer.headers), options.get("if_match") is None)
        return await self.stored(key, answer, "PUT", body, options)

    async def write(
        self,
        key: str,
        body: Body,
        options: StoreOptions,
        if_match: Condition | None = None,
        if_none_match: Condition | None = None,
    ) -> Answer:
        """Send a PUT and return its response, whatever the status. Raise RequestError for fields no store accepts."""
        headers = await self._prepare(body, options)
        return await self.ask("PUT", key, (*headers, *condition_headers(if_match, if_none_match)), body)

    async def _prepare(self, body: Body, options: StoreOptions) -> Pairs:
        """The headers of a write."""
        fields_of(store_headers(options, body))  # refuses them before a large file is hashed
        body.progress = options.get("progress")
        if options.get("digest") is True and body.replayable:
            await self.wire.work(body.hash)
        return store_headers(options, body)

    async def stored(self, key: str, answer: Answer, method: str, body: Body, options: StoreOptions) -> PutResult:
        """The result of a write of content, verified where its digest could not be sent ahead.

        Raises the error that the response is, and DigestMismatch.
        """
        result = written(key, answer, method)
        if body.data is not None and body.progress is not None:
            body.progress(len(body.data))
        if options.get("digest") is True and not body.replayable and result.version != expected_version(options, body):
            info = await self.info(result.key)
            if info.version == result.version and info.digest not in (None, body.digest):
                raise DigestMismatch(f"{told(method, result.key)}: the store received other content; send it again")
        return result

    async def put_json(self, key: str, value: Any, /, **options: Unpack[PutOptions]) -> PutResult:
        """Store `value` as JSON; otherwise like `put`. Raises TypeError or ValueError if JSON cannot express it."""
        data = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
        typed: PutOptions = {"type": JSON_TYPE, **options}
        return await self.put(key, data, **typed)

    async def patch(
        self,
        key: str,
        change: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        /,
        *,
        if_match: Condition | None = None,
        ttl: TTL | None = None,
    ) -> PutResult:
        """Changes a JSON document: all of `change` is applied, or nothing.

        A mapping is a merge patch (RFC 7396), a list of operations a JSON Patch (RFC 6902). Type, fields and, without
        `ttl`, the expiry stay. Sent once only, unless `if_match` says what it changes. Raises NotFound, Conflict,
        RequestError for a patch that does not fit, OutcomeUnknown.
        """
        data = json.dumps(change, ensure_ascii=False, allow_nan=False).encode("utf-8")
        kind = MERGE_PATCH if isinstance(change, Mapping) else JSON_PATCH
        headers = (("content-type", kind), *ttl_headers(ttl), *condition_headers(if_match))
        answer = await self.ask("PATCH", key, headers, Body.inline(data), once=if_match is None)
        if answer.unsure and answer.status >= 400:
            raise unknown(answer, told("PATCH", key))
        return written(key, answer, "PATCH")

    async def delete(self, key: str, /, *, if_match: Condition | None = None) -> None:
        """Removes a document. Raises NotFound, Conflict, and OutcomeUnknown when no answer came.

        A repeated removal that finds nothing is done, but for one with `if_match`, which another may have removed.
        """
        answer = await self.ask("DELETE", key, condition_headers(if_match))
        if answer.status == 200 or (answer.status == 404 and answer.unsure and if_match is None):
            return
        if answer.unsure and answer.status in (404, 409, 412):
            raise unknown(answer, told("DELETE", key))
        raise error_of(answer, told("DELETE", key))

    async def add(self, content: Source, /, **options: Unpack[StoreOptions]) -> PutResult:
        """Stores `content` under a new key, a UUID that the store chooses. Sent once only.

        Raises what `put` does. After OutcomeUnknown there may be a document whose key nobody was told.
        """
        check_options(options, StoreOptions)
        body = body_of(content)
        headers = await self._prepare(body, options)
        call = Call("POST", self.address.path, (*self.headers, *headers), body, once=True)
        answer = await exchange(self.wire, call, self.patience, "POST to the collection")
        return await self.stored(_new_key(answer.headers.get("location", "")), answer, "POST", body, options)


def told(method: str, key: str) -> str:
    """What is asked, for messages."""
    return f"{method} of {key[:100]!r}"


def found(key: str, answer: Answer) -> StoredContent:
    """The document, or the part of it, that an answer holds. Raises DigestMismatch."""
    part_of, content = answer.status == 206, answer.content
    info = info_of(key, answer.headers, size_in(answer.headers) if part_of else len(content))
    if info.digest is not None and not part_of and Body.inline(content).digest != info.digest:
        raise DigestMismatch(f"GET of {key[:100]!r}: what came is not what the store says that it sent")
    return StoredContent(content, info)


def size_in(headers: Mapping[str, str]) -> int:
    """The size of the whole document that an answer tells of. Raises EngineError when it does not."""
    told = headers["content-range"].rpartition("/")[2] if "content-range" in headers else headers.get("content-length")
    size = parse_natural(told or "", _SIZE_LIMIT)
    if size is None:
        raise EngineError("the server did not say how large the document is")
    return size


def written(key: str, answer: Answer, method: str) -> PutResult:
    """What a write did, by its answer."""
    if answer.status not in (200, 201, 204):
        raise error_of(answer, told(method, key))
    if not answer.headers.get("etag"):
        raise EngineError(f"{told(method, key)}: what answered is no Docstore, for it names no version")
    return PutResult(key, version_in(answer.headers), answer.status == 201)


def unknown(answer: Answer, what: str) -> OutcomeUnknown:
    """Of a conditional write whose repetition met another state: its own, or that of somebody else."""
    error = OutcomeUnknown(f"{what}: an answer was lost, and the document has changed since, by this write or another")
    error.problem = error_of(answer, what).problem
    return error


def fields_of(headers: Pairs) -> Fields:
    """What a store makes of these fields. Raises RequestError for those that no store takes."""
    for name, value in headers:
        if value != value.strip(" \t"):
            raise RequestError(f"{name}: its value begins or ends with a blank, which no header keeps")
    pairs = ((name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in headers)
    try:
        return parse_stored_fields(Headers(pair for pair in pairs if pair[0] != b"ttl"))
    except ValueError as error:
        raise RequestError(str(error)) from None


def expected_version(options: StoreOptions, body: Body) -> str | None:
    """The version under which the content and its fields are stored; None if the content was not read to its end."""
    return None if body.digest is None else version_of(body.digest, fields_of(store_headers(options, body)))


def _new_key(location: str) -> str:
    try:
        return segments(location)[-1] if location else ""
    except InvalidTarget:
        raise EngineError("the server did not say under which key it stored") from None
