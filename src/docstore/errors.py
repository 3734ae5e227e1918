"""Everything that can go wrong, in words of the store; nothing here knows HTTP.

The tree, with the status that `server/` answers for each:

    DocstoreError
    ├── InvalidKey                 400   the key breaks the mount's rule
    ├── Conflict                   412   the document is not what the write expected; `current` is what it is
    ├── UploadError                      the content did not arrive as announced; nothing is stored
    │   ├── Incomplete             400   it ended early, or the client went away
    │   ├── DigestMismatch         400   its bytes are not those that were announced
    │   ├── TooLarge               413   it is over the limit of the mount
    │   └── TooSlow                408   it came slower than the limits allow
    ├── EngineError                500   the storage failed; logged with its cause
    │   ├── NoSpace                507   the disk, the quota or the mount is full
    │   ├── Unavailable            503   busy, locked or out of reach for now: trying again may help
    │   └── Corrupt                500   what is stored is not what was written; names the file
    └── SetupError                  -    a start that can't succeed: one line for a person, exit status 2
        └── CannotOpen              -    the storage behind an engine URL can't be opened
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docstore.model import Meta


class DocstoreError(Exception):
    """The root of the tree: catching it catches all that Docstore raises on purpose."""


class InvalidKey(DocstoreError):
    """The key breaks the rule of its mount; the message says which part."""


class Conflict(DocstoreError):
    """A write expected another state than `current` (None: there is no document). Nothing was changed."""

    def __init__(self, current: "Meta | None") -> None:
        super().__init__("the document is absent" if current is None else f"the version is {current.version}")
        self.current = current


class UploadError(DocstoreError):
    """The content of a write did not arrive as announced; nothing is stored."""


class Incomplete(UploadError):
    """The content ended before its announced end, or the sender went away."""


class DigestMismatch(UploadError):
    """The content's digest is not the announced one."""


class TooLarge(UploadError):
    """The content is larger than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"a document here is at most {limit} bytes")
        self.limit = limit


class TooSlow(UploadError):
    """The content came slower than the server's limits allow."""


class EngineError(DocstoreError):
    """The storage behind an engine failed."""


class NoSpace(EngineError):
    """There is no room for the write; what was stored before is unharmed."""


class Unavailable(EngineError):
    """The storage is busy, locked or out of reach for now."""


class Corrupt(EngineError):
    """What is stored is not what was written; the message names the file or the key."""


class SetupError(DocstoreError):
    """A start that can't succeed; the message is one line for the person who tried."""


class CannotOpen(SetupError):
    """The storage behind an engine URL can't be opened."""
