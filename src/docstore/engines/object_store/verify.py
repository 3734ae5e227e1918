"""`docstore check` of a bucket: every manifest with its content, and blobs that no manifest refers to."""

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError

from docstore.engines.object_store.bucket import LISTED_AT_ONCE, Bucket
from docstore.engines.object_store.collector import BLOB_S
from docstore.engines.object_store.manifest import Manifest
from docstore.engines.object_store.names import BLOBS, DOCUMENTS, blob_name, name_of, parse_blob
from docstore.engines.object_store.opening import open_bucket
from docstore.engines.registry import EngineURL
from docstore.engines.shared.verify import Checked, Finding, fault_of
from docstore.errors import CorruptData, OpenError

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore


def check_object_store(url: EngineURL, repair: bool) -> Checked:
    """Check all documents of a bucket; other processes may use it meanwhile."""
    bucket, store = open_bucket(url)
    try:
        store.put("clock", b"")
        now = store.head("clock")["last_modified"]
        for entry in _entries(store, DOCUMENTS):
            yield from _check_document(bucket, store, entry["path"])
        for entry in _entries(store, BLOBS):
            yield from _check_blob(bucket, store, entry, now, repair)
    except (BaseError, OSError) as error:
        raise OpenError(f"cannot check {bucket.translate(error)}") from error


def _entries(store: "ObjectStore", folder: str) -> "Iterator[ObjectMeta]":
    for page in store.list(folder.rstrip("/"), chunk_size=LISTED_AT_ONCE):
        yield from page


def _read(store: "ObjectStore", path: str) -> Manifest | None:
    try:
        return Manifest.unpack(bytes(store.get(path).bytes()), path)
    except FileNotFoundError:
        return None


def _check_document(bucket: Bucket, store: "ObjectStore", path: str) -> Checked:
    try:
        manifest = _read(store, path)
    except CorruptData as error:
        yield Finding(f"{bucket.where}: {path}", str(error))
        return
    if manifest is None or manifest.meta is None:
        return
    meta, name = manifest.meta, path.removeprefix(DOCUMENTS)
    state, size = hashlib.sha256(manifest.content), len(manifest.content)
    if manifest.blob is not None:
        try:
            for piece in store.get(blob_name(name, manifest.blob)).stream():
                state.update(piece)
                size += len(piece)
        except FileNotFoundError:
            if _read(store, path) == manifest:  # else it was replaced meanwhile
                yield Finding(meta.key, f"its content, {blob_name(name, manifest.blob)}, is missing")
            return
    fault = fault_of(meta, state.digest(), size)
    if fault is None and name_of(meta.key) != name:
        fault = f"it is stored under the name of another key, {path}"
    yield meta if fault is None else Finding(meta.key, fault)


def _check_blob(bucket: Bucket, store: "ObjectStore", entry: "ObjectMeta", now: datetime, repair: bool) -> Checked:
    """A young blob may be of an upload in progress, or may have readers."""
    if entry["last_modified"] > now - timedelta(seconds=BLOB_S):
        return
    name, blob = parse_blob(entry["path"])
    try:
        manifest = _read(store, DOCUMENTS + name)
    except CorruptData:
        return  # found among the documents
    if manifest is None or manifest.blob != blob:
        if repair:
            store.delete(entry["path"])
        problem = "content that no document refers to"
        yield Finding(f"{bucket.where}: {entry['path']}", problem, orphan=True, removed=repair)
