"""An engine as one client sees it: every access to a document is checked against the client's rights.

The mounts that a request gets have such engines (`access.py`), so that a resource which forgets to check shows and
changes no more than the client may. It has only the six methods of the contract: what an engine offers beyond them is
closed to a client with limited rights until it is added here with a check.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from docstore.engines.contract import Engine, Metered, PutRequest, Usage
from docstore.model import ABSENT, ANY, Document, Expectation, Meta, WriteResult
from docstore.server.security.rights import Rights


class GuardedEngine:
    """The part of an engine that `rights` allow. Its methods raise HTTPProblem, too."""

    __slots__ = ("engine", "rights")

    def __init__(self, engine: Engine, rights: Rights) -> None:
        self.engine = engine
        self.rights = rights

    def get(self, key: str) -> Coroutine[Any, Any, Document | None]:
        # PERF: a coroutine of its own would add 4% to a GET.
        self.rights.require_read(key)
        return self.engine.get(key)

    async def head(self, key: str) -> Meta | None:
        self.rights.require_read(key)
        return await self.engine.head(key)

    async def put(self, request: PutRequest) -> WriteResult:
        """A write that may either create or replace needs both rights: `Rights.narrow` decides which it does."""
        if request.expect is ANY or request.expect is ABSENT:
            self.rights.require("create", request.key)
        if request.expect is not ABSENT:
            self.rights.require("replace", request.key)
        return await self.engine.put(request)

    async def delete(self, key: str, *, expect: Expectation = ANY) -> Meta | None:
        self.rights.require("delete", key)
        return await self.engine.delete(key, expect=expect)

    async def list(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[Meta]:
        listed = self.rights.listed_prefix(prefix)
        return [] if listed is None else await self.engine.list(prefix=listed, after=after, limit=limit)

    async def close(self) -> None:
        """The store closes the engine itself."""


class GuardedMeteredEngine(GuardedEngine):
    """A guarded engine with a quota, for clients that may list all of it."""

    __slots__ = ("usage",)

    def __init__(self, engine: Engine, rights: Rights, usage: Callable[[], Awaitable[Usage]]) -> None:
        super().__init__(engine, rights)
        self.usage = usage


def guarded(engine: Engine, rights: Rights) -> GuardedEngine:
    lists_all = "list" in (rights.everywhere if rights.prefix else rights.below)
    if lists_all and isinstance(engine, Metered):
        return GuardedMeteredEngine(engine, rights, engine.usage)
    return GuardedEngine(engine, rights)


def unguarded(engine: Engine) -> Engine:
    """The engine itself, for a look-up whose result the client does not see."""
    while isinstance(engine, GuardedEngine):  # a link's engine guards that of its token
        engine = engine.engine
    return engine
