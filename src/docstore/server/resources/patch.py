"""PATCH of a JSON document: read, patch, and write back if it is still what was read; again, if it is not.

The fields of a patch request describe the patch, not the document (RFC 5789 §2), so media type and other stored fields
stay as they are; so does the expiry, unless the request brings a TTL of its own.
"""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

from docstore.content import BytesContent, SizeLimitedUpload, read_all
from docstore.engines.contract import PutRequest
from docstore.errors import Conflict, ContentTooLarge
from docstore.http import digests, ttl
from docstore.http.conditions import Conditions
from docstore.http.headers import parse_media_type
from docstore.http.message import Request, Response
from docstore.http.patches import (
    ACCEPT_PATCH,
    PATCHES,
    MalformedPatch,
    PatchConflict,
    PatchError,
    PatchNotApplicable,
    PatchTooLarge,
    patched,
)
from docstore.http.preferences import Preferences
from docstore.model import Clock
from docstore.server.errors import Refusal
from docstore.server.mounts import Mount
from docstore.server.resources.write import MAX_ATTEMPTS, check_message, confirm, judge

PATCH_LIMIT: Final = 1024 * 1024
"""Bytes of a patch."""
PATCHED_LIMIT: Final = 4 * 1024 * 1024
"""Bytes of a document that can be patched, before and after: to parse and write it takes a second or two."""
WAITING_LIMIT: Final = 16
"""Patches that may be worked on in threads, or wait for it; one more is 503."""
_IN_THREAD: Final = 32 * 1024
"""Bytes of document and patch from which on the work is done off the event loop."""

_MULTIPLIES: Final = re.compile(rb"copy|\\u")
"""In a patch that can make much of little, by `copy` or by what may spell it: that is work for a thread too."""

_ACCEPTED: Final = [(b"accept-patch", ACCEPT_PATCH.encode("ascii")), (b"accept-encoding", b"identity")]
"""What goes with 415 (RFC 5789 §2.2, RFC 9110 §12.5.3)."""

_REFUSALS: Final[dict[type[PatchError], str]] = {
    MalformedPatch: "invalid-patch",
    PatchConflict: "patch-conflict",
    PatchNotApplicable: "not-applicable",
    PatchTooLarge: "not-applicable",
}


@dataclass(frozen=True, slots=True)
class _Patch:
    media_type: str
    data: bytes
    lifetime_s: int | None

    async def apply(self, document: bytes, limit: int) -> bytes:
        """Raises Refusal."""
        try:
            if len(document) + len(self.data) < _IN_THREAD and _MULTIPLIES.search(self.data) is None:
                return patched(self.media_type, document, self.data, size_limit=limit)
            return await _THREADS.run(partial(patched, self.media_type, document, self.data, size_limit=limit))
        except PatchError as error:
            raise Refusal(_REFUSALS[type(error)], str(error)) from None


class _Threads:
    """Two threads of this process that do nothing else: the default ones also receive uploads and read files."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="docstore-patch")
        self._waiting = 0

    async def run(self, work: Callable[[], bytes]) -> bytes:
        """Raises Refusal when too many wait already."""
        if self._waiting >= WAITING_LIMIT:
            raise Refusal("unavailable", "too many large patches wait", [(b"retry-after", b"1")])
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1


_THREADS: Final = _Threads()


async def patch(mount: Mount, key: str, request: Request, clock: Clock) -> Response:
    """Judged from the headers first, then by every attempt again. Raises Refusal."""
    media_type = _media_type(request)
    check_message(request.headers)
    if request.body.size is not None and request.body.size > PATCH_LIMIT:
        raise ContentTooLarge(PATCH_LIMIT)
    conditions = Conditions.of(request.headers)
    current = await mount.engine.head(key)
    if current is None:
        raise Refusal("not-found")
    judge("PATCH", conditions, current, clock)
    change = await _receive(request, media_type)
    for _ in range(MAX_ATTEMPTS):
        document = await mount.engine.get(key)
        if document is None:
            raise Refusal("not-found")
        meta = document.meta
        judge("PATCH", conditions, meta, clock)
        if meta.size > PATCHED_LIMIT:
            raise Refusal("not-applicable", f"a document that is patched has at most {PATCHED_LIMIT} bytes")
        limit = min(PATCHED_LIMIT, mount.max_document)
        data = await change.apply(await read_all(document.content), limit)
        expires_ns = meta.expires_ns if change.lifetime_s is None else clock() + change.lifetime_s * 10**9
        try:
            written = await mount.engine.put(
                PutRequest(key, BytesContent(data), meta.fields, expires_ns=expires_ns, expect=meta.version)
            )
        except Conflict:
            continue
        return await confirm(mount, written, Preferences.of(request.headers), clock)
    raise Refusal("changed-meanwhile", "others write this document all the time")


def _media_type(request: Request) -> str:
    """The patch's media type. Raises Refusal (415, with what there is) for any other."""
    parsed = parse_media_type(request.headers.get("content-type") or "")
    media_type = parsed.essence if parsed else ""
    if media_type not in PATCHES or "content-encoding" in request.headers:
        raise Refusal("unsupported-type", f"a patch is {' or '.join(PATCHES)}, without content coding", _ACCEPTED)
    return media_type


async def _receive(request: Request, media_type: str) -> _Patch:
    """The whole patch. Raises Refusal, or an UploadError."""
    try:
        lifetime_s = ttl.ttl_s(request.headers)
    except ttl.InvalidTTL as error:
        raise Refusal("invalid-field", str(error)) from None
    bounded = SizeLimitedUpload(request.body, PATCH_LIMIT)
    announced = digests.Announced.of(request.headers)
    data = await read_all(bounded if announced is None else digests.Verified(bounded, announced))
    return _Patch(media_type, data, lifetime_s)
