"""The URL of an empty store of each engine, for tests that run on all of them."""

from collections.abc import Callable
from pathlib import Path

from tests.engines.object_store.s3_server import s3_url
from tests.postgresql_server import postgres_url

ON_DISK_URLS = {"memory": "memory:", "file": "file:{}/file", "shelve": "shelve:{}/shelve", "docs": "sqlite:{}/docs.db"}
"""The engine URL of each of `server_process.MOUNTS`, over a folder."""

REMOTE_URLS: dict[str, Callable[[Path], str]] = {"postgresql": postgres_url, "s3": s3_url}
"""Engines in front of another server, which the first use of one starts."""

ENGINES = (*ON_DISK_URLS, "postgresql")
"""Without s3, whose server is slow."""


def url_in(folder: Path, engine: str) -> str:
    """The URL of a store that belongs to `folder`, for `EngineURL.parse`."""
    return REMOTE_URLS[engine](folder) if engine in REMOTE_URLS else ON_DISK_URLS[engine].format(folder)


def with_options(url: str, **options: str) -> str:
    """Add options to an engine's URL."""
    return url + ("&" if "?" in url else "?") + "&".join(f"{name}={value}" for name, value in options.items())
