"""The address of a collection: its URL taken apart.

A user and a password in the URL become the Authorization header of every request. No message, repr or traceback shows
them.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from docstore.client.transport import RequestHeaders
from docstore.errors import InvalidKey, SetupError
from docstore.http.headers import is_field_value, is_token
from docstore.http.url import encode
from docstore.keys import check_path

LOCAL_PATH: Final = "/docs/"
"""The path of a collection whose engine is opened in this process."""


@dataclass(frozen=True, slots=True)
class CollectionAddress:
    """The address of a collection, over HTTP or of an engine in this process."""

    origin: str
    """Scheme and authority; "" for an engine in this process."""
    path: str
    """Percent-encoded, with slashes at both ends."""
    shown: str
    """The URL without secrets."""
    headers: RequestHeaders = field(repr=False, default=())
    """Headers of every request."""

    @classmethod
    def parse(cls, url: str, headers: Mapping[str, str]) -> "CollectionAddress":
        """Parse the URL of a collection or of an engine. Raise SetupError."""
        for name, value in headers.items():
            if not is_token(name) or not is_field_value(value):
                raise SetupError(f"invalid header {name[:100]!r}")
        if not isinstance(url, str):
            raise TypeError(f"a URL is text, such as sqlite:docs.db, not {type(url).__name__}")
        if not url.lower().startswith(("http://", "https://")):
            return cls("", LOCAL_PATH, url, tuple(headers.items()))
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise SetupError("invalid URL of a collection") from None
        if not host:
            raise SetupError("the URL of a collection looks like http://127.0.0.1:8080/docs/")
        if parts.query or parts.fragment:
            raise SetupError("the URL of a collection must not have a query or a fragment")
        shown_host = f"[{host}]" if ":" in host else host
        origin = f"{parts.scheme}://{shown_host}{'' if port is None else f':{port}'}"
        path = parts.path if parts.path.endswith("/") else parts.path + "/"
        if path == "/":
            raise SetupError(f"{origin}/ is a whole store; add the name of a collection, as in {origin}/docs/")
        authorization = {} if parts.username is None else {"Authorization": basic_authorization(parts)}
        return cls(origin, path, origin + path, tuple({**authorization, **headers}.items()))

    def target(self, key: str) -> str:
        """The path of a document. Raise InvalidKey for a key whose path might be that of another document."""
        if not isinstance(key, str):
            raise TypeError(f"a key is text, not {type(key).__name__}")
        try:
            check_path(key)
        except InvalidKey as error:
            raise InvalidKey(f"{key[:100]!r}: {error}") from None
        return self.path + encode(key)


def basic_authorization(parts: SplitResult) -> str:
    """The credentials for the user and the password of a URL (RFC 7617)."""
    user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(user.encode('utf-8')).decode('ascii')}"
