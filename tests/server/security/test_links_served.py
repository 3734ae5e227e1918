"""Signed links with a real server of two workers: the command, the library, races, and what the logs say."""

import asyncio
import json
import re
import shlex
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from docstore import (
    AsyncClient,
    Client,
    InvalidKey,
    NotFound,
    RequestError,
    SharedLink,
    Tokens,
    narrow_link,
)
from docstore.client.narrowing import link_id
from docstore.links import InvalidLink, SignedLink
from docstore.server.security.state_files import CHECK_INTERVAL_S
from tests.http_client import Answer, ask
from tests.server_process import RunningServer
from tests.stores import run

GUIDE = Path(__file__).parents[3] / "docs" / "links.md"


@dataclass
class Signer:
    """A client with a token, and its server."""

    server: RunningServer
    docs: Client
    token: str
    other: str
    """A token that may only read."""

    def ask(self, method: str, url: str, content: bytes | None = None, **headers: str) -> Answer:
        """Send a request by a link, without a token."""
        parts = urlsplit(url)
        return ask(self.server, method, f"{parts.path}?{parts.query}", content, headers)


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signer]:
    folder = tmp_path_factory.mktemp("links")
    made = Tokens(folder / "data").create(rights=["all"])
    other = Tokens(folder / "data").create(rights=["read"])
    words = ("--auth", "tokens", "--workers", "2")
    mounts = [f"--mount={name}=sqlite:{folder}/{name.replace('/', '-')}.db" for name in ("docs", "cache/ac")]
    with RunningServer(folder / "data", *words, *mounts) as server:
        headers = {"Authorization": f"Bearer {made.text}"}
        with Client(f"{server.url}/docs/", headers=headers) as docs:
            yield Signer(server, docs, made.text, other.text)


@pytest.fixture
def url(signer: Signer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The server's URL with the token, which is also DOCSTORE_URL."""
    url = signer.server.url.replace("://", f"://any:{signer.token}@")
    monkeypatch.setenv("DOCSTORE_URL", f"{url}/")
    return url


def test_of_racing_uses_over_two_workers_one_succeeds(signer: Signer) -> None:
    with ThreadPoolExecutor(8) as pool:
        for number in range(10):
            link = signer.docs.sign(f"race-{number}", methods=["PUT"], once=True)
            asked = pool.map(lambda n, link=link: signer.ask("PUT", link.url, b"%d" % n), range(8))
            statuses = sorted(answer.status for answer in asked)
            assert statuses == [201] + [403] * 7
            assert signer.ask("PUT", link.url, b"again").status == 403


def test_all_workers_know_a_new_link_at_once_and_a_revoked_one_within_a_second(signer: Signer) -> None:
    signer.docs["both"] = b"1"
    links = [signer.docs.sign("both") for _ in range(5)]
    for link in links:
        assert [signer.ask("GET", link.url).status for _ in range(10)] == [200] * 10
        signer.docs.revoke_link(link.url)
    time.sleep(CHECK_INTERVAL_S)
    for link in links:
        assert [signer.ask("GET", link.url).status for _ in range(10)] == [403] * 10


def test_the_library_signs_narrows_and_revokes(signer: Signer) -> None:
    signer.docs["é/a b"] = b"1"
    link = signer.docs.sign("é/a b", expires="10m", methods=["GET", "PUT"], max_document=4, types=["text/csv"])
    assert isinstance(link, SharedLink)
    left = link.expires - datetime.now(UTC)
    assert timedelta(minutes=9) < left <= timedelta(minutes=10)
    assert link.url.startswith(f"{signer.server.url}/docs/%C3%A9/a%20b?link=dsl_")
    assert link.url not in repr(link)
    assert link_id(link.url) == link_id(link.id) == link.id
    assert signer.ask("GET", link.url).content == b"1"
    assert signer.ask("PUT", link.url, b"2", **{"Content-Type": "text/csv"}).status == 200
    assert signer.ask("PUT", link.url, b"2").status == 415
    reading = narrow_link(link.url, methods=["GET"], expires=60)
    assert signer.ask("GET", reading).status == 200
    assert signer.ask("PUT", reading, b"2", **{"Content-Type": "text/csv"}).status == 403
    signer.docs.revoke_link(link.id)
    time.sleep(CHECK_INTERVAL_S)
    assert [signer.ask("GET", each).status for each in (link.url, reading)] == [403, 403]


def test_a_link_for_a_prefix_is_narrowed_to_a_key_of_it(signer: Signer) -> None:
    for key in ("box/a", "box/b/c", "boxes"):
        signer.docs[key] = key.encode()
    folder = signer.docs.sign("box/", prefix=True, methods=["GET", "LIST"])
    text = signer.docs.sign("bo", prefix=True)
    one = narrow_link(folder.url, key="box/a")
    assert urlsplit(one).path == "/docs/box/a"
    assert signer.ask("GET", one).content == b"box/a"
    assert signer.ask("GET", one.replace("/box/a", "/box/b/c")).status == 404
    assert urlsplit(narrow_link(one, once=True)).path == "/docs/box/a"
    below = narrow_link(text.url, prefix="box/b/")
    assert signer.ask("GET", below.replace("/box/b/?", "/box/b/c?")).content == b"box/b/c"
    assert signer.ask("GET", below.replace("/box/b/?", "/boxes?")).status == 404
    whole = signer.docs.sign("", prefix=True)
    behind_proxy = whole.url.replace("/docs/?", "/docs/docs/?")
    assert urlsplit(narrow_link(behind_proxy, key="box/a")).path == "/docs/docs/box/a"
    assert signer.ask("GET", whole.url.replace("/docs/?", "/docs/boxes?")).content == b"boxes"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"key": "other"}, "does not allow this"),
        ({"prefix": "other/"}, "does not allow this"),
        ({"methods": ["PUT"]}, "does not allow this"),
        ({"methods": ["get"]}, "unknown method 'get'"),
        ({"methods": []}, "methods"),
        ({"types": ["csv"]}, "types"),
        ({"max_document": -1}, "too small"),
    ],
)
def test_a_link_that_would_allow_nothing_is_not_made(signer: Signer, options: dict, said: str) -> None:
    link = signer.docs.sign("box/", prefix=True)
    with pytest.raises(InvalidLink, match=said):
        narrow_link(link.url, **options)


