"""Who is let in: credentials, what they look like, and attempts to get in without them."""

import asyncio
import base64
import hmac
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docstore.http.message import Headers
from docstore.server.security import access
from docstore.server.security.access import parse_credentials
from docstore.server.security.tokens import TOKEN_PATTERN, Tokens
from tests.http_client import Client, send_raw
from tests.in_process import InProcess, NeverRead, opened
from tests.server_process import RunningServer
from tests.stores import run

CHALLENGES = ['Bearer realm="docstore"', 'Basic realm="docstore", charset="UTF-8"']
METHODS = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "POST", "OPTIONS", "TRACE", "PROPFIND"]


def on_a_store(
    folder: Path, test: Callable[[InProcess, Tokens], Awaitable[None]], *mounts: str, **options: object
) -> None:
    """Run `test` on a store that asks for tokens."""

    async def opens() -> None:
        tokens = Tokens(folder / "data")
        async with opened(folder, mounts or ["memory"], **{"anonymous": None, **options}, tokens=tokens) as store:
            await test(store, tokens)

    asyncio.run(opens())


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


def accepted(text: str) -> list[str]:
    """The values of Authorization with which a token is valid."""
    bearers = [f"Bearer {text}", f"bearer  {text}", f"BEARER {text}"]
    return [*bearers, basic("", text), basic("any", text), basic("é", text), basic("x", text).replace("Ba", "bA", 1)]


def rejected(text: str) -> list[str]:
    """Values that look like it."""
    id, secret = text.split("_")[1:]
    other = ("0" if secret[0] != "0" else "1") + secret[1:]
    bearers = (
        *("", "x", text + "x", text[:-1], text.upper(), f"dst_{id}_", f"dst_{id}_{other}", f"dst_{'0' * 10}_{secret}"),
        *(f"dst__{secret}", f"{id}_{secret}", f"{text}, Bearer {text}", f"{text} {text}", "a" * 60_000),
    )
    whole = (text, f"Bearer{text}", f"Digest {text}", f"Token {text}", f"Basic {text}", "Basic \xff\xfe", "Basic")
    passwords = (basic(text, ""), basic("user", text + "\n"), basic("user", "\x00" + text), basic("", text) + "!")
    encoded = (base64.b64encode(data).decode() for data in (text.encode(), b"\xff:" + text.encode()))
    return [*(f"Bearer {value}" for value in bearers), *whole, *passwords, *(f"Basic {value}" for value in encoded)]


@pytest.mark.parametrize("method", METHODS)
def test_only_a_whole_and_valid_token_is_accepted(tmp_path: Path, method: str) -> None:
    async def test(store: InProcess, tokens: Tokens) -> None:
        text = tokens.create(rights=["all"]).text
        for value in rejected(text):
            for path in ("/memory/key", "/memory/", "/", "/-/ready", "/nowhere/key", "/-/no", "/memory"):
                reply = await store.send(method, path, NeverRead(9), {"authorization": value})
                assert (reply.status, reply.all("www-authenticate")) == (401, CHALLENGES)
                assert text not in str(reply)
        for value in accepted(text):
            assert (await store.send(method, "/memory/key", b"{}", {"authorization": value})).status != 401

    on_a_store(tmp_path, test)


def test_two_authorizations_are_no_credentials() -> None:
    line = (b"authorization", f"Bearer dst_{'0' * 10}_{'0' * 48}".encode())
    one, two = parse_credentials(Headers([line])), parse_credentials(Headers([line, line]))
    assert one is not None
    assert two is not None
    assert (one.id, two.id, parse_credentials(Headers([]))) == ("0" * 10, "", None)


@given(value=st.one_of(st.binary(max_size=90), st.from_regex(rb"(Bearer|Basic) [!-~]{0,90}", fullmatch=True)))
def test_no_value_of_authorization_raises_or_is_a_token_by_accident(value: bytes) -> None:
    credentials = parse_credentials(Headers([(b"authorization", value)]))
    assert credentials is not None
    assert (credentials.id, credentials.sha256) == ("", "") or TOKEN_PATTERN.search(value.decode("latin-1"))


