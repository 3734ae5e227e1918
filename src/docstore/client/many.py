"""Operations on many documents, with many requests in flight: those of one page or of one argument at a time.

How many is up to the transport (`Transport.run_many`). An engine in this process commits the writes of one batch
together.
"""

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping
from contextlib import aclosing
from typing import Any, TypeVar, Unpack

from docstore.client import atomic
from docstore.client.body import ContentLike
from docstore.client.listing import pages
from docstore.client.operations import Operations
from docstore.client.options import PutOptions, check_options
from docstore.client.results import PutResult, StoredContent
from docstore.errors import NotFound

A = TypeVar("A")
T = TypeVar("T")


def _run(
    operations: Operations, call: Callable[[Operations, A], Coroutine[Any, Any, T]], arguments: Iterable[A]
) -> "aclosing[AsyncGenerator[T, None]]":
    """The results of the calls, in the order of the arguments."""
    return aclosing(
        operations.transport.run_many(
            lambda transport, argument: call(operations.over(transport), argument), iter(arguments)
        )
    )


async def get_many(operations: Operations, keys: Iterable[str], /) -> dict[str, StoredContent]:
    """The content of each document of `keys` that exists, by key."""
    async with _run(operations, _get_item, _several(keys)) as items:
        return {key: content async for key, content in items if content is not None}


async def put_many(
    operations: Operations,
    contents: Mapping[str, ContentLike] | Iterable[tuple[str, ContentLike]],
    /,
    **options: Unpack[PutOptions],
) -> list[PutResult]:
    """Store each item of a mapping or of pairs of key and content; the options, as in `put`, apply to all of them.

    Each document is stored completely or not at all, not all of them together: when one fails, its error is raised,
    and others may have been stored. The results are in the order of the items.
    """
    check_options(options, PutOptions)

    async def put(each: Operations, item: tuple[str, ContentLike]) -> PutResult:
        key, content = item
        return await atomic.put(each, key, content, **options)

    async with _run(operations, put, contents.items() if isinstance(contents, Mapping) else contents) as results:
        return [result async for result in results]


async def delete_many(operations: Operations, keys: Iterable[str], /) -> int:
    """Remove documents, and return how many of them existed."""
    async with _run(operations, _delete, _several(keys)) as results:
        return sum([removed async for removed in results])


async def clear(operations: Operations, /, *, prefix: str = "") -> None:
    """Remove every document whose key starts with `prefix`, page by page."""
    async with aclosing(pages(operations, prefix, "", None)) as listed:
        async for page in listed:
            await delete_many(operations, [info.key for info in page.documents])


async def items(operations: Operations, prefix: str = "", /) -> AsyncGenerator[tuple[str, StoredContent], None]:
    """Every key that starts with `prefix`, in order, with its content; documents that are removed meanwhile are left
    out."""
    async with aclosing(pages(operations, prefix, "", None)) as listed:
        async for page in listed:
            async with _run(operations, _get_item, (info.key for info in page.documents)) as found:
                async for key, content in found:
                    if content is not None:
                        yield key, content


async def values(operations: Operations, prefix: str = "", /) -> AsyncGenerator[StoredContent, None]:
    """The content of every document whose key starts with `prefix`, in the order of the keys."""
    async with aclosing(items(operations, prefix)) as found:
        async for _, content in found:
            yield content


def _several(keys: Iterable[str]) -> Iterable[str]:
    """Raise TypeError for one key, whose characters would be taken for keys."""
    if isinstance(keys, str):
        raise TypeError(f"several keys are a list or another iterable of text, not the text {keys[:100]!r}")
    return keys


async def _get_item(operations: Operations, key: str) -> tuple[str, StoredContent | None]:
    content = await operations.get(key, None)
    return key, content if isinstance(content, StoredContent) else None


async def _delete(operations: Operations, key: str) -> bool:
    try:
        await operations.delete(key)
    except NotFound:
        return False
    return True
