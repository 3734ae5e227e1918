"""Client: a collection as a mutable mapping from keys to bytes, whose methods block."""

import io
from collections.abc import ItemsView, Iterator, MutableMapping, ValuesView
from typing import Any, Literal, Self, TypeVar, Unpack, overload

from docstore.client import atomic, download, files, listing, many, renaming, sharing
from docstore.client.body import ContentLike
from docstore.client.methods import open_operations, reduce_client, sync_iterator, sync_method
from docstore.client.operations import Operations
from docstore.client.options import ClientOptions, Condition, PartOptions, PutOptions, StoreOptions
from docstore.client.results import NotModified, PutResult, StoredContent
from docstore.client.transport import iterate_sync, run_sync
from docstore.client.views import DocumentItems, DocumentValues, JSONDocuments

D = TypeVar("D")


class Client(MutableMapping[str, bytes]):
    """One collection: `Client("http://127.0.0.1:8080/docs/")`, or of an engine here: `Client("sqlite:docs.db")`.

    A mapping whose values are bytes; `put` and `[key] =` also accept text, files and paths. Threads may share a client.
    `close` closes it; it is also a context manager. Options: `create=True` creates an engine's store that does not
    exist, which otherwise is an OpenError; `headers` of every request; `timeout_s` for connecting and for each pause of
    the server (30); `retry_timeout_s` for all attempts at one request (60), and `tries`, their number at most (8).
    Raise SetupError.
    """

    def __init__(self, url: str, /, **options: Unpack[ClientOptions]) -> None:
        self._url, self._options = url, options
        self._operations = open_operations(url, options, sync=True)

    put = sync_method(atomic.put)
    put_json = sync_method(atomic.put_json)
    add = sync_method(Operations.add)
    get_json = sync_method(Operations.get_json)
    patch = sync_method(Operations.patch)
    delete = sync_method(Operations.delete)
    copy = sync_method(renaming.copy)
    rename = sync_method(renaming.rename)
    contains = sync_method(Operations.contains)
    popitem = sync_method(atomic.popitem)
    get_many = sync_method(many.get_many)
    put_many = sync_method(many.put_many)
    delete_many = sync_method(many.delete_many)
    clear = sync_method(many.clear)
    sign = sync_method(sharing.sign)
    revoke_link = sync_method(sharing.revoke_link)
    info = sync_method(listing.info)
    list = sync_method(listing.get_page)
    count = sync_method(listing.count)
    documents = sync_iterator(listing.documents)
    iter_content = sync_iterator(download.iter_content)
    download = sync_method(download.download)

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
    def open(self, key: str, mode: Literal["rb"] = "rb", /) -> io.BufferedReader: ...
    @overload
    def open(self, key: str, mode: Literal["wb", "xb"], /, **options: Unpack[PutOptions]) -> files.DocumentWriter: ...
    @overload
    def open(
        self,
        key: str,
        mode: Literal["r", "rt", "w", "wt", "x", "xt"],
        /,
        *,
        encoding: str = "utf-8",
        newline: str | None = None,
        **options: Unpack[PutOptions],
    ) -> io.TextIOWrapper: ...
    @overload
    def open(self, key: str, mode: str, /, **options: Any) -> io.IOBase: ...
    def open(self, key: str, mode: str = "rb", /, **options: Any) -> Any:
        return files.open_sync(self._operations, key, mode, **options)

    open.__doc__ = files.open_sync.__doc__

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
        return DocumentItems(self)

    def values(self) -> ValuesView[bytes]:
        return DocumentValues(self)

    def _pairs(self) -> Iterator[tuple[str, StoredContent]]:
        return iterate_sync(many.items(self._operations))

    @property
    def json(self) -> JSONDocuments:
        """The collection as a mapping from keys to JSON values: `docs.json["state"] = {"n": 1}`."""
        return JSONDocuments(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return reduce_client(self)

    def __repr__(self) -> str:
        return f"Client({self._operations.address.shown!r})"

    def close(self) -> None:
        """Close the connections, or the engine."""
        run_sync(self._operations.transport.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


open = Client
"""Open a collection by its URL: `docstore.open(url)` is `Client(url)`."""
