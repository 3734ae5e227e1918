"""How signed links end: by their time, their token, their use, their revocation and their key."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from docstore.errors import OutcomeUnknown, StorageUnavailable
from docstore.links import LINK_TTL_LIMIT_S, Caveats, SignedLink
from docstore.server.security import signed_links
from docstore.server.security.ended import KEPT_S, make_endable_id
from tests.in_process import Chunked
from tests.linked_store import TEXT, LinkedStore, linked, narrow


@linked()
async def test_a_link_ends_at_its_time_whatever_the_clock_says_before(store: LinkedStore) -> None:
    await store.put("/memory/a")
    now_s = store.store.clock() // 10**9
    link = await store.sign("/memory/a", ttl=60)
    for moment_s, status in ((0, 200), (now_s + 59, 200), (now_s + 60, 403), (10**10, 403), (now_s, 200)):
        store.store.clock.set_ns(moment_s * 10**9)
        reply = await store.ask("GET", f"/memory/a?link={link}")
        assert reply.status == status
        assert status == 200 or reply.content == b"forbidden: the link has expired\n"
    shorter = narrow(link, Caveats(until=now_s + 10))
    longer = narrow(shorter, Caveats(until=now_s + 1000))
    store.store.clock.set_ns((now_s + 10) * 10**9)
    for text in (shorter, longer):
        assert (await store.ask("GET", f"/memory/a?link={text}")).status == 403
    assert (await store.ask("GET", f"/memory/a?link={link}")).status == 200


@linked()
async def test_a_link_dies_with_its_token(store: LinkedStore) -> None:
    await store.put("/memory/a")
    made = store.tokens.create(rights=["read"], mount="memory", expires="1h")
    headers = {"authorization": f"Bearer {made.text}"}
    link = await store.sign("/memory/a", headers, ttl=86_400)
    narrowed = narrow(link, Caveats(methods=("GET",)))
    assert (await store.ask("GET", f"/memory/a?link={link}")).status == 200
    assert made.token.expires_ns is not None
    now_ns = store.store.clock()
    store.store.clock.set_ns(made.token.expires_ns)
    expired = await store.ask("GET", f"/memory/a?link={link}")
    assert expired.content == b"forbidden: the link has expired with the token that made it\n"
    store.store.clock.set_ns(now_ns)
    await asyncio.to_thread(store.tokens.revoke, made.token.id)
    for text in (link, narrowed):
        denied = await store.ask("GET", f"/memory/a?link={text}")
        assert (denied.status, b"the token that made it was revoked" in denied.content) == (403, True)


@linked()
async def test_another_token_with_the_same_id_revives_no_link(store: LinkedStore) -> None:
    await store.put("/memory/a")
    link = await store.sign("/memory/a")
    content = json.loads(store.tokens.path.read_bytes())
    content["tokens"][0]["sha256"] = "0" * 64
    store.tokens.path.write_text(json.dumps(content))
    assert (await store.ask("GET", f"/memory/a?link={link}")).status == 403


@linked()
async def test_a_link_has_no_more_rights_than_its_token_has_now(store: LinkedStore) -> None:
    await store.put("/memory/in/a")
    link = await store.sign("/memory/in/", methods=["GET", "LIST", "PUT", "DELETE"])
    content = json.loads(store.tokens.path.read_bytes())
    for rights, mount, prefix, statuses in (
        (["read", "list"], "memory", "", (200, 200, 403, 403)),
        (["read"], "memory", "in/", (200, 403, 403, 403)),
        (["create"], "memory", "", (404, 403, 403, 403)),
        (["read", "delete"], "memory", "in/a", (404, 403, 403, 403)),
        (["read", "delete"], "memory", "out", (404, 403, 403, 403)),
        (["read", "delete"], "docs", "", (403, 403, 403, 403)),
    ):
        content["tokens"][0] |= {"rights": rights, "mount": mount, "prefix": prefix}
        store.tokens.path.write_text(json.dumps(content))
        requests = (("GET", "in/a"), ("GET", "in/"), ("PUT", "in/a"), ("DELETE", "in/a"))
        found = [(await store.ask(method, f"/memory/{key}?link={link}")).status for method, key in requests]
        assert tuple(found) == statuses, (rights, mount, prefix)


@linked()
async def test_a_link_for_one_use_is_used_up_by_one_success(store: LinkedStore) -> None:
    link = await store.sign("/memory/a", methods=["GET", "PUT"], once=True, max_document=4)
    url = f"/memory/a?link={link}"
    for method, body, headers, status in (
        ("GET", b"", {}, 404),
        ("HEAD", b"", {}, 404),
        ("PUT", b"12345", TEXT, 413),
        ("PUT", Chunked([b"123", b"45"]), TEXT, 413),
        ("PUT", b"1", {"content-digest": "sha-256=:AAAA:"}, 400),
        ("PUT", b"1", {"if-match": '"x"'}, 412),
        ("PUT", b"1", {"if-match": ",".join(['"x"'] * 101)}, 431),
        ("DELETE", b"", {}, 403),
        ("OPTIONS", b"", {}, 204),
        ("PUT", b"1", TEXT, 201),
        ("PUT", b"2", TEXT, 403),
        ("GET", b"", {}, 403),
        ("HEAD", b"", {}, 403),
    ):
        reply = await store.ask(method, url, body, headers)
        assert reply.status == status, (method, body, reply)
    assert reply.content == b""
    used = await store.ask("GET", url)
    assert used.content == b"forbidden: the link was used, and it can be used only once\n"
    assert await store.content("/memory/a") == b"1"


@linked()
async def test_a_holder_makes_links_for_one_use_which_do_not_use_up_each_other(store: LinkedStore) -> None:
    await store.put("/memory/a")
    link = await store.sign("/memory/a")
    one, other = (narrow(link, Caveats(once=digits * 16)) for digits in "12")
    longer = narrow(one, Caveats(methods=("GET",)))
    assert (await store.ask("GET", f"/memory/a?link={longer}")).status == 200
    assert [(await store.ask("GET", f"/memory/a?link={text}")).status for text in (one, longer)] == [403, 403]
    assert (await store.ask("GET", f"/memory/a?link={narrow(one, Caveats(once='3' * 16))}")).status == 403
    for text, status in ((other, 200), (other, 403), (link, 200), (link, 200)):
        assert (await store.ask("GET", f"/memory/a?link={text}")).status == status


@linked()
async def test_of_many_uses_at_once_one_succeeds(store: LinkedStore) -> None:
    for _ in range(5):
        link = await store.sign("/docs/a", methods=["PUT"], once=True)
        uses = [store.ask("PUT", f"/docs/a?link={link}", Chunked([b"%d" % number]), TEXT) for number in range(8)]
        statuses = [reply.status for reply in await asyncio.gather(*uses)]
        assert sorted(statuses)[1:] == [403] * 7
        assert min(statuses) in (200, 201)


@linked()
async def test_a_link_stays_used_if_nobody_knows_what_was_done(store: LinkedStore) -> None:
    link = await store.sign("/memory/a", methods=["PUT"], once=True)
    engine = store.store.engines["memory"]
    put = engine.put

    async def lose(request: Any) -> Any:
        await put(request)
        raise OutcomeUnknown("lost")

    vars(engine)["put"] = lose
    assert (await store.ask("PUT", f"/memory/a?link={link}", b"1", TEXT)).status == 503
    vars(engine).pop("put")
    assert (await store.ask("PUT", f"/memory/a?link={link}", b"2", TEXT)).status == 403
    assert await store.content("/memory/a") == b"1"


@linked()
async def test_a_link_stays_used_if_the_document_cannot_be_read_after_it_was_stored(store: LinkedStore) -> None:
    link = await store.sign("/memory/a", methods=["GET", "PUT"], once=True)
    engine = store.store.engines["memory"]

    async def fail(key: str) -> Any:
        raise StorageUnavailable("gone")

    vars(engine)["get"] = fail
    stored = await store.ask("PUT", f"/memory/a?link={link}", b"1", {**TEXT, "prefer": "return=representation"})
    vars(engine).pop("get")
    assert (stored.status, stored.content, "preference-applied" in stored) == (201, b"a\n", False)
    assert (await store.ask("PUT", f"/memory/a?link={link}", b"2", TEXT)).status == 403
    assert await store.content("/memory/a") == b"1"


@linked()
async def test_a_revoked_link_ends_at_once_with_all_that_were_narrowed_from_it(store: LinkedStore) -> None:
    await store.put("/memory/a")
    link, other = await store.sign("/memory/a"), await store.sign("/memory/a")
    narrowed = narrow(link, Caveats(methods=("GET",)))
    id = SignedLink.parse(link).id
    assert (await store.ask("GET", f"/memory/a?link={link}")).status == 200
    for _ in range(2):
        assert (await store.store.send("DELETE", f"/-/links/{id}", headers=store.headers)).status == 200
    for text in (link, narrowed):
        reply = await store.ask("GET", f"/memory/a?link={text}")
        assert (reply.status, reply.content) == (403, b"forbidden: the link was revoked\n")
    assert (await store.ask("GET", f"/memory/a?link={other}")).status == 200


@linked()
async def test_a_token_revokes_its_own_links_and_an_administrator_all(store: LinkedStore) -> None:
    made = [store.tokens.create(rights=["read"], mount="memory") for _ in range(2)]
    one, other = ({"authorization": f"Bearer {each.text}"} for each in made)
    ids = [SignedLink.parse(await store.sign("/memory/a", one)).id for _ in range(2)]
    for headers, id, status in (
        (other, ids[0], 403),
        (one, ids[0], 200),
        (store.headers, ids[1], 200),
        (one, "0" * 36, 403),
        (one, ids[0][:-1], 404),
        (one, ids[0].upper(), 404),
        (one, "..%2f..%2ftokens.json", 404),
        (one, ids[0] + "/", 404),
        (one, make_endable_id(made[0].token.id, store.store.clock() // 10**9 + 2 * LINK_TTL_LIMIT_S), 404),
    ):
        assert (await store.store.send("DELETE", f"/-/links/{id}", headers=headers)).status == status, id


@pytest.mark.parametrize("damage", [b"", b"x", b"\0" * 97], ids=["empty", "short", "zeros"])
def test_a_damaged_key_closes_links_and_nothing_else(
    tmp_path: Path, damage: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signed_links, "CHECK_INTERVAL_S", 0)

    @linked()
    async def test(store: LinkedStore) -> None:
        await store.put("/memory/a")
        link = await store.sign("/memory/a")
        key = tmp_path / "data" / "signing.key"
        good = key.read_bytes()
        key.write_bytes(damage)
        assert (await store.ask("GET", f"/memory/a?link={link}")).status == 503
        assert (await store.request_link("/memory/a")).status == 503
        assert await store.content("/memory/a") == b"1"
        key.write_bytes(good)
        assert (await store.ask("GET", f"/memory/a?link={link}")).status == 200
        key.unlink()
        assert (await store.ask("GET", f"/memory/a?link={link}")).status == 403

    test(tmp_path)


@linked()
async def test_a_link_before_there_is_a_key_is_rejected(store: LinkedStore) -> None:
    other = SignedLink("0" * 36, (Caveats("memory", "a", methods=("GET",), until=2**40 - 1).encode(),), bytes(32))
    assert (await store.ask("GET", f"/memory/a?link={other.encode()}")).status == 403


def test_links_that_ended_are_looked_up_or_rejected(tmp_path: Path) -> None:
    @linked()
    async def test(store: LinkedStore) -> None:
        link = await store.sign("/memory/a")
        (tmp_path / "data" / "ended").write_text("no folder")
        assert (await store.ask("GET", f"/memory/a?link={link}")).status == 503
        assert (await store.store.send("DELETE", f"/-/links/{'0' * 36}", headers=store.headers)).status == 503

    test(tmp_path)


@linked(sweep_interval_s=0.01)
async def test_the_sweeper_removes_what_ended_long_ago(store: LinkedStore) -> None:
    links = store.store.store._links
    assert links is not None
    link = await store.sign("/memory/a", ttl=5)
    id = SignedLink.parse(link).id
    await store.store.prepare("DELETE", f"/-/links/{id}", headers=store.headers)
    store.store.store.start()
    await asyncio.sleep(0.05)
    assert links.ended.has(id)
    store.store.clock.set_ns(store.store.clock() + (6 + KEPT_S) * 10**9)
    while links.ended.has(id):  # noqa: ASYNC110 - no event says so
        await asyncio.sleep(0.01)
