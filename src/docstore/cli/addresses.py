"""Addresses: how a person names documents and collections, on a server or in an engine.

    http://host:8080/docs/a/b        a document of a server; with a slash at the end, a collection
    docs/a/b                         the same, below DOCSTORE_URL
    sqlite:docs.db#a/b               a document in an engine; without a key, or with a bare #, the collection

What is percent-encoded is decoded once; any other character stands for itself in UTF-8, so that only `%`, and `?` and
`#` of a server's address, must be encoded in a key. The last `#` parts an engine's URL from the key: the path of a
store may have one. This knows no server: which part of a server's path is the mount is asked of the server, later.

A name that an address leaves open at its end is what keys begin with, as in the listing's `?prefix=`: one rule for all
commands that work on many documents.
"""

import re
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from docstore.errors import SetupError
from docstore.http.url import encode

DEFAULT_BASE: Final = "http://127.0.0.1:8080/"
"""Where relative addresses lead when DOCSTORE_URL says nothing: to what `docstore serve` serves."""

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_PORT_BEHIND: Final = re.compile(r"(?P<host>[^:]+):[0-9]+(/.*)?")
_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Address:
    """A place in a store: `store` is a server's origin or an engine's URL, `path` what is decoded of the rest.

    On a server `path` has the mount before the key; in an engine it is the key. It is "" for the store as a whole.
    """

    store: str = field(repr=False)
    path: str
    served: bool
    """Whether a server is asked, and not an engine opened here."""

    @property
    def many(self) -> bool:
        """Whether it can't be one document: a store, a collection or a folder in it."""
        return not self.path or self.path.endswith("/")

    @property
    def name(self) -> str:
        """The last segment: what a file of it would be called."""
        return self.path.rpartition("/")[2]

    def below(self, name: str) -> "Address":
        """What is called `name` in this store, collection or folder."""
        return replace(self, path=self.path + name)

    def __str__(self) -> str:
        """As it is typed, without a password: it is shown to people."""
        if not self.served:
            return f"{self.store}#{encode(self.path)}" if self.path else self.store
        scheme, _, authority = self.store.partition("://")
        return f"{scheme}://{authority.rpartition('@')[2]}/{encode(self.path)}"


def parse(text: str, base: str = DEFAULT_BASE) -> Address:
    """The address that `text` names, relative to the address `base`. Raises SetupError, in one line."""
    if not text or text == "-":
        raise SetupError(
            f"{text!r} is no address; one looks like docs/key, http://host:8080/docs/key or sqlite:docs.db#key"
        )
    if not _SCHEME.match(text):
        text = _below(text.removeprefix("./"), base)
    scheme = text.partition(":")[0].lower()
    address = _served(text) if scheme in ("http", "https") else _engine(text)
    if {".", ".."} & set(address.path.split("/")):
        raise SetupError(f"{_without_password(text)}: no segment of an address is '.' or '..'")
    return address


def _without_password(text: str) -> str:
    """For messages: a terminal is looked at, and logs are kept."""
    return re.sub(r"://.*@", "://", text)


def _below(text: str, base: str) -> str:
    """`text` as a full address: below `base`, or for what begins with a slash below its host."""
    if not _SCHEME.match(base):
        raise SetupError(f"{base!r} (DOCSTORE_URL) is no address to start from; one looks like {DEFAULT_BASE}")
    if not base.lower().startswith(("http:", "https:")):
        return (base if "#" in base else f"{base}#") + text
    if text.startswith("/"):
        parts = urlsplit(base)
        return f"{parts.scheme}://{parts.netloc}{text}"
    return base.rstrip("/") + "/" + text


def _served(text: str) -> Address:
    scheme, _, rest = text.partition("://")
    authority, _, path = rest.partition("/")
    for character in "?#":
        if character in authority + path:
            code = f"%{ord(character):02X}"
            said = f"a {character!r} in a key is written {code}; addresses have no query or fragment"
            raise SetupError(f"{_without_password(text)}: {said}")
    try:
        parts = urlsplit(f"{scheme}://{authority}")
        if not parts.hostname or (parts.port or 0) < 0:
            raise ValueError("it names no host")
    except ValueError as error:
        raise SetupError(f"{_without_password(text)!r} is no address of a server: {error}") from None
    return Address(f"{scheme.lower()}://{authority}", decode(path), served=True)


def _engine(text: str) -> Address:
    store, _, key = text.rpartition("#") if "#" in text else (text, "", "")
    if store.partition(":")[0].lower() == "memory":
        raise SetupError(
            "memory: is empty whenever a command opens it; serve it (docstore serve --mount notes=memory:) "
            "and name the document by the server's address"
        )
    if (match := _PORT_BEHIND.fullmatch(store)) and match["host"] not in _engines():
        raise SetupError(f"{store}: if a server is meant, write http:// before it, as in http://{store}")
    return Address(store, decode(key), served=False)


def _engines() -> list[str]:
    from docstore.engines.registry import schemes  # hardly an address looks like that

    return schemes()


def decode(text: str) -> str:
    """`text` without its percent-encoding, as UTF-8. Raises SetupError."""
    if _BROKEN_ESCAPE.search(text):
        raise SetupError(f"{text}: a '%' in an address is written %25")
    try:
        return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8")
    except UnicodeError:
        raise SetupError(f"{text.encode('ascii', 'backslashreplace').decode()}: an address is UTF-8") from None
