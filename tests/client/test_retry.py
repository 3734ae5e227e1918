"""Which requests are retried, against a server that fails as scripted: statuses, lost responses, silence."""

import asyncio
import hashlib
import json
import socket
import time
from collections.abc import Callable
from contextlib import nullcontext
from email.utils import formatdate
from typing import Any

import pytest

from docstore import (
    AsyncClient,
    Client,
    Conflict,
    EngineError,
    NoSpace,
    NotFound,
    OutcomeUnknown,
    RequestError,
    StorageUnavailable,
)
from docstore.client import retry
from docstore.http.digests import structured_digest
from docstore.model import Fields, version_of
from tests.client.faulty_server import FaultyServer, Step, answer, hang_up, nonsense, reset, silence

OK = answer(200, b"hello", etag='"v"', content_type="text/plain")


DONE = answer(200, b"a\n", etag='"v"')


MADE = answer(201, b"a\n", etag='"v"', location="/docs/a")


HELLO = hashlib.sha256(b"hello").digest()


KNOWN = answer(
    200,
    b"hello",
    etag=f'"{version_of(HELLO, Fields("text/plain"))}"',
    content_type="text/plain",
    repr_digest=structured_digest("sha-256", HELLO),
)
"""Its version shows that these are all stored fields; that of OK does not."""


ENTRY = {
    "key": "a",
    "version": "v",
    "size": 5,
    "sha256": "00",
    "media_type": "text/plain",
    "modified": "2026-01-01T00Z",
}


LISTED, EMPTY = (
    answer(200, json.dumps({"documents": found, "next": None}).encode(), content_type="application/json")
    for found in ([ENTRY], [])
)


LATER = answer(503, retry_after="0")


UNKNOWN = answer(
    503,
    json.dumps({"type": "/-/problems#outcome-unknown", "title": "outcome unknown"}).encode(),
    retry_after="0",
    content_type="application/problem+json",
)
NEW = hashlib.sha256(b"new").digest()
OURS, OTHER = (version_of(NEW, Fields(media_type)) for media_type in ("text/plain", "text/x"))
"""The versions that `new` is stored as, with two types."""
HEAD = answer(200, size=3, etag=f'"{OURS}"', content_type="text/plain")
"""The response to HEAD, from which the client learns the type that the store chose."""


def failed(version: str) -> Step:
    return answer(412, etag=f'"{version}"')


def get(docs: Any) -> Any:
    return docs.get("a")


def put(docs: Any) -> Any:
    return docs.put("a", b"new")


def put_if(docs: Any) -> Any:
    return docs.put("a", b"new", if_match="old")


def put_typed(docs: Any) -> Any:
    return docs.put("a", b"new", type="text/x", if_match="old")


def put_new(docs: Any) -> Any:
    return docs.put("a", b"new", if_none_match="*")


def put_pieces(docs: Any) -> Any:
    return docs.put("a", iter([b"ne", b"w"]))


def delete(docs: Any) -> Any:
    return docs.delete("a")


def delete_if(docs: Any) -> Any:
    return docs.delete("a", if_match="old")


def patch(docs: Any) -> Any:
    return docs.patch("a", {"b": 1})


def patch_if(docs: Any) -> Any:
    return docs.patch("a", {"b": 1}, if_match="old")


def add(docs: Any) -> Any:
    return docs.add(b"new")


def pop(docs: Any) -> Any:
    return docs.pop("a")


def update(docs: Any) -> Any:
    return docs.update("a", lambda content: b"new")


def setdefault(docs: Any) -> Any:
    return docs.setdefault("a", b"new")


