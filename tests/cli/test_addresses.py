"""Tables of valid and invalid addresses."""

import pytest

from docstore.cli.addresses import Address, parse
from docstore.errors import SetupError

BASES = ("http://h:1", "http://h:1/", "http://h:1/docs", "http://h:1/docs/", "sqlite:a.db", "sqlite:a.db#in/")


@pytest.mark.parametrize(
    ("text", "store", "path"),
    [
        ("http://h:8080/docs/key", "http://h:8080", "docs/key"),
        ("HTTP://h/docs/key", "http://h", "docs/key"),
        ("https://h/docs/", "https://h", "docs/"),
        ("http://h", "http://h", ""),
        ("http://h/", "http://h", ""),
        ("http://[::1]:80/docs/a/b", "http://[::1]:80", "docs/a/b"),
        ("http://u:p@h/docs/a", "http://u:p@h", "docs/a"),
        ("http://h/docs/a%20b", "http://h", "docs/a b"),
        ("http://h/docs/a b", "http://h", "docs/a b"),
        ("http://h/docs/%C3%A9", "http://h", "docs/é"),
        ("http://h/docs/é☃", "http://h", "docs/é☃"),
        ("http://h/docs/100%25", "http://h", "docs/100%"),
        ("http://h/docs/%2520", "http://h", "docs/%20"),
        ("http://h/docs/%3F%23", "http://h", "docs/?#"),
        ("http://h/docs/a+b:c", "http://h", "docs/a+b:c"),
        ("sqlite:docs.db#key", "sqlite:docs.db", "key"),
        ("sqlite:docs.db", "sqlite:docs.db", ""),
        ("sqlite:docs.db#", "sqlite:docs.db", ""),
        ("sqlite:docs.db#a%2Fb", "sqlite:docs.db", "a/b"),
        ("sqlite:a#b.db#key", "sqlite:a#b.db", "key"),
        ("sqlite:docs.db?keys=path#a?b", "sqlite:docs.db?keys=path", "a?b"),
        ("file:notes#a/b", "file:notes", "a/b"),
        ("file:/srv/notes#a/", "file:/srv/notes", "a/"),
        ("file:notes#a%23b", "file:notes", "a#b"),
        ("file:8080#a", "file:8080", "a"),
        ("sqlite:2026/01", "sqlite:2026/01", ""),
    ],
)
def test_an_address_is_parsed_into_store_and_path(text: str, store: str, path: str) -> None:
    assert parse(text) == Address(store, path, on_server=store.startswith("http"))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("docs/key", ["docs/key", "docs/key", "docs/docs/key", "docs/docs/key", "docs/key", "in/docs/key"]),
        ("./a:b", ["a:b", "a:b", "docs/a:b", "docs/a:b", "a:b", "in/a:b"]),
        ("/file/key", ["file/key", "file/key", "file/key", "file/key", "/file/key", "in//file/key"]),
    ],
)
def test_a_relative_address_is_joined_to_the_base(text: str, named: list[str]) -> None:
    assert [parse(text, base).path for base in BASES] == named


def test_the_default_base_is_this_machine() -> None:
    assert str(parse("docs/key")) == "http://127.0.0.1:8080/docs/key"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not an address"),
        ("-", "not an address"),
        ("memory:#key", "memory: is empty whenever a command opens it"),
        ("memory:", "docstore serve --mount"),
        ("http://", "names no host"),
        ("localhost:8080", "write http:// before it, as in http://localhost:8080"),
        ("localhost:8080/docs/x", "write http:// before it, as in http://localhost:8080/docs/x"),
        ("some-host.example:80/docs/", "write http:// before it"),
        ("http://h:x/docs/key", "not a valid server address"),
        ("http://h:99999/docs/key", "not a valid server address"),
        ("http:docs/key", "names no host"),
        ("http://h/docs/100%", "as %25"),
        ("http://h/docs/%zz", "as %25"),
        ("http://h/docs/%FF", "UTF-8"),
        ("http://h/docs/%C0%AE", "UTF-8"),
        ("http://h/docs/\udcff", "UTF-8"),
        ("http://h/docs/key?x=1", "as %3F"),
        ("http://h/docs/key#x", "as %23"),
        ("http://h/docs/../key", "'.' or '..'"),
        ("http://h/docs/%2e%2e/key", "'.' or '..'"),
        ("sqlite:docs.db#a/./b", "'.' or '..'"),
    ],
)
def test_an_invalid_address_is_rejected_in_one_line(text: str, reason: str) -> None:
    with pytest.raises(SetupError) as caught:
        parse(text)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["http://h:1/docs/a%20b%25/%C3%A9%3F%23", "sqlite:a.db#a%20b%25/%C3%A9%3F%23", "file:x"]
)
def test_str_of_an_address_can_be_parsed_again(text: str) -> None:
    assert str(parse(text)) == text
    assert parse(str(parse(text))) == parse(text)


@pytest.mark.parametrize(
    ("text", "many"), [("http://h", True), ("http://h/docs/", True), ("http://h/docs/a", False), ("file:x#", True)]
)
def test_an_address_that_ends_with_a_slash_is_a_collection(text: str, many: bool) -> None:
    assert parse(text).is_collection is many


def test_an_error_in_the_base_names_docstore_url() -> None:
    with pytest.raises(SetupError, match="DOCSTORE_URL"):
        parse("docs/key", "localhost/docs")
    with pytest.raises(SetupError, match=r"as in http://localhost:8080$"):
        parse("docs/key", "localhost:8080")
