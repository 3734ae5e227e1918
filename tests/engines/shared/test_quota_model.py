"""A Hypothesis state machine against a model: documents in the order of their last use, and the sum of their costs.

The engine holds exactly the documents of the model, so it evicts exactly the least recently used ones: within one
process and after a clean close.
"""

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from docstore.errors import Conflict, ContentTooLarge, NoSpace
from docstore.model import ABSENT, ANY
from docstore.testing.clock import SetClock
from tests.engines.bounded_stores import KIB, LONG, SCHEMES, Bounded, cost, keys, open_bounded, put, url_of

_T = TypeVar("_T")

QUOTA: Final = 64 * KIB
KEYS: Final = st.sampled_from("abcdefghi")
SIZES: Final = st.sampled_from([0, 1, 3_000, 9_000, 20_000, 40_000, 70_000])
TTLS_NS: Final = st.sampled_from([None, None, None, 1, 200_000, 10**9])
EXAMPLES: Final = {"memory": 25, "sqlite": 5}


class _ModelDocument:
    """A document in the model."""

    def __init__(self, size: int, cost: int, expires_ns: int | None) -> None:
        self.size = size
        self.cost = cost
        self.expires_ns = expires_ns

    def expired(self, now_ns: int) -> bool:
        return self.expires_ns is not None and self.expires_ns <= now_ns


class _Machine(RuleBasedStateMachine):
    def __init__(self, scheme: str, evict: bool, folder: Path) -> None:
        super().__init__()
        self._scheme = scheme
        self._evict = evict
        self._folder = tempfile.TemporaryDirectory(dir=folder)
        self._clock = SetClock()
        self._runner = asyncio.Runner()
        self._model: dict[str, _ModelDocument] = {}
        """The least recently used comes first."""
        self._engine: Bounded = self._run(self._open)

    async def _open(self) -> Bounded:
        return open_bounded(url_of(self._scheme, Path(self._folder.name), QUOTA, evict=self._evict), self._clock)

    def _run(self, step: Callable[[], Awaitable[_T]]) -> _T:
        async def run() -> _T:
            return await step()

        return self._runner.run(run())

    def _wait(self, by_ns: int) -> None:
        """Advance the clock, which stands still while the engine works, so that nothing expires in between."""
        self._clock.set_ns(self._clock() + by_ns)

    @property
    def _used(self) -> int:
        return sum(held.cost for held in self._model.values())

    def _expired(self) -> list[str]:
        due = [(held.expires_ns or 0, key) for key, held in self._model.items() if held.expired(self._clock())]
        return [key for _, key in sorted(due)]

    def _drop_expired(self) -> None:
        for key in self._expired():
            del self._model[key]

    def _refusal(self, key: str, wanted: int) -> type[Exception] | None:
        """The error that the quota raises, before the condition is checked."""
        if self._evict:
            return ContentTooLarge if wanted > QUOTA else None
        if QUOTA - self._used < wanted:
            self._drop_expired()
        held = self._model[key].cost if key in self._model else 0
        if wanted <= max(held, QUOTA - self._used + held):
            return None
        return ContentTooLarge if wanted > QUOTA else NoSpace

    @rule(key=KEYS, size=SIZES, ttl_ns=TTLS_NS, absent=st.booleans())
    def put(self, key: str, size: int, ttl_ns: int | None, absent: bool) -> None:
        self._wait(10_000)
        expires_ns = None if ttl_ns is None else self._clock() + ttl_ns
        expect = ABSENT if absent else ANY
        wanted = cost(self._scheme, key, size)
        refusal = self._refusal(key, wanted)
        there = key in self._model and not self._model[key].expired(self._clock())
        if refusal is None and absent and there:
            refusal = Conflict

        async def write() -> bool:
            return (await put(self._engine, key, size, expires_ns=expires_ns, expect=expect)).created

        if refusal is not None:
            with pytest.raises(refusal):
                self._run(write)
            return
        assert self._run(write) == (not there)
        self._model.pop(key, None)
        while self._used + wanted > QUOTA:
            del self._model[next(iter([*self._expired(), *self._model]))]
        self._model[key] = _ModelDocument(size, wanted, expires_ns)

    @rule(key=KEYS, only_meta=st.booleans())
    def use(self, key: str, only_meta: bool) -> None:
        self._wait(10_000)
        found = self._run(lambda: self._engine.head(key) if only_meta else self._engine.get(key))
        there = key in self._model and not self._model[key].expired(self._clock())
        assert (found is not None) == there
        if there:
            self._model[key] = self._model.pop(key)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        there = key in self._model and not self._model[key].expired(self._clock())
        assert (self._run(lambda: self._engine.delete(key)) is not None) == there
        self._model.pop(key, None)

    @rule()
    def wait(self) -> None:
        self._wait(150_000)

    @rule()
    def sweep(self) -> None:
        self._run(self._engine.sweep)
        self._drop_expired()

    @precondition(lambda self: self._scheme != "memory")
    @rule()
    def reopen(self) -> None:
        self._run(self._engine.close)
        self._engine = self._run(self._open)

    @invariant()
    def the_engine_holds_the_documents_of_the_model(self) -> None:
        there = [key for key, held in self._model.items() if not held.expired(self._clock())]
        assert self._run(lambda: keys(self._engine)) == sorted(there)
        usage = self._run(self._engine.usage)
        assert (usage.documents, usage.used_bytes) == (len(self._model), self._used)
        assert usage.used_bytes <= QUOTA

    def teardown(self) -> None:
        self._run(self._engine.close)
        self._runner.close()
        self._folder.cleanup()


@pytest.mark.parametrize("evict", [True, False], ids=["lru", "no eviction"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_least_recently_used_documents_are_evicted(scheme: str, evict: bool, tmp_path: Path) -> None:
    examples = EXAMPLES[scheme] * (int(os.environ.get("DOCSTORE_BOUNDS_EXAMPLES", "20")) if LONG else 1)
    run_state_machine_as_test(
        lambda: _Machine(scheme, evict, tmp_path),  # type: ignore[arg-type]  # a factory will do
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
