"""PATCH of a JSON document: read it, apply the patch, write it if it is unchanged, and retry if it is not.

The headers of the request describe the patch, not the document (RFC 5789 §2), so media type and stored fields stay.
So does the expiry, unless the request has a TTL.
"""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from docstore.content import BytesContent, SizeLimitedUpload, read_all
from docstore.engines.contract import PutRequest
from docstore.errors import Conflict, ContentTooLarge
from docstore.http.conditions import Conditions
from docstore.http.dates import InvalidTTL, parse_ttl_s
from docstore.http.digests import DigestVerifiedUpload, announced_digests
from docstore.http.headers import parse_media_type
from docstore.http.json_patch import MalformedPatch, PatchConflict, PatchError, PatchNotApplicable, PatchTooLarge
from docstore.http.merge_patch import ACCEPT_PATCH, PATCH_TYPES, apply_patch
from docstore.http.message import Request, Response
from docstore.http.negotiation import preferred_return
from docstore.model import Clock
from docstore.server.errors import HTTPProblem
from docstore.server.mounts import Mount
from docstore.server.resources.write import MAX_ATTEMPTS, check_expect, check_preconditions, write_response

PATCH_LIMIT: Final = 1024 * 1024
"""Bytes of a patch."""
PATCHED_LIMIT: Final = 4 * 1024 * 1024
"""Bytes of a document that can be patched, before and after: parsing and writing it takes a second or two."""
WAITING_PATCHES_LIMIT: Final = 16
"""Patches that may be in the threads or wait for them; one more is 503."""
_IN_THREAD: Final = 32 * 1024
"""Bytes of document and patch from which on a thread does the work."""

_MULTIPLIES: Final = re.compile(rb"copy|\\u")
"""Matches patches that may contain `copy` and so multiply data; a thread does that work too."""

_ACCEPTED: Final = [(b"accept-patch", ACCEPT_PATCH.encode("ascii")), (b"accept-encoding", b"identity")]
"""The headers of a 415 (RFC 5789 §2.2, RFC 9110 §12.5.3)."""

_PROBLEM_NAMES: Final[dict[type[PatchError], str]] = {
    MalformedPatch: "invalid-patch",
    PatchConflict: "patch-conflict",
    PatchNotApplicable: "not-applicable",
    PatchTooLarge: "not-applicable",
}


class _Threads:
    """Two threads for patches only, because the default threads also receive uploads and read files."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="docstore-patch")
        self._waiting = 0

    async def run(self, work: Callable[[], bytes]) -> bytes:
        """Raise HTTPProblem when too many patches wait."""
        if self._waiting >= WAITING_PATCHES_LIMIT:
            raise HTTPProblem("unavailable", "too many large patches are waiting")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1


_THREADS: Final = _Threads()


async def patch(mount: Mount, key: str, request: Request, clock: Clock) -> Response:
    """Check the conditions before the patch is received, and again in every attempt. Raise HTTPProblem."""
    media_type = _media_type(request)
    check_expect(request.headers)
    if request.body.size is not None and request.body.size > PATCH_LIMIT:
        raise ContentTooLarge(PATCH_LIMIT)
    conditions = Conditions.of(request.headers)
    current = await mount.engine.head(key)
    if current is None:
        raise HTTPProblem("not-found")
    check_preconditions("PATCH", conditions, current, clock)
    ttl_s = _parse_ttl_s(request)
    limited = SizeLimitedUpload(request.body, PATCH_LIMIT)
    change = await read_all(DigestVerifiedUpload(limited, announced_digests(request.headers)))
    for _ in range(MAX_ATTEMPTS):
        document = await mount.engine.get(key)
        if document is None:
            raise HTTPProblem("not-found")
        meta = document.meta
        check_preconditions("PATCH", conditions, meta, clock)
        if meta.size > PATCHED_LIMIT:
            raise HTTPProblem("not-applicable", f"a document over {PATCHED_LIMIT} bytes can't be patched")
        limit = min(PATCHED_LIMIT, mount.size_limit)
        data = await _apply(media_type, await read_all(document.content), change, limit)
        expires_ns = meta.expires_ns if ttl_s is None else clock() + ttl_s * 10**9
        try:
            result = await mount.engine.put(
                PutRequest(key, BytesContent(data), meta.fields, expires_ns=expires_ns, expect=meta.version)
            )
        except Conflict:
            continue
        return await write_response(mount, result, preferred_return(request.headers), clock, request.root)
    raise HTTPProblem("changed-meanwhile", "other clients keep changing this document")


def _media_type(request: Request) -> str:
    """Return the patch's media type. Raise HTTPProblem (415, with the accepted types) for any other."""
    parsed = parse_media_type(request.headers.get("content-type") or "")
    media_type = parsed.essence if parsed else ""
    if media_type not in PATCH_TYPES or "content-encoding" in request.headers:
        raise HTTPProblem(
            "unsupported-type", f"a patch must be {' or '.join(PATCH_TYPES)}, without content coding", _ACCEPTED
        )
    return media_type


def _parse_ttl_s(request: Request) -> int | None:
    try:
        return parse_ttl_s(request.headers)
    except InvalidTTL as error:
        raise HTTPProblem("invalid-field", str(error)) from None


async def _apply(media_type: str, document: bytes, change: bytes, limit: int) -> bytes:
    """Return the changed document of at most `limit` bytes. Raise HTTPProblem."""
    work = partial(apply_patch, media_type, document, change, size_limit=limit)
    try:
        small = len(document) + len(change) < _IN_THREAD and _MULTIPLIES.search(change) is None
        return work() if small else await _THREADS.run(work)
    except PatchError as error:
        raise HTTPProblem(_PROBLEM_NAMES[type(error)], str(error)) from None
