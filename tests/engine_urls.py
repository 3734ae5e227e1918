"""The URL of an empty store of each engine, for tests that run on all of them."""

from collections.abc import Callable
from pathlib import Path

from tests.postgresql_server import postgres_url

ON_DISK_URLS = {"memory": "memory:", "file": "file:{}/file", "shelve": "shelve:{}/shelve", "docs": "sqlite:{}/docs.db"}
"""The engine URL of each of `server_process.MOUNTS`, over a folder."""

_SERVED: dict[str, Callable[[Path], str]] = {"postgresql": postgres_url}
"""Engines in front of another server, which the first use of one starts."""

ENGINES = (*ON_DISK_URLS, *_SERVED)


def url_in(folder: Path, engine: str) -> str:
    """The URL of a store of one of ENGINES that belongs to `folder`, for `EngineURL.parse`."""
    return _SERVED[engine](folder) if engine in _SERVED else ON_DISK_URLS[engine].format(folder)


def with_options(url: str, **options: str) -> str:
    """Add options to an engine's URL."""
    return url + ("&" if "?" in url else "?") + "&".join(f"{name}={value}" for name, value in options.items())
