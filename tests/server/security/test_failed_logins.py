"""Failed attempts to get in: `make attempts` makes a million of them, `make test` fewer."""

import asyncio
import base64
import gc
import json
import os
import tracemalloc
from pathlib import Path

from docstore import Tokens
from docstore.content import BytesContent
from docstore.engines.registry import EngineURL, open_engine
from docstore.http.message import Headers, Request
from docstore.server.app import Store
from docstore.server.mounts import Mount
from docstore.server.security.rates import ADDRESS_COUNT
from docstore.server.security.tokens import Token
from docstore.units import parse_rate

ATTEMPTS = int(os.environ.get("DOCSTORE_ATTEMPTS", "24000"))
GROWTH_LIMIT = 128 * 1024
"""Bytes; caches of fixed size may still fill."""


def request(number: int, token: Token, address: str) -> Request:
    """An attempt in one of four ways, half of them with the id of a token that exists."""
    id = token.id if number % 8 < 4 else f"{number:010x}"
    text = f"dst_{id}_{number:048x}"
    login = {
        0: {"authorization": f"Bearer {text}"},
        1: {"authorization": "Basic " + base64.b64encode(f"user{number}:{text}".encode()).decode()},
        2: {"cookie": f"docstore-session={id}{number:026x}.{number:064x}"},
        3: {"content-type": "application/json"},
    }[number % 4]
    headers = Headers([(name.encode(), value.encode()) for name, value in login.items()])
    if number % 4 < 3:
        return Request("GET", f"/docs/{number}", "", headers, address=address)
    content = BytesContent(json.dumps({"token": text}).encode())
    return Request("POST", "/-/login", "", headers, content, address=address)


def test_failed_attempts_take_no_memory_and_lock_out_nobody_else(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    victim, other = (tokens.create(rights=["list"]) for _ in range(2))
    sizes: list[int] = []

    async def attempts() -> None:
        engine = open_engine(EngineURL.parse("memory:"))
        store = Store([Mount("docs", engine)], tokens=tokens, anonymous=None, address_rate=parse_rate("20/d"))
        try:
            for number in range(ATTEMPTS):
                # So many addresses that each is forgotten before it comes again.
                index = number % (ADDRESS_COUNT + 1000)
                response = await store.handle(request(number, victim.token, f"10.{index >> 8}.{index & 255}.1"))
                assert response.status == 401
                if number in (ATTEMPTS // 2, ATTEMPTS - 1):
                    gc.collect()
                    sizes.append(tracemalloc.get_traced_memory()[0])
            # One address that guesses is limited, and no other.
            last = [(await store.handle(request(0, victim.token, "192.0.2.1"))).status for _ in range(21)]
            assert last == [401] * 20 + [429]
            for text in (victim.text, other.text):
                headers = Headers([(b"authorization", f"Bearer {text}".encode())])
                answer = await store.handle(Request("GET", "/docs/", "", headers, address="192.0.2.2"))
                assert answer.status == 200
        finally:
            await store.close()

    tracemalloc.start()
    try:
        asyncio.run(attempts())
    finally:
        tracemalloc.stop()
    assert sizes[1] - sizes[0] < GROWTH_LIMIT, sizes
    assert {path.name for path in tmp_path.iterdir()} == {"tokens.json", "tokens.lock"}
