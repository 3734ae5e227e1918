"""Reading one document: its row, and its blob if it has one."""

from pathlib import Path
from typing import Final

import apsw

from docstore.content import BytesContent
from docstore.engines.sqlite import queries
from docstore.engines.sqlite.blobs import BlobReader
from docstore.engines.sqlite.driver_errors import DRIVER_ERRORS, engine_error
from docstore.errors import CorruptData, StorageUnavailable
from docstore.model import Clock, Document

OPEN_ATTEMPTS: Final = 10
"""How often a document may be replaced between reading its row and opening its blob."""

_UNREAD: Final = BytesContent(b"")


def read_document(
    connection: apsw.Connection, path: Path, blobs: BlobReader, clock: Clock, key: str, statement: str
) -> Document | None:
    """Read a document of the database at `path` by one of the SELECT statements of queries.py."""
    missing: str | None = None
    for _ in range(OPEN_ATTEMPTS):
        try:
            row: queries.DocumentRow | None = connection.execute(statement, (key,)).get
        except DRIVER_ERRORS as error:
            raise engine_error(error, connection, path) from error
        if row is None:
            return None
        version, size, digest, fields, modified_ns, expires_ns, file, data = row
        meta = queries.meta_of(connection, (key, version, size, digest, fields, modified_ns, expires_ns))
        if meta.expired(clock()):
            return None
        if file is None:
            if statement is queries.SELECT_WITHOUT_DATA:
                return Document(meta, _UNREAD)
            return Document(meta, queries.inline_content(connection, key, size, data))
        if file == missing:
            raise CorruptData(f"{blobs.path / file} is missing")
        content = blobs.open(file, size)
        if content is not None:
            return Document(meta, content)
        # Another version was committed since the row was read, or the blob is missing: then the row is unchanged.
        missing = file
    raise StorageUnavailable(f"{path}: {key!r} is being replaced faster than it can be read")
