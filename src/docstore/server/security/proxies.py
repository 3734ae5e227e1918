"""The client of a request that a proxy sent: the fields of a proxy are believed only if the settings name it.

Elements are read from the last one on. An element is believed if the proxy that appended it is trusted: for the last
one, that is the peer, for each other one, the address in the element after it. The element that is believed last names
the client, and the scheme and the Host that the client used.
"""

from collections.abc import Collection
from ipaddress import ip_network

from docstore.http.forwarded import UNIX, ForwardedElement, InvalidForwarded, parse_address, parse_forwarded
from docstore.http.message import Headers, Request
from docstore.server.errors import HTTPProblem


class TrustedProxies:
    """The networks of trusted proxies. Made from addresses, networks such as `10.0.0.0/8`, and `unix`."""

    def __init__(self, names: Collection[str]) -> None:
        self._unix = UNIX in names
        self._networks = [ip_network(name) for name in names if name != UNIX]

    def includes(self, address: str) -> bool:
        if not address:
            return self._unix
        parsed = parse_address(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def apply(self, request: Request) -> None:
        """Replace address, scheme and Host of `request` by those that trusted proxies name. Raise HTTPProblem."""
        if not self.includes(request.address):
            return
        try:
            elements = request.headers.cached(parse_forwarded)
        except InvalidForwarded as error:
            raise HTTPProblem("invalid-field", str(error)) from None
        believed = ForwardedElement()
        for element in reversed(elements):
            believed = element
            if element.address is None or not self.includes(element.address):
                break
        request.address = believed.address or request.address
        request.scheme = believed.scheme or request.scheme
        if believed.host:
            pairs = [pair for pair in request.headers.pairs() if pair[0] != b"host"]
            request.headers = Headers([*pairs, (b"host", believed.host.encode("ascii"))])
