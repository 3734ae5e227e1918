"""Opening a mount as it was asked for: by `docstore serve`, and by a client that opens an engine in its own process."""

from docstore.config import MountSettings
from docstore.engines.registry import kind_of, open_engine
from docstore.server.mounts import DEFAULT_MAX_DOCUMENT, MEMORY_MAX_DOCUMENT, Mount
from docstore.server.security.cors import Cors


def open_mount(asked: MountSettings) -> Mount:
    """Raises SetupError."""
    scheme = asked.engine.scheme
    default = DEFAULT_MAX_DOCUMENT if kind_of(scheme).streams else MEMORY_MAX_DOCUMENT
    return Mount(
        name=asked.name,
        engine=open_engine(asked.engine),
        scheme=scheme,
        keys=asked.keys,
        max_document=default if asked.max_document is None else asked.max_document,
        cors=Cors(frozenset(asked.cors)) if asked.cors else None,
        collection_put=asked.collection_put,
    )
