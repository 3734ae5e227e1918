"""An engine whose storage is opened for reading, and can't be written."""

from contextlib import ExitStack

from docstore.engines.contract import Probing, PutRequest, Reader
from docstore.errors import EngineError
from docstore.model import ANY, Document, Expectation, Meta, WriteResult


class ReadOnlyEngine:
    """An Engine over `reader` that refuses writes. It has nothing to sweep; closing it closes `opened` too."""

    def __init__(self, reader: Reader, opened: ExitStack | None = None) -> None:
        self._reader = reader
        self._opened = opened or ExitStack()

    async def get(self, key: str) -> Document | None:
        return await self._reader.get(key)

    async def head(self, key: str) -> Meta | None:
        return await self._reader.head(key)

    async def put(self, request: PutRequest) -> WriteResult:
        raise EngineError(f"{request.key!r}: the store is open for reading only")

    async def delete(self, key: str, *, expect: Expectation = ANY) -> Meta | None:
        raise EngineError(f"{key!r}: the store is open for reading only")

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        return await self._reader.list(prefix=prefix, after=after, limit=limit)

    async def probe(self) -> None:
        if isinstance(self._reader, Probing):
            await self._reader.probe()

    async def close(self) -> None:
        await self._reader.close()
        self._opened.close()
