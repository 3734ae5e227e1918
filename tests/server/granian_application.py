"""The store as an ASGI application that any server can import: the four mounts on the folder DOCSTORE_DATA."""

import os
from pathlib import Path

from docstore.config import Settings
from docstore.server.asgi import asgi
from docstore.server.run import open_store

application = asgi(open_store(Settings(data=Path(os.environ["DOCSTORE_DATA"])).checked()))
