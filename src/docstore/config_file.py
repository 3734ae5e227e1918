"""The TOML file with the settings of a server: the same names as those of the command line."""

import tomllib
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from docstore.config import MountSettings, Settings
from docstore.engines.registry import EngineURL
from docstore.errors import SetupError, did_you_mean
from docstore.limits import Limits

_TOML_TYPES: Final = {
    setting.name: int if setting.type is int else str
    for setting in fields(Settings)
    if setting.name not in ("mounts", "limits", "public_urls", "trusted_proxies")
}

_PATHS: Final = ("audit", "data", "tls_cert", "tls_key", "uds")
"""Settings that are paths."""


def read_toml(path: Path) -> dict[str, Any]:
    """Return the settings of a TOML file, by name. Raise SetupError with the name of the file."""
    try:
        given = tomllib.loads(path.read_text("utf-8-sig"))  # editors may write a byte order mark
    except OSError as error:
        raise SetupError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SetupError(f"{path} is not TOML: {error}") from None
    settings: dict[str, Any] = {}
    for name, value in given.items():
        if name == "mounts":
            settings[name] = tuple(_toml_mount(path, mount, table) for mount, table in _table(path, name, value))
        elif name == "limits":
            settings[name] = dict(_table(path, name, value))
            try:
                Limits.of(settings[name])
            except SetupError as error:
                raise SetupError(f"{path}: {error}") from None
        elif name in ("public_urls", "trusted_proxies"):
            if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
                raise SetupError(f"{path}: {name} must be a list of texts")
            settings[name] = tuple(value)
        elif name not in _TOML_TYPES:
            hint = did_you_mean(name, [setting.name for setting in fields(Settings)])
            raise SetupError(f"{path}: unknown setting {name!r}{hint}")
        elif type(value) is not _TOML_TYPES[name]:
            raise SetupError(f"{path}: {name} must be {'text' if _TOML_TYPES[name] is str else 'a whole number'}")
        else:
            settings[name] = Path(str(value)) if name in _PATHS else value
    return settings


def _table(path: Path, name: str, value: object) -> Iterable[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise SetupError(f"{path}: {name} must be a table")
    return value.items()


def _toml_mount(path: Path, name: str, table: object) -> MountSettings:
    """Parse `engine = "URL"` and the options, which are TOML values instead of the URL's query."""
    options = dict(_table(path, f"mounts.{name}", table))
    engine = options.pop("engine", None)
    if not isinstance(engine, str):
        raise SetupError(f'{path}: mounts.{name} needs an engine, as in engine = "sqlite:docs.db"')
    options = {key: _toml_option(path, f"mounts.{name}.{key}", value) for key, value in options.items()}
    try:
        url = EngineURL.parse(engine)
        mount = MountSettings.make(name, EngineURL(url.scheme, url.location, {**url.options, **options}))
        mount.check_options()
    except SetupError as error:
        raise SetupError(f"{path}: {error}") from None
    return mount


def _toml_option(path: Path, name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str | int):
        return str(value)
    raise SetupError(f"{path}: {name} must be text, a number, true or false")
