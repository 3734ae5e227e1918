"""The file of tokens, its functions in Python, and `docstore token`."""

import json
import re
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest

from docstore import SetupError, Token, Tokens
from docstore.server.security.rights import RIGHTS
from docstore.server.security.state_files import CHECK_INTERVAL_S
from tests.http_client import ask
from tests.server_process import RunningServer
from tests.stores import run

FORM = re.compile(r"dst_[0-9a-f]{10}_[0-9a-f]{48}")


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def test_a_token_is_shown_once_and_the_file_has_only_its_hash(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "data")
    made = tokens.create(rights=["read"], mount="docs", prefix="a/", max_document="1KiB", expires="90d", note="ci")
    assert FORM.fullmatch(made.text)
    secret = made.text.rpartition("_")[2]
    assert secret not in repr(made.token)
    assert secret not in tokens.path.read_text()
    assert stat.S_IMODE(tokens.path.stat().st_mode) == 0o600
    assert tokens.list() == [made.token]
    assert (made.token.mount, made.token.prefix, made.token.max_document, made.token.note) == ("docs", "a/", 1024, "ci")
    assert made.token.expires_ns == made.token.created_ns + 90 * 86400 * 10**9
    assert tokens.revoke(made.token.id) == made.token
    assert tokens.list() == []
    assert [path.name for path in sorted(tmp_path.rglob("*")) if path.is_file()] == ["tokens.json", "tokens.lock"]


@pytest.mark.parametrize("expires", [60, 60.0, "1m", timedelta(minutes=1)])
def test_an_expiry_has_the_forms_of_a_ttl(tmp_path: Path, expires: float | str | timedelta) -> None:
    token = Tokens(tmp_path).create(rights=["all"], expires=expires).token
    assert token.expires_ns == token.created_ns + 60 * 10**9
    assert token.is_administrator
    assert not token.is_expired(token.expires_ns - 1)
    assert token.is_expired(token.expires_ns)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rights": []}, "needs rights"),
        ({"rights": ["write"]}, "unknown right 'write'"),
        ({"rights": ["red"]}, "read"),
        ({"rights": ["read"], "prefix": "a"}, "needs a mount"),
        ({"rights": ["read"], "mount": "../docs"}, "mount name"),
        ({"rights": ["read"], "mount": "-"}, "reserved"),
        ({"rights": ["read"], "mount": ""}, "mount name"),
        *(
            ({"rights": ["read"], "mount": "docs", "prefix": prefix}, "no key begins with")
            for prefix in ("/a", "a//b", "../b", "a/../b", "./", "a\n", "a\x00b", "x" * 256 + "/", "\ud800")
        ),
        ({"rights": ["read"], "max_document": "large"}, "not a size"),
        ({"rights": ["read"], "max_document": -1}, "negative"),
        ({"rights": ["read"], "quota": -1}, "negative"),
        ({"rights": ["read"], "rate": "fast"}, "not a rate"),
        ({"rights": ["read"], "expires": "soon"}, "not a duration"),
        ({"rights": ["read"], "expires": 0}, "expire"),
        ({"rights": ["read"], "note": "a\nb"}, "one line"),
        ({"rights": ["read"], "note": "x" * 201}, "one line"),
    ],
)
def test_an_impossible_token_is_not_made(tmp_path: Path, options: dict, said: str) -> None:
    with pytest.raises(SetupError, match=re.escape(said)):
        Tokens(tmp_path).create(**options)
    assert Tokens(tmp_path).list() == []


@pytest.mark.parametrize("prefix", ["a", "a/", "a/b", ".", "..", "a/.", "x" * 255, "é", "a/" * 511 + "a"])
def test_a_prefix_is_the_beginning_of_a_key(tmp_path: Path, prefix: str) -> None:
    assert Tokens(tmp_path).create(rights=["read"], mount="docs", prefix=prefix).token.prefix == prefix


def test_many_processes_change_the_tokens_at_once_and_none_is_lost(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: Tokens(tmp_path).create(rights=["read"], note=str(n)), range(40)))
    assert {token.note for token in Tokens(tmp_path).list()} == {str(n) for n in range(40)}
    assert len({token.text for token in made}) == 40


def damaged_files(text: str) -> Iterator[str]:
    """Every beginning of the file, and files with one member that is wrong."""
    yield from (text[:size] for size in range(0, len(text) - 1, 7))
    document = json.loads(text)
    [token] = document["tokens"]
    for name in token:
        if name in ("id", "sha256", "created_ns", "rights"):
            yield json.dumps({**document, "tokens": [{key: token[key] for key in token if key != name}]})
        for wrong in (None, 1, True, "x", [], ["all", 1], {}, [[]]):
            if type(wrong) is not type(token[name]) or name in ("id", "sha256", "rights"):
                yield json.dumps({**document, "tokens": [{**token, name: wrong}]})
    yield json.dumps({**document, "tokens": [token, token]})
    yield json.dumps({**document, "tokens": [{**token, "admin": True}]})
    yield json.dumps({**document, "tokens": token})
    yield json.dumps({**document, "version": 2})
    yield json.dumps([document])
    yield "[" * 100_000
    yield "\xff"


