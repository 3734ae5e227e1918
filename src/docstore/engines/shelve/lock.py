"""PATH.lock: who has a shelve open, and whether it was closed the last time.

The lock is the system's own, so it goes with its process however that ends; the file stays. The file holds something
from open to close, and so tells a store that was closed from one that was left in the middle of a write.
"""

import os
import sys
from pathlib import Path

from docstore.engines.shared.fs import make_folder, try_exclusive_lock
from docstore.errors import OpenError


class Lock:
    """Taken when made; `stopped_cleanly` is what the one before left."""

    def __init__(self, path: Path) -> None:
        """Raises OpenError when the store at `path` is open, in this process or another."""
        if sys.platform == "win32":
            raise OpenError(f"can't open {path}: this system has no flock(2); sqlite: works on every system")
        try:
            make_folder(path.parent)
            lock_path = path.with_name(path.name + ".lock")
            self._descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except (OSError, ValueError) as error:
            raise OpenError(f"can't open {path}: {error}") from error
        try:
            if not try_exclusive_lock(self._descriptor):
                raise OpenError(f"can't open {path}: it is open already, here or in another process")
            self.stopped_cleanly = os.fstat(self._descriptor).st_size == 0
            os.pwrite(self._descriptor, b"open\n", 0)
        except BaseException as error:
            os.close(self._descriptor)
            if isinstance(error, OSError):
                raise OpenError(f"can't open {path}: {error}") from error
            raise

    def release(self, *, stopped_cleanly: bool) -> None:
        if stopped_cleanly:
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
