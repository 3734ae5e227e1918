"""The user's configuration: servers with short names, `$XDG_CONFIG_HOME/docstore/config.toml`.

    [servers.work]
    url = "https://store.example/"
    token = "..."

`work:docs/key` is then the address of a document on that server, and the token is sent as `Authorization: Bearer`.
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from docstore.errors import SetupError, did_you_mean

_RESERVED: Final = ("http", "https", "memory", "file", "shelve", "sqlite", "postgresql", "s3", "gs", "az")
"""The schemes of URLs. The registry, which has those of engines too, is not loaded for each address."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A server of the configuration."""

    url: str
    token: str | None = field(default=None, repr=False)


def config_path() -> Path:
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(folder) if Path(folder).is_absolute() else Path.home() / ".config") / "docstore" / "config.toml"


def read_profiles() -> dict[str, Profile]:
    """Return the servers by name; none if there is no configuration. Raise SetupError."""
    try:
        path = config_path()
        text = path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError, RuntimeError):  # there may be no home
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    import tomllib  # not loaded without a configuration

    try:
        settings = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SetupError(f"{path}: {error}") from None
    unknown = [name for name in settings if name != "servers"]
    servers = settings.get("servers", {})
    if unknown or not isinstance(servers, dict):
        raise SetupError(f"{path}: {unknown[0] if unknown else 'servers'!r} is unknown; it has tables [servers.NAME]")
    return {name: _profile(path, name, values) for name, values in servers.items()}


def _profile(path: Path, name: str, values: Any) -> Profile:
    place = f"{path}: [servers.{name}]"
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9.-]*", name) or name in _RESERVED:
        raise SetupError(f"{place}: {name!r} can't be the name of a server")
    if not isinstance(values, dict) or not {"url"} <= values.keys() <= {"url", "token"}:
        raise SetupError(f"{place} has a url, and may have a token")
    if not all(isinstance(value, str) for value in values.values()):
        raise SetupError(f"{place}: url and token are text")
    if not values["url"].startswith(("http://", "https://")):
        raise SetupError(f"{place}: the url begins with http:// or https://")
    return Profile(**values)


def expand(text: str) -> tuple[str, str | None]:
    """Return the URL for an address that begins with the name of a server, and its token; others are unchanged."""
    name, colon, rest = text.partition(":")
    if not colon or name.lower() in _RESERVED or (profile := read_profiles().get(name)) is None:
        return text, None
    return f"{profile.url.rstrip('/')}/{rest.lstrip('/')}", profile.token


def check_scheme(name: str) -> None:
    """Raise SetupError if there are servers with names and `name` is neither one of them nor an engine."""
    if name.lower() in _RESERVED or not (profiles := read_profiles()):
        return
    from docstore.engines.registry import schemes  # loaded only for text that may be a mistake

    if name.lower() not in (engines := schemes()):
        known = f"; the servers of {config_path()} are {', '.join(profiles)}, and the engines {', '.join(engines)}"
        raise SetupError(f"{name!r} is no server or engine{did_you_mean(name, [*profiles, *engines]) or known}")
