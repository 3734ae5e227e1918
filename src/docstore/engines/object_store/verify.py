"""`docstore check` of a bucket: every manifest with its content, and blobs that no manifest refers to."""

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError

from docstore.engines.object_store.bucket import LISTED_AT_ONCE, Bucket
from docstore.engines.object_store.collector import GRACE_S, is_unreferenced
from docstore.engines.object_store.manifest import Manifest, Stored
from docstore.engines.object_store.names import BLOBS, DOCUMENTS, blob_name, name_of, parse_blob
from docstore.engines.object_store.opening import open_bucket
from docstore.engines.registry import EngineURL
from docstore.engines.shared.verify import Checked, Finding, fault_of
from docstore.errors import CorruptData, EngineError, OpenError

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore


def check_object_store(url: EngineURL, repair: bool) -> Checked:
    """Check all documents of a bucket; other processes may use it meanwhile."""
    bucket, store = open_bucket(url)
    try:
        store.put("clock", b"")
        before = store.head("clock")["last_modified"] - timedelta(seconds=GRACE_S)
        for entry in _entries(store, DOCUMENTS):
            yield from _check_document(bucket, store, entry["path"])
        for entry in _entries(store, BLOBS):
            yield from _check_blob(bucket, store, entry, before, repair)
    except (BaseError, OSError) as error:
        raise OpenError(f"cannot check {bucket.translate(error)}") from error


def _entries(store: "ObjectStore", folder: str) -> "Iterator[ObjectMeta]":
    for page in store.list(folder.rstrip("/"), chunk_size=LISTED_AT_ONCE):
        yield from page


def _read(store: "ObjectStore", path: str) -> Stored | None:
    try:
        found = store.get(path)
        manifest = Manifest.unpack(bytes(found.bytes()), path)
    except FileNotFoundError:
        return None
    if manifest is None:
        raise CorruptData(f"{path} is incomplete")
    return Stored(manifest, {}, found.meta["last_modified"])


def _check_document(bucket: Bucket, store: "ObjectStore", path: str) -> Checked:
    try:
        stored = _read(store, path)
    except EngineError as error:
        yield Finding(f"{bucket.where}: {path}", str(error))
        return
    if stored is None or stored.manifest.meta is None:
        return
    manifest, meta, name = stored.manifest, stored.manifest.meta, path.removeprefix(DOCUMENTS)
    state, size = hashlib.sha256(manifest.content), len(manifest.content)
    if manifest.blob is not None:
        try:
            for piece in store.get(blob_name(name, manifest.blob)).stream():
                state.update(piece)
                size += len(piece)
        except FileNotFoundError:
            if _read(store, path) == stored:  # else it was replaced meanwhile
                yield Finding(meta.key, f"its content, {blob_name(name, manifest.blob)}, is missing")
            return
    fault = fault_of(meta, state.digest(), size)
    if fault is None and name_of(meta.key) != name:
        fault = f"it is stored under the name of another key, {path}"
    yield meta if fault is None else Finding(meta.key, fault)


def _check_blob(bucket: Bucket, store: "ObjectStore", entry: "ObjectMeta", before: datetime, repair: bool) -> Checked:
    """A young blob may be of an upload in progress, or may have readers."""
    if entry["last_modified"] >= before:
        return
    name, blob = parse_blob(entry["path"])
    try:
        stored = _read(store, DOCUMENTS + name)
    except EngineError:
        return  # found among the documents
    if is_unreferenced(blob, stored, before):
        if repair:
            store.delete(entry["path"])
        problem = "content that no document refers to"
        yield Finding(f"{bucket.where}: {entry['path']}", problem, orphan=True, removed=repair)
