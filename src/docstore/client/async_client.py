"""AsyncClient: a collection for an event loop; its methods are the operations of this package, which are awaited."""

from collections.abc import AsyncGenerator
from typing import Any, Literal, Self, TypeVar, Unpack, overload

from docstore.client import atomic, download, files, listing, many, renaming, sharing
from docstore.client.client import Client
from docstore.client.methods import async_method, open_operations, reduce_client
from docstore.client.operations import Operations
from docstore.client.options import ClientOptions, Condition, PartOptions, PutOptions
from docstore.client.results import NotModified, StoredContent

D = TypeVar("D")


class AsyncClient:
    """Client for an event loop: `async with AsyncClient("sqlite:docs.db") as docs: await docs.put("a", b"1")`.

    Where a mapping has operators it has methods: `contains` for `in`, `count` for `len`. `async for` yields the keys.
    """

    def __init__(self, url: str, /, **options: Unpack[ClientOptions]) -> None:
        self._url, self._options = url, options
        self._operations = open_operations(url, options, sync=False)

    put = async_method(atomic.put)
    put_json = async_method(atomic.put_json)
    add = async_method(Operations.add)
    get_json = async_method(Operations.get_json)
    patch = async_method(Operations.patch)
    delete = async_method(Operations.delete)
    copy = async_method(renaming.copy)
    rename = async_method(renaming.rename)
    contains = async_method(Operations.contains)
    update = async_method(atomic.update)
    setdefault = async_method(atomic.setdefault)
    popitem = async_method(atomic.popitem)
    get_many = async_method(many.get_many)
    put_many = async_method(many.put_many)
    delete_many = async_method(many.delete_many)
    clear = async_method(many.clear)
    sign = async_method(sharing.sign)
    revoke_link = async_method(sharing.revoke_link)
    info = async_method(listing.info)
    list = async_method(listing.get_page)
    count = async_method(listing.count)
    keys = async_method(listing.keys)
    items = async_method(many.items)
    values = async_method(many.values)
    documents = async_method(listing.documents)
    iter_content = async_method(download.iter_content)
    download = async_method(download.download)

    @overload
    async def get(self, key: str, default: None = None, /, **options: Unpack[PartOptions]) -> StoredContent | None: ...
    @overload
    async def get(self, key: str, default: D, /, **options: Unpack[PartOptions]) -> StoredContent | D: ...
    @overload
    async def get(
        self, key: str, default: D | None = None, /, *, if_none_match: Condition, **options: Unpack[PartOptions]
    ) -> StoredContent | NotModified | D | None: ...
    async def get(self, key: str, default: Any = None, /, **options: Any) -> Any:
        return await self._operations.get(key, default, **options)

    @overload
    def open(self, key: str, mode: Literal["rb"] = "rb", /) -> files.AsyncReader: ...
    @overload
    def open(self, key: str, mode: Literal["wb", "xb"], /, **options: Unpack[PutOptions]) -> files.AsyncWriter: ...
    def open(self, key: str, mode: str = "rb", /, **options: Any) -> Any:
        return files.open_async(self._operations, key, mode, **options)

    open.__doc__ = files.open_async.__doc__

    @overload
    async def pop(self, key: str, /) -> StoredContent: ...
    @overload
    async def pop(self, key: str, /, default: D) -> StoredContent | D: ...
    async def pop(self, key: str, /, default: Any = atomic.NO_DEFAULT) -> Any:
        return await atomic.pop(self._operations, key, default)

    get.__doc__, pop.__doc__ = Client.get.__doc__, Client.pop.__doc__

    def __aiter__(self) -> AsyncGenerator[str, None]:
        return self.keys()

    def __reduce__(self) -> tuple[Any, ...]:
        return reduce_client(self)

    def __repr__(self) -> str:
        return f"AsyncClient({self._operations.address.shown!r})"

    async def close(self) -> None:
        """Close the connections, or the engine."""
        await self._operations.transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
