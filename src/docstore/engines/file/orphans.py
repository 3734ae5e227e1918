"""Files and folders of a mount whose names belong to no key: they look like documents, but are not.

Names that start with `.`, links, sockets, pipes and devices are not reported: they belong to the owner of the folder.
"""

import os
import stat
from collections.abc import Iterator
from typing import Final

from docstore.engines.file.filenames import (
    MORE,
    PIECES_LIMIT,
    NamePath,
    Scheme,
    aside_of,
    file_segment,
    folder_segment,
    place_of,
)
from docstore.engines.file.tree import FolderCursor, FolderTree, status_in
from docstore.keys import PATH_LIMIT

_NO_KEY: Final = "it is not a document: no key has this name"
_HIDDEN: Final = "it is hidden by another file of the same key"

_Folder = tuple[NamePath, str, NamePath]
"""A folder's place, the start of the keys in it, and the names of the unfinished long segment that it belongs to."""


def orphaned_names(tree: FolderTree) -> Iterator[tuple[NamePath, str]]:
    """Yield the place of each, and why it is not a document."""
    cursor = FolderCursor(tree)
    waiting: list[_Folder] = [((), "", ())]
    while waiting:
        parent = waiting.pop()
        folder = cursor.move(parent[0])
        if folder is None:
            continue
        with os.scandir(folder.number) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                if name.startswith(b".") and not parent[2]:
                    continue
                problem = None
                if entry.is_dir(follow_symlinks=False):
                    below = _subfolder(parent, name, tree.scheme)
                    if below is None:
                        problem = _NO_KEY
                    else:
                        waiting.append(below)
                elif entry.is_file(follow_symlinks=False):
                    problem = _problem_of(parent, name, tree)
                if problem is not None:
                    yield (*parent[0], name), problem


def _subfolder(parent: _Folder, name: bytes, scheme: Scheme) -> _Folder | None:
    """Return None when no document can be in this folder."""
    place, above, pieces = parent
    names = (*pieces, name)
    if name.endswith(MORE) and len(names) <= PIECES_LIMIT:
        return (*place, name), above, names
    segment = folder_segment(names, scheme)
    if segment is None or len(f"{above}{segment}/".encode()) >= PATH_LIMIT:
        return None
    return (*place, name), f"{above}{segment}/", ()


def _problem_of(parent: _Folder, name: bytes, tree: FolderTree) -> str | None:
    place, above, pieces = parent
    segment = file_segment((*pieces, name), tree.scheme)
    if segment is None or len((above + segment).encode()) > PATH_LIMIT:
        return _NO_KEY
    key, own_place = above + segment, (*place, name)
    proper = place_of(key, tree.scheme)
    if own_place == proper or own_place != aside_of(key, tree.scheme):
        return None
    folder = tree.folder(proper[:-1])
    status = folder and status_in(folder, proper[-1])
    return _HIDDEN if status and stat.S_ISREG(status.st_mode) else None
