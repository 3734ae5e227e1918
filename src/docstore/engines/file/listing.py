"""The keys under a prefix and after a key, in bytewise order, found by walking the folders.

Within a folder, a folder sorts as its name with `/` appended: `a`, `a-b`, `a/b`, `a0`. A heap yields the names that a
page needs; sorting all names of a folder was rejected.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heapify, heappop

from docstore.content import Descriptor
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
from docstore.engines.file.tree import FolderCursor, FolderTree, open_folder_in, status_in
from docstore.errors import InvalidKey
from docstore.keys import PATH_LIMIT, check_path

_Segment = tuple[str, NamePath]
"""A segment, with `/` appended for a folder, and its names in the folder."""

ReportOrphan = Callable[[NamePath], None]
"""Called with the place of each file and folder that can't be or hold a document, because no key has its name."""


@dataclass(frozen=True, slots=True)
class _KeyRange:
    prefix: str
    after: str

    def includes(self, above: str, segment: str, *, is_folder: bool) -> bool:
        """Whether this document, or one in this folder, may be in the range."""
        if not is_folder:
            key = above + segment
            return key > self.after and key.startswith(self.prefix) and len(key.encode()) <= PATH_LIMIT
        folder = f"{above}{segment}/"
        within = folder.startswith(self.prefix) or self.prefix.startswith(folder)
        return within and (folder > self.after or self.after.startswith(folder)) and len(folder.encode()) < PATH_LIMIT


def iter_keys(
    tree: FolderTree, prefix: str, after: str, skipped: list[str], report_orphan: ReportOrphan | None = None
) -> Iterator[str]:
    """Yield keys that have a file, or had one a moment ago. Folders without read permission are added to `skipped`.

    With `report_orphan`, prefix and after must be empty.
    """
    wanted, cursor = _KeyRange(prefix, after), FolderCursor(tree)

    def segments_in(place: NamePath, above: str) -> list[_Segment]:
        return _segments(cursor, tree.scheme, place, above, wanted, report_orphan)

    levels: list[tuple[str, NamePath, list[_Segment]]] = []

    def descend(place: NamePath, above: str) -> None:
        try:
            levels.append((above, place, segments_in(place, above)))
        except PermissionError as error:
            if not place:
                raise
            skipped.append(f"{tree.path_of(place)}: {error.strerror}")

    # Only the folders that the prefix names are opened, not searched for in those above them.
    start = prefix[: prefix.rfind("/") + 1]
    try:
        descend(_place_of_folder(start, tree.scheme), start)
    except InvalidKey:
        return
    while levels:
        above, place, segments = levels[-1]
        if not segments:
            levels.pop()
            continue
        text, names = heappop(segments)
        if not text.endswith("/"):
            yield above + text
        else:
            descend((*place, *names), above + text)


def _place_of_folder(start: str, scheme: Scheme) -> NamePath:
    """The place of the folder of keys with this start, which ends with a slash or is empty. Raise InvalidKey."""
    if not start:
        return ()
    check_path(start[:-1])
    return place_of(start[:-1], scheme)


def _segments(
    cursor: FolderCursor,
    scheme: Scheme,
    place: NamePath,
    above: str,
    wanted: _KeyRange,
    report_orphan: ReportOrphan | None,
) -> list[_Segment]:
    """The entries of a folder that are in the range, as a heap."""
    folder = cursor.move(place)
    if folder is None:
        return []
    files: dict[str, NamePath] = {}
    folders: dict[str, NamePath] = {}
    for names, is_folder in _scan(folder, ()):
        segment = folder_segment(names, scheme) if is_folder else file_segment(names, scheme)
        if segment is None or not wanted.includes(above, segment, is_folder=is_folder):
            # Names that start with `.` belong to the owner of the folder.
            if report_orphan is not None and not names[0].startswith(b"."):
                report_orphan((*place, *names))
        elif is_folder:
            folders[segment] = names
        else:
            files[segment] = names
    for segment in folders.keys() - files.keys():
        # Its document may have moved aside during this scan, to a position that the scan had passed.
        *rest, aside = aside_of(segment, scheme)
        if not rest and wanted.includes(above, segment, is_folder=False) and status_in(folder, aside) is not None:
            files[segment] = (aside,)
    segments = [(f"{name}/", names) for name, names in folders.items()]
    segments += files.items()
    heapify(segments)
    return segments


def _scan(folder: Descriptor, above: NamePath) -> Iterator[tuple[NamePath, bool]]:
    """The names of folders (True) and regular files (False), including those in the folders of long names."""
    with os.scandir(folder.number) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder and name.endswith(MORE) and len(above) < PIECES_LIMIT:
                rest = open_folder_in(folder, name)
                if rest is not None:
                    yield from _scan(rest, (*above, name))
            elif is_folder or entry.is_file(follow_symlinks=False):
                yield (*above, name), is_folder
