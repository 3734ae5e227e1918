"""Where a collection is: its URL taken apart, with what is secret in it kept away from everything that is shown.

A user and a password in the URL become the Authorization of every call; no message, repr or traceback has them.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from docstore.client.transport import Pairs
from docstore.errors import InvalidKey, SetupError
from docstore.http.headers import is_field_value, is_token
from docstore.http.url import encode
from docstore.keys import check_path

INSIDE: Final = "/docs/"
"""The path of a collection that is opened in this process."""


@dataclass(frozen=True, slots=True)
class Address:
    """A collection: `origin` is scheme and authority, `path` its path on the wire, slashes at both ends."""

    origin: str
    path: str
    shown: str
    """The URL without secrets."""
    headers: Pairs = field(repr=False, default=())
    """What every call carries."""

    @classmethod
    def parse(cls, url: str, headers: Mapping[str, str]) -> "Address":
        """Raises SetupError for what is no URL of a collection."""
        try:
            parts = urlsplit(url)
            name, port = parts.hostname, parts.port
        except ValueError:
            raise SetupError("the URL of the collection can't be read") from None
        if parts.scheme not in ("http", "https") or not name:
            raise SetupError("the URL of a collection looks like http://127.0.0.1:8080/docs/")
        if parts.query or parts.fragment:
            raise SetupError("the URL of a collection has no query and no fragment")
        host = f"[{name}]" if ":" in name else name
        origin = f"{parts.scheme}://{host}{'' if port is None else f':{port}'}"
        path = parts.path if parts.path.endswith("/") else parts.path + "/"
        if path == "/":
            raise SetupError(f"{origin}/ is a whole store; name a collection in it, such as {origin}/docs/")
        return cls(origin, path, origin + path, _checked({**_authorization(parts), **headers}))

    @classmethod
    def inside(cls, engine: str, headers: Mapping[str, str]) -> "Address":
        """Of the engine that is opened in this process."""
        return cls("", INSIDE, engine, _checked(headers))

    def target(self, key: str) -> str:
        """The path of a key. Raises InvalidKey for one that no store takes: its path might be that of another."""
        if not isinstance(key, str):
            raise TypeError(f"a key is text, not {type(key).__name__}")
        try:
            check_path(key)
        except InvalidKey as error:
            raise InvalidKey(f"{key[:100]!r}: {error}") from None
        return self.path + encode(key)


def _authorization(parts: SplitResult) -> dict[str, str]:
    if parts.username is None and parts.password is None:
        return {}
    user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(user.encode('utf-8')).decode('ascii')}"}


def _checked(headers: Mapping[str, str]) -> Pairs:
    for name, value in headers.items():
        if not is_token(name) or not is_field_value(value):
            raise SetupError(f"the header {name[:100]!r} can't be sent")
    return tuple(headers.items())
