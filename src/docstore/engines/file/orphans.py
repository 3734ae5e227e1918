"""Files and folders of a mount that look like documents and are none: no key is written as their names.

Names that begin with `.`, links, sockets, pipes and devices are left out: they are of the person whose folder it is.
"""

import os
import stat
from collections.abc import Iterator
from typing import Final

from docstore.engines.file.filenames import (
    MORE,
    PIECES_LIMIT,
    Place,
    Scheme,
    aside_of,
    file_segment,
    folder_segment,
    place_of,
)
from docstore.engines.file.tree import Cursor, Tree, status_in
from docstore.keys import PATH_LIMIT

_NO_KEY: Final = "no key is written like this: it is not a document"
_HIDDEN: Final = "it is hidden by another file of the same key"

Visit = tuple[Place, str, Place]
"""A folder's place, what keys of documents in it begin with, the names of the long segment it is in the middle of."""


def strays(tree: Tree) -> Iterator[tuple[Place, str]]:
    """Where each stands, and why it is no document."""
    cursor = Cursor(tree)
    waiting: list[Visit] = [((), "", ())]
    while waiting:
        visit = waiting.pop()
        folder = cursor.move(visit[0])
        if folder is None:
            continue
        with os.scandir(folder.number) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                if name.startswith(b".") and not visit[2]:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    below = _below(visit, name, tree.scheme)
                    if below is None:
                        yield (*visit[0], name), _NO_KEY
                    else:
                        waiting.append(below)
                elif entry.is_file(follow_symlinks=False):
                    why = _why(visit, name, tree)
                    if why is not None:
                        yield (*visit[0], name), why


def _below(visit: Visit, name: bytes, scheme: Scheme) -> Visit | None:
    """How to go on in a folder; None when no document can stand in it."""
    place, above, pieces = visit
    names = (*pieces, name)
    if name.endswith(MORE) and len(names) <= PIECES_LIMIT:
        return (*place, name), above, names
    segment = folder_segment(names, scheme)
    if segment is None or len(f"{above}{segment}/".encode()) >= PATH_LIMIT:
        return None
    return (*place, name), f"{above}{segment}/", ()


def _why(visit: Visit, name: bytes, tree: Tree) -> str | None:
    place, above, pieces = visit
    segment = file_segment((*pieces, name), tree.scheme)
    if segment is None or len((above + segment).encode()) > PATH_LIMIT:
        return _NO_KEY
    key, stands = above + segment, (*place, name)
    if stands == place_of(key, tree.scheme) or stands != aside_of(key, tree.scheme):
        return None
    *folders, proper = place_of(key, tree.scheme)
    folder = tree.folder(tuple(folders))
    status = folder and status_in(folder, proper)
    return _HIDDEN if status and stat.S_ISREG(status.st_mode) else None
