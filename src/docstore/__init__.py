"""Docstore: a store of documents over plain HTTP, on any engine.

`Client` and `AsyncClient` are one collection, over HTTP or on an engine in this process; `open` is `Client`. The names
here are imported on first use, so that a server loads no client, and a client over HTTP no server.
"""

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from docstore.client.async_client import AsyncClient
    from docstore.client.client import Client
    from docstore.client.narrowing import narrow_link
    from docstore.client.options import PutOptions
    from docstore.client.results import Info, NotModified, Page, PutResult, StoredContent
    from docstore.client.sharing import SharedLink
    from docstore.errors import (
        ArchiveError,
        ClientClosed,
        Conflict,
        ContentTooLarge,
        CorruptData,
        DigestMismatch,
        DocstoreError,
        EngineError,
        IncompleteUpload,
        InvalidKey,
        NoSpace,
        NotFound,
        NotJSON,
        NotWritable,
        OpenError,
        OutcomeUnknown,
        PathConflict,
        Problem,
        RequestError,
        SetupError,
        StorageUnavailable,
        UploadError,
        UploadTooSlow,
    )
    from docstore.server.security.tokens import NewToken, Token, Tokens

    open = Client

_MODULES: Final = {
    "AsyncClient": "docstore.client.async_client",
    **dict.fromkeys(("Client", "open"), "docstore.client.client"),
    "PutOptions": "docstore.client.options",
    **dict.fromkeys(("Info", "NotModified", "Page", "PutResult", "StoredContent"), "docstore.client.results"),
    "SharedLink": "docstore.client.sharing",
    "narrow_link": "docstore.client.narrowing",
    **dict.fromkeys(("NewToken", "Token", "Tokens"), "docstore.server.security.tokens"),
}
"""The modules of the names that are not from docstore.errors."""

# Without `open`: `from docstore import *` must not hide Python's.
__all__ = [
    "ArchiveError",
    "AsyncClient",
    "Client",
    "ClientClosed",
    "Conflict",
    "ContentTooLarge",
    "CorruptData",
    "DigestMismatch",
    "DocstoreError",
    "EngineError",
    "IncompleteUpload",
    "Info",
    "InvalidKey",
    "NewToken",
    "NoSpace",
    "NotFound",
    "NotJSON",
    "NotModified",
    "NotWritable",
    "OpenError",
    "OutcomeUnknown",
    "Page",
    "PathConflict",
    "Problem",
    "PutOptions",
    "PutResult",
    "RequestError",
    "SetupError",
    "SharedLink",
    "StorageUnavailable",
    "StoredContent",
    "Token",
    "Tokens",
    "UploadError",
    "UploadTooSlow",
    "narrow_link",
]


def __getattr__(name: str) -> object:
    if name not in __all__ and name != "open":
        raise AttributeError(f"module 'docstore' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES.get(name, "docstore.errors")), name)


def __dir__() -> list[str]:
    return sorted((*__all__, "open"))
