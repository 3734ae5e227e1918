"""Views of a Client: its items and values as a mapping has them, and its documents as JSON values."""

from collections.abc import ItemsView, Iterator, MutableMapping, ValuesView
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docstore.client.client import Client


class DocumentItems(ItemsView[str, bytes]):
    """Skips documents that other clients remove meanwhile."""

    _mapping: "Client"

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        for key in self._mapping:
            content = self._mapping.get(key)
            if content is not None:
                yield key, content


class DocumentValues(ValuesView[bytes]):
    _mapping: "Client"

    def __iter__(self) -> Iterator[bytes]:
        for _, content in DocumentItems(self._mapping):
            yield content


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

    def __repr__(self) -> str:
        return f"{self._docs!r}.json"
