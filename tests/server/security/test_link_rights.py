"""The table of rights of signed links: every request with links for each method, on every engine.

The store is compared before and after each rejected request.
"""

import asyncio
from pathlib import Path

import pytest

from docstore.http.stored_headers import stored_header_pairs
from docstore.links import LINK_METHODS
from docstore.server.security.tokens import Tokens
from tests.in_process import opened
from tests.linked_store import LinkedStore
from tests.server.security.test_rights import CASES, IN_COLLECTION
from tests.server_process import MOUNTS

READING = {"read": "GET", "list": "LIST"}
JSON = {"content-type": "application/json"}


def needed_methods(method: str, needed_rights: set[str]) -> set[str]:
    """The methods that a link must allow for a request."""
    return {READING[right] for right in needed_rights} if method in ("GET", "HEAD") else {method}


async def state(store: LinkedStore, mount: str) -> list[tuple[object, ...]]:
    metas = await store.store.engines[mount].list()
    return [(meta.key, meta.version, meta.expires_ns, *stored_header_pairs(meta.fields)) for meta in metas]


async def reset(store: LinkedStore, mount: str) -> None:
    """Make the collection `in/old` and `out/old`."""
    for meta in await store.store.engines[mount].list():
        await store.store.engines[mount].delete(meta.key)
    for key in ("in/old", "out/old"):
        await store.store.prepare("PUT", f"/{mount}/{key}", b'{"n":1}', {**store.headers, **JSON})


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_link_allows_the_requests_of_its_methods_below_its_prefix_and_nothing_else(
    tmp_path: Path, mount: str
) -> None:
    async def test() -> None:
        tokens = Tokens(tmp_path / "data")
        async with opened(tmp_path, [mount], anonymous=None, tokens=tokens) as inside:
            store = LinkedStore(inside, tokens)
            allowed = [{name} for name in LINK_METHODS] + [set(LINK_METHODS) - {name} for name in LINK_METHODS]
            links = [await store.sign(f"/{mount}/in/", methods=sorted(names)) for names in allowed]
            await reset(store, mount)
            for case, (method, path, headers, rights) in CASES.items():
                body = b'{"n":2}' if method in ("PUT", "POST", "PATCH") else b""
                for names, link in zip(allowed, links, strict=True):
                    for key in (path, path.replace("in/", "out/", 1)) if "in/" in path else (path,):
                        before = await state(store, mount)
                        within = key == path
                        url = f"/{mount}/{key}{'&' if '?' in key else '?'}link={link}"
                        reply = await store.ask(method, url, body, headers)
                        fine = within and needed_methods(method, rights) <= names
                        assert (reply.status < 400) == fine or (
                            # A listing or a download is empty outside of the link, or has what is within.
                            reply.status == 200 and method in ("GET", "HEAD") and b"out/" not in reply.content
                        ), (case, names, key, reply)
                        if await state(store, mount) != before:
                            assert fine, (case, names, key)
                            await reset(store, mount)
            for method in IN_COLLECTION:
                for link in links:
                    before = await state(store, mount)
                    assert (await store.ask(method, f"/{mount}/?link={link}", b"{}", JSON)).status == 403
                    assert await state(store, mount) == before

    asyncio.run(test())
