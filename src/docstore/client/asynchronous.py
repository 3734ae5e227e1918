"""The asynchronous client: the same operations, each of which is awaited, or iterated by `async for`.

What a mapping does by signs has names here: `contains` for `in`, `count` for `len`, `keys` for iteration.
"""

from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar, Unpack, overload

from docstore.client import atomic, download, listing
from docstore.client.opening import Options, opened_async
from docstore.client.operations import Operations
from docstore.client.options import Condition, PartOptions
from docstore.client.results import NotModified, StoredContent
from docstore.client.signatures import shaped
from docstore.errors import NotFound

P = ParamSpec("P")
T = TypeVar("T")
D = TypeVar("D")

_MISSING: Final = object()


def _awaited(
    operation: Callable[Concatenate[Operations, P], Coroutine[Any, Any, T]],
) -> "Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]":
    async def method(client: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await operation(client._operations, *args, **kwargs)

    return shaped(method, operation)


def _streamed(
    operation: Callable[Concatenate[Operations, P], AsyncGenerator[T, None]],
) -> "Callable[Concatenate[AsyncClient, P], AsyncGenerator[T, None]]":
    def method(client: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]:
        return operation(client._operations, *args, **kwargs)

    return shaped(method, operation)


class AsyncClient:
    """As Client, for an event loop: `async with AsyncClient("sqlite:docs.db") as docs: await docs.put("a", b"1")`."""

    def __init__(self, url: str, /, **options: Unpack[Options]) -> None:
        self._operations = opened_async(url, options)

    put = _awaited(Operations.put)
    put_json = _awaited(Operations.put_json)
    add = _awaited(Operations.add)
    json = _awaited(Operations.json)
    patch = _awaited(Operations.patch)
    delete = _awaited(Operations.delete)
    contains = _awaited(Operations.contains)
    update = _awaited(atomic.update)
    setdefault = _awaited(atomic.setdefault)
    popitem = _awaited(atomic.popitem)
    clear = _awaited(atomic.clear)
    info = _awaited(listing.info)
    list = _awaited(listing.page)
    count = _awaited(listing.count)
    keys = _streamed(listing.keys)
    documents = _streamed(listing.documents)
    iter_content = _streamed(download.iter_content)
    download = _awaited(download.download)

    @overload
    async def get(self, key: str, default: None = None, /, **options: Unpack[PartOptions]) -> StoredContent | None: ...
    @overload
    async def get(self, key: str, default: D, /, **options: Unpack[PartOptions]) -> StoredContent | D: ...
    @overload
    async def get(
        self, key: str, default: D | None = None, /, *, if_none_match: Condition, **options: Unpack[PartOptions]
    ) -> StoredContent | NotModified | D | None: ...
    async def get(self, key: str, default: Any = None, /, **options: Any) -> Any:
        """The content, which is bytes and carries its `info`, or `default`; `NotModified` where `if_none_match` holds.

        `start` and `stop` ask for a part, as in a slice. The digest of whole content is checked. Raises Conflict when
        the document is not of the version `if_match`, DigestMismatch, RequestError for a part that is not there.
        """
        return await self._operations.get(key, default, **options)

    @overload
    async def pop(self, key: str, /) -> StoredContent: ...
    @overload
    async def pop(self, key: str, /, default: D) -> StoredContent | D: ...
    async def pop(self, key: str, /, default: Any = _MISSING) -> Any:
        """Removes a document and returns its content, or `default`; of several, one gets it. Raises NotFound.

        Raises OutcomeUnknown when an answer was lost: the document may be gone then.
        """
        content = await atomic.pop(self._operations, key, default)
        if content is _MISSING:
            raise NotFound(f"there is no document {key[:100]!r}")
        return content

    def __repr__(self) -> str:
        return f"AsyncClient({self._operations.address.shown!r})"

    async def close(self) -> None:
        """Lets go of the connections, or of the engine."""
        await self._operations.wire.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
