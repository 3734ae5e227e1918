"""Whether a path still leads to what was opened by it.

A file that is open can be removed, replaced or hidden under a mount, and the process that has it open notices nothing:
what it writes then is gone when it stops. Only the path can tell, at the price of one stat. A watch on the folder was
rejected: it is another interface on every system, none on a network file system, and tells of it later than a stat.
"""

import errno
import os
from pathlib import Path
from typing import Final

from docstore.engines.shared.storage_errors import mapped
from docstore.errors import StorageUnavailable

_GONE: Final = {errno.ENOENT, errno.ENOTDIR, errno.ESTALE}


class Standing:
    """What `path` leads to now, to be asked again later."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self.path = path
        self._opened = path.stat()

    def status(self) -> os.stat_result:
        """Raises StorageUnavailable when something else is there now or nothing, another EngineError when
        nobody can say."""
        with mapped(self.path):
            try:
                status = self.path.stat()
            except OSError as error:
                if error.errno not in _GONE:
                    raise
            else:
                if os.path.samestat(status, self._opened):
                    return status
        raise StorageUnavailable(
            f"{self.path} was removed or replaced while it was open: put it back, or restart the server"
        )
