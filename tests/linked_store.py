"""A store in the test's process whose client signs links."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from docstore.links import Caveats, SignedLink
from docstore.server.security import state_files
from docstore.server.security.tokens import Tokens
from tests.in_process import InProcess, Reply, opened

TEXT = {"content-type": "text/plain"}


class LinkedStore:
    """A store with two mounts, `memory` and `docs`, and a client that signs."""

    def __init__(self, store: InProcess, tokens: Tokens) -> None:
        self.store, self.tokens = store, tokens
        self.made = tokens.create(rights=["all"], note="signer")
        self.headers = {"authorization": f"Bearer {self.made.text}"}

    async def ask(self, method: str, target: str, content: Any = b"", headers: dict[str, str] | None = None) -> Reply:
        """Send a request without a token."""
        return await self.store.send(method, target, content, headers or {})

    async def put(self, path: str, content: bytes = b"1") -> None:
        await self.store.prepare("PUT", path, content, {**self.headers, **TEXT})

    async def content(self, path: str) -> bytes | None:
        reply = await self.store.send("GET", path, headers=self.headers)
        return reply.content if reply.status == 200 else None

    async def request_link(self, path: str, headers: dict[str, str] | None = None, **members: Any) -> Reply:
        body = json.dumps({"path": path, **members}).encode()
        return await self.store.send("POST", "/-/links", body, self.headers if headers is None else headers)

    async def sign(self, path: str, headers: dict[str, str] | None = None, **members: Any) -> str:
        """Return the link itself."""
        reply = await self.request_link(path, headers, **members)
        assert reply.status == 201, reply
        return str(json.loads(reply.content)["url"]).partition("?link=")[2]


def run_linked(test: Callable[[LinkedStore], Awaitable[None]], folder: Path, **options: Any) -> None:
    """Run `test` on a store that looks at its tokens and its key in each request."""

    async def opens() -> None:
        tokens = Tokens(folder / "data")
        settings = {"anonymous": None, **options}
        async with opened(folder, ["memory", "docs"], **settings, tokens=tokens) as store:
            await test(LinkedStore(store, tokens))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state_files, "CHECK_INTERVAL_S", 0)
        asyncio.run(opens())


def linked(**options: Any) -> Callable[[Callable[[LinkedStore], Awaitable[None]]], Callable[..., None]]:
    """Make `async def test(store)` a test for pytest."""

    def decorate(test: Callable[[LinkedStore], Awaitable[None]]) -> Callable[..., None]:
        def collected(tmp_path: Path) -> None:
            run_linked(test, tmp_path, **options)

        collected.__name__, collected.__doc__ = test.__name__, test.__doc__
        return collected

    return decorate


def narrow(link: str, caveats: Caveats) -> str:
    return SignedLink.parse(link).narrowed(caveats).encode()


def forged(link: str) -> list[str]:
    """Links that are almost the given one."""
    parsed = SignedLink.parse(link)
    wider = Caveats("memory", prefix="", methods=("GET", "PUT", "DELETE"), until=2**40 - 1)
    blocks = [
        parsed.blocks[:-1],
        parsed.blocks[1:],
        (*parsed.blocks, wider.encode()),
        (wider.encode(), *parsed.blocks[1:]),
        parsed.blocks[::-1],
    ]
    texts = [SignedLink(parsed.id, each, parsed.signature).encode() for each in blocks if each]
    for position in range(len(link)):
        other = "A" if link[position] != "A" else "B"
        texts += [link[:position] + other + link[position + 1 :]]
    texts += [link[:size] for size in range(0, len(link), 7)]
    texts += [SignedLink(id, parsed.blocks, parsed.signature).encode() for id in ("0" * 36, parsed.id[::-1])]
    texts += [SignedLink(parsed.id, parsed.blocks, bytes(32)).encode()]
    return [*texts, link + "A", link + "=", "+" + link, link.replace("_", "%5F"), "x", "dst_" + link[4:]]
