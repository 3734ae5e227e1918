"""Settings of a server: from the command line, from a TOML file, and the defaults.

Both sources use the same names; the command line wins. `config_file.py` reads the file. All settings are checked here,
before anything is opened, and each error is one line. An option of a mount is one row of MountOptions.
"""

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from docstore.engines.contract import Engine
from docstore.engines.registry import EngineURL, Processes, kind_of, open_existing, open_read_only, open_readable
from docstore.engines.shared.store_files import is_inside
from docstore.errors import SetupError, without_password
from docstore.http.forwarded import is_proxy_name
from docstore.http.message import Headers
from docstore.http.stored_headers import STORED_HEADERS, InvalidStoredField
from docstore.http.url import is_loopback, normalize_origin
from docstore.keys import check_mount
from docstore.limits import DEFAULT_LIMITS, Limits
from docstore.units import parse_rate, parse_size


def _parse_names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def _parse_origin(text: str) -> str:
    advice = "an origin looks like https://app.example"
    origin, path = _parse_url(text, advice)
    if path:
        raise SetupError(advice)
    return origin


def _parse_url(text: str, advice: str) -> tuple[str, str]:
    """Return the normalized origin of a URL, and its path without a slash at its end."""
    origin = normalize_origin(text)
    if origin is None or urlsplit(text)[3:] != ("", "") or "@" in text:
        raise SetupError(advice)
    return origin, urlsplit(text).path.rstrip("/")


def _parse_origins(text: str) -> tuple[str, ...]:
    origins = _parse_names(text)
    return tuple(origin if origin == "*" else _parse_origin(origin) for origin in origins)


def _parse_yes_no(text: str) -> bool:
    if text not in ("yes", "no"):
        raise SetupError("must be yes or no")
    return text == "yes"


def _parse_content(text: str) -> str:
    if text not in ("data", "app"):
        raise SetupError("must be data or app")
    return text


