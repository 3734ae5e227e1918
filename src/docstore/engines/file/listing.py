"""The keys under a prefix and after a key, in bytewise order, found by walking the folders and nothing more of them.

Within a folder, a folder sorts as its name with `/` appended: `a`, `a-b`, `a/b`, `a0`. A heap hands out the names that
a page needs; sorting all names of a folder was rejected.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heapify, heappop

from docstore.content import Descriptor
from docstore.engines.file.filenames import MORE, PIECES_LIMIT, Place, Scheme, aside_of, file_segment, folder_segment
from docstore.engines.file.tree import Cursor, Tree, open_folder_in, status_in
from docstore.keys import PATH_LIMIT

_Entry = tuple[str, Place]
"""A segment, with `/` appended for a folder; the names it has in the folder."""


@dataclass(frozen=True, slots=True)
class _Range:
    """Which keys are asked for."""

    prefix: str
    after: str

    def holds(self, key: str) -> bool:
        return key > self.after and key.startswith(self.prefix) and len(key.encode()) <= PATH_LIMIT

    def reaches(self, folder: str) -> bool:
        """Whether a key that begins with `folder` may be asked for."""
        within = folder.startswith(self.prefix) or self.prefix.startswith(folder)
        return within and (folder > self.after or self.after.startswith(folder)) and len(folder.encode()) < PATH_LIMIT


@dataclass(slots=True)
class LeftOut:
    """What a listing would show if it could be read: how many, and what is wrong with the first."""

    count: int = 0
    first: str = ""

    def add(self, why: str) -> None:
        self.first = self.first or why
        self.count += 1


def keys(tree: Tree, prefix: str, after: str, left_out: LeftOut) -> Iterator[str]:
    """Keys that have a file, or had one a moment ago: who iterates looks at each.

    Folders that may not be read are added to `left_out`.
    """
    asked, cursor = _Range(prefix, after), Cursor(tree)
    levels: list[tuple[str, Place, list[_Entry]]] = [("", (), _entries(cursor, tree.scheme, (), "", asked))]
    while levels:
        above, place, entries = levels[-1]
        if not entries:
            levels.pop()
            continue
        text, names = heappop(entries)
        if not text.endswith("/"):
            yield above + text
        else:
            below = (*place, *names)
            try:
                levels.append((above + text, below, _entries(cursor, tree.scheme, below, above + text, asked)))
            except PermissionError as error:
                left_out.add(f"{tree.path_of(below)}: {error.strerror}")


def _entries(cursor: Cursor, scheme: Scheme, place: Place, above: str, asked: _Range) -> list[_Entry]:
    """What of a folder is asked for, as a heap."""
    folder = cursor.move(place)
    if folder is None:
        return []
    files: dict[str, Place] = {}
    folders: dict[str, Place] = {}
    for names, is_folder in _scan(folder, ()):
        segment = folder_segment(names, scheme) if is_folder else file_segment(names, scheme)
        if segment is not None and is_folder:
            folders[segment] = names
        elif segment is not None and asked.holds(above + segment):
            files[segment] = names
    for segment in folders.keys() - files.keys():
        # Its document may have moved aside while this scan ran, to behind where it had been already.
        *rest, aside = aside_of(segment, scheme)
        if not rest and asked.holds(above + segment) and status_in(folder, aside) is not None:
            files[segment] = (aside,)
    entries = [(f"{name}/", names) for name, names in folders.items() if asked.reaches(f"{above}{name}/")]
    entries += files.items()
    heapify(entries)
    return entries


def _scan(folder: Descriptor, above: Place) -> Iterator[tuple[Place, bool]]:
    """Folders and plain files by their names, those in the folders of long names included."""
    with os.scandir(folder.number) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder and name.endswith(MORE):
                rest = open_folder_in(folder, name) if len(above) < PIECES_LIMIT else None
                if rest is not None:
                    yield from _scan(rest, (*above, name))
            elif is_folder or entry.is_file(follow_symlinks=False):
                yield (*above, name), is_folder
