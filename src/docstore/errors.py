"""The errors of Docstore. Nothing here knows HTTP.

The tree, with the HTTP status to which `server/` maps each error, and from which `client/` creates the error:

    DocstoreError
    ├── InvalidKey               400   the key breaks the rule of the mount
    ├── NotFound                 404   the document does not exist; also a KeyError (only clients raise it, as the next)
    ├── NotJSON                   -    a document is not JSON; also a ValueError
    ├── RequestError             4xx   the store rejects the request, for a reason without a class here
    ├── Conflict                 412   the document is not what the write expected; `current` is its state
    ├── PathConflict             409   something that is not a document occupies the key's path
    ├── UploadError                    the content did not arrive as announced; nothing is stored
    │   ├── IncompleteUpload     400   it ended early, or the client disconnected
    │   ├── DigestMismatch       400   its bytes do not match the announced digest
    │   ├── ContentTooLarge      413   it is over the limit of the mount
    │   └── UploadTooSlow        408   it arrived more slowly than the limits allow
    ├── EngineError              500   the storage failed; logged with its cause
    │   ├── NoSpace              507   the disk, the quota or the mount is full
    │   ├── StorageUnavailable   503   busy, locked or unreachable: a retry may help
    │   │   └── OutcomeUnknown   503   a write got no response, and may have been applied
    │   └── CorruptData          500   what is stored is not what was written; names the file
    ├── ArchiveError              -    the input of an import is not an export, or an incomplete one
    └── SetupError                -    a start that can't succeed; one line, exit status 2
        ├── OpenError             -    the storage behind an engine URL can't be opened
        │   └── NotWritable       -    it can't be opened for writing; reading it may work
        └── ClientClosed          -    a client is used after it was closed

An error from a server's response has its `problem`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docstore.model import Meta


def without_password(text: str) -> str:
    """Remove user and password from a URL, for a message."""
    return re.sub(r"://.*@", "://", text)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return the end of a message about an unknown `name`: the most similar of `names`, if there is one."""
    from difflib import get_close_matches  # loaded for an error only

    similar = get_close_matches(name, list(names), 1)
    return f"; did you mean {similar[0]!r}?" if similar else ""


@dataclass(frozen=True, slots=True)
class Problem:
    """The problem in a server's response (RFC 9457). Texts that it did not send are ""."""

    status: int
    name: str = ""
    """The name of the problem type, such as `not-found`; docs/problems.md lists them."""
    title: str = ""
    detail: str = ""
    advice: str = ""


class DocstoreError(Exception):
    """The base class of all errors that Docstore raises on purpose."""

    problem: Problem | None = None
    """The problem in the server's response; None for an error on this side."""

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args, vars(self))  # Exception would call the class with its message


def _rebuild(kind: type[DocstoreError], args: tuple[object, ...], state: dict[str, object]) -> DocstoreError:
    """Rebuild a pickled error."""
    error = kind.__new__(kind, *args)
    vars(error).update(state)
    return error


class NotFound(DocstoreError, KeyError):
    """There is no document under the key."""

    def __str__(self) -> str:
        return Exception.__str__(self)  # a KeyError shows its argument in quotes


class NotJSON(DocstoreError, ValueError):
    """The content of the document is not JSON."""


class RequestError(DocstoreError):
    """The store rejects the request; the message says why."""


class InvalidKey(DocstoreError):
    """The key breaks the rule of its mount; the message says how."""


class Conflict(DocstoreError):
    """A write expected another state than `current` (None for no document). Nothing was changed.

    On a client only `version` is set; it is None when there is no document, or when the server did not send it.
    """

    def __init__(self, current: "Meta | None", said: str = "", *, version: str | None = None) -> None:
        super().__init__(said or ("the document is absent" if current is None else f"the version is {current.version}"))
        self.current = current
        self.version = version if current is None else current.version


class PathConflict(DocstoreError):
    """Something that is not a document, such as a link, occupies the path of the key's document or folder."""


class UploadError(DocstoreError):
    """The content of a write did not arrive as announced; nothing is stored."""


class IncompleteUpload(UploadError):
    """The content ended before its announced end, or the sender disconnected."""


class DigestMismatch(UploadError):
    """The content's digest is not the announced one."""


class ContentTooLarge(UploadError):
    """The content is larger than `limit` bytes; None when a server did not say how many."""

    def __init__(self, limit: int | None, said: str = "") -> None:
        super().__init__(said or f"a document here is at most {limit} byte{'' if limit == 1 else 's'}")
        self.limit = limit


class UploadTooSlow(UploadError):
    """The content arrived more slowly than the server's limits allow."""


class EngineError(DocstoreError):
    """The storage behind an engine failed."""


class NoSpace(EngineError):
    """There is no space for the write; stored documents are unharmed."""


class StorageUnavailable(EngineError):
    """The storage is busy, locked or unreachable; a retry may help."""


class OutcomeUnknown(StorageUnavailable):
    """A write got no response, and may have been applied or not; a read shows the current state."""


class CorruptData(EngineError):
    """What is stored is not what was written; the message names the file or the key."""


class ArchiveError(DocstoreError):
    """The input is not an export, or an incomplete one."""


class SetupError(DocstoreError):
    """A start that can't succeed; the message is one line."""


class OpenError(SetupError):
    """The storage behind an engine URL can't be opened."""


class NotWritable(OpenError):
    """The storage can't be opened for writing: a read-only file system, or no permission."""


class ClientClosed(SetupError):
    """The client is closed."""
