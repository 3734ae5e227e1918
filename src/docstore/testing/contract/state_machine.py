"""A Hypothesis state machine: whatever is done in whatever order, an engine behaves as a dict does.

The machine goes through calls one at a time; what happens between concurrent calls is for `races`. Each run has a
folder and an event loop of its own, and opens the engine anew in that loop now and then.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from docstore.content import BytesContent, read_all
from docstore.engines.contract import Engine, PutRequest, Sweeping
from docstore.errors import Conflict
from docstore.model import ABSENT, ANY, Expectation, Fields, Meta, satisfies
from docstore.testing.clock import SetClock
from docstore.testing.contract.documents import EVERY_FIELD, PLAIN, made, version
from docstore.testing.contract.opening import Opening

_T = TypeVar("_T")

KEYS: Final = st.sampled_from(["a", "A", "a/b", "a/b/c", "a-b", "a b", "b", "é", "e\u0301", "\ue000", "\U00010000"])
SIZES: Final = st.sampled_from([0, 1, 600, 1_000, 70_000, 70_001, 1_100_000])
"""Bytes of content, which is made from them: Hypothesis keeps and prints what it drew, and a number is readable."""
FIELDS: Final = st.sampled_from([PLAIN, EVERY_FIELD])
LIVES_NS: Final = st.none() | st.integers(min_value=0, max_value=20)
EXPECTS: Final = st.sampled_from(["any", "absent", "current", "stale", "wrong"])
PREFIXES: Final = st.sampled_from(["", "", "a", "a/", "a/b", "A", "e", "\ue000", "c"])
AFTERS: Final = st.just("") | KEYS | st.sampled_from(["0", "a/", "a/a", "ab", "\uffff", "\U0010ffff"])

SETTINGS: Final = settings(
    max_examples=50, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


_made = lru_cache(made)


class LikeADict(Opening):
    """The state machine, as one test."""

    def test_it_behaves_as_a_dict_does(self, tmp_path: Path) -> None:
        run_state_machine_as_test(lambda: _Machine(self, tmp_path), settings=SETTINGS)  # type: ignore[arg-type]  # a factory will do


class _Machine(RuleBasedStateMachine):
    """One engine and the dict it is compared with, where expired documents stay until they are swept."""

    def __init__(self, under_test: Opening, folder: Path) -> None:
        super().__init__()
        self._under_test = under_test
        self._folder = tempfile.TemporaryDirectory(dir=folder)
        self._clock = SetClock()
        self._runner = asyncio.Runner()
        self._engine = self._run(self._open)
        self._model: dict[str, tuple[Meta, bytes]] = {}
        self._stale: dict[str, str] = {}

    async def _open(self) -> Engine:
        return self._under_test.open(Path(self._folder.name), self._clock)

    def _run(self, step: Callable[[], Awaitable[_T]]) -> _T:
        async def run() -> _T:
            return await step()

        return self._runner.run(run())

    def _current(self, key: str) -> Meta | None:
        meta, _ = self._model.get(key, (None, b""))
        return None if meta is None or meta.expired(self._clock()) else meta

    def _expectation(self, kind: str, key: str) -> Expectation:
        current = self._current(key)
        if kind == "current":
            return current.version if current else ABSENT
        if kind in ("stale", "wrong"):
            return self._stale.get(key, version(b"?")) if kind == "stale" else version(b"?")
        return ANY if kind == "any" else ABSENT

    def _forget(self, key: str) -> None:
        if key in self._model:
            self._stale[key] = self._model.pop(key)[0].version

    def _refuses(self, key: str, write: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(Conflict) as refused:
            self._run(write)
        assert refused.value.current == self._current(key)

    @rule(key=KEYS, size=SIZES, fields=FIELDS, lives_ns=LIVES_NS, kind=EXPECTS)
    def put(self, key: str, size: int, fields: Fields, lives_ns: int | None, kind: str) -> None:
        expect = self._expectation(kind, key)
        expires_ns = None if lives_ns is None else self._clock() + lives_ns
        data = _made(size)

        async def write() -> tuple[Meta, bool]:
            written = await self._engine.put(
                PutRequest(key, BytesContent(data), fields, expires_ns=expires_ns, expect=expect)
            )
            return written.meta, written.created

        current = self._current(key)
        if not satisfies(expect, current):
            return self._refuses(key, write)
        meta, created = self._run(write)
        assert created == (current is None)
        assert (meta.key, meta.version, meta.size, meta.fields) == (key, version(data, fields), len(data), fields)
        assert (meta.modified_ns, meta.expires_ns) == (self._clock(), expires_ns)
        self._forget(key)
        self._model[key] = meta, data
        return None

    @rule(key=KEYS, kind=EXPECTS)
    def delete(self, key: str, kind: str) -> None:
        expect = self._expectation(kind, key)
        current = self._current(key)
        if not satisfies(expect, current):
            return self._refuses(key, lambda: self._engine.delete(key, expect=expect))
        assert self._run(lambda: self._engine.delete(key, expect=expect)) == current
        self._forget(key)
        return None

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        document = self._run(lambda: self._engine.get(key))
        current = self._current(key)
        assert (document.meta if document else None) == current
        if document is not None:
            content = document.content
            assert self._run(lambda: read_all(content)) == self._model[key][1]

    @rule(key=KEYS)
    def head(self, key: str) -> None:
        assert self._run(lambda: self._engine.head(key)) == self._current(key)

    @rule(prefix=PREFIXES, after=AFTERS, limit=st.integers(min_value=1, max_value=12))
    def list_a_page(self, prefix: str, after: str, limit: int) -> None:
        page = self._run(lambda: self._engine.list(prefix=prefix, after=after, limit=limit))
        assert page == [meta for meta in self._all() if meta.key.startswith(prefix) and meta.key > after][:limit]

    @rule(by_ns=st.integers(min_value=1, max_value=12))
    def advance_the_clock(self, by_ns: int) -> None:
        self._clock.set_ns(self._clock() + by_ns)

    @rule(limit=st.integers(min_value=1, max_value=5))
    def sweep(self, limit: int) -> None:
        engine = self._engine
        if isinstance(engine, Sweeping):
            expired = sum(meta.expired(self._clock()) for meta, _ in self._model.values())
            assert self._run(lambda: engine.sweep(limit=limit)) <= min(limit, expired)

    @rule()
    def open_anew(self) -> None:
        self._run(self._engine.close)
        self._engine = self._run(self._open)
        if not self._under_test.durable:
            self._model.clear()

    @invariant()
    def the_whole_listing_is_that_of_the_dict(self) -> None:
        assert self._run(self._engine.list) == self._all()

    def _all(self) -> list[Meta]:
        there = (meta for key in self._model if (meta := self._current(key)) is not None)
        return sorted(there, key=lambda meta: meta.key.encode())

    def teardown(self) -> None:
        self._run(self._engine.close)
        self._runner.close()
        assert list(self._under_test.check(Path(self._folder.name))) == []
        self._folder.cleanup()
