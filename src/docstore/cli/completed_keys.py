"""What an address can go on with, for a Tab: mounts, folders and keys, within a second, or nothing at all."""

import os
import threading
from collections.abc import Iterator
from typing import Final

from docstore.cli.addresses import Address, parse
from docstore.cli.options import Access
from docstore.errors import DocstoreError
from docstore.http.url import encode

WITHIN_S: Final = 1.0
"""How long a person waits for a Tab, unless DOCSTORE_COMPLETION_S says otherwise."""
_SHOWN: Final = 200
"""More would help nobody to choose."""


def complete(begun: str, base: str) -> list[str]:
    """Addresses that begin with `begun` as it was typed."""
    import docstore.client.client  # noqa: F401 - loading it is no waiting for the server

    within_s = _within_s()
    found: list[str] = []
    # A daemon: a server that answers slowly must not keep the command from its end.
    looking = threading.Thread(target=lambda: found.extend(_quietly(begun, base)), daemon=True)
    looking.start()
    looking.join(within_s)
    return list(found)


def _within_s() -> float:
    try:
        return float(os.environ["DOCSTORE_COMPLETION_S"])
    except (KeyError, ValueError):
        return WITHIN_S


def _quietly(begun: str, base: str) -> list[str]:
    try:
        return list(_found(begun, base))
    except (DocstoreError, OSError, ValueError):
        return []  # nobody asked for an answer: the line that is typed is no place for complaints


def _found(begun: str, base: str) -> Iterator[str]:
    access = Access({}, _within_s(), quiet=True, tries=1)
    address = parse(begun, base) if begun else parse(base)
    if address.served and "/" not in address.path:
        yield from _mounts(begun, address, access)
        return
    with access.documents(address) as (docs, prefix):
        page = docs.list(prefix=prefix, limit=_SHOWN, delimiter="/")
    for name in sorted([*(info.key for info in page.documents), *page.folders]):
        yield begun + encode(name[len(prefix) :])


def _mounts(begun: str, address: Address, access: Access) -> Iterator[str]:
    from docstore.cli.server_info import mounts

    for mount, _ in mounts(address.store, access):
        if mount[1:].startswith(address.path):
            yield begun + mount[1 + len(address.path) :]
