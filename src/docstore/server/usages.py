"""How the mounts that have a bound use it, for the root to tell: as JSON, and as a line for people."""

import logging
from dataclasses import asdict
from typing import Final

from docstore.engines.contract import Metered, Usage
from docstore.errors import EngineError
from docstore.server.mounts import Mount

log: Final = logging.getLogger("docstore")


async def usage_of(mount: Mount) -> Usage | None:
    """None for a mount without a bound, and when its storage does not say: the list of mounts is told all the same."""
    if not isinstance(mount.engine, Metered):
        return None
    try:
        return await mount.engine.usage()
    except EngineError as error:
        log.error("how %s is used is not known: %s", mount.prefix, error)
        return None


def described(mount: Mount, usage: Usage | None) -> dict[str, object]:
    """A mount in JSON."""
    more = {} if usage is None else {"usage": asdict(usage)}
    return {"mount": mount.prefix, "engine": mount.scheme, **more}


def line(usage: Usage) -> str:
    """What a person reads of it."""
    parts = [
        f"{usage.documents:,} documents",
        f"{usage.used_bytes:,} of {usage.max_bytes:,} bytes ({usage.used_bytes * 100 // usage.max_bytes} %)",
        f"{usage.hits:,} hits, {usage.misses:,} misses, {usage.evictions:,} evictions",
    ]
    return "; ".join(parts)