def _parse_app_host(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", text) is None:
        raise SetupError("must be the name of a host, such as apps.example, without scheme and port")
    return text.lower()


def _parse_cache_control(text: str) -> str:
    try:
        value = STORED_HEADERS["cache-control"].parse(
            "cache-control", Headers([(b"cache-control", text.encode("utf-8"))])
        )
    except InvalidStoredField:
        value = ""
    if not value:
        raise SetupError("must be cache directives, such as max-age=60")
    return value


def _option(default: object, parse: Callable[[str], object], help: str) -> Any:  # a Field, of the type of `default`
    return field(default=default, metadata={"parse": parse, "help": help})


@dataclass(frozen=True, kw_only=True)
class MountOptions:
    """The options of a mount: the default, the parser for engine URLs and TOML files, and the help."""

    keys: str = _option("path", str, "path|name")
    """The rule of `keys.KEY_RULES` that its keys follow."""
    max_document: int | None = _option(None, parse_size, "SIZE")
    """Bytes of the largest document; None for a default that depends on the engine."""
    collection_put: bool = _option(True, _parse_yes_no, "yes|no")
    """Whether PUT to the collection stores under a new UUID, as in the original."""
    index: bool = _option(False, _parse_yes_no, "yes|no")
    """Whether GET of a folder is its `index.html`, if there is one."""
    cors: tuple[str, ...] = _option((), _parse_origins, "ORIGIN")
    """Origins whose pages may use the mount; `*` for all."""
    content: str = _option("data", _parse_content, "data|app")
    """`app`: browsers run the scripts of its documents, as those of web apps. `data`: each document is sandboxed."""
    app_host: str = _option("", _parse_app_host, "NAME")
    """The host, in lower case, where `content=app` applies and where there is no other mount; "" for all hosts."""
    cache_control: str = _option("no-cache", _parse_cache_control, "DIRECTIVES")
    """Cache-Control of responses with documents that have none; by default caches must revalidate."""
    guess_type: bool = _option(True, _parse_yes_no, "yes|no")
    """Whether a document without Content-Type gets one by `media_types`; otherwise application/octet-stream."""
    ignore_query: tuple[str, ...] = _option((), _parse_names, "NAME,NAME")
    """Query parameters of writes that the store ignores, such as a cache's `teamId`; others are errors."""

    readonly: bool = _option(False, _parse_yes_no, "yes|no")
    """Whether the store is opened for reading only: it is never changed, and clients can't write."""

    def options(self) -> dict[str, Any]:
        return {option.name: getattr(self, option.name) for option in fields(MountOptions)}


MOUNT_OPTIONS_HELP: Final = ", ".join(f"{option.name}={option.metadata['help']}" for option in fields(MountOptions))


@dataclass(frozen=True)
class MountSettings(MountOptions):
    """The settings of one mount; `engine` keeps only the options of the engine itself."""

    name: str
    engine: EngineURL

    @classmethod
    def parse(cls, text: str) -> "MountSettings":
        """Parse `NAME=ENGINE-URL`, whose query has the options of the mount too. Raise SetupError."""
        name, equals, url = text.partition("=")
        if not equals:
            raise SetupError(f"{without_password(text)!r} is not a mount, such as docs=sqlite:docs.db")
        return cls.make(name, EngineURL.parse(url))

    @classmethod
    def make(cls, name: str, url: EngineURL) -> "MountSettings":
        name, engine_options = name.strip("/"), dict(url.options)
        parsed: dict[str, Any] = {}
        for option in fields(MountOptions):
            if (text := engine_options.pop(option.name, None)) is not None:
                try:
                    parsed[option.name] = option.metadata["parse"](text)
                except SetupError as error:
                    raise SetupError(f"{option.name}={text} of mount {name!r}: {error}") from None
        settings = cls(name, EngineURL(url.scheme, url.location, engine_options), **parsed)
        check_mount(name, settings.keys, settings.index)
        if settings.app_host and settings.content != "app":
            raise SetupError(f"app_host of mount {name!r} needs content=app")
        return settings

    def check_options(self) -> None:
        """Raise SetupError for an unknown engine, and for an option that neither it nor a mount has."""
        try:
            known = kind_of(self.engine.scheme).options
            self.engine.refuse_options(*known, others=[option.name for option in fields(MountOptions)])
        except SetupError as error:
            raise SetupError(f"mount {self.name!r}: {error}") from None

    def open_engine(self, *, create: bool = True) -> Engine:
        """Open the engine for writing; for reading with `readonly`, and if it can't be written. Raise SetupError.

        Without `create`, no file is created in a folder that is no store yet: it is opened for reading.
        """
        if self.readonly:
            return open_read_only(self.engine)
        return open_readable(self.engine) if create else open_existing(self.engine)


def default_mounts(data: Path) -> tuple[MountSettings, ...]:
    """Return the three engines of the original, and a durable one."""
    return (
        MountSettings("memory", EngineURL("memory", "")),
        MountSettings("file", EngineURL("file", str(data / "file"))),
        MountSettings("shelve", EngineURL("shelve", str(data / "shelve"))),
        MountSettings("docs", EngineURL("sqlite", str(data / "docs.db"))),
    )


CHOICES: Final = {
    "auth": ("open", "tokens"),
    "anonymous": ("read", "write"),
    "http": ("wire", "uvicorn"),
    "log_level": ("debug", "info", "warning", "error"),
}
"""Settings with a fixed set of values."""


@dataclass(frozen=True)
class Settings:
    """The settings of `docstore serve`."""

    host: str = "127.0.0.1"
    port: int = 8080
    uds: Path | None = None
    """The path of a Unix socket to listen on, instead of host and port."""
    uds_mode: str = "600"
    """The permissions of the Unix socket, octal; users who may write to it may connect."""
    tls_cert: Path | None = None
    """The PEM file of the certificate chain, for https; None for http."""
    tls_key: Path | None = None
    """The PEM file of the private key; None if it is in `tls_cert`."""
    data: Path = Path("docstore-data")
    mounts: tuple[MountSettings, ...] = ()
    workers: int = 1
    auth: str | None = None
    """`open`: all clients may do what `anonymous` says. `tokens`: clients with a token may do what it allows. None is
    `open` on loopback and `tokens` beyond."""
    anonymous: str | None = None
    """`read` or `write`: what clients without a token may do. None is `write` with `open`, nothing with `tokens`."""
    audit: Path | None = None
    """The file of the audit log; None for none."""
    address_rate: str | None = None
    """How many requests one address may send to each process, such as `100/s`; None for no limit."""
    public_urls: tuple[str, ...] = ()
    """The URLs of the root behind proxies, such as `https://store.example`: Host and Origin may name them."""
    trusted_proxies: tuple[str, ...] = ()
    """The addresses and networks of proxies, or `unix`, whose Forwarded and X-Forwarded-* fields are believed."""
    stop_timeout_s: int = 30
    sweep_interval_s: int = 60
    http: str = "wire"
    """The implementation of HTTP/1.1: `wire` is Docstore's own, `uvicorn` is uvicorn's."""
    limits: Limits = DEFAULT_LIMITS
    log_level: str = "info"

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect."""
        return self.uds is not None or is_loopback(self.host)

    @property
    def needs_tokens(self) -> bool:
        """Whether clients need a token for what `anonymous` does not allow. The address decides if `auth` is None."""
        return self.auth == "tokens" if self.auth else not self.is_local

    @property
    def anonymous_may(self) -> str | None:
        """What clients without a token may do: `read`, `write` or nothing."""
        return self.anonymous or (None if self.needs_tokens else "write")

    def checked(self) -> "Settings":
        """Return these settings with default mounts if there are none. Raise SetupError for invalid combinations."""
        mounts = self.mounts or self._default_mounts()
        names = [mount.name for mount in mounts]
        for name in names:
            if names.count(name) > 1:
                raise SetupError(f"mount {name!r} is defined twice")
        if not 0 <= self.port <= 65535:
            raise SetupError(f"port {self.port} is not between 0 and 65535")
        for name in ("workers", "stop_timeout_s", "sweep_interval_s"):
            if getattr(self, name) < 1:
                raise SetupError(f"{name} must be at least 1")
        for name, words in CHOICES.items():
            if getattr(self, name) not in (*words, None):
                raise SetupError(f"{name} must be one of {', '.join(words)}")
        for mount in mounts:
            mount.check_options()
        _check_processes(mounts, self.workers)
        _check_nesting(mounts)
        self._check_apps(mounts)
        if re.fullmatch("0?[0-7]{3}", self.uds_mode) is None:
            raise SetupError(f"uds_mode must be octal permissions, such as 660, not {self.uds_mode!r}")
        if self.tls_key is not None and self.tls_cert is None:
            raise SetupError("tls_key needs tls_cert, the certificate of the key")
        if self.tls_cert is not None:
            _check_apart(mounts, self.tls_key or self.tls_cert, "the private key")
        for name in self.trusted_proxies:
            if not is_proxy_name(name):
                raise SetupError(f"trusted proxy {name!r}: it looks like 10.0.0.1, 10.0.0.0/8, 2001:db8::/32 or unix")
        # A server that asks for no tokens must not give away those of another one with the same data folder.
        if self.needs_tokens or any((self.data / name).exists() for name in _SECRETS):
            _check_apart(mounts, self.data, "the data folder, where the tokens are")
            for name in _ENDED:
                _check_outside(mounts, self.data / name)
        if self.address_rate is not None:
            parse_rate(self.address_rate)
        if self.audit is not None:
            _check_apart(mounts, self.audit, "the audit log")
        public_urls = []
        for url in self.public_urls:
            try:
                public_urls.append("".join(_parse_url(url, "it looks like https://store.example or https://host/path")))
            except SetupError as error:
                raise SetupError(f"public URL {url}: {error}") from None
        return replace(self, mounts=mounts, public_urls=tuple(public_urls))

    def _check_apps(self, mounts: Iterable[MountSettings]) -> None:
        """Raise SetupError for web apps that could act with the credentials of their users."""
        own_hosts = {self.host, *(urlsplit(url).hostname for url in self.public_urls)}
        for mount in mounts:
            if mount.content == "app" and not mount.app_host and self.needs_tokens:
                raise SetupError(
                    f"mount {mount.name!r}: with tokens, content=app needs a host of its own, such as "
                    "app_host=apps.example: on the host of the store, its scripts could use the logins of their readers"
                )
            if mount.app_host and mount.app_host in own_hosts:
                raise SetupError(f"mount {mount.name!r}: app_host {mount.app_host} is the host of the store itself")

    def _default_mounts(self) -> tuple[MountSettings, ...]:
        """With several workers, those that several processes can open."""
        mounts = default_mounts(self.data)
        if self.workers == 1:
            return mounts
        return tuple(mount for mount in mounts if kind_of(mount.engine.scheme).processes is Processes.MANY)


def _check_processes(mounts: Iterable[MountSettings], workers: int) -> None:
    """Raise SetupError if two workers or two mounts would open one single-process store."""
    opened: dict[tuple[str, str], str] = {}
    for mount in mounts:
        engine, kind = mount.engine, kind_of(mount.engine.scheme)
        if kind.processes is not Processes.ONE:
            continue
        if workers > 1:
            raise SetupError(
                f"--workers {workers} needs multi-process engines; "
                f"mount {mount.name!r} ({engine.scheme}) is single-process"
            )
        if not kind.on_disk:
            continue
        store = engine.scheme, os.path.realpath(engine.location.replace("\0", ""))
        if (other := opened.setdefault(store, mount.name)) != mount.name:
            raise SetupError(
                f"mounts {other!r} and {mount.name!r} both open {engine}, "
                f"but a {engine.scheme} store can be opened only once"
            )


def _check_nesting(mounts: Iterable[MountSettings]) -> None:
    """Raise SetupError for a folder of documents that contains another mount's storage or lies in it.

    Listing such a folder would open the files of the other engine, and a write could replace them.
    """
    stores = [mount for mount in mounts if kind_of(mount.engine.scheme).on_disk]
    for mount in stores:
        for other in stores:
            if mount is other or mount.engine.scheme != "file":
                continue
            folder, storage = Path(mount.engine.location), Path(other.engine.location)
            around, within = is_inside(storage, folder), is_inside(folder, storage)
            if around and within and other.engine.scheme == "file":
                continue  # one folder under two names
            if around or within or is_inside(folder, Path(f"{storage}.sealed")):
                raise SetupError(
                    f"mounts {mount.name!r} ({mount.engine}) and {other.name!r} ({other.engine}) overlap: "
                    "a folder of documents must not contain another mount's storage; use separate folders"
                )


_SECRETS: Final = ("tokens.json", "signing.key")
_ENDED: Final = ("ended", "used")
"""In the data folder: the tokens and the key of links and sessions, and the links and sessions that have ended."""


def _check_apart(mounts: Iterable[MountSettings], path: Path, what: str) -> None:
    """Raise SetupError if a folder of documents contains this path: clients could read and replace the file there."""
    for mount in mounts:
        if mount.engine.scheme == "file" and is_inside(path, Path(mount.engine.location)):
            raise SetupError(f"mount {mount.name!r} ({mount.engine}) contains {path}, {what}; choose another path")


def _check_outside(mounts: Iterable[MountSettings], folder: Path) -> None:
    """Raise SetupError if documents are in this folder: deleting files there would revive what has ended."""
    for mount in mounts:
        if mount.engine.scheme == "file" and is_inside(Path(mount.engine.location), folder):
            raise SetupError(
                f"mount {mount.name!r} ({mount.engine}) is in {folder}, where links and sessions that have ended are; "
                "choose another path"
            )
