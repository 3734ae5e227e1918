"""Trusted proxies: whose word about the client of a request is believed, and how far."""

from pathlib import Path

import pytest

from docstore.http.message import Headers, Request
from docstore.server.errors import HTTPProblem
from docstore.server.security.proxies import TrustedProxies
from tests.http_client import ask, prepare
from tests.server_process import RunningServer


def request_from(address: str, **fields: str) -> Request:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    return Request("GET", "/", "", Headers([(b"host", b"inner"), *pairs]), address=address)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.9", "198.51.100.1", "192.0.2.9"),  # anybody can send the field
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "forged, 198.51.100.1", "198.51.100.1"),  # what the client sent precedes what the proxy appends
        ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 192.0.2.9, 10.0.0.2", "192.0.2.9"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "unknown", "unknown"),
        ("2001:db8::5", "198.51.100.1", "198.51.100.1"),
        ("", "198.51.100.1", "198.51.100.1"),
    ],
)
@pytest.mark.parametrize("field", ["x_forwarded_for", "forwarded"])
def test_the_last_address_that_is_no_proxy_is_the_client(peer: str, forwarded: str, client: str, field: str) -> None:
    if field == "forwarded":
        forwarded = ", ".join(f'for="{name}"' for name in forwarded.split(", ") if name)
    request = request_from(peer, **({field: forwarded} if forwarded else {}))
    TrustedProxies(["10.0.0.0/8", "2001:db8::5", "unix"]).apply(request)
    assert request.address == client


def test_scheme_and_host_are_those_that_the_client_used() -> None:
    request = request_from("10.0.0.1", forwarded="for=a;host=forged, for=192.0.2.1;proto=https;host=store.example")
    TrustedProxies(["10.0.0.1"]).apply(request)
    assert (request.scheme, request.headers.lines("host")) == ("https", ["store.example"])


def test_nothing_of_an_untrusted_peer_is_believed() -> None:
    request = request_from("10.0.0.2", x_forwarded_proto="https", x_forwarded_host="store.example")
    TrustedProxies(["10.0.0.1", "unix"]).apply(request)
    assert (request.scheme, request.headers.get("host")) == ("", "inner")


def test_a_field_of_a_proxy_that_is_invalid_is_rejected() -> None:
    with pytest.raises(HTTPProblem, match="invalid"):
        TrustedProxies(["10.0.0.1"]).apply(request_from("10.0.0.1", x_forwarded_for="a b"))


def test_a_server_behind_a_trusted_proxy_answers_to_the_name_of_its_clients(data: Path) -> None:
    """Host is checked as the client sent it, origins with its scheme, and the log has its address."""
    fields = {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "localhost"}
    with RunningServer(data, "--trusted-proxy", "127.0.0.1") as server:
        assert ask(server, "GET", "/docs/", headers={**fields, "Host": "inner"}).status == 200
        assert ask(server, "GET", "/docs/", headers={**fields, "X-Forwarded-Host": "evil.example"}).status == 421
        assert ask(server, "GET", "/docs/", headers={"X-Forwarded-For": "a b"}).status == 400
        prepare(server, "PUT", "/docs/a", b"1", headers={**fields, "Origin": "https://localhost"})
        http_page = {**fields, "Origin": "http://localhost"}
        assert ask(server, "PUT", "/docs/a", b"2", headers=http_page).status == 403
        assert ask(server, "GET", "/docs/a").content == b"1"
        server.stop()
    assert [line.split()[-1] for line in server.errors if "PUT /docs/a 201" in line] == ["198.51.100.7"]


def test_without_the_option_no_field_is_believed(data: Path) -> None:
    with RunningServer(data) as server:
        fields = {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Host": "localhost", "Host": "evil.example"}
        assert ask(server, "GET", "/docs/", headers=fields).status == 421
        server.stop()
    assert not any("198.51.100.7" in line for line in server.errors)
