"""From the URL that a client is given to a way to its store: over HTTP, or to an engine in this process.

The server is imported only for an engine, httpx2 only for HTTP.
"""

from collections.abc import Mapping
from typing import TypedDict

from docstore.client.address import Address
from docstore.client.operations import Operations
from docstore.client.options import check_options
from docstore.client.retry import DEFAULTS, Patience
from docstore.errors import SetupError


class Options(TypedDict, total=False):
    """What a client may be told besides its URL."""

    headers: Mapping[str, str]
    """Go with each call, such as an Authorization for a proxy. They are never shown."""
    timeout_s: float
    """Seconds that connecting, or any pause of the other side, may take; 30 when nothing is said."""
    patience_s: float
    """Seconds after which a call is not tried again; 60 when nothing is said."""
    tries: int
    """Attempts at one call, at most; 8 when nothing is said."""


def opened_blocking(url: str, options: Options) -> Operations:
    """Raises SetupError."""
    address, patience = _address(url, options), _patience(options)
    if address.origin:
        from docstore.client.http_transport import BlockingHTTP

        return Operations(BlockingHTTP(address), address, patience)
    from docstore.client.local_transport import BlockingInside

    return Operations(BlockingInside(url), address, patience)


def opened_async(url: str, options: Options) -> Operations:
    """Raises SetupError."""
    address, patience = _address(url, options), _patience(options)
    if address.origin:
        from docstore.client.http_transport import AsyncHTTP

        return Operations(AsyncHTTP(address), address, patience)
    from docstore.client.local_transport import AsyncInside

    return Operations(AsyncInside(url), address, patience)


def _address(url: str, options: Options) -> Address:
    check_options(options, Options)
    headers = options.get("headers", {})
    over_http = url.lower().startswith(("http://", "https://"))
    return Address.parse(url, headers) if over_http else Address.inside(url, headers)


def _patience(options: Options) -> Patience:
    patience = Patience(
        options.get("tries", DEFAULTS.tries),
        options.get("patience_s", DEFAULTS.patience_s),
        options.get("timeout_s", DEFAULTS.timeout_s),
    )
    if patience.tries < 1 or patience.patience_s <= 0 or patience.timeout_s <= 0:
        raise SetupError("tries, patience_s and timeout_s are more than 0")
    return patience
