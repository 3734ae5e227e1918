"""A collection behaves like a dict, over HTTP and in process, synchronous and asynchronous.

The oracle is a dict. The standard library's own tests of mappings run too where they are installed (many systems leave
them out), and the steps here follow them, so that nothing depends on that.
"""

import asyncio
import importlib.util
import subprocess
import sys
import unittest
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import pytest

from docstore import (
    AsyncClient,
    Client,
    ClientClosed,
    NotFound,
    StoredContent,
)
from tests.client.conftest import WAYS

FULL = {"1": b"one", "key1": b"", "é/ü": bytes(range(256))}


MISSING = "missing"


class Pairs:
    """An argument of `update` that is not a mapping."""

    def keys(self) -> list[str]:
        return ["1", "new"]

    def __getitem__(self, key: str) -> bytes:
        return key.encode()


class Failing:
    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        yield "before", b"1"
        raise ZeroDivisionError


def deleted(mapping: MutableMapping[str, bytes], key: str) -> None:
    del mapping[key]


READS: list[Callable[[Any], object]] = [
    lambda d: d["key1"],
    lambda d: d[MISSING],
    lambda d: "é/ü" in d,
    lambda d: MISSING in d,
    lambda d: 5 in d,
    len,
    bool,
    lambda d: sorted(d),
    lambda d: sorted(d.keys()),
    lambda d: sorted(d.values()),
    lambda d: sorted(d.items()),
    lambda d: ("key1", b"") in d.items(),
    lambda d: b"one" in d.values(),
    lambda d: d == dict(d),
    lambda d: d != {"another": b""},
    lambda d: iter(d) is iter(d),
    lambda d: d.keys() & {"1", MISSING},
    lambda d: d.get("1"),
    lambda d: d.get(MISSING),
    lambda d: d.get(MISSING, 3),
    lambda d: d.get("1", 3),
    lambda d: d.get(),
    lambda d: d.keys(None),
    lambda d: d.items(None),
    lambda d: d.pop(),
    lambda d: d.popitem(42),
    lambda d: d.setdefault(),
    lambda d: d.pop(MISSING),
    lambda d: d.pop(MISSING, 3),
    lambda d: deleted(d, MISSING),
    lambda d: d.setdefault("1", b"default"),
    lambda d: d.update(),
    lambda d: d.update(42),
    lambda d: d.update([(1, 2, 3)]),
]
"""Steps that leave a full mapping as it is."""


WRITES: list[Callable[[Any], object]] = [
    lambda d: d.__setitem__("1", b"another"),
    lambda d: d.__setitem__("new", b"new"),
    lambda d: deleted(d, "1"),
    lambda d: d.pop("1"),
    lambda d: d.pop("1", 3),
    lambda d: sorted(d.popitem() for _ in range(3)),
    lambda d: [d.popitem() for _ in range(4)],
    lambda d: d.setdefault(MISSING, b"default"),
    lambda d: d.update({"1": b"x", "new": b"y"}),
    lambda d: d.update([("1", b"x"), ("new", b"y")], other=b"z"),
    lambda d: d.update(iter([("1", b"x")])),
    lambda d: d.update(Pairs()),
    lambda d: d.update(Failing()),
    lambda d: d.clear(),
]


def outcome(step: Callable[[Any], object], mapping: MutableMapping[str, bytes]) -> object:
    """The result of a step, or the class of its exception."""
    kinds = (KeyError, TypeError, ValueError, ZeroDivisionError)
    try:
        return step(mapping)
    except kinds as error:
        return next(kind for kind in kinds if isinstance(error, kind))


def check(mapping: MutableMapping[str, bytes]) -> None:
    """Raise AssertionError at the first step whose result differs from that of a dict."""
    mapping.clear()
    assert [outcome(step, mapping) for step in (len, bool, list, lambda d: d.popitem())] == [0, False, [], KeyError]
    mapping.update(FULL)
    for number, step in enumerate(READS):
        assert outcome(step, mapping) == outcome(step, dict(FULL)), f"READS[{number}]"
    assert dict(mapping.items()) == FULL
    for number, step in enumerate(WRITES):
        model = dict(FULL)
        for key in {*mapping} - {*FULL}:
            del mapping[key]
        mapping.update(FULL)
        assert outcome(step, mapping) == outcome(step, model), f"WRITES[{number}]"
        assert dict(mapping.items()) == model, f"WRITES[{number}]"


@pytest.mark.parametrize("url", WAYS, indirect=True)
def test_a_collection_behaves_like_a_dict(docs: Client) -> None:
    check(docs)


class SyncAdapter(MutableMapping[str, bytes]):
    """The methods of a mapping on an AsyncClient, each of which waits for its result."""

    def __init__(self, docs: AsyncClient, runner: asyncio.Runner) -> None:
        self._docs = docs
        self._run = runner.run

    def __getitem__(self, key: str) -> bytes:
        content = self._run(self._docs.get(key))
        if content is None:
            raise KeyError(key)
        return content

    def __setitem__(self, key: str, content: bytes) -> None:
        self._run(self._docs.put(key, content))

    def __delitem__(self, key: str) -> None:
        self._run(self._docs.delete(key))

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._run(self._docs.contains(key))

    def __iter__(self) -> Iterator[str]:
        async def keys() -> list[str]:
            return [info.key async for info in self._docs.documents()]

        return iter(self._run(keys()))

    def __len__(self) -> int:
        return self._run(self._docs.count())

    def get(self, *given: Any) -> Any:
        return self._run(self._docs.get(*given))

    def pop(self, *given: Any) -> Any:
        return self._run(self._docs.pop(*given))

    def popitem(self, *given: Any) -> Any:
        return self._run(self._docs.popitem(*given))

    def setdefault(self, *given: Any) -> Any:
        return self._run(self._docs.setdefault(*given))

    def clear(self) -> None:
        self._run(self._docs.clear())


