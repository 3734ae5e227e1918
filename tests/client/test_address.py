"""Addresses: each key has its own path, invalid URLs are rejected, secrets are never shown."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import docstore
from docstore import AsyncClient, Client, InvalidKey, NotFound, SetupError
from docstore.client.address import CollectionAddress
from docstore.keys import check_path
from tests.server_process import RunningServer

BOTH = pytest.mark.parametrize("url", ["http-docs", "inside-memory"], indirect=True)


@BOTH
@pytest.mark.parametrize("key", ["", "/", "a//b", "..", "a/../b", "./a", "a/", "\n", "é" * 600, "\ud800", "x" * 256])
def test_a_key_that_no_store_accepts_is_never_sent(docs: Client, key: str) -> None:
    """Its path might be that of another document, or of another collection."""
    for operation in (docs.get, docs.info, docs.delete, docs.contains, lambda key: docs.put(key, b"")):
        with pytest.raises(InvalidKey):
            operation(key)
    with pytest.raises(TypeError):
        docs.get(5)


def test_the_store_rejects_a_key_that_breaks_its_rule(server: RunningServer) -> None:
    with docstore.open("memory:?keys=name") as docs, pytest.raises(InvalidKey, match="keys=name") as caught:
        docs["a/b"] = b""
    assert caught.value.problem is not None
    assert caught.value.problem.status == 400


@pytest.mark.parametrize("ask", [lambda docs: docs["a b"], lambda docs: "a b" in docs, lambda docs: docs.info("a b")])
def test_every_operation_gives_the_reason_why_a_key_is_rejected(ask: Callable[[Client], object]) -> None:
    with docstore.open("memory:?keys=name") as docs, pytest.raises(InvalidKey, match="keys=name") as caught:
        ask(docs)
    assert caught.value.problem is not None
    assert caught.value.problem.advice


def is_path(key: str) -> bool:
    try:
        check_path(key)
    except InvalidKey:
        return False
    return True


KEYS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(is_path)


@given(keys=st.sets(KEYS, min_size=1, max_size=5))
def test_each_key_has_its_own_path(keys: set[str]) -> None:
    address = CollectionAddress.parse("http://h/docs/", {})
    targets = {key: address.target(key) for key in keys}
    assert len(set(targets.values())) == len(keys)
    for target in targets.values():
        assert target.isascii()
        assert not set(target) & set("?# \\")


def test_keys_of_every_kind_of_character_are_preserved(docs: Client) -> None:
    keys = [
        "%41",
        "%2e%2e",
        "a%2Fb",
        "a b+c",
        "é",
        "e\u0301",
        "?x=1#y",
        "a;b=c",
        "日本/語",
        "~-._!$&'()*+,;=:@",
        "\\",
        '"<>',
    ]
    for key in keys:
        docs[key] = key.encode()
    assert {key: content.decode() for key, content in docs.items()} == {key: key for key in keys}
    for key in keys:
        assert docs.info(key).key == key
        assert docs.pop(key) == key.encode()


SECRET = "hunter2"
INVALID_URLS = [
    "",
    "docs",
    "nothing:here",
    "http://",
    "http://host",
    "http://host/",
    "http://host:x/docs/",
    "http://host/docs/?a=b",
    "http://host/docs/#a",
    f"http://user:{SECRET}@[::1/docs/",
    f"http://user:{SECRET}@host:99999/docs/",
    "file:/dev/null/x",
    "memory:?unknown=1",
]


@pytest.mark.parametrize("url", INVALID_URLS)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_an_invalid_url_is_rejected_at_once(url: str, kind: Callable[[str], object]) -> None:
    with pytest.raises(SetupError) as caught:
        kind(url)
    assert SECRET not in str(caught.value)


def test_secrets_are_sent_and_never_shown(server: RunningServer) -> None:
    url = server.url.replace("http://", f"http://user:{SECRET}@")
    with Client(f"{url}/docs/", headers={"X-Token": "s3cret"}) as docs:
        assert dict(docs._operations.headers)["Authorization"] == "Basic dXNlcjpodW50ZXIy"
        with pytest.raises(NotFound) as caught:
            docs["missing"]
        shown = f"{docs!r} {caught.value!r} {docs._operations.address!r}"
    assert SECRET not in shown
    assert "s3cret" not in shown


@pytest.mark.parametrize("value", [{"a": "b\r\n"}, {"a b": "c"}])
def test_invalid_headers_are_rejected_at_once(value: dict[str, str]) -> None:
    with pytest.raises(SetupError):
        Client("http://127.0.0.1:1/docs/", headers=value)


def test_what_is_no_url_is_refused_with_an_example(tmp_path: Path) -> None:
    for url, advice in (
        ("localhost:8080/docs/", "the URL of a server begins with http://"),
        ("docs.db", "sqlite:docs.db"),
    ):
        with pytest.raises(SetupError, match=advice):
            docstore.open(url)
    with pytest.raises(TypeError, match="not PosixPath"):
        docstore.open(tmp_path)
