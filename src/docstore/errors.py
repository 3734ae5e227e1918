"""Everything that can go wrong, in words of the store; nothing here knows HTTP.

The tree, with the status that `server/` answers for each, and that `client/` makes it of again:

    DocstoreError
    ├── InvalidKey               400   the key breaks the mount's rule
    ├── NotFound                 404   there is no such document; a KeyError too (the client's, as the next one)
    ├── RequestError             4xx   the store refuses the request, for a reason that has no other word here
    ├── Conflict                 412   the document is not what the write expected; `current` is what it is
    ├── PathConflict             409   something that is no document stands where the key's has to
    ├── UploadError                    the content did not arrive as announced; nothing is stored
    │   ├── IncompleteUpload     400   it ended early, or the client went away
    │   ├── DigestMismatch       400   its bytes are not those that were announced
    │   ├── ContentTooLarge      413   it is over the limit of the mount
    │   └── UploadTooSlow        408   it came slower than the limits allow
    ├── EngineError              500   the storage failed; logged with its cause
    │   ├── NoSpace              507   the disk, the quota or the mount is full
    │   ├── StorageUnavailable   503   busy, locked or out of reach for now: trying again may help
    │   │   └── OutcomeUnknown    -    no answer came to a write: it may have been carried out (the client's)
    │   └── CorruptData          500   what is stored is not what was written; names the file
    ├── ArchiveError              -    what is to be imported is no export of a store, or not all of one
    └── SetupError                -    a start that can't succeed: one line for a person, exit status 2
        ├── OpenError             -    the storage behind an engine URL can't be opened
        └── ClientClosed          -    a client is used after it was closed

An error that a server answered with carries its problem.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docstore.model import Meta


@dataclass(frozen=True, slots=True)
class Problem:
    """What a server said was wrong (RFC 9457). Texts are "" where it did not say."""

    status: int
    name: str = ""
    """Which of the server's problems it is, such as `not-found`; docs/problems.md lists them."""
    title: str = ""
    detail: str = ""
    advice: str = ""


class DocstoreError(Exception):
    """The root of the tree: catching it catches all that Docstore raises on purpose."""

    problem: Problem | None = None
    """What the server answered; None for what went wrong on this side."""

    def __reduce__(self) -> tuple[object, ...]:
        return _again, (type(self), self.args, vars(self))  # the rule of Exception would make it of its message


def _again(kind: type[DocstoreError], args: tuple[object, ...], state: dict[str, object]) -> DocstoreError:
    """An error as it was in the process that it comes from."""
    error = kind.__new__(kind, *args)
    vars(error).update(state)
    return error


class NotFound(DocstoreError, KeyError):
    """There is no document under the key."""

    def __str__(self) -> str:
        return Exception.__str__(self)  # a KeyError shows its argument in quotes


class RequestError(DocstoreError):
    """The store refuses the request as it is; the message says why."""


class InvalidKey(DocstoreError):
    """The key breaks the rule of its mount; the message says which part."""


class Conflict(DocstoreError):
    """A write expected another state than `current` (None: there is no document). Nothing was changed.

    A client is told no more of it than its `version`, None when there is no document or nothing was said of it.
    """

    def __init__(self, current: "Meta | None", said: str = "", *, version: str | None = None) -> None:
        super().__init__(said or ("the document is absent" if current is None else f"the version is {current.version}"))
        self.current = current
        self.version = version if current is None else current.version


class PathConflict(DocstoreError):
    """Something that is no document, a link for example, stands where the key's document or its folder has to."""


class UploadError(DocstoreError):
    """The content of a write did not arrive as announced; nothing is stored."""


class IncompleteUpload(UploadError):
    """The content ended before its announced end, or the sender went away."""


class DigestMismatch(UploadError):
    """The content's digest is not the announced one."""


class ContentTooLarge(UploadError):
    """The content is larger than `limit` bytes; None when a server did not say how many."""

    def __init__(self, limit: int | None, said: str = "") -> None:
        super().__init__(said or f"a document here is at most {limit} bytes")
        self.limit = limit


class UploadTooSlow(UploadError):
    """The content came slower than the server's limits allow."""


class EngineError(DocstoreError):
    """The storage behind an engine failed."""


class NoSpace(EngineError):
    """There is no room for the write; what was stored before is unharmed."""


class StorageUnavailable(EngineError):
    """The storage is busy, locked or out of reach for now."""


class OutcomeUnknown(StorageUnavailable):
    """No answer came to a write, which may have been carried out or not; reading tells what is there now."""


class CorruptData(EngineError):
    """What is stored is not what was written; the message names the file or the key."""


class ArchiveError(DocstoreError):
    """What was read is no export, or not all of one."""


class SetupError(DocstoreError):
    """A start that can't succeed; the message is one line for the person who tried."""


class OpenError(SetupError):
    """The storage behind an engine URL can't be opened."""


class ClientClosed(SetupError):
    """The client was closed before."""
