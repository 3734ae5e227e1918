"""Which origins are the store's own: by Host, by public URLs, and never by one header against another."""

from pathlib import Path

import pytest

from docstore.config import Settings
from docstore.errors import SetupError
from docstore.http.url import normalize_origin
from tests.http_client import ask
from tests.in_process import InProcess, on_a_store
from tests.server_process import RunningServer

STORE = "https://store.example"
EVIL = "https://evil.example"

OWN = [
    {},
    {"host": "store.example:443", "origin": STORE},
    {"host": "store.example", "origin": STORE},
    {"host": "store.example", "origin": f"{STORE}:443"},
    {"host": "STORE.example:443", "origin": "HTTPS://store.EXAMPLE"},
    {"host": "store.example:80", "origin": "http://store.example"},
    {"host": "localhost:8080", "origin": "http://localhost:8080"},
    {"host": "[::1]:8080", "origin": "http://[::1]:8080"},
    {"host": "store.example", "origin": STORE, "sec-fetch-site": "same-origin", "referer": f"{STORE}/docs/"},
    {"host": "store.example", "referer": f"{STORE}/docs/?a=1#b"},
    {"host": "store.example", "sec-fetch-site": "none"},
    {"host": "store.example", "sec-fetch-site": "same-origin"},
]

FOREIGN = [
    {"host": "store.example", "referer": f"{EVIL}/page"},
    {"host": "store.example", "sec-fetch-site": "none", "origin": EVIL},
    {"host": "store.example", "sec-fetch-site": "same-origin", "origin": EVIL},
    {"host": "store.example", "sec-fetch-site": "same-origin", "referer": EVIL},
    {"host": "store.example", "sec-fetch-site": "same-site", "origin": STORE},
    {"host": "store.example", "sec-fetch-site": "cross-site", "origin": STORE},
    {"host": "store.example", "origin": STORE, "referer": EVIL},
    {"host": "store.example:444", "origin": STORE},
    {"host": "store.example:80", "origin": STORE},
    {"host": "store.example", "origin": "null"},
    {"host": "store.example", "origin": ""},
    {"host": "store.example", "origin": f"{STORE}.evil.example"},
    {"host": "store.example", "origin": "https://store.example:x"},
    {"host": "127.0.0.1:8080", "origin": STORE},
    {"origin": STORE},
]


@pytest.mark.parametrize("headers", OWN, ids=str)
@on_a_store("memory")
async def test_a_write_of_the_own_origin_passes(store: InProcess, headers: dict[str, str]) -> None:
    assert (await store.send("PUT", "/memory/key", b"x", headers)).status == 201


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@on_a_store("memory")
async def test_a_write_with_any_foreign_header_is_rejected(store: InProcess, headers: dict[str, str]) -> None:
    reply = await store.send("PUT", "/memory/key", b"x", headers)
    assert reply.status == 403
    assert (await store.send("GET", "/memory/key")).status == 404


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://store.example", "https://store.example"),
        ("HTTPS://Store.Example:443/path?query", "https://store.example"),
        ("http://store.example:80", "http://store.example"),
        ("http://store.example:443", "http://store.example:443"),
        ("http://[::1]:80/", "http://[::1]"),
        ("http://[::1]:81", "http://[::1]:81"),
        ("app://localhost", "app://localhost"),
        ("null", None),
        ("", None),
        ("store.example", None),
        ("https://", None),
        ("https://store.example:99999", None),
        ("https://[::1", None),
    ],
)
def test_origins_are_serialized_as_rfc_6454_says(url: str, origin: str | None) -> None:
    assert normalize_origin(url) == origin


def test_a_store_behind_a_proxy_answers_to_its_public_url(data: Path) -> None:
    with RunningServer(data, "--public-url", f"{STORE}:443/") as server:
        for headers in ({"Host": "store.example"}, {"Host": "store.example:443", "Origin": STORE}, {"Origin": STORE}):
            assert ask(server, "PUT", "/docs/key", b"x", headers).status in (200, 201), headers
        assert ask(server, "PUT", "/docs/key", b"x", {"Host": "other.example"}).status == 421
        assert ask(server, "PUT", "/docs/key", b"x", {"Origin": EVIL}).status == 403


@pytest.mark.parametrize("url", ["store.example", "https://store.example/path?a=1", "https://a@store.example", "x"])
def test_an_invalid_public_url_is_a_one_line_error(url: str) -> None:
    with pytest.raises(SetupError, match=r"it looks like https://store\.example") as error:
        Settings(public_urls=(url,)).checked()
    assert "\n" not in str(error.value)


def test_a_cors_origin_may_have_its_default_port(data: Path) -> None:
    with RunningServer(data, "--mount", "open=memory:?cors=https://app.example:443") as server:
        answer = ask(server, "GET", "/open/", headers={"Origin": "https://app.example"})
        assert answer["Access-Control-Allow-Origin"] == "https://app.example"
