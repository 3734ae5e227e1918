"""From the URL that a client is given to a way to its store: over HTTP, or to an engine in this process.

The server is imported only for an engine, httpx2 only for HTTP.
"""

from collections.abc import Mapping

from docstore.client.address import Address
from docstore.client.operations import Operations
from docstore.client.retrying import Patience


def over_http(url: str) -> bool:
    return url.lower().startswith(("http://", "https://"))


def opened_blocking(url: str, headers: Mapping[str, str], patience: Patience) -> Operations:
    """Raises SetupError."""
    if over_http(url):
        from docstore.client.http import BlockingHTTP

        address = Address.parse(url, headers)
        return Operations(BlockingHTTP(address), address, patience)
    from docstore.client.inside import BlockingInside

    return Operations(BlockingInside(url), Address.inside(url, headers), patience)


def opened_async(url: str, headers: Mapping[str, str], patience: Patience) -> Operations:
    """Raises SetupError."""
    if over_http(url):
        from docstore.client.http import AsyncHTTP

        address = Address.parse(url, headers)
        return Operations(AsyncHTTP(address), address, patience)
    from docstore.client.inside import AsyncInside

    return Operations(AsyncInside(url), Address.inside(url, headers), patience)
