"""The two clients: `Client` is a mutable mapping from keys to bytes whose methods block, `AsyncClient` is awaited.

Both hand out the operations of this package, written once as coroutines, and add only how to wait for them.
"""

import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, ItemsView, Iterator, MutableMapping, ValuesView
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack, overload

from docstore.client import atomic, download, listing
from docstore.client.address import CollectionAddress
from docstore.client.body import ContentLike
from docstore.client.operations import Operations
from docstore.client.options import ClientOptions, Condition, PartOptions, StoreOptions, check_options
from docstore.client.results import NotModified, PutResult, StoredContent
from docstore.client.retry import RetryPolicy
from docstore.client.transport import Transport, iterate_sync, run_sync
from docstore.errors import SetupError

P = ParamSpec("P")
T = TypeVar("T")
D = TypeVar("D")


def _open(url: str, options: ClientOptions, *, sync: bool) -> Operations:
    """Raise SetupError. Only an engine in this process loads the server, and only AsyncClient over HTTP httpx2."""
    check_options(options, ClientOptions)
    address = CollectionAddress.parse(url, options.get("headers", {}))
    default = RetryPolicy()
    policy = RetryPolicy(
        options.get("tries", default.tries),
        options.get("retry_timeout_s", default.retry_timeout_s),
        options.get("timeout_s", default.timeout_s),
    )
    if policy.tries < 1 or policy.retry_timeout_s <= 0 or policy.timeout_s <= 0:
        raise SetupError("tries, retry_timeout_s and timeout_s must be more than 0")
    transport: Transport
    if address.origin:
        if sync:
            from docstore.client.socket_transport import SocketTransport

            transport = SocketTransport(address)
        else:
            from docstore.client.http_transport import HTTPTransport

            transport = HTTPTransport(address)
    else:
        from docstore.client.local_transport import AsyncLocalTransport, SyncLocalTransport

        transport = SyncLocalTransport(url) if sync else AsyncLocalTransport(url)
    return Operations(transport, address, policy)


def _reduce(client: "Client | AsyncClient") -> tuple[Any, ...]:
    """A client pickles to its URL and options. Raise TypeError for documents that only this process has."""
    if client._url.startswith("memory:"):
        raise TypeError("a client of memory: cannot be pickled: its documents are in this process")
    return functools.partial(type(client), **client._options), (client._url,)


def _method(operation: Callable[..., Any], wait: Callable[[Any], Any]) -> Callable[..., Any]:
    """A method that calls `operation`, with its name, docstring and parameters."""

    @functools.wraps(operation)
    def method(client: "Client | AsyncClient", /, *args: Any, **kwargs: Any) -> Any:
        return wait(operation(client._operations, *args, **kwargs))

    return method


def _sync(
    operation: Callable[Concatenate[Operations, P], Coroutine[Any, Any, T]],
) -> "Callable[Concatenate[Client, P], T]":
    return _method(operation, run_sync)


def _sync_iterator(
    operation: Callable[Concatenate[Operations, P], AsyncGenerator[T, None]],
) -> "Callable[Concatenate[Client, P], Iterator[T]]":
    return _method(operation, iterate_sync)


def _async(operation: Callable[Concatenate[Operations, P], T]) -> "Callable[Concatenate[AsyncClient, P], T]":
    return _method(operation, lambda awaitable: awaitable)


