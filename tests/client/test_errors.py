"""Responses as errors."""

import pickle

import pytest

from docstore import (
    Client,
    Conflict,
    ContentTooLarge,
    DocstoreError,
    NotFound,
    RequestError,
)
from docstore.errors import Problem
from tests.client.faulty_server import FaultyServer, answer


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
