"""Opening a bucket: everything that is wrong is one line, and a store without conditional writes is refused."""

import asyncio
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from docstore.engines.object_store import opening
from docstore.engines.registry import EngineURL, open_engine
from docstore.engines.shared import clocks
from docstore.errors import OpenError, SetupError
from tests.engines.object_store.faulty_proxy import Proxy, Sent
from tests.stores import run


def refusal(url: EngineURL) -> str:
    with pytest.raises(SetupError) as refused:
        open_engine(url)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.fixture(autouse=True)
def race_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_raced", set())


@pytest.mark.parametrize("location", ["", "bucket", "//", "///prefix"])
def test_a_url_without_a_bucket_is_refused(location: str) -> None:
    assert "needs the name of a bucket" in refusal(EngineURL("s3", location))


@pytest.mark.parametrize("prefix", ["a b", "..", "a/./b", "a//b", "\u00e9", "p" * 129])
def test_a_prefix_that_is_not_plain_is_refused(prefix: str) -> None:
    assert "prefix" in refusal(EngineURL("s3", f"//bucket/{prefix}"))


def test_a_missing_bucket_is_named(proxy: Proxy) -> None:
    assert "the bucket does not exist" in refusal(EngineURL("s3", "//missing/x", proxy.url.options))


def test_a_newer_format_is_named(proxy: Proxy) -> None:
    _, direct = opening.open_bucket(proxy.url)
    direct.put("format", b"2")
    assert "it has the format '2' of a newer Docstore" in refusal(proxy.url)
    assert run("check", f"{proxy.url.scheme}:{proxy.url.location}?endpoint={proxy.url.options['endpoint']}").status == 2


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed"])
def test_wrong_credentials_are_named(proxy: Proxy, code: str) -> None:
    def rule(sent: Sent) -> None:
        sent.refuse = 403, code

    proxy.rule = rule
    assert f"access denied ({code})" in refusal(proxy.url)


def test_a_store_that_does_not_answer_is_refused(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "REQUEST_TIMEOUT_S", 1)

    def rule(sent: Sent) -> None:
        sent.lose_request = True

    proxy.rule = rule
    assert proxy.url.options["endpoint"] in refusal(proxy.url)
    assert "Connection refused" in refusal(EngineURL("s3", "//docs", {"endpoint": "http://127.0.0.1:9"}))


@pytest.mark.parametrize(("header", "condition"), [("if-none-match", "If-None-Match"), ("if-match", "If-Match")])
def test_a_store_that_ignores_a_condition_is_refused(proxy: Proxy, header: str, condition: str) -> None:
    def rule(sent: Sent) -> None:
        sent.headers = {name: value for name, value in sent.headers.items() if name.lower() != header}

    proxy.rule = rule
    assert f"8 of 8 racing writes with {condition} succeeded" in refusal(proxy.url)


def test_a_store_where_two_racing_writes_succeed_is_refused(proxy: Proxy) -> None:
    """Only a race shows it: each write alone is refused as it should be."""
    ignored = []

    def rule(sent: Sent) -> None:
        if "if-match" in (names := {name.lower(): name for name in sent.headers}) and len(ignored) < 2:
            ignored.append(sent.headers.pop(names["if-match"]))

    proxy.rule = rule
    assert "racing writes with If-Match succeeded" in refusal(proxy.url)


def test_the_race_leaves_nothing_and_is_run_once_for_a_bucket(proxy: Proxy) -> None:
    for _ in range(2):
        asyncio.run(open_engine(proxy.url).close())
    done = proxy.requests()
    assert done.count("DELETE t") == opening.RACES
    assert set(done) == {"GET format", "PUT t", "HEAD t", "DELETE t"}


def test_a_wrong_clock_is_named(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "time", lambda: time.time() + 600)
    assert re.search(r"clock of this machine is \d+ s ahead of", refusal(proxy.url))


def test_credentials_are_those_of_the_profile_unless_the_environment_has_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: Proxy
) -> None:
    path = tmp_path / "credentials"
    path.write_text("[other]\naws_access_key_id = OTHER\naws_secret_access_key = SK\naws_session_token = T\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    monkeypatch.setenv("AWS_PROFILE", "other")
    asyncio.run(open_engine(proxy.url).close())
    assert "Credential=AK/" in proxy.sent[-1].headers["authorization"]
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setattr(opening, "_raced", set())
    asyncio.run(open_engine(proxy.url).close())
    assert "Credential=OTHER/" in proxy.sent[-1].headers["authorization"]
    path.write_text("no section\n")
    assert str(path) in refusal(proxy.url)


def test_without_obstore_the_extra_is_named() -> None:
    program = """
import sys
sys.modules["obstore"] = None
from docstore.cli.main import main
main(sys.argv[1:])
"""
    command = [sys.executable, "-c", program, "serve", "--port", "0", "--mount", "docs=s3://docs/x"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (2, "docstore: s3: needs the package obstore; install docstore[s3]\n")


def test_errors_of_opening_are_open_errors(proxy: Proxy) -> None:
    with pytest.raises(OpenError):
        open_engine(EngineURL("s3", "//missing", proxy.url.options))