class Client(MutableMapping[str, bytes]):
    """One collection: `Client("http://127.0.0.1:8080/docs/")`, or of an engine here: `Client("sqlite:docs.db")`.

    A mapping whose values are bytes; `put` and `[key] =` also accept text, files and paths. Threads may share a client.
    `close` closes it; it is also a context manager. Options: `headers` of every request; `timeout_s` for connecting and
    for each pause of the server (30); `retry_timeout_s` for all attempts at one request (60), and `tries`, their
    number at most (8). Raise SetupError.
    """

    def __init__(self, url: str, /, **options: Unpack[ClientOptions]) -> None:
        self._url, self._options = url, options
        self._operations = _open(url, options, sync=True)

    put = _sync(Operations.put)
    put_json = _sync(Operations.put_json)
    add = _sync(Operations.add)
    json = _sync(Operations.json)
    patch = _sync(Operations.patch)
    delete = _sync(Operations.delete)
    contains = _sync(Operations.contains)
    popitem = _sync(atomic.popitem)
    clear = _sync(atomic.clear)
    info = _sync(listing.info)
    list = _sync(listing.get_page)
    count = _sync(listing.count)
    documents = _sync_iterator(listing.documents)
    iter_content = _sync_iterator(download.iter_content)
    download = _sync(download.download)

    @overload
    def get(self, key: str, default: None = None, /, **options: Unpack[PartOptions]) -> StoredContent | None: ...
    @overload
    def get(self, key: str, default: D, /, **options: Unpack[PartOptions]) -> StoredContent | D: ...
    @overload
    def get(
        self, key: str, default: D | None = None, /, *, if_none_match: Condition, **options: Unpack[PartOptions]
    ) -> StoredContent | NotModified | D | None: ...
    def get(self, key: str, default: Any = None, /, **options: Any) -> Any:
        """The content, which is bytes with an `info`, or `default`; NotModified if it has the version `if_none_match`.

        `start` and `stop` select a part, as in a slice. The digest of whole content is verified. Raise Conflict if the
        document does not have the version `if_match`, DigestMismatch, RequestError for a part outside the content.
        """
        return run_sync(self._operations.get(key, default, **options))

    @overload
    def pop(self, key: str, /) -> StoredContent: ...
    @overload
    def pop(self, key: str, /, default: D) -> StoredContent | D: ...
    def pop(self, key: str, /, default: Any = atomic.NO_DEFAULT) -> Any:
        """Remove a document and return its content, or `default`; of several clients one gets it. Raise NotFound.

        Raise OutcomeUnknown when a response was lost: the document may have been removed.
        """
        return run_sync(atomic.pop(self._operations, key, default))

    def setdefault(self, key: str, default: bytes | str | None = b"", /, **options: Unpack[StoreOptions]) -> bytes:
        return run_sync(atomic.setdefault(self._operations, key, default, **options))

    setdefault.__doc__ = atomic.setdefault.__doc__

    @overload
    def update(self, key: str, function: atomic.UpdateFunction, /, **options: Unpack[StoreOptions]) -> PutResult: ...
    @overload
    def update(self, other: Any = (), /, **more: ContentLike) -> None: ...
    def update(self, other: Any = (), function: Any = None, /, **more: Any) -> Any:
        """`update(key, function)` atomically replaces a document by what `function` returns for its content.

        See AsyncClient.update. `update(other)` stores each item of a mapping or of pairs, one after the other, as
        `dict.update` does, which never has two positional arguments.
        """
        if function is not None:
            return run_sync(atomic.update(self._operations, other, function, **more))
        return super().update(other, **more)

    def __getitem__(self, key: str, /) -> StoredContent:
        return run_sync(self._operations.content(key))

    def __setitem__(self, key: str, content: ContentLike, /) -> None:
        self.put(key, content)

    def __delitem__(self, key: str, /) -> None:
        self.delete(key)

    def __contains__(self, key: object, /) -> bool:
        return isinstance(key, str) and self.contains(key)

    def __iter__(self) -> Iterator[str]:
        return iterate_sync(listing.keys(self._operations))

    def __len__(self) -> int:
        return self.count()

    def __bool__(self) -> bool:
        return bool(self.list(limit=1).documents)

    def items(self) -> ItemsView[str, bytes]:
        return _Items(self)

    def values(self) -> ValuesView[bytes]:
        return _Values(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reduce(self)

    def __repr__(self) -> str:
        return f"Client({self._operations.address.shown!r})"

    def close(self) -> None:
        """Close the connections, or the engine."""
        run_sync(self._operations.transport.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Items(ItemsView[str, bytes]):
    """Skips documents that other clients remove meanwhile."""

    _mapping: Client

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        for key in self._mapping:
            content = self._mapping.get(key)
            if content is not None:
                yield key, content


class _Values(ValuesView[bytes]):
    _mapping: Client

    def __iter__(self) -> Iterator[bytes]:
        for _, content in _Items(self._mapping):
            yield content


class AsyncClient:
    """Client for an event loop: `async with AsyncClient("sqlite:docs.db") as docs: await docs.put("a", b"1")`.

    Where a mapping has operators it has methods: `contains` for `in`, `count` for `len`, `keys` for iteration.
    """

    def __init__(self, url: str, /, **options: Unpack[ClientOptions]) -> None:
        self._url, self._options = url, options
        self._operations = _open(url, options, sync=False)

    put = _async(Operations.put)
    put_json = _async(Operations.put_json)
    add = _async(Operations.add)
    json = _async(Operations.json)
    patch = _async(Operations.patch)
    delete = _async(Operations.delete)
    contains = _async(Operations.contains)
    update = _async(atomic.update)
    setdefault = _async(atomic.setdefault)
    popitem = _async(atomic.popitem)
    clear = _async(atomic.clear)
    info = _async(listing.info)
    list = _async(listing.get_page)
    count = _async(listing.count)
    keys = _async(listing.keys)
    documents = _async(listing.documents)
    iter_content = _async(download.iter_content)
    download = _async(download.download)

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
    async def pop(self, key: str, /) -> StoredContent: ...
    @overload
    async def pop(self, key: str, /, default: D) -> StoredContent | D: ...
    async def pop(self, key: str, /, default: Any = atomic.NO_DEFAULT) -> Any:
        return await atomic.pop(self._operations, key, default)

    get.__doc__, pop.__doc__ = Client.get.__doc__, Client.pop.__doc__

    def __reduce__(self) -> tuple[Any, ...]:
        return _reduce(self)

    def __repr__(self) -> str:
        return f"AsyncClient({self._operations.address.shown!r})"

    async def close(self) -> None:
        """Close the connections, or the engine."""
        await self._operations.transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


open = Client
"""Open a collection by its URL: `docstore.open(url)` is `Client(url)`."""
