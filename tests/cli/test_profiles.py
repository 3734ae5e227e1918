"""Servers of the user's configuration."""

from pathlib import Path

import pytest

from docstore import SetupError
from docstore.cli.addresses import parse
from docstore.cli.profiles import read_profiles
from docstore.engines.registry import _BUILT_IN
from tests.cli.fake_store import FakeStore, serving
from tests.stores import run


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "docstore").mkdir()
    return tmp_path / "docstore" / "config.toml"


def test_the_token_goes_to_the_server_of_the_profile_only(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(FakeStore(documents={"key": b"value", "other": b"x"})) as store:
        config.write_text(f'[servers.work]\nurl = "{store.url}"\ntoken = "s3cret"\n')
        assert run("get", "work:docs/key").out == "value"
        assert run("get", f"{store.url}/docs/key").out == "value"
        assert run("get", "work:docs/key", "--header", "authorization:Basic x").out == "value"
        sent = [headers.get("authorization") for _, headers in store.asked]
        assert sent == ["Bearer s3cret", None, "Basic x"]
        assert run("ls", "work:docs/").out == "key\nother\n"
        monkeypatch.setenv("DOCSTORE_URL", "work:docs/")
        assert run("get", "key").out == "value"
        assert store.asked[-1][1]["authorization"] == "Bearer s3cret"


def test_an_address_shows_no_token(config: Path) -> None:
    config.write_text('[servers.work]\nurl = "https://store.example/base/"\ntoken = "s3cret"\n')
    address = parse("work:docs/a%20b")
    assert str(address) == "https://store.example/base/docs/a%20b"
    assert "s3cret" not in repr(address) + repr(read_profiles())
    assert parse("work:").path == "base/"
    assert not parse("sqlite:docs#k").on_server


@pytest.mark.parametrize(
    "text",
    [
        "[servers",
        "servers = 1",
        "[other]",
        "[servers.work]",
        "[servers.work]\nurl = 1",
        '[servers.work]\nurl = "sqlite:x"',
        '[servers.work]\nurl = "http://a"\nuser = "x"',
        '[servers."a b"]\nurl = "http://a"',
    ],
)
def test_a_mistake_in_the_configuration_is_one_line_with_its_path(config: Path, text: str) -> None:
    config.write_text(text)
    with pytest.raises(SetupError, match=r"config\.toml"):
        parse("work:docs/key")
    result = run("get", "work:docs/key")
    assert (result.status, "config.toml" in result.err) == (2, True)


@pytest.mark.parametrize("name", ["http", "https", *_BUILT_IN])
def test_a_server_cannot_have_the_name_of_an_engine(config: Path, name: str) -> None:
    config.write_text(f'[servers.{name}]\nurl = "http://a"\n')
    with pytest.raises(SetupError, match="can't be the name of a server"):
        read_profiles()


def test_without_a_configuration_nothing_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nowhere"))
    assert read_profiles() == {}
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_profiles() == {}


def test_a_mistyped_name_suggests_the_servers_of_the_configuration(config: Path) -> None:
    config.write_text('[servers.work]\nurl = "http://127.0.0.1:1"\n')
    for text, said in (
        ("wrok:docs/", "'wrok' is no server or engine; did you mean 'work'?"),
        ("sqlit:docs.db", "did you mean 'sqlite'?"),
        ("nosuch:docs/", f"; the servers of {config} are work, and the engines "),
        ("localhost:8080/docs/", "for a server write http:// before it"),
    ):
        result = run("ls", text)
        assert (result.status, said in result.err) == (2, True), result.err
