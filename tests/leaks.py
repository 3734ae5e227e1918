"""Finds what a part of a test leaves behind in this process: open descriptors and running threads."""

import gc
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_WAITS_S = 30.0


@contextmanager
def no_leaks() -> Iterator[None]:
    """Assert that the block leaves no descriptor open and no thread running.

    What was there before may end meanwhile: threads of earlier tests close their descriptors when they end.
    """
    gc.collect()
    descriptors, threads = _open_descriptors(), set(threading.enumerate())
    yield
    deadline_s = time.monotonic() + _WAITS_S
    while True:
        gc.collect()
        left = _open_descriptors() - descriptors, set(threading.enumerate()) - threads
        if left == (Counter(), set()):
            return
        assert time.monotonic() < deadline_s, f"left open: {left}"
        time.sleep(0.05)


def _open_descriptors() -> Counter[str]:
    """The names of the files and sockets that are open, with the number of descriptors of each."""
    names = Counter[str]()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the descriptor by which this folder is read
            names[str(link.readlink())] += 1
    return names
