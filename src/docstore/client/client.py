"""The plain client: a mutable mapping from keys to bytes, and operations that block until they are answered."""

from collections.abc import (
    AsyncGenerator,
    Callable,
    Coroutine,
    ItemsView,
    Iterator,
    MutableMapping,
    ValuesView,
)
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar, Unpack, overload

from docstore.client import atomic, download, listing
from docstore.client.body import Source
from docstore.client.opening import Options, opened_blocking
from docstore.client.operations import Operations
from docstore.client.options import Condition, PartOptions, StoreOptions
from docstore.client.results import NotModified, PutResult, StoredContent
from docstore.client.signatures import shaped
from docstore.client.transport import each_now, now
from docstore.errors import NotFound

P = ParamSpec("P")
T = TypeVar("T")
D = TypeVar("D")

_MISSING: Final = object()


def _answered(
    operation: Callable[Concatenate[Operations, P], Coroutine[Any, Any, T]],
) -> "Callable[Concatenate[Client, P], T]":
    def method(client: "Client", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return now(operation(client._operations, *args, **kwargs))

    return shaped(method, operation)


def _streamed(
    operation: Callable[Concatenate[Operations, P], AsyncGenerator[T, None]],
) -> "Callable[Concatenate[Client, P], Iterator[T]]":
    def method(client: "Client", /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return each_now(operation(client._operations, *args, **kwargs))

    return shaped(method, operation)


class Client(MutableMapping[str, bytes]):
    """One collection: `Client("http://127.0.0.1:8080/docs/")`, or an engine here: `Client("sqlite:docs.db")`.

    A mapping whose values are bytes; `put` and `[key] =` also take text, files and paths. Threads may share one. It is
    closed by `close` or as a context manager. Options are `headers` that go with each call, `timeout_s` for each wait
    for the other side (30), `patience_s` for all tries of one call (60) and how many `tries` there are at most (8).
    Raises SetupError.
    """

    def __init__(self, url: str, /, **options: Unpack[Options]) -> None:
        self._operations = opened_blocking(url, options)

    put = _answered(Operations.put)
    put_json = _answered(Operations.put_json)
    add = _answered(Operations.add)
    json = _answered(Operations.json)
    patch = _answered(Operations.patch)
    delete = _answered(Operations.delete)
    contains = _answered(Operations.contains)
    popitem = _answered(atomic.popitem)
    clear = _answered(atomic.clear)
    info = _answered(listing.info)
    list = _answered(listing.page)
    count = _answered(listing.count)
    documents = _streamed(listing.documents)
    iter_content = _streamed(download.iter_content)
    download = _answered(download.download)

    @overload
    def get(self, key: str, default: None = None, /, **options: Unpack[PartOptions]) -> StoredContent | None: ...
    @overload
    def get(self, key: str, default: bytes, /, **options: Unpack[PartOptions]) -> bytes: ...
    @overload
    def get(self, key: str, default: D, /, **options: Unpack[PartOptions]) -> StoredContent | D: ...
    @overload
    def get(
        self, key: str, default: D | None = None, /, *, if_none_match: Condition, **options: Unpack[PartOptions]
    ) -> StoredContent | NotModified | D | None: ...
    def get(self, key: str, default: Any = None, /, **options: Any) -> Any:
        """The content, which is bytes and carries its `info`, or `default`; `NotModified` where `if_none_match` holds.

        `start` and `stop` ask for a part, as in a slice. The digest of whole content is checked. Raises Conflict when
        the document is not of the version `if_match`, DigestMismatch, RequestError for a part that is not there.
        """
        return now(self._operations.get(key, default, **options))

    @overload
    def pop(self, key: str, /) -> StoredContent: ...
    @overload
    def pop(self, key: str, /, default: bytes) -> bytes: ...
    @overload
    def pop(self, key: str, /, default: D) -> StoredContent | D: ...
    def pop(self, key: str, /, default: Any = _MISSING) -> Any:
        """Removes a document and returns its content, or `default`; of several, one gets it. Raises NotFound.

        Raises OutcomeUnknown when an answer was lost: the document may be gone then.
        """
        content = now(atomic.pop(self._operations, key, default))
        if content is _MISSING:
            raise NotFound(f"there is no document {key[:100]!r}")
        return content

    def setdefault(self, key: str, default: bytes | str | None = b"", /, **options: Unpack[StoreOptions]) -> bytes:
        """The content under the key; when there is none, `default` is stored and returned. Of several, one stores."""
        return now(atomic.setdefault(self._operations, key, default, **options))

    @overload
    def update(self, key: str, function: atomic.Function, /, **options: Unpack[StoreOptions]) -> PutResult: ...
    @overload
    def update(self, other: Any = (), /, **more: Source) -> None: ...
    def update(self, other: Any = (), function: Any = None, /, **more: Any) -> Any:
        """`update(key, function)` is the operation, atomic; `update(other)` stores all of a mapping or of pairs, one
        after the other, as a mapping's does. Two arguments mean nothing to a mapping: neither is in the other's way.
        """
        if function is not None:
            return now(atomic.update(self._operations, other, function, **more))
        return super().update(other, **more)

    def __getitem__(self, key: str, /) -> StoredContent:
        return now(self._operations.content(key))

    def __setitem__(self, key: str, content: Source, /) -> None:
        now(self._operations.put(key, content))

    def __delitem__(self, key: str, /) -> None:
        now(self._operations.delete(key))

    def __contains__(self, key: object, /) -> bool:
        return isinstance(key, str) and now(self._operations.contains(key))

    def __iter__(self) -> Iterator[str]:
        return each_now(listing.keys(self._operations))

    def __len__(self) -> int:
        return self.count()

    def __bool__(self) -> bool:
        return not now(listing.empty(self._operations))

    def items(self) -> ItemsView[str, bytes]:
        return _Items(self)

    def values(self) -> ValuesView[bytes]:
        return _Values(self)

    def __repr__(self) -> str:
        return f"Client({self._operations.address.shown!r})"

    def close(self) -> None:
        """Lets go of the connections, or of the engine."""
        now(self._operations.wire.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Items(ItemsView[str, bytes]):
    """Without what others remove between the listing and the reading."""

    _mapping: Client

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        for key in self._mapping:
            content = self._mapping.get(key)
            if content is not None:
                yield key, content


class _Values(ValuesView[bytes]):
    """As _Items."""

    _mapping: Client

    def __iter__(self) -> Iterator[bytes]:
        for _, content in _Items(self._mapping):
            yield content


open = Client
"""`docstore.open(url)`, for those who think of it as opening something."""
