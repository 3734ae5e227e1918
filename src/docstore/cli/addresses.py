"""Addresses: how the command line names documents and collections, on a server or in an engine.

    http://host:8080/docs/a/b        a document on a server; with a slash at the end, a collection
    docs/a/b                         the same, relative to DOCSTORE_URL
    work:docs/a/b                    the same on a server of the user's configuration
    sqlite:docs.db#a/b               a document in an engine; without a key, or with a bare #, the collection

Percent-encoding is decoded once; any other character stands for itself in UTF-8, so a key needs encoding only for `%`,
and on a server for `?` and `#`. The last `#` separates an engine's URL from the key, because paths may contain one.
Which part of a server's path is the mount is found out later, by asking the server.

An address may end within a name: commands on several documents then work on all keys that begin with it. In `ls`,
`find`, `get` and `rm`, `*` stands for any part of a name and `**` for any part of a key; `%2A` is the character.
"""

import re
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from docstore.cli.globs import STARS
from docstore.cli.profiles import check_scheme, expand
from docstore.errors import SetupError, without_password
from docstore.http.url import encode

DEFAULT_BASE: Final = "http://127.0.0.1:8080/"
"""The base of relative addresses without DOCSTORE_URL: where `docstore serve` listens."""

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_HOST_AND_PORT: Final = re.compile(r"(?P<host>[^:]+):[0-9]+(/.*)?")
_INVALID_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Address:
    """A place in a store: `store` is a server's origin or an engine's URL, `path` the decoded rest.

    On a server `path` is the mount and the key; in an engine it is the key. It is "" for the whole store.
    """

    store: str = field(repr=False)
    path: str
    on_server: bool
    token: str | None = field(default=None, repr=False)
    """Of the server in the user's configuration."""
    raw_path: str = field(default="", repr=False, compare=False)
    """The path as typed."""
    text: str = field(default="", repr=False, compare=False)
    """The address as typed."""

    @property
    def is_collection(self) -> bool:
        """Whether this is a store, a collection or a folder in one, and not a document."""
        return not self.path or self.path.endswith("/")

    @property
    def name(self) -> str:
        """The last segment."""
        return self.path.rpartition("/")[2]

    @property
    def is_pattern(self) -> bool:
        return "*" in self.raw_path

    def beginning(self) -> "Address":
        """The address before the first `*`."""
        literal = self.raw_path.partition("*")[0]
        return replace(self, path=decode(literal), raw_path=literal, text=self.text.partition("*")[0])

    def expression(self) -> str:
        """The regular expression of the paths that this pattern matches."""
        tokens = re.split(r"(\*\*/|\*\*|\*)", self.raw_path)
        return "".join(STARS.get(token) or re.escape(decode(token)) for token in tokens)

    def check_collection(self) -> None:
        """Raise SetupError for the address of a document."""
        if not self.is_collection:
            text = without_password(self.text)
            raise SetupError(f"{text}: end the address with a slash to store several documents: {text}/")

    def child(self, name: str) -> "Address":
        return replace(self, path=self.path + name, raw_path="")

    def __str__(self) -> str:
        """The address as typed, without a password."""
        store = without_password(self.store)
        path = "".join(part if "*" in part else encode(decode(part)) for part in re.split(r"(\*+)", self.raw_path))
        path = path if self.is_pattern else encode(self.path)
        if not self.on_server:
            return f"{store}#{path}" if path else store
        return f"{store}/{path}"


def is_folder(text: str) -> bool:
    """Whether an argument that may be an address or a folder is a folder on this machine."""
    return text in (".", "..", "~") or text.startswith(("./", "../", "/", "~/"))


def parse(text: str, base: str = DEFAULT_BASE) -> Address:
    """Parse an address, relative to `base`. Raise SetupError, in one line."""
    if not text or text == "-":
        raise SetupError(
            f"{text!r} is not an address; examples: docs/key, http://host:8080/docs/key, sqlite:docs.db#key"
        )
    typed = text
    if _SCHEME.match(text):
        text, token = expand(text)
    else:
        base, token = expand(base)
        text = _absolute(text.removeprefix("./"), base)
    scheme = text.partition(":")[0].lower()
    address = _parse_server(text) if scheme in ("http", "https") else _parse_engine(text)
    if {".", ".."} & set(address.path.split("/")):
        raise SetupError(f"{without_password(text)}: an address has no segments '.' or '..'")
    return replace(address, token=token, text=typed)


def _absolute(text: str, base: str) -> str:
    """Join `text` to `base`, or to its host if `text` begins with a slash."""
    if not _SCHEME.match(base):
        raise SetupError(f"{base!r} (DOCSTORE_URL) is not an absolute address; example: {DEFAULT_BASE}")
    if not base.lower().startswith(("http:", "https:")):
        return (base if "#" in base else f"{base}#") + text
    if text.startswith("/"):
        parts = urlsplit(base)
        return f"{parts.scheme}://{parts.netloc}{text}"
    return base.rstrip("/") + "/" + text


def _parse_server(text: str) -> Address:
    scheme, _, rest = text.partition("://")
    authority, _, path = rest.partition("/")
    for character in "?#":
        if character in authority + path:
            advice = f"write {character!r} in a key as %{ord(character):02X}; addresses have no query or fragment"
            raise SetupError(f"{without_password(text)}: {advice}")
    try:
        parts = urlsplit(f"{scheme}://{authority}")
        if not parts.hostname or (parts.port or 0) < 0:
            raise ValueError("it names no host")
    except ValueError as error:
        raise SetupError(f"{without_password(text)!r} is not a valid server address: {error}") from None
    return Address(f"{scheme.lower()}://{authority}", decode(path), on_server=True, raw_path=path)


def _parse_engine(text: str) -> Address:
    store, _, key = text.rpartition("#") if "#" in text else (text, "", "")
    if store.partition(":")[0].lower() == "memory":
        raise SetupError(
            "memory: is empty whenever a command opens it; serve it (docstore serve --mount notes=memory:) "
            "and use the server's address"
        )
    if match := _HOST_AND_PORT.fullmatch(store):
        from docstore.engines.registry import schemes  # loaded only for text that is probably a mistake

        if match["host"] not in schemes():
            raise SetupError(f"{store}: for a server write http:// before it, as in http://{store}")
    check_scheme(store.partition(":")[0])
    return Address(store, decode(key), on_server=False, raw_path=key)


def decode(text: str) -> str:
    """Decode percent-encoded UTF-8. Raise SetupError."""
    if _INVALID_ESCAPE.search(text):
        raise SetupError(f"{text}: write '%' in an address as %25")
    try:
        return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8")
    except UnicodeError:
        raise SetupError(f"{text.encode('ascii', 'backslashreplace').decode()}: not valid UTF-8") from None
