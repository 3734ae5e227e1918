"""Operations that read, decide and write if nothing changed meanwhile: compare-and-swap by ETags, with retries.

The outcome of a lost response is never guessed. Versions are made from content: if two clients add one to a counter,
both write the same version, and finding that version stored does not show who stored it. Where that matters (`update`,
`pop`) the result is OutcomeUnknown. For `setdefault` it does not matter: the stored content is the result.
"""

import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from inspect import isawaitable
from typing import Any, Final, TypeVar, Unpack, cast

from docstore.client.body import ContentLike, body_of
from docstore.client.errors import error_for, only_document_missing
from docstore.client.listing import get_page, info, stored_info, stored_options
from docstore.client.operations import JSON_TYPE, Operations, describe_call, json_bytes, outcome_unknown
from docstore.client.options import PutOptions, StoreOptions, check_options, etags
from docstore.client.results import Info, PutResult, StoredContent
from docstore.client.retry import RetryState, pause_or_raise
from docstore.errors import Conflict, NotFound

D = TypeVar("D")
UpdateFunction = Callable[[StoredContent | None], ContentLike | Awaitable[ContentLike]]
"""Returns the new content for the current content, which is None if there is no document."""

NO_DEFAULT: Final[Any] = object()


def _retry_state(operations: Operations) -> RetryState:
    """For writes that fail because other clients write meanwhile; only time limits their number."""
    policy = replace(operations.policy, tries=sys.maxsize)
    return RetryState(policy, first_pause_s=0.004, longest_pause_s=0.25)


async def put(operations: Operations, key: str, content: ContentLike, /, **options: Unpack[PutOptions]) -> PutResult:
    """Store `content` under `key`, replacing the present document.

    `content` is bytes, text (stored as UTF-8), a path, a binary file or an iterable of bytes; files and iterables
    are streamed. `type` is the media type, which the store guesses from key and content by default; `ttl` the time
    until the document expires (seconds, a timedelta, or text such as `1h`), `fields` other header fields to store,
    such as Content-Language, and `meta` your own fields. With `digest=True` the SHA-256 is sent before the content,
    for which a file is read twice. With `digest="after"`, and for content that can be read only once, the digest is
    compared after the write. If the SHA-256 is known already, `digest` may be its 32 bytes. `progress` is called
    with the number of bytes after each block.

    Without `keep` the options replace all of the present document, so those that are not given drop its fields, meta
    and TTL. With `keep=True` its type, remaining TTL and each of its fields and meta stay unless given, and the write
    is repeated if another client writes meanwhile and the content can be read again.

    Raise Conflict when `if_match` or `if_none_match` does not hold, ContentTooLarge, DigestMismatch, NoSpace,
    RequestError, and OutcomeUnknown if no response arrived. A write whose response was lost is sent again if its
    content can be read again; if the retry finds exactly this document stored, the write counts as successful.
    """
    check_options(options, PutOptions)
    body = body_of(content)
    if not options.get("keep"):
        return await operations.put(key, body, options)
    if options.get("if_none_match") is not None:
        raise ValueError("keep needs a document, so it can't be combined with if_none_match")
    required, state = options.get("if_match"), _retry_state(operations)
    while True:
        kept = options
        try:
            present = await info(operations, key)
            if required is not None and not {"*", present.etag} & set(etags(required)):
                raise Conflict(None, f"the version is {present.version}", version=present.version)
            kept = _kept_options(present, options)
        except NotFound as error:
            if not only_document_missing(error):
                raise
            if required is None:
                kept = {**options, "if_none_match": "*"}
        try:
            return await operations.put(key, body, kept)
        except Conflict as error:
            if required is not None or not body.can_be_sent:
                raise
            await pause_or_raise(operations.transport, state, error)


def _kept_options(present: Info, options: PutOptions) -> PutOptions:
    """The options that replace the document `present` and no other one, and keep what `options` do not give."""
    given = {name: value for name, value in options.items() if value is not None}
    fields = {**present.fields, **(options.get("fields") or {})}
    meta = {**present.meta, **(options.get("meta") or {})}
    kept = {**stored_options(present), **given, "fields": fields, "meta": meta, "if_match": present.etag}
    return cast(PutOptions, kept)


