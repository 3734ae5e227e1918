"""Operations that read, decide and write if nothing changed meanwhile: compare-and-swap by ETags, tried for a while.

What makes them exact is that a lost answer is never guessed at. Versions are made from content: when two add one to the
same counter, both write the same version, and "what I wanted to store is there" does not say who stored it. So where
that matters (`update`, `pop`) it is OutcomeUnknown. In `setdefault` it does not matter: what is there is the answer.
"""

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from inspect import isawaitable
from typing import Final, TypeVar, Unpack

from docstore.client.body import Source, body_of
from docstore.client.errors import error_of
from docstore.client.listing import page, stored
from docstore.client.operations import Operations, told, unknown
from docstore.client.options import StoreOptions, check_options
from docstore.client.results import PutResult, StoredContent
from docstore.client.retry import Attempts
from docstore.errors import Conflict, DocstoreError, NotFound
from docstore.model import DEFAULT_MEDIA_TYPE

D = TypeVar("D")
Function = Callable[[StoredContent | None], Source | Awaitable[Source]]
"""What `update` is given: from the present content, None when there is none, it makes the new one."""

LONGEST_PAUSE_S: Final = 0.25


class _Turns:
    """Tries of a loop in which others may be faster: each waits a little longer, for `patience_s` in all."""

    def __init__(self, operations: Operations) -> None:
        self._wire = operations.wire
        self._attempts = Attempts(operations.patience)
        self._lost = 0

    async def lost(self, error: DocstoreError) -> None:
        """Waits for the next try. Raises `error` when there is to be none."""
        if self._attempts.left_s() < 0:
            raise error
        self._lost += 1
        longest = min(LONGEST_PAUSE_S, 0.002 * 2 ** min(self._lost, 10))
        await self._wire.pause(random.uniform(0, longest))  # noqa: S311 - it keeps nothing secret


async def update(operations: Operations, key: str, function: Function, /, **options: Unpack[StoreOptions]) -> PutResult:
    """Replaces a document by what `function` makes of its content (None: there is no document), atomically.

    When others write meanwhile `function` is called again with what is there then: it should do nothing else. Type,
    fields and meta stay as they are unless they are given; a life that is to go on has to be given as `ttl`. Raises
    Conflict when others are faster all the time, and OutcomeUnknown when an answer was lost and it can't be told
    whether this update is in the document: never is one made twice.
    """
    check_options(options, StoreOptions)
    turns = _Turns(operations)
    while True:
        old = await operations.get(key, None)
        made = function(old if isinstance(old, StoredContent) else None)
        body = body_of(await made if isawaitable(made) else made)
        if isinstance(old, StoredContent):
            info = await stored(operations, old.info)
            kept: StoreOptions = {"fields": info.fields, "meta": info.meta}
            if body.type is None or old.info.type != DEFAULT_MEDIA_TYPE:
                kept["type"] = old.info.type
            answer = await operations.write(key, body, {**kept, **options}, if_match=old.info.etag)
        else:
            answer = await operations.write(key, body, options, if_none_match="*")
        if answer.status not in (409, 412):
            return await operations.stored(key, answer, "PUT", body, options)
        if answer.unsure:
            raise unknown(answer, told("PUT", key))
        await turns.lost(error_of(answer, told("PUT", key)))


async def setdefault(
    operations: Operations, key: str, default: bytes | str | None = b"", /, **options: Unpack[StoreOptions]
) -> StoredContent | bytes:
    """The content under the key; when there is none, `default` is stored and returned. Of several, one stores."""
    check_options(options, StoreOptions)
    body = body_of(b"" if default is None else default)
    if body.data is None:
        raise TypeError(f"what is returned is in memory: the default is bytes or text, not {type(default).__name__}")
    turns = _Turns(operations)
    while True:
        there = await operations.get(key, None)
        if isinstance(there, StoredContent):
            return there
        answer = await operations.write(key, body, options, if_none_match="*")
        if answer.status not in (409, 412):
            await operations.stored(key, answer, "PUT", body, options)
            return body.data
        await turns.lost(error_of(answer, told("PUT", key)))


async def pop(operations: Operations, key: str, default: D, /) -> StoredContent | D:
    """As the clients say; `default` when there is none."""
    turns = _Turns(operations)
    while True:
        there = await operations.get(key, None)
        if not isinstance(there, StoredContent):
            return default
        try:
            await operations.delete(key, if_match=there.info.etag)
        except NotFound:
            return default
        except Conflict as error:
            await turns.lost(error)
        else:
            return there


async def popitem(operations: Operations, /) -> tuple[str, StoredContent]:
    """Removes the first document in key order and returns its key and content. Raises NotFound when there is none."""
    turns = _Turns(operations)
    while True:
        first = (await page(operations, limit=1)).documents
        if not first:
            raise NotFound(f"{operations.address.shown} is empty")
        content = await pop(operations, first[0].key, None)
        if content is not None:
            return first[0].key, content
        await turns.lost(NotFound(f"others empty {operations.address.shown}"))


async def clear(operations: Operations, /) -> None:
    """Removes every document that is there, a page at a time."""
    while documents := (await page(operations)).documents:
        for document in documents:
            with suppress(NotFound):
                await operations.delete(document.key)