@pytest.mark.parametrize("url", WAYS, indirect=True)
def test_an_asynchronous_collection_behaves_like_a_dict(url: str) -> None:
    with asyncio.Runner() as runner:

        async def opened() -> AsyncClient:
            return AsyncClient(url, create=True)

        docs = runner.run(opened())
        check(SyncAdapter(docs, runner))
        runner.run(docs.close())


def of_the_standard_library() -> list[str]:
    """The names of its tests of mappings, none where they are not installed."""
    if importlib.util.find_spec("test") is None or importlib.util.find_spec("test.mapping_tests") is None:
        return []
    from test.mapping_tests import BasicTestMappingProtocol

    return unittest.TestLoader().getTestCaseNames(BasicTestMappingProtocol)


@pytest.mark.parametrize("url", ["http-memory", "inside-memory"], indirect=True)
def test_the_tests_of_the_standard_library_pass_where_they_are_installed(docs: Client) -> None:
    names = of_the_standard_library()
    if not names:
        return

    from test.mapping_tests import BasicTestMappingProtocol

    class OfACollection(BasicTestMappingProtocol):
        def _reference(self) -> dict[str, bytes]:
            return {"1": b"2", "key1": b"value1", "key2": b"\0\xff"}

        def _empty_mapping(self) -> Client:
            docs.clear()
            return docs

        def test_read(self) -> None:
            """As there, except that two mappings are the same collection here."""

    for name in names:
        result = unittest.TestResult()
        OfACollection(name).run(result)
        assert result.wasSuccessful(), [told for _, told in (*result.failures, *result.errors)]


BOTH = pytest.mark.parametrize("url", ["http-docs", "inside-memory"], indirect=True)


@BOTH
def test_clear_with_a_prefix_leaves_other_documents(docs: Client, run: Callable[..., object]) -> None:
    names = ["a", "item", "item-1", "item-2", "iten", "items/3"]
    for name in names:
        docs[name] = b"x"
    docs.clear(prefix="item-")
    assert list(docs) == ["a", "item", "items/3", "iten"]

    async def cleared(others: AsyncClient) -> list[str]:
        for name in names:
            await others.put(name, b"x")
        await others.clear(prefix="item")
        return [info.key async for info in others.documents()]

    assert run(cleared) == ["a", "iten"]


@BOTH
def test_a_closed_client_raises_client_closed(docs: Client) -> None:
    docs.close()
    docs.close()
    with pytest.raises(ClientClosed):
        docs.get("a")


@pytest.mark.parametrize("url", ["inside-memory", "http-memory"], indirect=True)
def test_the_asynchronous_client_has_the_same_operations(run: Callable[..., object]) -> None:
    async def used(docs: AsyncClient) -> None:
        await docs.put_json("a", {"n": 1})
        await docs.patch("a", {"n": 2})
        assert await docs.get_json("a") == {"n": 2}
        assert await docs.get_json("missing", 3) == 3
        assert (await docs.info("a")).type == "application/json"

        async def later(content: StoredContent | None) -> bytes:
            await asyncio.sleep(0)
            return b"later"

        await docs.update("b", later)
        assert await docs.get("b") == b"later"
        assert [info.key async for info in docs.documents()] == ["a", "b"]
        assert (await docs.list(limit=1)).after == "a"
        assert await docs.get("a", None, start=0, stop=1) == b"{"
        with pytest.raises(NotFound):
            await docs.pop("missing")
        added = await docs.add(b"x")
        await docs.delete(added.key)

    run(used)


def test_the_synchronous_client_rejects_asynchronous_arguments(docs: Client) -> None:
    async def pieces() -> Any:
        yield b"1"

    async def slow(content: object) -> bytes:
        await asyncio.sleep(0)
        return b""

    with pytest.raises(TypeError, match="AsyncClient"):
        docs.put("a", pieces())
    with pytest.raises(TypeError, match="AsyncClient"):
        docs.update("a", slow)
    assert not docs


def test_both_clients_have_the_same_methods() -> None:
    def names(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert names(Client) - {"json"} == names(AsyncClient) - {"keys"}


def imported(code: str) -> set[str]:
    told = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return set(told.stdout.split())


@pytest.mark.parametrize(
    ("code", "left_out"),
    [
        ("import docstore", {"docstore.client", "docstore.server", "docstore.errors", "httpx2"}),
        ("import docstore.server.run", {"docstore.client", "httpx2"}),
        ("import docstore.testing.pytest_plugin", {"docstore.client", "docstore.server", "hypothesis", "httpx2"}),
        (
            "import docstore; docstore.open('http://127.0.0.1:1/docs/')",
            {"docstore.server", "uvicorn", "apsw", "jinja2"},
        ),
        ("import docstore; docstore.open('memory:').close()", {"httpx2", "uvicorn"}),
    ],
)
def test_only_necessary_modules_are_imported(code: str, left_out: set[str]) -> None:
    assert imported(code) & left_out == set()
