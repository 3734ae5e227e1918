"""Operations on many documents, over HTTP and on each engine: results in order, bounded concurrency, errors."""

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from docstore import AsyncClient, Client, ClientClosed, Conflict, NotFound, StoredContent
from docstore.client.transport import IN_FLIGHT
from tests.client.conftest import WAYS

MANY = {f"k/{number:04}": str(number).encode() for number in range(3 * IN_FLIGHT + 5)}
BOTH = pytest.mark.parametrize("url", ["http-docs", "inside-docs"], indirect=True)


@pytest.mark.parametrize("url", WAYS, indirect=True)
def test_many_documents_are_stored_read_and_removed(docs: Client) -> None:
    results = docs.put_many(MANY, type="text/x", meta={"of": "me"})
    assert [result.key for result in results] == [*MANY]
    assert all(result.created for result in results)
    assert dict(docs.items()) == MANY
    assert list(docs.values()) == [*MANY.values()]
    found = docs.get_many([*MANY, "missing"])
    assert list(found.items()) == [*MANY.items()]
    assert found["k/0003"].info.type == "text/x"
    assert docs.info("k/0007").meta == {"of": "me"}
    assert docs.put_many(MANY.items())[0].created is False
    assert docs.delete_many(["missing", *list(MANY)[:20]]) == 20
    assert len(docs) == len(MANY) - 20
    docs["other"] = b"stays"
    docs.clear(prefix="k/")
    assert list(docs) == ["other"]
    assert docs.put_many({}) == []
    assert docs.get_many([]) == {}
    assert docs.delete_many(iter(())) == 0


@pytest.mark.parametrize("url", WAYS, indirect=True)
def test_the_asynchronous_client_has_the_same(run: Callable[..., object]) -> None:
    async def used(docs: AsyncClient) -> None:
        assert len(await docs.put_many(MANY)) == len(MANY)
        assert [item async for item in docs.items("k/00")] == [*MANY.items()]
        assert [content async for content in docs.values()] == [*MANY.values()]
        assert [key async for key in docs] == [*MANY]
        assert await docs.get_many(["k/0001", "missing"]) == {"k/0001": b"1"}
        assert await docs.delete_many(["k/0000", "missing"]) == 1
        await docs.clear(prefix="k/")
        assert await docs.count() == 0

    run(used)


@BOTH
def test_the_first_error_is_raised_and_no_further_write_starts(docs: Client) -> None:
    docs["k/0002"] = b"before"
    drawn = []

    def contents() -> Iterator[tuple[str, bytes]]:
        for key, content in MANY.items():
            drawn.append(key)
            yield key, content

    with pytest.raises(Conflict):
        docs.put_many(contents(), if_none_match="*")
    assert docs["k/0002"] == b"before"
    assert len(drawn) <= IN_FLIGHT + 2
    assert {*docs} >= {"k/0000", "k/0001"}
    with pytest.raises(TypeError, match="put_json"):
        docs.put_many({"a": {"n": 1}})
    with pytest.raises(TypeError, match="unknown option"):
        docs.put_many({"a": b""}, if_matches="x")
    for operation in (docs.get_many, docs.delete_many):
        with pytest.raises(TypeError, match="several keys"):
            operation("k/0000")


@pytest.mark.parametrize("url", ["http-docs"], indirect=True)
def test_many_requests_are_in_flight_but_not_more_than_the_limit(docs: Client) -> None:
    together = threading.Barrier(IN_FLIGHT)
    running: list[int] = []
    lock = threading.Lock()

    def content(number: int) -> Iterator[bytes]:
        with lock:
            running.append(number)
            assert len(running) <= IN_FLIGHT
        if number < IN_FLIGHT:
            together.wait(60)
        yield b"x"
        with lock:
            running.remove(number)

    docs.put_many((f"k{number}", content(number)) for number in range(3 * IN_FLIGHT))
    assert len(docs) == 3 * IN_FLIGHT


@BOTH
def test_an_abandoned_iteration_ends(docs: Client) -> None:
    docs.put_many(MANY)
    threads = set(threading.enumerate())
    for _ in docs.values():
        break
    assert {thread for thread in threading.enumerate() if "many" in thread.name} <= threads
    assert next(iter(docs.items())) == ("k/0000", b"0")


@BOTH
def test_an_asynchronous_iteration_that_is_cancelled_leaves_no_task(run: Callable[..., object]) -> None:
    async def used(docs: AsyncClient) -> None:
        await docs.put_many(MANY)
        tasks = asyncio.all_tasks()
        values = docs.values()
        assert await anext(values) == b"0"
        await values.aclose()
        assert asyncio.all_tasks() == tasks
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await docs.put_many(MANY)
        assert asyncio.all_tasks() == tasks

    run(used)


@BOTH
def test_a_document_removed_during_the_iteration_is_left_out(docs: Client) -> None:
    docs.put_many(MANY)
    docs.json["n"] = 1
    items = iter(docs.items())
    assert next(items)[0] == "k/0000"
    docs.delete_many([*MANY])
    assert [key for key, _ in items][-1] == "n"


def test_a_closed_client_says_so() -> None:
    docs = Client("memory:")
    docs.close()
    for operation in (lambda: docs.put_many(MANY), lambda: docs.get_many(MANY), lambda: list(docs.values())):
        with pytest.raises(ClientClosed):
            operation()


@BOTH
def test_json_values_are_iterated(docs: Client) -> None:
    docs.put_json("a", [1])
    docs.put_json("b", {"n": 2})
    assert list(docs.json.values()) == [[1], {"n": 2}]
    assert dict(docs.json.items()) == {"a": [1], "b": {"n": 2}}
    assert isinstance(next(iter(docs.values())), StoredContent)
    with pytest.raises(NotFound):
        docs.json.pop("missing")


@pytest.mark.parametrize("url", WAYS, indirect=True)
def test_content_may_be_read_from_the_same_client(docs: Client) -> None:
    """As many producers as requests in flight wait for the engine, so they must not occupy its threads."""
    content = bytes(700_000)
    keys = [f"a{number}" for number in range(2 * IN_FLIGHT)]
    docs.put_many((key, content) for key in keys)
    docs.put_many((f"copy/{key}", docs.iter_content(key)) for key in keys)
    assert docs.get_many(f"copy/{key}" for key in keys) == {f"copy/{key}": content for key in keys}
