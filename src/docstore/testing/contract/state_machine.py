"""A Hypothesis state machine: after any sequence of calls, an engine holds what a dict would.

The calls run one at a time; concurrent ones are for RaceTests. Each run has its own folder and event loop, in which it
sometimes reopens the engine.
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
from docstore.testing.contract.documents import EVERY_FIELD, PLAIN, make_data, version_of_data
from docstore.testing.contract.engine_tests import EngineTests

_T = TypeVar("_T")

_KEYS: Final = st.sampled_from(["a", "A", "a/b", "a/b/c", "a-b", "a b", "b", "é", "e\u0301", "\ue000", "\U00010000"])
_SIZES: Final = st.sampled_from([0, 1, 600, 1_000, 70_000, 70_001, 1_100_000])
"""Content is made from its size, because Hypothesis keeps and prints what it draws."""
_FIELDS: Final = st.sampled_from([PLAIN, EVERY_FIELD])
_TTLS_NS: Final = st.none() | st.integers(min_value=-2, max_value=20)
_EXPECTATIONS: Final = st.sampled_from(["any", "absent", "current", "stale", "wrong"])
_PREFIXES: Final = st.sampled_from(["", "", "a", "a/", "a/b", "A", "e", "\ue000", "c"])
_AFTERS: Final = st.just("") | _KEYS | st.sampled_from(["0", "a/", "a/a", "ab", "\uffff", "\U0010ffff"])

_made = lru_cache(make_data)


class StateMachineTests(EngineTests):
    @pytest.mark.hypothesis
    def test_it_behaves_like_a_dict(self, tmp_path: Path) -> None:
        """The Hypothesis profile sets the number of sequences."""
        chosen = settings(stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        run_state_machine_as_test(lambda: _Machine(self, tmp_path), settings=chosen)  # type: ignore[arg-type]  # a factory will do


class _Machine(RuleBasedStateMachine):
    """One engine, and the dict it is compared with, which keeps expired documents."""

    def __init__(self, under_test: EngineTests, folder: Path) -> None:
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
            return self._stale.get(key, version_of_data(b"?")) if kind == "stale" else version_of_data(b"?")
        return ANY if kind == "any" else ABSENT

    def _forget(self, key: str) -> None:
        if key in self._model:
            self._stale[key] = self._model.pop(key)[0].version

    def _assert_conflict(self, key: str, write: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(Conflict) as conflict:
            self._run(write)
        assert conflict.value.current == self._current(key)

    @rule(key=_KEYS, size=_SIZES, fields=_FIELDS, ttl_ns=_TTLS_NS, kind=_EXPECTATIONS)
    def put(self, key: str, size: int, fields: Fields, ttl_ns: int | None, kind: str) -> None:
        expect = self._expectation(kind, key)
        expires_ns = None if ttl_ns is None else self._clock() + ttl_ns
        data = _made(size)

        async def write() -> tuple[Meta, bool]:
            written = await self._engine.put(
                PutRequest(key, BytesContent(data), fields, expires_ns=expires_ns, expect=expect)
            )
            return written.meta, written.created

        current = self._current(key)
        if not satisfies(expect, current):
            return self._assert_conflict(key, write)
        meta, created = self._run(write)
        assert created == (current is None)
        assert (meta.key, meta.version, meta.size, meta.fields) == (
            key,
            version_of_data(data, fields),
            len(data),
            fields,
        )
        assert (meta.modified_ns, meta.expires_ns) == (self._clock(), expires_ns)
        self._forget(key)
        self._model[key] = meta, data
        return None

    @rule(key=_KEYS, kind=_EXPECTATIONS)
    def delete(self, key: str, kind: str) -> None:
        expect = self._expectation(kind, key)
        current = self._current(key)
        if not satisfies(expect, current):
            return self._assert_conflict(key, lambda: self._engine.delete(key, expect=expect))
        assert self._run(lambda: self._engine.delete(key, expect=expect)) == current
        self._forget(key)
        return None

    @rule(key=_KEYS)
    def get(self, key: str) -> None:
        document = self._run(lambda: self._engine.get(key))
        current = self._current(key)
        assert (document.meta if document else None) == current
        if document is not None:
            content = document.content
            assert self._run(lambda: read_all(content)) == self._model[key][1]

    @rule(key=_KEYS)
    def head(self, key: str) -> None:
        assert self._run(lambda: self._engine.head(key)) == self._current(key)

    @rule(prefix=_PREFIXES, after=_AFTERS, limit=st.integers(min_value=1, max_value=12))
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
    def reopen(self) -> None:
        self._run(self._engine.close)
        self._engine = self._run(self._open)
        if not self._under_test.durable:
            self._model.clear()

    @invariant()
    def the_listing_matches_the_dict(self) -> None:
        assert self._run(self._engine.list) == self._all()

    def _all(self) -> list[Meta]:
        current = (meta for key in self._model if (meta := self._current(key)) is not None)
        return sorted(current, key=lambda meta: meta.key.encode())

    def teardown(self) -> None:
        self._run(self._engine.close)
        self._runner.close()
        assert list(self._under_test.check(Path(self._folder.name))) == []
        self._folder.cleanup()