async def put_json(operations: Operations, key: str, value: Any, /, **options: Unpack[PutOptions]) -> PutResult:
    """Store `value` as JSON; otherwise like `put`. Raise TypeError or ValueError if JSON cannot express it."""
    typed: PutOptions = {"type": JSON_TYPE, **options}
    return await put(operations, key, json_bytes(value), **typed)


async def update(
    operations: Operations, key: str, function: UpdateFunction, /, **options: Unpack[StoreOptions]
) -> PutResult:
    """Atomically replace a document by what `function` returns for its content (None if there is no document).

    If another client writes meanwhile, `function` is called again with the new content, so it should have no side
    effects. Type, fields and meta stay unless they are given; a TTL has to be given as `ttl` again. Raise Conflict if
    other clients are faster every time, and OutcomeUnknown if a response was lost and the document does not show
    whether this update was applied. An update is never applied twice.
    """
    check_options(options, StoreOptions)
    state = _retry_state(operations)
    while True:
        current = await operations.get(key, None)
        old = current if isinstance(current, StoredContent) else None
        new = function(old)
        body = body_of(await new if isawaitable(new) else new)
        if old is not None:
            now = await stored_info(operations, old.info)
            kept: StoreOptions = {"type": now.type, "fields": now.fields, "meta": now.meta}
            response = await operations.write(key, body, {**kept, **options}, if_match=old.info.etag)
        else:
            response = await operations.write(key, body, options, if_none_match="*")
        if response.status not in (409, 412):
            return await operations.verified_result(key, response, "PUT", body, options)
        if response.maybe_applied:
            raise outcome_unknown(response, describe_call("PUT", key))
        await pause_or_raise(operations.transport, state, error_for(response, describe_call("PUT", key)))


async def setdefault(
    operations: Operations, key: str, default: bytes | str | None = b"", /, **options: Unpack[StoreOptions]
) -> bytes:
    """The content of a document, which is stored as `default` first if it does not exist; one client stores it."""
    check_options(options, StoreOptions)
    body = body_of(b"" if default is None else default)
    if body.data is None:
        raise TypeError(f"the default must be in memory: bytes or text, not {type(default).__name__}")
    state = _retry_state(operations)
    while True:
        current = await operations.get(key, None)
        if isinstance(current, StoredContent):
            return current
        response = await operations.write(key, body, options, if_none_match="*")
        if response.status not in (409, 412):
            await operations.verified_result(key, response, "PUT", body, options)
            return body.data
        await pause_or_raise(operations.transport, state, error_for(response, describe_call("PUT", key)))


async def pop(
    operations: Operations, key: str, default: D = NO_DEFAULT, /, *, check: Callable[[StoredContent], object] = bool
) -> StoredContent | D:
    """See Client.pop. `check` is called with the content before it is removed; what it raises prevents that."""
    state = _retry_state(operations)
    while True:
        current = await operations.get(key, None)
        try:
            if isinstance(current, StoredContent):
                check(current)
                await operations.delete(key, if_match=current.info.etag)
                return current
        except Conflict as error:
            await pause_or_raise(operations.transport, state, error)
            continue
        except NotFound:
            pass
        if default is NO_DEFAULT:
            raise NotFound(f"{key[:100]!r}: not found")
        return default


async def popitem(operations: Operations, /) -> tuple[str, StoredContent]:
    """Remove the first document in key order and return its key and content. Raise NotFound if there is none."""
    return await pop_first(operations, bool)


async def pop_first(operations: Operations, check: Callable[[StoredContent], object], /) -> tuple[str, StoredContent]:
    """As `popitem`, with the `check` of `pop`."""
    state = _retry_state(operations)
    while True:
        first = (await get_page(operations, limit=1)).documents
        if not first:
            raise NotFound(f"{operations.address.shown} is empty")
        content = await pop(operations, first[0].key, None, check=check)
        if content is not None:
            return first[0].key, content
        await pause_or_raise(
            operations.transport, state, NotFound(f"other clients remove the documents of {operations.address.shown}")
        )
