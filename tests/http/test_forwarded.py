"""Forwarded (RFC 7239) and X-Forwarded-*: the elements in the order of the proxies, strictly parsed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docstore.http.forwarded import ForwardedElement, InvalidForwarded, is_proxy_name, parse_forwarded
from docstore.http.headers import TooManyMembers
from docstore.http.message import Headers

E = ForwardedElement


def elements(**fields: str) -> list[ForwardedElement]:
    return parse_forwarded(Headers((name.replace("_", "-").encode(), fields[name].encode()) for name in fields))


# The examples of RFC 7239 §4, §6.3 and §7.1, and the variants of common proxies.
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", []),
        ('for="_gazonk"', [E("_gazonk")]),
        ('For="[2001:db8:cafe::17]:4711"', [E("2001:db8:cafe::17")]),
        ("for=192.0.2.60;proto=http;by=203.0.113.43", [E("192.0.2.60", "http")]),
        ("for=192.0.2.43, for=198.51.100.17", [E("192.0.2.43"), E("198.51.100.17")]),
        ('for=192.0.2.43,for="[2001:db8::17]",for=unknown', [E("192.0.2.43"), E("2001:db8::17"), E("unknown")]),
        ('for="192.0.2.1:80";proto=HTTPS;host="Store.Example:8443"', [E("192.0.2.1", "https", "store.example:8443")]),
        ('for="[::ffff:192.0.2.1]"', [E("192.0.2.1")]),
        ("proto=https", [E(None, "https")]),
    ],
)  # fmt: skip
def test_the_standard_field(value: str, expected: list[ForwardedElement]) -> None:
    assert elements(forwarded=value) == expected


@pytest.mark.parametrize(
    ("addresses", "proto", "host", "expected"),
    [
        ("192.0.2.1", "https", "a.example", [E("192.0.2.1", "https", "a.example")]),
        ("192.0.2.1, 10.0.0.1", "https, http", "a, b", [E("192.0.2.1", "https", "a"), E("10.0.0.1", "http", "b")]),
        ("192.0.2.1, 10.0.0.1", "https", "a", [E("192.0.2.1", "https", "a"), E("10.0.0.1", "https", "a")]),
        ("2001:db8::1, [2001:db8::2]:80, 192.0.2.1:80", "", "", [E("2001:db8::1"), E("2001:db8::2"), E("192.0.2.1")]),
        ("", "https", "", [E(None, "https")]),
    ],
)  # fmt: skip
def test_the_common_fields(addresses: str, proto: str, host: str, expected: list[ForwardedElement]) -> None:
    fields = {"x_forwarded_for": addresses, "x_forwarded_proto": proto, "x_forwarded_host": host}
    assert elements(**{name: value for name, value in fields.items() if value}) == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"forwarded": "for"},
        {"forwarded": "for=[2001:db8::1]"},  # brackets need quotes
        {"forwarded": 'for="192.0.2.1:80:80"'},
        {"forwarded": "for=192.0.2.1;for=192.0.2.2"},
        {"forwarded": 'host="a/b"'},
        {"forwarded": 'host="a\tb"'},
        {"forwarded": 'proto="ht tp"'},
        {"x_forwarded_for": "192.0.2.1:80:80"},
        {"x_forwarded_host": "a, b/c"},
        {"x_forwarded_proto": "https:"},
        {"forwarded": "for=192.0.2.1", "x_forwarded_for": "192.0.2.2"},
        {"forwarded": "for=192.0.2.1;host=evil", "x_forwarded_for": "192.0.2.1", "x_forwarded_host": "a.example"},
    ],
)  # fmt: skip
def test_what_is_invalid_or_contradicts_is_an_error(fields: dict[str, str]) -> None:
    with pytest.raises(InvalidForwarded):
        elements(**fields)


def test_equal_fields_of_both_kinds_are_one() -> None:
    assert elements(forwarded="for=192.0.2.1;proto=https", x_forwarded_for="192.0.2.1") == [E("192.0.2.1", "https")]


@pytest.mark.parametrize(
    ("forwarded", "addresses", "expected"),
    [
        ("host=a", "192.0.2.1", [E("192.0.2.1", None, "a")]),
        ("proto=http", "192.0.2.1, 10.0.0.1", [E("192.0.2.1"), E("10.0.0.1", "http")]),
        ("for=192.0.2.9, proto=http", "192.0.2.1", [E("192.0.2.9"), E("192.0.2.1", "http")]),
    ],
)  # fmt: skip
def test_one_kind_does_not_hide_what_the_other_says(
    forwarded: str, addresses: str, expected: list[ForwardedElement]
) -> None:
    """A client may send the kind that the proxy does not know and passes on."""
    assert elements(forwarded=forwarded, x_forwarded_for=addresses) == expected


@pytest.mark.parametrize("name", ["forwarded", "x_forwarded_for"])
def test_a_long_list_is_an_error(name: str) -> None:
    with pytest.raises(TooManyMembers):
        elements(**{name: ", ".join(["for=a" if name == "forwarded" else "a"] * 101)})


@given(
    st.sampled_from(["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"]), st.binary(max_size=80)
)
def test_any_bytes_are_parsed_or_invalid(name: str, value: bytes) -> None:
    headers = Headers([(name.encode(), value.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b""))])
    try:
        found = parse_forwarded(headers)
    except InvalidForwarded:
        return
    for element in found:
        texts = [text for text in (element.address, element.scheme, element.host) if text is not None]
        assert all(text.isascii() and text.isprintable() for text in texts)


@pytest.mark.parametrize("name", ["10.0.0.1", "10.0.0.0/8", "2001:db8::/32", "unix"])
def test_a_proxy_is_named_by_its_address_or_network(name: str) -> None:
    assert is_proxy_name(name)


@pytest.mark.parametrize("name", ["", "proxy.example", "10.0.0.1/8", "10.0.0", "*", "unix:"])
def test_other_names_are_no_proxies(name: str) -> None:
    assert not is_proxy_name(name)
