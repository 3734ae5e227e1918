"""The registration of `shelve:`."""

from typing import Final

from docstore.engines.registry import EngineKind, Processes
from docstore.engines.shelve.engine import open_shelf
from docstore.engines.shelve.verify import check_shelf

SHELVE: Final = EngineKind(
    open=open_shelf,
    check=check_shelf,
    summary="a dbm file of the standard library, as in the original",
    example="shelve:documents",
    survives="a clean stop, and kill -9 as far as its dbm allows",
    processes=Processes.ONE,
    streams=False,
    on_disk=True,
    options={"dbm": "gnu, sqlite3 or dumb: what a new store is kept in; the best there is when not given"},
)