def test_a_damaged_file_is_an_error_and_never_a_store_without_tokens(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    tokens.create(rights=["read"], mount="docs", prefix="a", max_document=9, expires=60, note="n")
    text = tokens.path.read_text()
    for damaged in damaged_files(text):
        tokens.path.write_bytes(damaged.encode("latin-1"))
        for use in (tokens.list, lambda: tokens.create(rights=["all"]), lambda: tokens.revoke("0" * 10)):
            with pytest.raises(SetupError, match=r"tokens\.json is damaged"):
                use()
        assert tokens.path.read_bytes() == damaged.encode("latin-1")


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "tokens.json").mkdir()
    with pytest.raises(SetupError, match=r"tokens\.json"):
        Tokens(tmp_path).list()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SetupError, match="file"):
        Tokens(tmp_path / "file").create(rights=["all"])


def test_the_command_makes_lists_and_revokes_tokens(tmp_path: Path) -> None:
    data = tmp_path / "data"
    words = ["--mount", "docs", "--prefix", "r-", "--rights", "read, list", "--expires", "90d", "--note", "c i"]
    made = run("token", "create", "--data", data, *words, "--max-document", "10MiB")
    assert (made.status, FORM.fullmatch(made.out.rstrip("\n")) is not None) == (0, True)
    id, secret = made.out.strip().split("_")[1:]
    assert secret not in made.err
    line = f"{id}  read,list  /docs/r-  documents of at most 10 MiB  expires in 2 mo  c i"
    assert run("token", "list", "--data", data).out.rstrip("\n") == line
    [listed] = json.loads(run("token", "list", "--data", data, "--json").out)["tokens"]
    assert listed["rights"] == ["read", "list"]
    assert secret not in str(listed)
    assert run("token", "revoke", "--data", data, id).err == f"revoked: {line}\n"
    assert run("token", "list", "--data", data).out == ""
    unknown = run("token", "revoke", "--data", data, id)
    assert (unknown.status, unknown.err) == (2, f"docstore: there is no token {id!r}: the store has no tokens\n")
    assert run("token", "create", "--data", data, "--rights", "al").status == 2
    assert run("token", "create", "--data", data).status == 2


def check_status(server: RunningServer, headers: dict[str, str], status: int) -> None:
    """Require that reads have the status, whatever worker gets them, once each has looked at the file."""
    time.sleep(CHECK_INTERVAL_S)
    for _ in range(10):
        assert ask(server, "GET", "/docs/?format=text", None, headers).status == status


def test_all_workers_take_up_new_and_revoked_tokens_and_a_damaged_file_closes_the_store(tmp_path: Path) -> None:
    data = tmp_path / "data"
    mount = f"--mount=docs=sqlite:{tmp_path}/docs.db"
    with RunningServer(data, "--auth", "tokens", "--workers", "2", mount) as server:
        answer = ask(server, "GET", "/docs/")
        assert (answer.status, b"'docstore token create' makes one" in answer.content) == (401, True)
        tokens = Tokens(data)
        made, other = tokens.create(rights=["list"]), tokens.create(rights=["list"])
        check_status(server, bearer(made.text), 200)
        tokens.revoke(made.token.id)
        check_status(server, bearer(made.text), 401)
        check_status(server, bearer(other.text), 200)
        whole = tokens.path.read_bytes()
        tokens.path.write_bytes(whole[:-40])
        check_status(server, bearer(other.text), 503)
        assert ask(server, "GET", "/docs/").status == 503
        assert ask(server, "GET", "/-/health").status == 200
        tokens.path.write_bytes(whole)
        check_status(server, bearer(other.text), 200)
        tokens.path.unlink()
        check_status(server, bearer(other.text), 401)
        assert server.stop() == 0  # then all of its log is read
        assert sum("tokens.json can't be read" in line for line in server.errors) in (1, 2)
        server.errors[:] = [line for line in server.errors if "tokens.json can't be read" not in line]


def test_a_server_does_not_start_with_damaged_tokens(tmp_path: Path) -> None:
    (tmp_path / "tokens.json").write_text("{")
    result = run("serve", "--auth", "tokens", "--data", tmp_path, "--port", "0")
    assert (result.status, "tokens.json is damaged" in result.err) == (2, True)


def test_every_member_of_a_token_has_a_name_in_the_list(tmp_path: Path) -> None:
    Tokens(tmp_path).create(
        rights=RIGHTS, mount="docs", prefix="a", max_document=1, quota=2, rate="1/s", expires=9, note="n"
    )
    [listed] = json.loads(run("token", "list", "--data", tmp_path, "--json").out)["tokens"]
    names = {field.name.removesuffix("_ns") for field in fields(Token)}
    assert listed.keys() == names - {"sha256"}
