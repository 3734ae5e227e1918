"""Views of a Client: its items and values as a mapping has them, and its documents as JSON values."""

import json
from collections.abc import Callable, ItemsView, Iterator, MutableMapping, ValuesView
from typing import TYPE_CHECKING, Any, Unpack, overload

from docstore.client import atomic
from docstore.client.atomic import NO_DEFAULT
from docstore.client.operations import JSON_TYPE, json_bytes
from docstore.client.options import StoreOptions
from docstore.client.results import PutResult, StoredContent
from docstore.client.transport import run_sync

if TYPE_CHECKING:
    from docstore.client.client import Client


class DocumentItems(ItemsView[str, Any]):
    """Skips documents that other clients remove meanwhile."""

    _mapping: "Client | JSONDocuments"

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return self._mapping._pairs()


class DocumentValues(ValuesView[Any]):
    _mapping: "Client | JSONDocuments"

    def __iter__(self) -> Iterator[Any]:
        return (value for _, value in self._mapping._pairs())


class JSONDocuments(MutableMapping[str, Any]):
    """The documents of a collection as JSON values, with its atomic operations.

    Reading a document that is not JSON raises NotJSON.
    """

    def __init__(self, docs: "Client") -> None:
        self._docs = docs

    def __getitem__(self, key: str, /) -> Any:
        return self._docs[key].json()

    def __setitem__(self, key: str, value: Any, /) -> None:
        self._docs.put_json(key, value)

    def __delitem__(self, key: str, /) -> None:
        del self._docs[key]

    def __contains__(self, key: object, /) -> bool:
        return key in self._docs

    def __iter__(self) -> Iterator[str]:
        return iter(self._docs)

    def __len__(self) -> int:
        return len(self._docs)

    @overload
    def pop(self, key: str, /) -> Any: ...
    @overload
    def pop(self, key: str, /, default: Any) -> Any: ...
    def pop(self, key: str, /, default: Any = NO_DEFAULT) -> Any:
        """As Client.pop. Raise NotJSON, and remove nothing, if the document is not JSON."""
        content = run_sync(atomic.pop(self._docs._operations, key, default, check=StoredContent.json))
        return content.json() if isinstance(content, StoredContent) else content

    def popitem(self) -> tuple[str, Any]:
        key, content = run_sync(atomic.pop_first(self._docs._operations, StoredContent.json))
        return key, content.json()

    def setdefault(self, key: str, default: Any = None, /) -> Any:
        return _value(self._docs.setdefault(key, json_bytes(default), type=JSON_TYPE))

    @overload
    def update(self, key: str, function: Callable[[Any], Any], /, **options: Unpack[StoreOptions]) -> PutResult: ...
    @overload
    def update(self, other: Any = (), /, **more: Any) -> None: ...
    def update(self, other: Any = (), function: Any = None, /, **more: Any) -> Any:
        """`update(key, function)` atomically replaces a value by what `function` returns for it; see Client.update."""
        if function is None:
            return super().update(other, **more)

        def change(content: StoredContent | None) -> bytes:
            return json_bytes(function(None if content is None else content.json()))

        return self._docs.update(other, change, **{"type": JSON_TYPE, **more})

    def clear(self) -> None:
        self._docs.clear()

    def items(self) -> ItemsView[str, Any]:
        return DocumentItems(self)

    def values(self) -> ValuesView[Any]:
        return DocumentValues(self)

    def _pairs(self) -> Iterator[tuple[str, Any]]:
        return ((key, content.json()) for key, content in self._docs._pairs())

    def __repr__(self) -> str:
        return f"{self._docs!r}.json"


def _value(content: bytes) -> Any:
    """Raise NotJSON, with the key if the content is from the store."""
    return content.json() if isinstance(content, StoredContent) else json.loads(content)
