"""shelve: documents in a dbm file, as the original kept them, but without pickles.

It exists for compatibility with the original, and has the limitations of its dbm. Use sqlite: for anything else.

    records   framed records in a dbm, and the lock of a store
    engine    the engine: one thread that owns the dbm, and all meta in memory
    read_only a copy of a store, to read it without changing it
    verify    `docstore check`
"""

from typing import Final

from docstore.engines.registry import EngineKind, Processes
from docstore.engines.shelve.engine import Shelve, open_shelve
from docstore.engines.shelve.read_only import open_shelve_read_only
from docstore.engines.shelve.verify import check_shelve

__all__ = ["SHELVE", "Shelve", "open_shelve"]

SHELVE: Final = EngineKind(
    open=open_shelve,
    open_read_only=open_shelve_read_only,
    check=check_shelve,
    summary="a dbm file of the standard library, as in the original",
    example="shelve:documents",
    survives="a clean stop, and kill -9 as far as its dbm allows",
    processes=Processes.ONE,
    streams=False,
    on_disk=True,
    options={"dbm": "gnu, sqlite3 or dumb: the dbm of a new store; by default the best that is installed"},
)
