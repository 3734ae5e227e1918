"""How the clients are made from the operations: opening a collection, and methods that wait for an operation.

The operations of this package are coroutines over a Transport, written once; a client adds only how to wait for them.
"""

import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from docstore.client.address import CollectionAddress
from docstore.client.operations import Operations
from docstore.client.options import ClientOptions, check_options
from docstore.client.retry import RetryPolicy
from docstore.client.transport import Transport, iterate_sync, run_sync
from docstore.errors import SetupError

if TYPE_CHECKING:
    from docstore.client.async_client import AsyncClient
    from docstore.client.client import Client

P = ParamSpec("P")
T = TypeVar("T")


def open_operations(url: str, options: ClientOptions, *, sync: bool) -> Operations:
    """Raise SetupError. The server is loaded only for an engine in this process, httpx2 for AsyncClient over HTTP."""
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

        local_transport = SyncLocalTransport if sync else AsyncLocalTransport
        transport = local_transport(url, create=options.get("create", False))
    return Operations(transport, address, policy)


def reduce_client(client: "Client | AsyncClient") -> tuple[Any, ...]:
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


def sync_method(
    operation: Callable[Concatenate[Operations, P], Coroutine[Any, Any, T]],
) -> "Callable[Concatenate[Client, P], T]":
    return _method(operation, run_sync)


def sync_iterator(
    operation: Callable[Concatenate[Operations, P], AsyncGenerator[T, None]],
) -> "Callable[Concatenate[Client, P], Iterator[T]]":
    return _method(operation, iterate_sync)


def async_method(operation: Callable[Concatenate[Operations, P], T]) -> "Callable[Concatenate[AsyncClient, P], T]":
    return _method(operation, lambda awaitable: awaitable)
