"""Stores of engines that need a server, such as s3: a small server for each test process, or a real cluster.

An engine is a row of SERVERS: a context manager that starts its server and yields the URL of stores on it, in which
`{}` is the name of one store. The environment variable DOCSTORE_TEST_S3 has such a URL on a running server instead.
"""

import atexit
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import cache
from hashlib import sha256
from pathlib import Path

from tests.engines.object_store.s3_server import running_s3_server

SERVERS: dict[str, Callable[[], AbstractContextManager[str]]] = {"s3": running_s3_server}

_running = ExitStack()
atexit.register(_running.close)


@cache
def _template(engine: str) -> str:
    return os.environ.get(f"DOCSTORE_TEST_{engine.upper()}") or _running.enter_context(SERVERS[engine]())


def is_cluster(engine: str) -> bool:
    """Return whether the engine runs on a server that was given, and not on the small one."""
    return f"DOCSTORE_TEST_{engine.upper()}" in os.environ


def remote_url(engine: str, folder: Path) -> str:
    """Return the URL of the store that belongs to this folder, which is empty at first."""
    return _template(engine).format(sha256(str(folder).encode()).hexdigest()[:16])
