"""The memory engine does not block the event loop."""

import asyncio
import hashlib
import threading
from typing import Any

import pytest

from docstore.content import BytesContent
from docstore.engines import memory
from docstore.engines.contract import PutRequest
from docstore.model import ABSENT, Fields
from docstore.testing.clock import SetClock


@pytest.mark.parametrize(
    ("size", "elsewhere"), [(memory.INLINE_HASH_LIMIT, False), (memory.INLINE_HASH_LIMIT + 1, True)]
)
def test_large_content_is_not_hashed_on_the_event_loop(
    monkeypatch: pytest.MonkeyPatch, size: int, elsewhere: bool
) -> None:
    def watched(data: bytes) -> Any:
        threads.append(threading.current_thread())
        return hashlib.sha256(data)

    threads: list[threading.Thread] = []
    monkeypatch.setattr(memory, "sha256", watched)
    written = asyncio.run(memory.Memory(SetClock()).put(PutRequest("key", BytesContent(bytes(size)), Fields())))
    assert written.meta.digest == hashlib.sha256(bytes(size)).digest()
    assert [thread is not threading.current_thread() for thread in threads] == [elsewhere]


def test_the_condition_is_checked_after_the_hashing() -> None:
    async def race() -> list[Any]:
        engine = memory.Memory(SetClock())
        large = bytes(memory.INLINE_HASH_LIMIT + 1)
        writes = [
            engine.put(PutRequest("key", BytesContent(data), Fields(), expect=ABSENT)) for data in (large, b"small")
        ]
        return await asyncio.gather(*writes, return_exceptions=True)

    refused, written = asyncio.run(race())
    assert refused.current == written.meta
