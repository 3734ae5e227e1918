"""What a server is told to do: settings from the command line, from a TOML file, and their defaults.

The two speak of the same settings under the same names; the command line wins. Everything that can be wrong with them
is found here, before anything is opened, and said in one line.
"""

import os
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from docstore.engines.registry import EngineURL, Processes, kind_of
from docstore.errors import SetupError
from docstore.keys import check_mount
from docstore.limits import DEFAULT_LIMITS, Limits
from docstore.units import parse_size

_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9.-]+(:[0-9]+)?|[a-z][a-z0-9+.-]*://\[[0-9a-f:]+\](:[0-9]+)?")


@dataclass(frozen=True)
class MountSettings:
    """One mount as it was asked for; `engine` keeps only the options that are the engine's own."""

    name: str
    engine: EngineURL
    keys: str = "name"
    max_document: int | None = None
    """Bytes; None for what suits the engine."""
    cors: tuple[str, ...] = ()
    """Origins whose pages may use the mount; `*` for all."""
    collection_put: bool = True

    @classmethod
    def parse(cls, text: str) -> "MountSettings":
        """`NAME=ENGINE-URL`, options of the mount among those of the engine. Raises SetupError."""
        name, equals, url = text.partition("=")
        if not equals:
            raise SetupError(f"{text!r} is not a mount; one looks like docs=sqlite:docs.db")
        return cls.make(name, EngineURL.parse(url))

    @classmethod
    def make(cls, name: str, url: EngineURL) -> "MountSettings":
        name, options = name.strip("/"), dict(url.options)
        keys = options.pop("keys", "name")
        max_document = options.pop("max_document", None)
        cors = options.pop("cors", "")
        collection_put = options.pop("collection_put", "yes")
        if collection_put not in ("yes", "no"):
            raise SetupError(f"collection_put={collection_put} of mount {name!r}: yes or no")
        check_mount(name, keys)
        origins = tuple(origin for origin in cors.split(",") if origin)
        for origin in origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise SetupError(f"cors={origin} of mount {name!r}: an origin looks like https://app.example")
        return cls(
            name,
            EngineURL(url.scheme, url.location, options),
            keys,
            None if max_document is None else parse_size(max_document),
            origins,
            collection_put == "yes",
        )


def default_mounts(data: Path) -> tuple[MountSettings, ...]:
    """The three engines of the original, and the durable one."""
    return (
        MountSettings("memory", EngineURL("memory", "")),
        MountSettings("file", EngineURL("file", str(data / "file"))),
        MountSettings("shelve", EngineURL("shelve", str(data / "shelve"))),
        MountSettings("docs", EngineURL("sqlite", str(data / "docs.db"))),
    )


CHOICES: Final = {
    "anonymous": ("read", "write"),
    "http": ("wire", "uvicorn"),
    "log_level": ("debug", "info", "warning", "error"),
}
"""Settings that are one of a few words."""