def test_secrets_are_compared_in_constant_time_for_known_and_unknown_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[str, str]] = []

    def compare(first: str, second: str) -> bool:
        compared.append((first, second))
        return hmac.compare_digest(first, second)

    async def test(store: InProcess, tokens: Tokens) -> None:
        made = tokens.create(rights=["list"])
        other = made.text[:-1] + ("0" if made.text[-1] != "0" else "1")
        for text, status in ((made.text, 200), (other, 401), (f"dst_{'0' * 10}_{'0' * 48}", 401)):
            assert (await store.send("GET", "/memory/", headers=bearer(text))).status == status
        assert [second for _, second in compared] == [made.token.sha256, made.token.sha256, "0" * 64]
        assert all(len(first) == 64 for first, _ in compared)

    monkeypatch.setattr(access, "hmac", SimpleNamespace(compare_digest=compare))
    on_a_store(tmp_path, test)


def test_an_expired_token_is_rejected_from_that_instant_whatever_the_clock_says_before(tmp_path: Path) -> None:
    async def test(store: InProcess, tokens: Tokens) -> None:
        made = tokens.create(rights=["list"], expires="1h")
        for moment_ns, status in (
            (0, 200),
            (made.token.expires_ns - 1, 200),
            (made.token.expires_ns, 401),
            (made.token.expires_ns + 10**18, 401),
        ):
            store.clock.set_ns(moment_ns)
            assert (await store.send("GET", "/memory/", headers=bearer(made.text))).status == status

    on_a_store(tmp_path, test)


def test_everybody_reads_with_anonymous_read_and_tokens_add_to_it(tmp_path: Path) -> None:
    async def test(store: InProcess, tokens: Tokens) -> None:
        token = bearer(tokens.create(rights=["create"], mount="memory", prefix="a").text)
        for headers in ({}, token):
            assert (await store.send("GET", "/memory/", headers=headers)).status == 200
            assert (await store.send("GET", "/", headers={**headers, "accept": "text/plain"})).content == b"/memory/\n"
        assert (await store.send("PUT", "/memory/a", NeverRead(1))).status == 401
        assert (await store.send("PUT", "/memory/a", b"1", token)).status == 201
        assert (await store.send("GET", "/memory/a")).content == b"1"
        assert (await store.send("PUT", "/memory/a", NeverRead(1), token)).status == 403
        assert (await store.send("PUT", "/memory/b", NeverRead(1), token)).status == 403
        # Wrong credentials are an error, also where none are needed.
        assert (await store.send("GET", "/memory/a", headers=bearer("dst_00_00"))).status == 401

    on_a_store(tmp_path, test, anonymous="read")


ENCODED = ["/memory/in/%2e%2e/out/key", "/memory/in/..%2fout/key", "/memory/in%2f../out/key", "/memory/./out/key"]


@pytest.mark.parametrize(
    "path",
    [
        *("/memory/out/key", "/memory/in/../out/key", "/memory//in/key", "/memory/out%2Fkey", "/memory/%6f%75%74/key"),
        *("/memory/in%00/../out/key", "/memory/In/key", "/memory/in", "/memory/in%2", "/memory/%c0%afin/key"),
        *("/memory/in%252f..%252fout/key", "/-/../memory/out/key", "/-/web/../../memory/out/key", "//memory/out/key"),
        *("/-/health/../../memory/out/key", "/other/../memory/out/key", "/memory/%69n%C3%A9/../out/key", *ENCODED),
    ],
)
def test_no_spelling_of_a_path_leads_out_of_the_prefix(tmp_path: Path, path: str) -> None:
    async def test(store: InProcess, tokens: Tokens) -> None:
        admin = bearer(tokens.create(rights=["all"]).text)
        token = bearer(tokens.create(rights=["all"], mount="memory", prefix="in/").text)
        for key in ("in", "in/key", "out/key", "In/key", "in%2f..%2fout/key"):
            await store.prepare("PUT", f"/memory/{key.replace('%', '%25')}", b"secret", admin)
        before = (await store.send("GET", "/memory/?format=json", headers=admin)).content
        for method in ("GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"):
            reply = await store.send(method, path, b"{}", token)
            assert (400 <= reply.status < 500, b"secret" in reply.content) == (True, False)
        assert (await store.send("GET", "/memory/?format=json", headers=admin)).content == before

    on_a_store(tmp_path, test)