@pytest.mark.parametrize("url", ["", "x", "http://h/docs/a", "http://h/docs/a?link=x", "http://h/a?link={0}&link={0}"])
def test_a_url_without_a_link_cannot_be_narrowed(signer: Signer, url: str) -> None:
    link = signer.docs.sign("a").url.partition("link=")[2]
    with pytest.raises(ValueError, match="link"):
        narrow_link(url.format(link), expires=60)
    with pytest.raises(InvalidLink, match="not that of the link"):
        narrow_link(f"http://h/other/a?link={link}", key="a")


def test_a_mistake_is_an_error_of_the_library(signer: Signer) -> None:
    for options, error in (
        ({"methods": ["HEAD"]}, RequestError),
        ({"methods": ["LIST"]}, RequestError),
        ({"expires": 10**9}, RequestError),
        ({"expires": "soon"}, ValueError),
        ({"expires": 0.5}, ValueError),
    ):
        with pytest.raises(error):
            signer.docs.sign("a", **options)
    for key, prefix in (("", False), ("../other/a", False), ("../other/", True), ("a//", True), ("./a", True)):
        with pytest.raises(InvalidKey):
            signer.docs.sign(key, prefix=prefix)
    for prefix in ("..", ".", "a/.."):
        assert SignedLink.parse(signer.docs.sign(prefix, prefix=True).url.partition("=")[2]).grant().prefix == prefix
    signer.docs["both"] = b"1"
    for id in ("../../docs/both", "", "0" * 35, "..", "0" * 36 + "/"):
        with pytest.raises(InvalidLink, match="neither"):
            signer.docs.revoke_link(id)
    assert "both" in signer.docs
    headers, id = {"Authorization": f"Bearer {signer.other}"}, signer.docs.sign("both").id
    with Client(f"{signer.server.url}/docs/", headers=headers) as other, pytest.raises(RequestError, match="another"):
        other.revoke_link(id)
    with Client(f"{signer.server.url}/docs/") as nobody, pytest.raises(RequestError, match="token"):
        nobody.sign("a")
    with Client("memory:") as local, pytest.raises(NotFound, match="no tokens"):
        local.sign("a")


def test_the_asynchronous_client_signs_and_revokes(signer: Signer) -> None:
    async def signs() -> None:
        headers = {"Authorization": f"Bearer {signer.token}"}
        async with AsyncClient(f"{signer.server.url}/docs/", headers=headers) as docs:
            await docs.put("later", b"1")
            link = await docs.sign("later")
            assert signer.ask("GET", link.url).content == b"1"
            await docs.revoke_link(link.url)
            await asyncio.sleep(CHECK_INTERVAL_S)
            assert signer.ask("GET", link.url).status == 403

    asyncio.run(signs())


