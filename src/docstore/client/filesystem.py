"""The file system `docstore://` of fsspec, by which pandas, pyarrow, zarr and others read and write documents.

    docstore://127.0.0.1:8080/docs/folder/table.parquet      the first segment is the collection; https=True for HTTPS
    docstore://folder/table.parquet                          with collection="sqlite:docs.db" or another URL

Folders are prefixes of keys: they need not be created, and one without documents does not exist. fsspec is installed
with `docstore[fsspec]`; only this module imports it.
"""

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import copyfileobj
from typing import Any, Final, cast

from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.core import get_compression
from fsspec.spec import AbstractFileSystem
from fsspec.utils import isfilelike

from docstore.client.client import Client
from docstore.client.options import ClientOptions
from docstore.client.results import Info
from docstore.errors import Conflict, InvalidKey, NotFound, RequestError

_CLIENT_OPTIONS: Final = ClientOptions.__annotations__


class DocstoreFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """The documents of one `collection`, or of all collections by paths that begin with host and collection.

    The other options are those of Client. Every write is atomic, so there are no transactions.
    """

    protocol = "docstore"
    root_marker = ""

    def __init__(self, collection: str | None = None, *, https: bool = False, **options: Any) -> None:
        self._client_options: Any = {name: options.pop(name) for name in _CLIENT_OPTIONS if name in options}
        super().__init__(**options)
        self._collection = collection
        self._scheme = "https" if https else "http"
        self._clients: dict[str, Client] = {}

    def ls(self, path: str, detail: bool = True, **_: object) -> list[Any]:
        """The documents and folders in a folder; of a document, itself."""
        client, base, key = self._find(path)
        prefix, after = key and f"{key}/", cast(str | None, "")
        entries: list[dict[str, Any]] = []
        while after is not None:
            page = client.list(prefix=prefix, after=after, delimiter="/")
            entries += [_folder(base + name.removesuffix("/")) for name in page.folders]
            entries += [_document(base, info) for info in page.documents]
            after = page.after
        if not entries and key:
            entries = [self.info(path)]
        return entries if detail else [entry["name"] for entry in entries]

    def info(self, path: str, **_: object) -> dict[str, Any]:
        client, base, key = self._find(path)
        if key:
            try:
                return _document(base, client.info(key))
            except (NotFound, InvalidKey):
                if not client.list(prefix=f"{key}/", limit=1).documents:
                    raise _not_found(path) from None
        return _folder((base + key).rstrip("/"))

    def exists(self, path: str, **_: object) -> bool:
        try:
            self.info(path)
        except FileNotFoundError:
            return False
        return True

    def find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **options: Any
    ) -> Any:
        """All documents below a folder, by one listing unless `maxdepth` or `withdirs` requires a walk."""
        client, base, key = self._find(path)
        if maxdepth is not None or withdirs:
            return super().find(path, maxdepth, withdirs, detail, **options)
        entries = [_document(base, info) for info in client.documents(key and f"{key}/")]
        if not entries and self.isfile(path):
            entries = [self.info(path)]
        return {entry["name"]: entry for entry in entries} if detail else [entry["name"] for entry in entries]

    def modified(self, path: str) -> Any:
        """The time of the last change."""
        return self.info(path)["modified"]

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: object) -> bytes:
        """The content, or a part of it as in a slice."""
        client, _base, key = self._find(path)
        with _os_errors(path):
            if start is None and end is None:
                return bytes(client[key])
            if (start or 0) < 0 or (end or 0) < 0:
                start, end, _step = slice(start, end).indices(client.info(key).size)
            if end is not None and end <= (start or 0):
                return b""
            try:
                content = client.get(key, None, start=start, stop=end)
            except RequestError as error:
                if error.problem is None or error.problem.name != "range-not-satisfiable":
                    raise
                return b""
        if content is None:
            raise _not_found(path)
        return bytes(content)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        """Store a document; the options are those of `Client.put`."""
        self._put(path, value, mode, **options)

    def put_file(
        self,
        lpath: str,
        rpath: str,
        callback: Callback = DEFAULT_CALLBACK,
        mode: str = "overwrite",
        **options: Any,
    ) -> None:
        """Store a file; the options are those of `Client.put`."""
        if Path(lpath).is_dir():
            return
        callback.set_size(Path(lpath).stat().st_size)
        options = {"digest": True, "progress": callback.relative_update, **options}
        self._put(rpath, Path(lpath), mode, **options)

    def _put(self, path: str, content: bytes | Path, mode: str, **options: Any) -> None:
        client, _base, key = self._find(path)
        if mode == "create":
            options["if_none_match"] = "*"
        try:
            client.put(key, content, **options)
        except Conflict as error:
            raise FileExistsError(errno.EEXIST, str(error), path) from error

    def get_file(
        self, rpath: str, lpath: Any, callback: Callback = DEFAULT_CALLBACK, outfile: Any = None, **_: object
    ) -> None:
        """Download a document to a path, verified and resumed after an interruption, or into an open file."""
        if self.isdir(rpath):
            Path(lpath).mkdir(parents=True, exist_ok=True)
            return
        client, _base, key = self._find(rpath)
        target = lpath if outfile is None else outfile
        with _os_errors(rpath):
            callback.set_size(client.info(key).size)
            if isfilelike(target):
                for piece in client.iter_content(key):
                    target.write(piece)
                    callback.relative_update(len(piece))
            else:
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                client.download(key, target, progress=callback.relative_update)

    def cp_file(self, path1: str, path2: str, **_: object) -> None:
        """Copy a document. A folder is not copied: it exists if a document in it does."""
        client, _base, key = self._find(path1)
        target, _base, new_key = self._find(path2)
        try:
            if client is target:
                client.copy(key, new_key, replace=True)
            else:
                with client.open(key) as source, target.open(new_key, "wb", type=client.info(key).type) as file:
                    copyfileobj(source, file)
        except NotFound:
            if not self.isdir(path1):
                raise _not_found(path1) from None

    def rm_file(self, path: str) -> None:
        client, _base, key = self._find(path)
        with _os_errors(path):
            client.delete(key)

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Remove documents; with `recursive` also all those below folders."""
        paths = self.expand_path(path, recursive=recursive, maxdepth=maxdepth)
        if not recursive:
            for each in paths:
                self.rm_file(each)
            return
        keys: dict[str, list[str]] = {}
        for each in paths:
            _client, base, key = self._find(each)
            keys.setdefault(base, []).append(key)
        for base, removed in keys.items():
            self._find(base)[0].delete_many(filter(None, removed))

    def touch(self, path: str, truncate: bool = True, **options: Any) -> None:
        """Create an empty document; with `truncate` also empty an existing one."""
        with suppress(FileExistsError):
            self.pipe_file(path, b"", "overwrite" if truncate else "create", **options)

    def open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        cache_options: Any = None,
        compression: str | None = None,
        **options: Any,
    ) -> Any:
        """A document as a file; the options are those of `Client.open`. An exception in the with-block stores nothing.

        fsspec's own `open` would wrap the file: its text files store what was written before an exception, and its
        compressed files do not close the file below.
        """
        if "r" in mode:
            return super().open(path, mode, block_size, cache_options, compression, **options)
        if get_compression(path, compression) is not None:
            raise io.UnsupportedOperation("use fsspec.open(url, 'wb', compression=...), which closes both files")
        return self._open(path, mode, block_size, options.pop("autocommit", not self._intrans), **options)

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: object = None,
        **options: Any,
    ) -> io.IOBase:
        if not autocommit:
            raise io.UnsupportedOperation("docstore:// has no transactions; every write is atomic")
        client, _base, key = self._find(path)
        with _os_errors(path):
            return client.open(key, mode, **options)

    def _find(self, path: str) -> tuple[Client, str, str]:
        """The client of a path, the beginning of the paths in its collection, and the key; "" for the collection."""
        path = self._strip_protocol(path)
        if self._collection is not None:
            return self._client(self._collection), "", path
        host, _, rest = path.partition("/")
        collection, _, key = rest.partition("/")
        if not host or not collection:
            raise ValueError(
                f"{path!r} names no collection: write docstore://127.0.0.1:8080/docs/key, or give the option collection"
            )
        return self._client(f"{self._scheme}://{host}/{collection}/"), f"{host}/{collection}/", key

    def _client(self, url: str) -> Client:
        if url not in self._clients:
            self._clients[url] = Client(url, **self._client_options)
        return self._clients[url]


def _document(base: str, info: Info) -> dict[str, Any]:
    return {
        "name": base + info.key,
        "size": info.size,
        "type": "file",
        "modified": info.modified,
        "ETag": info.etag,
        "content_type": info.type,
    }


def _folder(name: str) -> dict[str, Any]:
    return {"name": name, "size": 0, "type": "directory"}


@contextmanager
def _os_errors(path: str) -> Iterator[None]:
    """Raise FileNotFoundError for NotFound."""
    try:
        yield
    except NotFound as error:
        raise _not_found(path) from error


def _not_found(path: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