def test_the_same_key_in_another_spelling_has_the_same_rights(tmp_path: Path) -> None:
    async def test(store: InProcess, tokens: Tokens) -> None:
        token = bearer(tokens.create(rights=["all"], mount="memory", prefix="in/é").text)
        for path in ("/memory/in/%C3%A9", "/memory/%69n/%c3%a9", "/memory/x/../in/%C3%A9", "/memory/in%2F%C3%A9"):
            assert (await store.send("PUT", path, b"1", token)).status in (200, 201)
        for path in ("/memory/in/e%CC%81", "/memory/in/%E9"):  # another key, and none
            assert (await store.send("PUT", path, NeverRead(1), token)).status in (400, 403)

    on_a_store(tmp_path, test)


def test_a_mount_within_another_has_rights_of_its_own(tmp_path: Path) -> None:
    with RunningServer(
        tmp_path, "--auth", "tokens", "--mount=cache=memory:", "--mount=cache/ac=memory:"
    ) as server, Client(server) as client:  # fmt: skip
        tokens = Tokens(tmp_path)
        outer, inner, admin = (
            bearer(tokens.create(rights=["all"], mount=mount).text) for mount in ("cache", "cache/ac", None)
        )
        while client.ask("PUT", "/cache/ac/key", b"1", admin).status == 401:
            pass  # within a second
        assert client.ask("GET", "/cache/ac/key", None, inner).content == b"1"
        assert client.ask("GET", "/cache/key", None, inner).status == 404
        for path in ("/cache/ac/key", "/cache/ac", "/cache/ac/"):
            assert client.ask("GET", path, None, outer).status == 404
        assert client.ask("PUT", "/cache/ac/key", b"2", outer).status == 403
        assert client.ask("GET", "/cache/", None, {"Accept": "text/plain", **outer}).content == b""


def test_the_limit_of_a_token_on_documents_is_checked_before_the_body(tmp_path: Path) -> None:
    async def test(store: InProcess, tokens: Tokens) -> None:
        token = bearer(tokens.create(rights=["all"], max_document=10).text)
        assert (await store.send("PUT", "/memory/a", b"1" * 10, token)).status == 201
        reply = await store.send("PUT", "/memory/a", NeverRead(11), token)
        assert (reply.status, reply.content) == (413, b"content too large: a document here is at most 10 bytes\n")
        assert (await store.send("PATCH", "/memory/a", b"1" * 10, token)).status == 415

    on_a_store(tmp_path, test)


def test_without_rights_a_client_that_waits_for_100_gets_the_answer_instead(tmp_path: Path) -> None:
    with RunningServer(tmp_path / "data", "--auth", "tokens", "--mount=docs=memory:") as server:
        head = b"PUT /docs/key HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
        assert send_raw(server, head).startswith(b"HTTP/1.1 401 ")


def test_a_host_beyond_loopback_asks_for_tokens_unless_it_is_open_by_name(tmp_path: Path) -> None:
    for arguments, statuses in (
        ((), (401, 401)),
        (("--anonymous", "read"), (200, 401)),
        (("--anonymous", "write"), (200, 201)),
        (("--auth", "open"), (200, 201)),
        (("--auth", "open", "--anonymous", "read"), (200, 403)),
    ):
        words = ("--host", "0.0.0.0", "--mount=docs=memory:", *arguments)
        with RunningServer(tmp_path / "data", *words) as server, Client(server) as client:
            answers = client.ask("GET", "/docs/"), client.ask("PUT", "/docs/key", b"1")
            assert tuple(answer.status for answer in answers) == statuses
            assert client.ask("GET", "/-/health").status == 200


