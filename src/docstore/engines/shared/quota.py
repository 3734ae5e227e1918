"""The quota of a mount: the engine options `max_bytes` and `evict`, and the early rejection of uploads.

A document costs its content, its key, its packed fields and a fixed overhead of its engine. With `evict=lru` the engine
evicts the least recently used documents. Without it, a write that makes the mount exceed its quota raises NoSpace; a
write that costs no more than the document that it replaces is always accepted. A document larger than the whole quota
raises ContentTooLarge, because no deletion would help.

`admit_upload` only saves clients a useless upload. Each engine enforces the quota in its own commit. A wrapper
around any engine was rejected: another process could write between the wrapper's check and the commit.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from docstore.content import SizeLimitedUpload
from docstore.engines.contract import PutRequest
from docstore.engines.registry import EngineURL
from docstore.errors import ContentTooLarge, NoSpace, SetupError
from docstore.model import Fields, Meta
from docstore.units import parse_size

MIN_QUOTA: Final = 64 * 1024
"""Bytes of the smallest quota: a smaller one has space for a few empty documents, and is usually a forgotten unit."""

QUOTA_OPTIONS: Final = {
    "max_bytes": "the quota of all documents, as in 1GiB; unlimited by default",
    "evict": "lru evicts the least recently used documents when the quota is reached; by default writes are 507",
}


@dataclass(frozen=True, slots=True)
class Quota:
    """`evict` is the value of that option, None to refuse writes; `overhead` is in bytes for each document."""

    max_bytes: int
    evict: str | None
    overhead: int

    @classmethod
    def of(cls, url: EngineURL, overhead: int) -> "Quota | None":
        """Return the quota that the options of `url` set, if any. Raise SetupError for invalid options."""
        size, evict = url.options.get("max_bytes"), url.options.get("evict")
        if evict not in (None, "lru"):
            raise SetupError(f"{url.scheme}: invalid evict={evict}; the only value is evict=lru")
        if size is None:
            if evict is not None:
                raise SetupError(f"{url.scheme}: evict={evict} needs max_bytes, as in max_bytes=1GiB&evict=lru")
            return None
        max_bytes = parse_size(size)
        if max_bytes < MIN_QUOTA:
            raise SetupError(f"{url.scheme}: max_bytes={size} is too small; it must be at least {MIN_QUOTA // 1024}KiB")
        return cls(max_bytes, evict, overhead)

    def cost(self, key: str, size: int, fields: Fields) -> int:
        """Bytes of the quota that a document uses."""
        return size + len(key.encode()) + len(fields.pack()) + self.overhead

    def cost_of(self, meta: Meta) -> int:
        return self.cost(meta.key, meta.size, meta.fields)

    def exceeded(self) -> NoSpace:
        return NoSpace(f"the mount is full: its quota is {self.max_bytes} bytes")


async def admit_upload(
    quota: Quota,
    request: PutRequest,
    used: Callable[[], Awaitable[int]],
    head: Callable[[str], Awaitable[Meta | None]],
    sweep: Callable[[], Awaitable[int]],
) -> PutRequest:
    """Check an upload before it is read; `used`, `head` and `sweep` are methods of the engine.

    Return the request, with an upload of unknown size limited. Raise NoSpace or ContentTooLarge.
    """
    upload, empty_cost = request.upload, quota.cost(request.key, 0, request.fields)
    cost, limit = empty_cost + (upload.size or 0), quota.max_bytes
    if cost > limit or not quota.evict:
        free = 0
        if not quota.evict:
            free = quota.max_bytes - await used()
            while free < cost and await sweep():
                free = quota.max_bytes - await used()
            if upload.size is not None and free >= cost:
                return request
        # A document may cost as much as the one that it replaces, also over the quota.
        current = await head(request.key)
        replaced = 0 if current is None else quota.cost_of(current)
        limit = max(replaced, quota.max_bytes if quota.evict else free + replaced)
    if cost > limit:
        raise quota.exceeded() if cost <= quota.max_bytes else ContentTooLarge(max(quota.max_bytes - empty_cost, 0))
    if upload.size is not None:
        return request
    error = quota.exceeded() if limit < quota.max_bytes else ContentTooLarge(limit - empty_cost)
    return replace(request, upload=SizeLimitedUpload(upload, limit - empty_cost, error))