TABLE: list[tuple[Callable[[Any], Any], list[Step], object, int]] = [
    # a busy server, or one that its proxy cannot reach, is asked again
    *((get, [answer(status), OK], b"hello", 2) for status in (408, 429, 502, 503, 504)),
    (get, [hang_up, OK], b"hello", 2),
    (get, [reset, OK], b"hello", 2),
    (get, [nonsense, OK], b"hello", 2),
    (get, [silence, OK], b"hello", 2),
    (get, [answer(200, b"hel", size=5, etag='"v"'), OK], b"hello", 2),
    (get, [LATER] * 4, StorageUnavailable, 4),
    (get, [hang_up] * 4, StorageUnavailable, 4),
    (get, [answer(200, b"hel", size=5)] * 4, StorageUnavailable, 4),
    # other responses are final
    *((get, [answer(status)], RequestError, 1) for status in (400, 401, 403, 405, 418)),
    *((get, [answer(status)], EngineError, 1) for status in (500, 501)),
    (get, [answer(507)], NoSpace, 1),
    *((get, [answer(status, location="http://127.0.0.1:1/")], RequestError, 1) for status in (301, 302, 307, 308)),
    (get, [answer(404)], None, 1),
    (delete, [answer(404)], NotFound, 1),
    # an idempotent write is retried
    (put, [hang_up, DONE], "v", 2),
    (put, [answer(502), DONE], "v", 2),
    (put, [LATER, MADE], "v", 2),
    (put, [UNKNOWN, DONE], "v", 2),
    (put, [hang_up] * 4, OutcomeUnknown, 4),
    (put, [UNKNOWN, LATER, LATER, LATER], OutcomeUnknown, 4),
    (put, [LATER] * 4, StorageUnavailable, 4),
    (put, [hang_up, LATER, LATER, LATER], OutcomeUnknown, 4),
    (delete, [hang_up, answer(200)], None, 2),
    (delete, [hang_up, answer(404)], None, 2),
    # a condition that fails after a lost response may have been made false by the same write
    (put_typed, [hang_up, failed(OTHER)], OTHER, 2),
    (put_typed, [hang_up, failed(OURS)], OutcomeUnknown, 2),
    # a client that may only create is told that the document exists, perhaps by its first attempt
    (put_typed, [hang_up, answer(403)], OutcomeUnknown, 2),
    (put_typed, [answer(403)], RequestError, 1),
    # without a type the store has chosen one
    (put_if, [hang_up, failed(OURS), HEAD], OURS, 3),
    (put_if, [hang_up, failed(OTHER), HEAD], OutcomeUnknown, 3),
    (put_if, [hang_up, failed("another"), OK], OutcomeUnknown, 3),
    (put_if, [hang_up, failed(OURS), answer(404)], OutcomeUnknown, 3),
    (put_if, [hang_up, failed(OURS), LATER, LATER, LATER, LATER], OutcomeUnknown, 6),
    (put_if, [failed(OURS)], Conflict, 1),
    (put_if, [LATER, failed("another")], Conflict, 2),
    (put_new, [answer(504), failed(OURS), HEAD], OURS, 3),
    (put_new, [hang_up, failed("another"), OK], OutcomeUnknown, 3),
    (put_new, [UNKNOWN, failed(OURS), HEAD], OURS, 3),
    (delete_if, [hang_up, answer(404)], OutcomeUnknown, 2),
    (delete_if, [hang_up, failed("another")], OutcomeUnknown, 2),
    (patch_if, [hang_up, DONE], "v", 2),
    (patch_if, [hang_up, failed("another")], OutcomeUnknown, 2),
    # what is not idempotent is sent once
    (add, [hang_up], OutcomeUnknown, 1),
    (add, [LATER], StorageUnavailable, 1),
    (add, [UNKNOWN], OutcomeUnknown, 1),
    (add, [answer(502)], OutcomeUnknown, 1),
    (patch, [hang_up], OutcomeUnknown, 1),
    (patch, [LATER], StorageUnavailable, 1),
    # content that can be read once is sent once
    (put_pieces, [hang_up], OutcomeUnknown, 1),
    (put_pieces, [LATER], StorageUnavailable, 1),
    # an update or a pop is never assumed to be applied: another client may have written the same
    (update, [KNOWN, hang_up, failed(OURS)], OutcomeUnknown, 3),
    (update, [KNOWN, failed("another"), KNOWN, DONE], "v", 4),
    # fields are written back as they are stored; those of a removed document are not
    (update, [OK, LISTED, DONE], "v", 3),
    (update, [OK, hang_up, EMPTY, failed("another"), answer(404), MADE], "v", 6),
    (pop, [OK, hang_up, answer(404)], OutcomeUnknown, 3),
    (pop, [OK, answer(404)], NotFound, 2),
    (pop, [OK, failed("another"), OK, answer(200)], b"hello", 4),
    (setdefault, [answer(404), hang_up, failed("another"), OK], b"hello", 4),
]