def test_the_command_signs_narrows_and_revokes(signer: Signer, url: str) -> None:
    assert run("put", "docs/report", data=b"content").status == 0
    made = run(
        *("sign", "docs/report", "--for", "2h", "--methods", "get,put", "--max-document", "10MiB"),
        *("--type", "text/csv", "--type", "image/*", "--once"),
    )
    assert made.status == 0, made
    [line] = made.out.splitlines()
    assert line.startswith(f"{signer.server.url}/docs/report?link=dsl_")
    [notice] = made.err.splitlines()
    assert re.fullmatch(r"[0-9a-f]{36}  until \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", notice)
    assert "dsl_" not in notice
    grant = SignedLink.parse(line.partition("link=")[2]).grant()
    assert (grant.mount, grant.prefix, grant.is_key, grant.methods) == ("docs", "report", True, {"GET", "PUT"})
    assert (grant.max_document, grant.types, grant.once) == (10 * 1024**2, (("text/csv", "image/*"),), 0)
    assert 7100 < grant.until - time.time() <= 7200
    narrowed = run("sign", "--narrow", line, "--for", "10m", "--methods", "GET")
    assert narrowed.status == 0, narrowed
    assert signer.ask("GET", narrowed.out.strip()).content == b"content"
    again = run("sign", "docs/report").out.strip()
    revoked = run("sign", "--revoke", again)
    assert (revoked.status, revoked.out) == (0, "")
    assert signer.ask("GET", again).status == 403


def test_the_command_signs_for_folders_prefixes_and_mounts(signer: Signer, url: str) -> None:
    for address, key in (("docs/in/a", "in/a"), ("cache/ac/in/a", "in/a")):
        assert run("put", address, data=key.encode()).status == 0
    for words, mount, prefix in (
        (["docs/"], "docs", ""),
        (["docs/in/"], "docs", "in/"),
        (["docs/i", "--prefix"], "docs", "i"),
        (["cache/ac/"], "cache/ac", ""),
        (["cache/ac/in/"], "cache/ac", "in/"),
        (["cache/ac/i", "--prefix"], "cache/ac", "i"),
    ):
        made = run("sign", *words, "--methods", "GET,LIST")
        assert made.status == 0, made
        link = made.out.strip()
        grant = SignedLink.parse(link.partition("link=")[2]).grant()
        assert (grant.mount, grant.prefix, grant.is_key) == (mount, prefix, False)
        one = run("sign", "--narrow", link, "--key", "in/a").out.strip()
        assert signer.ask("GET", one).content == b"in/a"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ([], 2, "one of ADDRESS, --narrow and --revoke"),
        (["docs/a", "--narrow", "x"], 2, "one of ADDRESS, --narrow and --revoke"),
        (["--narrow", "x", "--revoke", "x"], 2, "one of ADDRESS, --narrow and --revoke"),
        (["docs"], 2, "whole collection"),
        (["docs/a", "--key", "b"], 2, "--key is for --narrow"),
        (["--narrow", "http://h/docs/a?link=x", "--prefix"], 2, "--prefix is for ADDRESS"),
        (["docs/a", "--for", "soon"], 2, "not a duration"),
        (["docs/a", "--for", "2y"], 2, "ttl"),
        (["docs/a", "--methods", "HEAD"], 2, "unknown method 'HEAD'"),
        (["docs/a", "--methods", "LIST"], 2, "only a prefix"),
        (["docs/a", "--type", "csv"], 2, "types"),
        (["none/a"], 1, "no such mount"),
        (["--narrow", "http://h/docs/a"], 2, "no signed link"),
        (["--revoke", "x", "--once"], 2, "--revoke ends a link"),
        (["--revoke", "x", "--methods", "GET"], 2, "--revoke ends a link"),
        (["--revoke", "x"], 2, "neither the URL of a signed link nor its id"),
        (["--revoke", "http://127.0.0.1/?link=x"], 2, "a link looks like"),
    ],
)
def test_a_mistake_is_one_line_and_a_status(url: str, words: list[str], status: int, said: str) -> None:
    result = run("sign", *words)
    assert (result.status, result.out) == (status, "")
    assert said in result.err