@dataclass(frozen=True)
class Settings:
    """Everything that `docstore serve` can be told."""

    host: str = "127.0.0.1"
    port: int = 8080
    data: Path = Path("docstore-data")
    mounts: tuple[MountSettings, ...] = ()
    workers: int = 1
    anonymous: str | None = None
    """`read` or `write`: what anybody may do beyond loopback; None keeps the store on loopback."""
    stop_timeout_s: int = 30
    sweep_interval_s: int = 60
    http: str = "wire"
    """Which protocol speaks HTTP: `wire`, our own, or `uvicorn`, that of the server beneath."""
    limits: Limits = DEFAULT_LIMITS
    """The bounds of the wire."""
    log_level: str = "info"

    def checked(self) -> "Settings":
        """These settings with the default mounts filled in. Raises SetupError for what can't work together."""
        mounts = self.mounts or default_mounts(self.data)
        names = [mount.name for mount in mounts]
        for name in names:
            if names.count(name) > 1:
                raise SetupError(f"the mount {name!r} is given twice")
        if not 0 <= self.port <= 65535:
            raise SetupError(f"port {self.port} is not between 0 and 65535")
        for name in ("workers", "stop_timeout_s", "sweep_interval_s"):
            if getattr(self, name) < 1:
                raise SetupError(f"{name} is at least 1")
        for name, words in CHOICES.items():
            if getattr(self, name) not in (*words, None):
                raise SetupError(f"{name} is one of {', '.join(words)}")
        if self.workers > 1:
            self._check_workers(mounts)
        _check_stores(mounts)
        if not is_loopback(self.host) and self.anonymous is None:
            raise SetupError(
                f"listening on {self.host} opens the store to everybody there; "
                "say so with --anonymous read or --anonymous write"
            )
        return replace(self, mounts=mounts)

    def _check_workers(self, mounts: Iterable[MountSettings]) -> None:
        for mount in mounts:
            kind = kind_of(mount.engine.scheme)
            if kind.processes is Processes.ONE:
                raise SetupError(
                    f"--workers {self.workers} can't share {mount.engine} (mount {mount.name!r}): "
                    f"{mount.engine.scheme} is an engine for one process"
                )


def _check_stores(mounts: Iterable[MountSettings]) -> None:
    """A store that one process can hold is opened once; others work under several names, as in several processes."""
    opened: dict[tuple[str, str], str] = {}
    for mount in mounts:
        kind = kind_of(mount.engine.scheme)
        if kind.processes is Processes.ONE and kind.on_disk:
            store = mount.engine.scheme, os.path.realpath(mount.engine.location.replace("\0", ""))
            if (other := opened.setdefault(store, mount.name)) != mount.name:
                raise SetupError(
                    f"the mounts {other!r} and {mount.name!r} are one store, {mount.engine}, "
                    f"and {mount.engine.scheme} is an engine that can be opened once"
                )


def is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or re.fullmatch(r"127(\.[0-9]{1,3}){3}", host) is not None


_PLAIN: Final = {"host": str, "port": int, "data": str, "workers": int, "anonymous": str, "stop_timeout_s": int,
                 "sweep_interval_s": int, "http": str, "log_level": str}  # fmt: skip


def read_toml(path: Path) -> dict[str, Any]:
    """The settings of a TOML file, by name. Raises SetupError naming the file."""
    try:
        with path.open("rb") as file:
            given = tomllib.load(file)
    except OSError as error:
        raise SetupError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SetupError(f"{path} is not TOML: {error}") from None
    settings: dict[str, Any] = {}
    for name, value in given.items():
        if name == "mounts":
            settings[name] = tuple(_mount_of_toml(path, mount, table) for mount, table in _table(path, name, value))
        elif name == "limits":
            settings[name] = dict(_table(path, name, value))
        elif name not in _PLAIN:
            raise SetupError(f"{path}: there is no setting {name!r}")
        elif type(value) is not _PLAIN[name]:
            raise SetupError(f"{path}: {name} is {'text' if _PLAIN[name] is str else 'a whole number'}")
        else:
            settings[name] = Path(str(value)) if name == "data" else value
    return settings


def _table(path: Path, name: str, value: object) -> Iterable[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise SetupError(f"{path}: {name} is a table")
    return value.items()


def _mount_of_toml(path: Path, name: str, table: object) -> MountSettings:
    """A mount is `engine = "URL"` and its options, written as TOML instead of in the URL's query."""
    options = dict(_table(path, f"mounts.{name}", table))
    engine = options.pop("engine", None)
    if not isinstance(engine, str):
        raise SetupError(f'{path}: mounts.{name} needs an engine, as in engine = "sqlite:docs.db"')
    url = EngineURL.parse(engine)
    written = {key: _option(path, f"mounts.{name}.{key}", value) for key, value in options.items()}
    return MountSettings.make(name, EngineURL(url.scheme, url.location, {**url.options, **written}))


def _option(path: Path, name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str | int):
        return str(value)
    raise SetupError(f"{path}: {name} is text, a number, true or false")
