"""Responses as errors."""

import asyncio
import pickle
import re

import pytest

from docstore import (
    AsyncClient,
    Client,
    Conflict,
    ContentTooLarge,
    DocstoreError,
    NotFound,
    RequestError,
    StorageUnavailable,
)
from docstore.errors import Problem
from tests.client.faulty_server import FaultyServer, answer
from tests.server_process import RunningServer


@pytest.mark.parametrize("error", [Conflict(None, "said", version="v"), ContentTooLarge(5), NotFound("none")], ids=repr)
def test_errors_can_be_pickled(error: DocstoreError) -> None:
    error.problem = Problem(404, "not-found", "not found")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize("content", [b"", b"{", b"5", b'{"title": 5}', b"[" * 100_000])
def test_an_invalid_problem_is_described_by_its_status(faulty: FaultyServer, content: bytes) -> None:
    faulty.script = [answer(403, content, content_type="application/problem+json")]
    with Client(faulty.url) as docs, pytest.raises(RequestError) as caught:
        docs.get("a")
    assert caught.value.problem is not None
    assert caught.value.problem.status == 403


def error_of(url: str, asynchronous: bool) -> DocstoreError:
    """The error of a PUT."""

    async def put() -> None:
        async with AsyncClient(url, tries=1) as docs:
            await docs.put("a", b"1")

    if asynchronous:
        with pytest.raises(DocstoreError) as caught:
            asyncio.run(put())
    else:
        with Client(url, tries=1) as docs, pytest.raises(DocstoreError) as caught:
            docs.put("a", b"1")
    return caught.value


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_cannot_be_reached_is_named_with_the_cause(scheme: str, host: str, asynchronous: bool) -> None:
    error = error_of(f"{scheme}://{host}:9/docs/", asynchronous)
    assert type(error) is StorageUnavailable
    assert str(error) == f"cannot reach {scheme}://{host}:9: connection refused"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_host_without_an_address_is_named(asynchronous: bool) -> None:
    error = error_of("http://store.invalid/docs/", asynchronous)
    assert re.match(r"cannot reach http://store\.invalid: [a-z][^\[]*$", str(error))


def test_a_tunnel_that_a_proxy_refuses_is_a_server_that_cannot_be_reached(
    faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", faulty.url.removesuffix("/docs/"))
    faulty.script = [answer(502)]
    error = error_of("https://store.example/docs/", False)
    assert str(error) == "cannot reach https://store.example: the proxy answered 502"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_missing_mount_is_not_a_missing_document(server: RunningServer, asynchronous: bool) -> None:
    error = error_of(f"{server.url}/nomount/", asynchronous)
    assert isinstance(error, NotFound)
    assert str(error) == "PUT of 'a': not found: there is no mount at /nomount/"
    with Client(f"{server.url}/nomount/") as docs:
        for call in (docs.get, docs.info, docs.get_json, docs.delete, docs.pop, docs.__getitem__):
            with pytest.raises(NotFound, match="there is no mount at /nomount/"):
                call("a")
        with pytest.raises(NotFound, match="there is no mount at /nomount/"):
            list(docs)


def test_a_missing_document_is_said_once(server: RunningServer) -> None:
    with Client(f"{server.url}/docs/") as docs, pytest.raises(NotFound) as caught:
        docs["nothing"]
    assert str(caught.value) == "GET of 'nothing': not found"