def test_a_link_is_revoked_at_the_server_of_its_url(signer: Signer, monkeypatch: pytest.MonkeyPatch) -> None:
    signer.docs["a"] = b"1"
    link = signer.docs.sign("a")
    monkeypatch.delenv("DOCSTORE_URL", raising=False)
    header = ("--header", f"Authorization: Bearer {signer.token}")
    assert run("sign", "--revoke", link.url, *header).status == 0
    assert signer.ask("GET", link.url).status == 403
    other = signer.docs.sign("a")
    assert run("sign", f"{signer.server.url}/docs/", "--revoke", other.id, *header).status == 0
    assert signer.ask("GET", other.url).status == 403


def test_no_log_has_a_link_and_the_audit_log_says_who_made_it(tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    made = Tokens(tmp_path / "data").create(rights=["all"])
    words = ("--auth", "tokens", "--audit", str(audit), "--mount=docs=memory:")
    with RunningServer(tmp_path / "data", *words) as server:
        with Client(f"{server.url}/docs/", headers={"Authorization": f"Bearer {made.text}"}) as docs:
            docs["a"] = b"1"
            link = docs.sign("a")
            used, revoked = docs.sign("a", once=True), docs.sign("a")
            docs.revoke_link(revoked.url)
        for ended, status in ((used, 200), (used, 403), (revoked, 403)):
            assert ask(server, "GET", ended.url.removeprefix(server.url)).status == status
        text = link.url.partition("link=")[2]
        escaped = "".join(f"%{ord(character):02x}" for character in text)
        for target in (
            f"/docs/a?link={text}",
            f"/docs/b?link={text}",
            f"/docs/a?link={text}&link={text}",
            f"/docs/a?LINK={text}",
            f"/docs/a?%6cink={text}",
            f"/docs/a?link={escaped}",
            f"/docs/a?link%3d{text}",
            f"/docs/{text}",
            f"/{text}/a",
            f"/docs?link={text}",
            f"/docs/%?link={text}",
            f"/-/links?link={text}",
            f"/-/health?link={text}",
        ):
            for method in ("GET", "PUT", "OPTIONS", "BREW"):
                assert ask(server, method, target, b"1" if method == "PUT" else None).status < 502
        assert server.stop() == 0
    digits = text[8:]
    for log in (audit.read_text(), "".join(server.errors)):
        assert log
        assert digits not in log
        assert digits not in re.sub("%([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), log)
        assert "dsl_" not in log.replace("dsl_...", "")
    entries = [json.loads(line) for line in audit.read_text().splitlines()]
    by_link = [each for each in entries if "link" in each]
    assert {(each["token"], each["link"], each["path"]) for each in by_link} >= {(made.token.id, link.id, "/docs/a")}
    assert all(each["token"] == made.token.id for each in by_link)
    statuses = [(each["link"], each["status"]) for each in by_link[:3]]
    assert statuses == [(used.id, 200), (used.id, 403), (revoked.id, 403)]


def test_a_token_that_ends_ends_its_links_in_all_workers(signer: Signer) -> None:
    made = Tokens(signer.server.data).create(rights=["read"], mount="docs")
    time.sleep(CHECK_INTERVAL_S)
    headers = {"Authorization": f"Bearer {made.text}"}
    signer.docs["a"] = b"1"
    with Client(f"{signer.server.url}/docs/", headers=headers) as docs:
        link = docs.sign("a")
    assert [signer.ask("GET", link.url).status for _ in range(5)] == [200] * 5
    Tokens(signer.server.data).revoke(made.token.id)
    time.sleep(CHECK_INTERVAL_S)
    assert [signer.ask("GET", link.url).status for _ in range(10)] == [403] * 10


def test_the_examples_of_the_help_and_of_the_guide_work(signer: Signer, url: str) -> None:
    example = re.search(r"Examples:\s+(.*)", run("sign", "--help").out, re.DOTALL)
    assert example is not None
    folder_link, printed = "", ""
    for line in example[1].strip().splitlines():
        words = shlex.split(line.replace("http://127.0.0.1:8080/docs/inbox/?link=dsl_...", folder_link))
        result = run(*words[1:])
        assert result.status == 0, (line, result)
        printed = result.out.strip()
        folder_link = printed if "inbox" in line else folder_link
    assert signer.ask("PUT", printed, b"1", **{"Content-Type": "text/csv"}).status == 201
    [block] = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    names: dict = {}
    exec(compile(block, "links.md", "exec"), names)
    assert signer.ask("PUT", names["share"](signer.docs), b"2", **{"Content-Type": "text/csv"}).status == 200
