"""A model of a disk that loses power: the states it may be in, given the changes and what was made durable.

The model loses everything that POSIX allows a file system to lose, which is more than any of them does lose:

- Bytes. fsync of a file makes its bytes, size and times durable, not its name. What was written since may be there or
  not, in any order, torn at any sector; the file may have grown while the new bytes are zeroes, or not have grown.
- Names. A change of names (create, mkdir, rename, unlink, rmdir) is durable once a folder that it changes was
  fsynced. What was not may be there or not, each change by itself: of one folder and of several any subset, as long
  as the changes of one name keep their order. A file's name may so be there without its bytes, and a folder be gone
  with all that was fsynced in it.
- A rename is atomic: both of its names or none, also when it leads from one folder to another, and when it replaces.
- The state before the recording is durable.

Why so strict, and no prefix of the changes in their order: ext4 and xfs keep changes of names in the order of one
journal, so that a subset never shows there; but "All File Systems Are Not Created Equal" (Pillai and others, OSDI
2014) found file systems and options that reorder them (ext2, btrfs, ext4 without a journal), and CrashMonkey (Mohan and
others, OSDI 2018) found names lost behind an fsync on btrfs and F2FS. Every prefix is one of the subsets, so what
holds here holds on a journal too. That a rename is atomic is what POSIX asks for, and all of those keep it.

Not simulated: changes of bytes outside of what was written, which SQLite does not expect either (powersafe overwrite),
and disks that report data as flushed when it is not.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from random import Random
from typing import Final

TOP: Final = 0
"""The root folder, which always exists."""

SOME_TIME_NS: Final = 1_000_000_000
"""The modification time of a file for which none was set."""

SECTOR: Final = 512
"""The number of bytes that a disk writes atomically."""


@dataclass(frozen=True, slots=True)
class Made:
    """A new file with this content and time, or a new folder; no name leads to it yet."""

    node: int
    content: tuple[bytes, int] | None


@dataclass(frozen=True, slots=True)
class Named:
    """Names that changed in one step: (folder, name, what it leads to now)."""

    entries: tuple[tuple[int, bytes, int | None], ...]


@dataclass(frozen=True, slots=True)
class Put:
    """Bytes written into a file."""

    file: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """A file made shorter or longer."""

    file: int
    size: int


@dataclass(frozen=True, slots=True)
class Timed:
    """A file given a modification time."""

    file: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Synced:
    """fsync of a file or of a folder."""

    node: int


Change = Made | Named | Put | Cut | Timed | Synced

Image = Mapping[bytes, tuple[bytes, int] | None]
"""What is on a disk: every path, with the bytes and the modification time of a file, None for a folder."""


@dataclass(slots=True)
class _File:
    durable: bytes = b""
    durable_ns: int = SOME_TIME_NS
    mtime_ns: int = SOME_TIME_NS
    pending: list[Put | Cut] = field(default_factory=list)

    def whole(self) -> tuple[bytes, int]:
        return applied(self.durable, self.pending), self.mtime_ns

    def variants(self, chance: Random, more: int) -> list[tuple[bytes, int]]:
        """The possible states: first with all changes, then with none, then some of each kind, and `more` at random."""
        whole, _ = self.whole()
        contents = [whole, self.durable]
        if self.pending:
            grown = self.durable[: len(whole)].ljust(len(whole), b"\0")
            short = whole[: max(len(whole) // 2, min(len(whole), len(self.durable)))]
            contents += [grown, short, self.torn(len(self.pending) - 1), self.torn(0)]
            contents += [self.scattered(chance) for _ in range(more)]
        return list(dict.fromkeys(itertools.product(contents, (self.mtime_ns, self.durable_ns))))

    def torn(self, number: int) -> bytes:
        """Cut off in the middle of the pending step of this number."""
        steps, last = self.pending[:number], self.pending[number]
        return applied(self.durable, [*steps, *([_half(last)] if isinstance(last, Put) else [])])

    def scattered(self, chance: Random) -> bytes:
        """Any of the steps, and any of their sectors."""
        share = chance.choice((0.1, 0.5, 0.9))
        steps: list[Put | Cut] = []
        for step in self.pending:
            if isinstance(step, Put) and chance.random() < 0.5:
                steps += [piece for piece in _sectors(step) if chance.random() < share]
            elif chance.random() < share:
                steps.append(step)
        data = applied(self.durable, steps)
        size = len(applied(self.durable, self.pending))
        return data if chance.random() < 0.5 else data[:size].ljust(size, b"\0")


def _half(step: Put) -> Put:
    return Put(step.file, step.offset, step.data[: len(step.data) // 2])


def _sectors(step: Put) -> Iterator[Put]:
    """The step in pieces that end where sectors of the disk do."""
    end = step.offset + len(step.data)
    start = step.offset
    while start < end:
        stop = min(end, start - start % SECTOR + SECTOR)
        yield Put(step.file, start, step.data[start - step.offset : stop - step.offset])
        start = stop


def applied(data: bytes, steps: Sequence[Put | Cut]) -> bytes:
    if not steps:
        return data
    content = bytearray(data)
    for step in steps:
        if isinstance(step, Put):
            content.extend(bytes(max(0, step.offset - len(content))))
            content[step.offset : step.offset + len(step.data)] = step.data
        else:
            del content[step.size :]
            content.extend(bytes(step.size - len(content)))
    return bytes(content)


class Disk:
    """All files and folders by number, what is durable of them and what is not yet."""

    def __init__(self) -> None:
        self._files: dict[int, _File] = {}
        self._folders: dict[int, dict[bytes, int]] = {TOP: {}}
        self._pending: list[Named] = []

    def apply(self, change: Change) -> None:
        match change:
            case Made(node=node, content=None):
                self._folders[node] = {}
            case Made(node=node, content=content) if content is not None:
                self._files[node] = _File(*content, content[1])
            case Named():
                self._pending.append(change)
            case Put(file=file) | Cut(file=file):
                self._files[file].pending.append(change)
            case Timed(file=file, mtime_ns=mtime_ns):
                self._files[file].mtime_ns = mtime_ns
            case Synced(node=node) if node in self._files:
                synced = self._files[node]
                synced.durable, synced.durable_ns = applied(synced.durable, synced.pending), synced.mtime_ns
                synced.pending = []
            case Synced(node=node):
                self._sync_names(node)

    def _sync_names(self, folder: int) -> None:
        touching = [
            number for number, change in enumerate(self._pending) if any(entry[0] == folder for entry in change.entries)
        ]
        durable = self._with_earlier(touching)
        for number in sorted(durable):
            _rename(self._folders, self._pending[number])
        self._pending = [change for number, change in enumerate(self._pending) if number not in durable]

    def _with_earlier(self, wanted: Sequence[int]) -> frozenset[int]:
        """These of the pending changes, and all before them that they follow upon: changes of the same names."""
        closed: set[int] = set()
        names: set[tuple[int, bytes]] = set()
        for number in range(len(self._pending) - 1, -1, -1):
            own = {(folder, name) for folder, name, _ in self._pending[number].entries}
            if number in wanted or own & names:
                closed.add(number)
                names |= own
        return frozenset(closed)

    def whole(self) -> Image:
        """The state when nothing is lost."""
        return self._image(frozenset(range(len(self._pending))), {})

    def left(self, chance: Random, limit: int) -> Iterator[Image]:
        """The states after a power cut now: all if there are at most `limit`, else the extremes and samples."""
        everything, exact = self._every_subset(limit)
        files = [number for number, file in self._files.items() if file.pending or file.mtime_ns != file.durable_ns]
        variants = {number: self._files[number].variants(chance, 4) for number in files}
        if exact and len(everything) * prod(map(len, variants.values())) <= limit:
            for names in everything:
                for chosen in itertools.product(*variants.values()):
                    yield self._image(names, dict(zip(files, chosen, strict=True)))
            return
        for names in (everything[-1], everything[0]):
            for pick in (0, -1):
                yield self._image(names, {number: variants[number][pick] for number in files})
        for _ in range(limit - 4):
            names = chance.choice(everything) if exact else self._some_names(chance)
            yield self._image(names, {number: chance.choice(variants[number]) for number in files})

    def _every_subset(self, limit: int) -> tuple[list[frozenset[int]], bool]:
        """The subsets of the pending changes that may be found, the least first, the whole last; whether it is all."""
        whole = frozenset(range(len(self._pending)))
        found: dict[frozenset[int], None] = {frozenset(): None}
        for number in range(len(self._pending)):
            own = self._with_earlier([number])
            for subset in list(found):
                found.setdefault(subset | own, None)
            if len(found) > limit:
                return [frozenset(), whole], False
        return sorted(found, key=len), True

    def _some_names(self, chance: Random) -> frozenset[int]:
        """All changes except a few and those that depend on them, or only a few and those that they depend on."""
        count = len(self._pending)
        few = chance.sample(range(count), min(count, chance.randint(1, 3)))
        if chance.random() < 0.5:
            return self._with_earlier(few)
        return frozenset(number for number in range(count) if not self._with_earlier([number]) & set(few))

    def _image(self, names: frozenset[int], chosen: Mapping[int, tuple[bytes, int]]) -> Image:
        folders = {number: dict(entries) for number, entries in self._folders.items()}
        for number in sorted(names):
            _rename(folders, self._pending[number])
        image: dict[bytes, tuple[bytes, int] | None] = {}
        waiting = [(TOP, b"")]
        while waiting:
            folder, above = waiting.pop()
            for name, node in folders[folder].items():
                path = above + name
                if node in folders:
                    image[path] = None
                    waiting.append((node, path + b"/"))
                else:
                    image[path] = chosen.get(node) or self._files[node].whole()
        return image


def _rename(folders: dict[int, dict[bytes, int]], change: Named) -> None:
    for folder, name, node in change.entries:
        if node is None:
            folders[folder].pop(name, None)
        else:
            folders[folder][name] = node
