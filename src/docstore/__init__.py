"""Docstore: a store of documents over plain HTTP, on any engine.

`Client` and `AsyncClient` are one collection, over HTTP or of an engine in this process; `open` is `Client`. What is
named here is imported when it is asked for: a server loads no client, and a client over HTTP no server.
"""

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from docstore.client.asynchronous import AsyncClient as AsyncClient
    from docstore.client.client import Client as Client
    from docstore.client.results import Info as Info
    from docstore.client.results import NotModified as NotModified
    from docstore.client.results import Page as Page
    from docstore.client.results import PutResult as PutResult
    from docstore.client.results import StoredContent as StoredContent
    from docstore.errors import ArchiveError as ArchiveError
    from docstore.errors import ClientClosed as ClientClosed
    from docstore.errors import Conflict as Conflict
    from docstore.errors import ContentTooLarge as ContentTooLarge
    from docstore.errors import CorruptData as CorruptData
    from docstore.errors import DigestMismatch as DigestMismatch
    from docstore.errors import DocstoreError as DocstoreError
    from docstore.errors import EngineError as EngineError
    from docstore.errors import IncompleteUpload as IncompleteUpload
    from docstore.errors import InvalidKey as InvalidKey
    from docstore.errors import NoSpace as NoSpace
    from docstore.errors import NotFound as NotFound
    from docstore.errors import OpenError as OpenError
    from docstore.errors import OutcomeUnknown as OutcomeUnknown
    from docstore.errors import PathConflict as PathConflict
    from docstore.errors import Problem as Problem
    from docstore.errors import RequestError as RequestError
    from docstore.errors import SetupError as SetupError
    from docstore.errors import StorageUnavailable as StorageUnavailable
    from docstore.errors import UploadError as UploadError
    from docstore.errors import UploadTooSlow as UploadTooSlow

    open = Client

_MODULES: Final = {
    "docstore.client.results": ("StoredContent", "Info", "Page", "PutResult", "NotModified"),
    "docstore.client.asynchronous": ("AsyncClient",),
    "docstore.client.client": ("Client", "open"),
    "docstore.errors": (
        *("ArchiveError", "OpenError", "ClientClosed", "Conflict", "CorruptData", "DigestMismatch", "DocstoreError"),
        *(
            "EngineError",
            "IncompleteUpload",
            "InvalidKey",
            "NoSpace",
            "NotFound",
            "PathConflict",
            "OutcomeUnknown",
            "Problem",
        ),
        *("RequestError", "SetupError", "ContentTooLarge", "UploadTooSlow", "StorageUnavailable", "UploadError"),
    ),
}
_MODULE_OF: Final = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted({*_MODULE_OF} - {"open"})  # a star must not hide the open of Python


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'docstore' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(_MODULE_OF)
