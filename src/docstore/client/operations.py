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
    Condition,
    Described,
    Life,
    Part,
    Writing,
    check,
    conditions,
    described,
    lifetime,
    part,
)
from docstore.client.results import Info, NotModified, PutResult, StoredContent, info_of, version_in
from docstore.client.retry import Patience, exchange
from docstore.client.transport import Answer, Call, Pairs, Wire
from docstore.errors import DigestMismatch, DocstoreError, EngineError, NotFound, OutcomeUnknown, RequestError
from docstore.http.digests import STORED_ALGORITHM
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
WANT_DIGEST: Final = ("want-repr-digest", f"{STORED_ALGORITHM}=1")
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
        self, key: str, default: D | None = None, /, *, if_none_match: Condition | None = None, **wished: Unpack[Part]
    ) -> StoredContent | NotModified | D | None:
        """As the clients say."""
        try:
            return await self.read(key, if_none_match, wished)
        except NotFound:
            return default

    async def read(
        self, key: str, if_none_match: Condition | None = None, wished: Part | None = None
    ) -> StoredContent | NotModified:
        """As `get`. Raises NotFound when there is no document."""
        given = wished or {}
        check(given, Part)
        headers = (WANT_DIGEST, *part(given), *conditions(given.get("if_match"), if_none_match))
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

    async def put(self, key: str, content: Source, /, **asked: Unpack[Writing]) -> PutResult:
        """Stores `content` under the key, in place of what was there.

        `content` is bytes, text (stored as UTF-8), a path, a binary file or pieces of bytes; what is not in memory
        is not brought there. `type` is its media type, `ttl` seconds (or a timedelta) after which it is gone, `fields`
        other header fields to be stored, such as Content-Language, and `meta` the user's own.

        Raises Conflict when the document is not as `if_match` or `if_none_match` wants it, ContentTooLarge,
        NoSpace, RequestError,
        and OutcomeUnknown when no answer came. A write whose answer was lost is repeated when its content can be read
        again. When that meets just the document that was to be stored, the write counts as done.
        """
        check(asked, Writing)
        body = body_of(content)
        headers = described(asked, body)
        answer = await self.write(key, body, headers, asked.get("if_match"), asked.get("if_none_match"))
        if answer.unsure and answer.status in (409, 412):
            if version_in(answer.headers) != version_to_be(headers, body):
                raise unknown(answer, told("PUT", key))
            return PutResult(key, version_in(answer.headers), asked.get("if_match") is None)
        return written(key, answer, "PUT")

    async def write(
        self, key: str, body: Body, headers: Pairs, if_match: Condition | None, if_none_match: Condition | None
    ) -> Answer:
        """The answer to a PUT, whatever it says. Raises RequestError for fields that no store takes."""
        fields_of(headers)
        return await self.ask("PUT", key, (*headers, *conditions(if_match, if_none_match)), body)

    async def put_json(self, key: str, value: Any, /, **asked: Unpack[Writing]) -> PutResult:
        """As `put`, of a value that is written as JSON. Raises TypeError or ValueError for what is none."""
        data = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
        typed: Writing = {"type": JSON_TYPE, **asked}
        return await self.put(key, data, **typed)

    async def patch(
        self,
        key: str,
        change: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        /,
        *,
        if_match: Condition | None = None,
        ttl: Life | None = None,
    ) -> PutResult:
        """Changes a JSON document: all of `change` is applied, or nothing.

        A mapping is a merge patch (RFC 7396), a list of operations a JSON Patch (RFC 6902). Type, fields and, without
        `ttl`, the expiry stay. Sent once only, unless `if_match` says what it changes. Raises NotFound, Conflict,
        RequestError for a patch that does not fit, OutcomeUnknown.
        """
        data = json.dumps(change, ensure_ascii=False, allow_nan=False).encode("utf-8")
        kind = MERGE_PATCH if isinstance(change, Mapping) else JSON_PATCH
        headers = (("content-type", kind), *lifetime(ttl), *conditions(if_match, None))
        answer = await self.ask("PATCH", key, headers, Body.inline(data), once=if_match is None)
        if answer.unsure and answer.status >= 400:
            raise unknown(answer, told("PATCH", key))
        return written(key, answer, "PATCH")

    async def delete(self, key: str, /, *, if_match: Condition | None = None) -> None:
        """Removes a document. Raises NotFound, Conflict, and OutcomeUnknown when no answer came.

        A repeated removal that finds nothing is done, but for one with `if_match`, which another may have removed.
        """
        answer = await self.ask("DELETE", key, conditions(if_match, None))
        if answer.status == 200 or (answer.status == 404 and answer.unsure and if_match is None):
            return
        if answer.unsure and answer.status in (404, 409, 412):
            raise unknown(answer, told("DELETE", key))
        raise error_of(answer, told("DELETE", key))

    async def add(self, content: Source, /, **asked: Unpack[Described]) -> PutResult:
        """Stores `content` under a new key, a UUID that the store chooses. Sent once only.

        Raises what `put` does. After OutcomeUnknown there may be a document whose key nobody was told.
        """
        check(asked, Described)
        body = body_of(content)
        headers = described(asked, body)
        fields_of(headers)
        call = Call("POST", self.address.path, (*self.headers, *headers), body, once=True)
        answer = await exchange(self.wire, call, self.patience, "POST to the collection")
        return written(_new_key(answer.headers.get("location", "")), answer, "POST")


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


def version_to_be(headers: Pairs, body: Body) -> str | None:
    """The version that this content with these fields is stored as; None when not all of it was read."""
    return None if body.digest is None else version_of(body.digest, fields_of(headers))


def _new_key(location: str) -> str:
    try:
        return segments(location)[-1] if location else ""
    except InvalidTarget:
        raise EngineError("the server did not say under which key it stored") from None
