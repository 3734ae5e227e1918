"""What proxies say about the request that they received: Forwarded (RFC 7239), and X-Forwarded-For, -Proto and -Host.

Each proxy appends one element to the end of the list. Any client can send these fields, so only the elements of trusted
proxies may be believed; `server/security/proxies.py` decides that.
"""

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import zip_longest
from typing import Final

from docstore.http.headers import is_token, parse_parameters, split_list
from docstore.http.message import Headers
from docstore.http.url import is_host

_NODE: Final = re.compile(
    r"\[(?P<v6>[0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?|(?P<name>[0-9A-Za-z._-]{1,255})(?::[0-9]{1,5})?"
    r"|(?P<bare>[0-9A-Fa-f:.]{2,45})"
)
"""`bare` is an IPv6 address without brackets, as X-Forwarded-For has it."""

UNIX: Final = "unix"
"""The name of the peers of a Unix socket, which have no address."""


class InvalidForwarded(ValueError):
    """A proxy's field can't be parsed, or two fields contradict each other; the message says which."""


@dataclass(frozen=True, slots=True)
class ForwardedElement:
    """What one proxy says: who sent it the request, and for which scheme and Host. None for what it does not say."""

    address: str | None = None
    scheme: str | None = None
    host: str | None = None


def parse_forwarded(headers: Headers) -> list[ForwardedElement]:
    """Return the elements in the order of the proxies; the last one is of the proxy that sent this request.

    Raise InvalidForwarded, also if Forwarded and X-Forwarded-* contradict each other: then one of them is the client's,
    and passed through a proxy that does not know it. For the same reason neither hides what only the other says. Raise
    TooManyMembers.
    """
    standard, others, merged = _parse_standard(headers), _parse_others(headers), deque[ForwardedElement]()
    for one, two in zip_longest(reversed(standard), reversed(others), fillvalue=ForwardedElement()):
        for name in ("address", "scheme", "host"):
            if None not in (getattr(one, name), getattr(two, name)) and getattr(one, name) != getattr(two, name):
                raise InvalidForwarded("Forwarded and X-Forwarded-* contradict each other")
        merged.appendleft(ForwardedElement(one.address or two.address, one.scheme or two.scheme, one.host or two.host))
    return list(merged)


def _parse_standard(headers: Headers) -> list[ForwardedElement]:
    elements = []
    for member in split_list(headers.get("forwarded") or "", complete=True):
        parameters = parse_parameters(f";{member}")
        if parameters is None:
            raise InvalidForwarded("Forwarded is invalid")
        elements.append(_element("Forwarded", parameters))
    return elements


def _parse_others(headers: Headers) -> list[ForwardedElement]:
    """Return the elements of X-Forwarded-*. A list shorter than that of the addresses has the last proxies' values."""
    lists = {
        name: split_list(headers.get(field) or "", complete=True)
        for name, field in (("for", "x-forwarded-for"), ("proto", "x-forwarded-proto"), ("host", "x-forwarded-host"))
    }
    elements = []
    for index in range(max(map(len, lists.values())), 0, -1):
        # Most proxies append the address, but replace scheme and host: one value then holds for all elements.
        values = {name: members[-min(index, len(members))] for name, members in lists.items() if members}
        elements.append(_element("X-Forwarded-*", values))
    return elements


def _element(field: str, values: Mapping[str, str]) -> ForwardedElement:
    scheme, host = values.get("proto"), values.get("host")
    if (scheme is not None and not is_token(scheme)) or (host is not None and not is_host(host.encode("latin-1"))):
        raise InvalidForwarded(f"{field} is invalid")
    return ForwardedElement(
        None if "for" not in values else _parse_node(field, values["for"]),
        None if scheme is None else scheme.lower(),
        None if host is None else host.lower(),
    )


def _parse_node(field: str, text: str) -> str:
    """Return the address of a node (RFC 7239 §6) without its port; a name such as `unknown` is returned as it is."""
    found = _NODE.fullmatch(text)
    if found is None:
        raise InvalidForwarded(f"{field} is invalid")
    address = parse_address(found["v6"] or found["name"] or found["bare"])
    if address is None and found["name"] is None:
        raise InvalidForwarded(f"{field} is invalid")
    return found["name"].lower() if address is None else str(address)


def is_proxy_name(text: str) -> bool:
    """Whether `text` is an address, a network such as `10.0.0.0/8`, or UNIX."""
    try:
        return text == UNIX or ip_network(text) is not None
    except ValueError:
        return False


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return an IP address, or None for other text. `::ffff:192.0.2.1` is an IPv4 address mapped into IPv6."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