def check(result: object, expected: object) -> None:
    if isinstance(expected, str):
        assert getattr(result, "version", None) == expected
    else:
        assert result == expected


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "asynchronous"])
def test_the_table_of_retries(faulty: FaultyServer, asynchronous: bool) -> None:
    options: dict[str, Any] = {"tries": 4, "retry_timeout_s": 60}

    async def waited(operation: Callable[[Any], Any]) -> object:
        async with AsyncClient(faulty.url, **options) as docs:
            return await operation(docs)

    for number, (operation, script, expected, count) in enumerate(TABLE):
        where = f"row {number}, {operation.__name__}"
        options["timeout_s"] = 2 if silence in script else 60
        faulty.script, faulty.asked[:] = [*script], []
        with Client(faulty.url, **options) as docs:
            context = pytest.raises(expected) if isinstance(expected, type) else nullcontext()
            with context as caught:
                result = asyncio.run(waited(operation)) if asynchronous else operation(docs)
                check(result, expected)
            assert caught is None or caught.type is expected, where
        assert len(faulty.asked) == count, where
        contents = {asked.content for asked in faulty.asked if asked.method == "PUT"}
        assert len(contents) <= 1, "what is sent again is the same"


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


@pytest.mark.parametrize("operation", [get, put, put_pieces, add, patch, update])
def test_without_a_connection_every_request_is_retried_and_its_outcome_is_known(
    free_port: int, operation: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    with Client(f"http://127.0.0.1:{free_port}/docs/", tries=5) as docs, pytest.raises(StorageUnavailable) as caught:
        operation(docs)
    assert type(caught.value) is StorageUnavailable
    assert len(pauses) == 4, "to connect is tried again, for a POST too"


def test_a_restarted_server_is_found(faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(faulty.url) as docs:
        faulty.script = [OK]
        assert docs["a"] == b"hello"
        faulty.close()

        def back(seconds: float) -> None:
            monkeypatch.undo()
            faulty.port = int(faulty.url.split(":")[2].partition("/")[0])
            faulty.script = [OK]
            faulty.__post_init__()

        monkeypatch.setattr(time, "sleep", back)
        assert docs["a"] == b"hello"


def test_pauses_are_random_and_their_bound_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.1)
    bounds: list[float] = []
    monkeypatch.setattr("random.uniform", lambda low, high: bounds.append(high) or low)
    attempts = retry.RetryState(retry.RetryPolicy(tries=9))
    while attempts.next_pause_s() is not None:
        pass
    assert bounds == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5])


@pytest.mark.parametrize(
    ("said", "seconds"), [("0", 0), ("7", 7), ("x", None), ("", None), (formatdate(0, usegmt=True), 0)]
)
def test_retry_after_is_seconds_or_a_date(said: str, seconds: float | None) -> None:
    assert retry.retry_after_s({"retry-after": said}) == seconds


def test_a_retry_after_beyond_the_timeout_is_not_waited_for(faulty: FaultyServer) -> None:
    faulty.script = [answer(503, retry_after="3600")]
    with Client(faulty.url, retry_timeout_s=60) as docs, pytest.raises(StorageUnavailable):
        docs.get("a")
    assert len(faulty.asked) == 1


def test_the_total_time_of_all_attempts_is_bounded(faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(retry.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + 10))
    faulty.script = [LATER] * 100
    with Client(faulty.url, retry_timeout_s=35, tries=1000) as docs, pytest.raises(StorageUnavailable):
        docs.get("a")
    assert len(faulty.asked) == 5
