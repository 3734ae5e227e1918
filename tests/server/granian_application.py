"""The store as an ASGI application that any server can import: the four mounts, with plain names, on DOCSTORE_DATA."""

import os
from pathlib import Path

from docstore.config import MountSettings, Settings
from docstore.server.asgi import asgi
from docstore.server.run import open_store
from tests.server_process import plain_name_mounts

arguments = plain_name_mounts(Path(os.environ["DOCSTORE_DATA"]))
mounts = tuple(MountSettings.parse(argument.removeprefix("--mount=")) for argument in arguments)
application = asgi(open_store(Settings(mounts=mounts).checked()))