def test_a_preflight_needs_no_token_and_its_answers_can_be_read(tmp_path: Path) -> None:
    async def test(store: InProcess, tokens: Tokens) -> None:
        page = {"origin": "https://app.example"}
        preflight = await store.send("OPTIONS", "/memory/a", headers={**page, "access-control-request-method": "PUT"})
        assert (preflight.status, preflight["access-control-allow-origin"]) == (204, "https://app.example")
        rejected = await store.send("PUT", "/memory/a", NeverRead(1), page)
        assert (rejected.status, rejected["access-control-allow-origin"]) == (401, "https://app.example")
        other = {"origin": "https://else.example", "access-control-request-method": "PUT"}
        assert (await store.send("OPTIONS", "/memory/a", headers=other)).status == 401

    on_a_store(tmp_path, test, cors=("https://app.example",))


def test_failed_attempts_take_no_memory_and_lock_nobody_out(tmp_path: Path) -> None:
    async def test(store: InProcess, tokens: Tokens) -> None:
        token = bearer(tokens.create(rights=["list"]).text)

        async def fail(count: int) -> int:
            for number in range(count):
                wrong = bearer(f"dst_{number:010x}_{number:048x}")
                assert (await store.send("GET", "/memory/", headers=wrong)).status == 401
            return tracemalloc.get_traced_memory()[0]

        tracemalloc.start()
        try:
            before = await fail(500)
            assert await fail(2000) - before < 256 * 1024
        finally:
            tracemalloc.stop()
        assert (await store.send("GET", "/memory/", headers=token)).status == 200

    on_a_store(tmp_path, test)


def test_no_secret_and_no_forged_line_is_in_the_log(tmp_path: Path) -> None:
    with RunningServer(tmp_path / "data", "--auth", "tokens", "--log-level", "debug", "--mount=docs=memory:") as server:
        made = Tokens(tmp_path / "data").create(rights=["all"], note="n")
        with Client(server) as client:
            for value in (*accepted(made.text), *rejected(made.text)):
                if value.isascii() and len(value) < 1000:
                    answer = client.ask(
                        "GET", "/docs/%0d%0a2026-01-01T00:00:00Z%20I%20forged", None, {"Authorization": value}
                    )
                    assert answer.status in (400, 401)
            assert client.ask("PUT", "/docs/x", b"{", {**bearer(made.text), "Content-Type": "x/\xe9"}).status == 400
        assert server.stop() == 0
        id, secret = made.text.split("_")[1:]
        text = "".join(server.errors)
        assert (secret in text, basic("", made.text)[8:] in text, "dst_" in text) == (False, False, False)
        assert not any(line.endswith("forged\n") or "I forged" in line for line in server.errors)
        assert id not in text


def test_open_stores_ignore_credentials_as_before(tmp_path: Path) -> None:
    with RunningServer(tmp_path / "data", "--mount=docs=memory:") as server, Client(server) as client:
        assert client.ask("PUT", "/docs/a", b"1", {"Authorization": "Basic x"}).status == 201


def test_the_commands_send_a_token_as_the_password_of_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    text = Tokens(data).create(rights=["create", "read"], mount="docs").text
    with RunningServer(data, "--auth", "tokens", "--mount=docs=memory:") as server:
        monkeypatch.setenv("DOCSTORE_URL", server.url.replace("://", f"://me:{text}@"))
        assert run("put", "docs/a", data=b"1").status == 0
        assert run("get", "docs/a").data == b"1"
        again = run("put", "docs/a", data=b"2")
        assert (again.status, "lacks the right: replace" in again.err, text in again.err) == (3, True, False)
        monkeypatch.setenv("DOCSTORE_URL", server.url)
        unknown = run("get", "docs/a")
        assert (unknown.status, "unauthorized" in unknown.err) == (3, True)
