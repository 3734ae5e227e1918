"""What a document keeps when it is written back or copied: type, fields, the user's own, and the rest of its life."""

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from docstore.http.digests import structured_digest

if TYPE_CHECKING:
    from docstore import Info
    from docstore.client.options import PutOptions


def kept(info: "Info", digest: bytes | None = None) -> "PutOptions | None":
    """What stores another content, or with `digest` the same, as the document that it is; None when its life is over.

    A life is told in whole seconds: what is left of one is rounded up, so that nothing is gone before its time.
    """
    told: PutOptions = {"type": info.type, "fields": info.fields, "meta": info.meta, "digest": digest}
    if info.expires is not None:
        left_s = math.ceil((info.expires - datetime.now(UTC)).total_seconds())
        if left_s <= 0:
            return None
        told["ttl"] = left_s
    return told


def announced(digest: bytes) -> dict[str, str]:
    """The field that has the server check what arrives (RFC 9530); it goes the way of the stored ones."""
    return {"Repr-Digest": structured_digest("sha-256", digest)}
