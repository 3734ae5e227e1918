"""Operations that read, decide and write if nothing changed meanwhile: compare-and-swap by ETags, with retries.

The outcome of a lost response is never guessed. Versions are made from content: if two clients add one to a counter,
both write the same version, and finding that version stored does not show who stored it. Where that matters (`update`,
`pop`) the result is OutcomeUnknown. For `setdefault` it does not matter: the stored content is the result.
"""

import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from inspect import isawaitable
from typing import Any, Final, TypeVar, Unpack

from docstore.client.body import ContentLike, body_of
from docstore.client.errors import error_for
from docstore.client.listing import get_page, stored_info
from docstore.client.operations import Operations, describe_call, outcome_unknown
from docstore.client.options import StoreOptions, check_options
from docstore.client.results import PutResult, StoredContent
from docstore.client.retry import RetryState, pause_or_raise
from docstore.errors import Conflict, NotFound
from docstore.model import DEFAULT_MEDIA_TYPE

D = TypeVar("D")
UpdateFunction = Callable[[StoredContent | None], ContentLike | Awaitable[ContentLike]]
"""Returns the new content for the current content, which is None if there is no document."""

NO_DEFAULT: Final[Any] = object()


def _retry_state(operations: Operations) -> RetryState:
    """For writes that fail because other clients write meanwhile; only time limits their number."""
    policy = replace(operations.policy, tries=sys.maxsize)
    return RetryState(policy, first_pause_s=0.004, longest_pause_s=0.25)


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
            info = await stored_info(operations, old.info)
            kept: StoreOptions = {"fields": info.fields, "meta": info.meta}
            if body.type is None or old.info.type != DEFAULT_MEDIA_TYPE:
                kept["type"] = old.info.type
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


async def pop(operations: Operations, key: str, default: D = NO_DEFAULT, /) -> StoredContent | D:
    """See Client.pop."""
    state = _retry_state(operations)
    while True:
        current = await operations.get(key, None)
        try:
            if isinstance(current, StoredContent):
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
    state = _retry_state(operations)
    while True:
        first = (await get_page(operations, limit=1)).documents
        if not first:
            raise NotFound(f"{operations.address.shown} is empty")
        content = await pop(operations, first[0].key, None)
        if content is not None:
            return first[0].key, content
        await pause_or_raise(
            operations.transport, state, NotFound(f"other clients remove the documents of {operations.address.shown}")
        )


async def clear(operations: Operations, /, *, prefix: str = "") -> None:
    """Remove every document whose key starts with `prefix`, page by page."""
    while documents := (await get_page(operations, prefix=prefix)).documents:
        for document in documents:
            with suppress(NotFound):
                await operations.delete(document.key)
