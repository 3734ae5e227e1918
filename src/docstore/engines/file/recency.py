"""When documents of a folder with a bound were last used, kept over a restart: the file .docstore/uses.

A line for each use: its time in nanoseconds, a space, the key as JSON. Lines are appended, many at a time, and never
waited for: a power cut loses uses and no documents. A line that is no such line is passed over, as a kill may leave
half of one. When there are many more lines than documents the file is written anew, from the order that is in memory.
What was never read was used when it was written.

Setting the access time of the files was rejected: it is a write for each of them, and some are mounted without.
"""

import json
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Final

SLACK: Final = 10_000
"""Lines beyond two for each document at which the file is written anew."""

Use = tuple[int, str]
"""When, and the key."""


class Recency:
    """The file of uses of one folder. Methods raise OSError."""

    def __init__(self, own: Path) -> None:
        """`own` is the service's folder in the mount."""
        self._path = own / "uses"
        self._temporary = own / "tmp" / uuid.uuid4().hex
        self._lines = 0
        self._ended = False

    def read(self) -> dict[str, int]:
        """The last use of each key."""
        uses: dict[str, int] = {}
        if self._path.exists():
            for line in self._path.read_bytes().splitlines():
                self._lines += 1
                used_ns, _, key = line.partition(b" ")
                try:
                    name, when = json.loads(key), int(used_ns)
                except ValueError:
                    continue
                if isinstance(name, str):
                    uses[name] = max(when, uses.get(name, 0))
        return uses

    def add(self, uses: Iterable[Use]) -> None:
        lines = _lines(sorted(uses))
        if lines:
            with self._path.open("a", encoding="ascii") as file:
                # What a kill left may end within a line.
                file.writelines(lines if self._ended else ["\n", *lines])
            self._ended = True
            self._lines += len(lines)

    def is_long(self, documents: int) -> bool:
        """Whether it is to be written anew for so many documents."""
        return self._lines > 2 * documents + SLACK

    def rewrite(self, keys: list[str], now_ns: int) -> None:
        """In place of all lines, those of `keys`, used one after the other up to `now_ns`."""
        try:
            self._temporary.write_text("".join(_lines(enumerate(keys, now_ns - len(keys)))), encoding="ascii")
            self._temporary.replace(self._path)
        finally:
            self._temporary.unlink(missing_ok=True)
        self._lines = len(keys)


def _lines(uses: Iterable[Use]) -> list[str]:
    return [f"{used_ns} {json.dumps(key)}\n" for used_ns, key in uses]
