"""Views of a Client: its items and values as a mapping has them, and its documents as JSON values."""

from collections.abc import ItemsView, Iterator, MutableMapping, ValuesView
from typing import TYPE_CHECKING, Any

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
    """The documents of a collection as JSON values. Reading one that is not JSON raises ValueError."""

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

    def items(self) -> ItemsView[str, Any]:
        return DocumentItems(self)

    def values(self) -> ValuesView[Any]:
        return DocumentValues(self)

    def _pairs(self) -> Iterator[tuple[str, Any]]:
        return ((key, content.json()) for key, content in self._docs._pairs())

    def __repr__(self) -> str:
        return f"{self._docs!r}.json"
