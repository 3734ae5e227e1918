"""object_store: documents in a bucket of S3, Google Cloud Storage or Azure, for any number of processes on any
machines.

    names       the names of objects, in the order of the keys
    manifest    the object that is swapped: meta and small content; lost answers, tombstones, seals
    bucket      the calls of obstore with errors, timeouts and retries
    upload      content as it arrives; large content by multipart upload
    engine      the six methods
    collector   expired documents, tombstones and orphans
    opening     URL, credentials, the race at the start
    verify      `docstore check`

The only state is in the bucket. Each document is one small object, its manifest, and every write is one
compare-and-swap of it by the store (If-None-Match, If-Match). There is no lock, no lease and no leader, so a process
may end at any time.
"""

from typing import TYPE_CHECKING, Final

from docstore.engines.contract import Engine
from docstore.engines.registry import EngineKind, EngineURL, Processes
from docstore.engines.shared.extras import needs_extra
from docstore.model import Clock

if TYPE_CHECKING:
    from docstore.engines.shared.verify import Checked

__all__ = ["AZ", "GS", "S3"]


def _open(url: EngineURL, clock: Clock) -> Engine:
    with needs_extra(url.scheme, "obstore", "s3"):
        from docstore.engines.object_store.opening import open_object_store
    return open_object_store(url, clock)


def _check(url: EngineURL, repair: bool) -> "Checked":
    with needs_extra(url.scheme, "obstore", "s3"):
        from docstore.engines.object_store.verify import check_object_store
    return check_object_store(url, repair)


def _kind(scheme: str, summary: str, options: dict[str, str]) -> EngineKind:
    return EngineKind(
        open=_open,
        check=_check,
        summary=summary,
        example=f"{scheme}://bucket/prefix",
        survives="kill -9, and what the store survives",
        processes=Processes.MANY,
        streams=True,
        on_disk=False,
        options=options,
    )


_ENDPOINT: Final = {"endpoint": "URL of the store; several with commas, tried in turn when one does not answer"}
S3: Final = _kind("s3", "a bucket of S3, or of a store with its API", {**_ENDPOINT, "region": "region of the bucket"})
GS: Final = _kind("gs", "a bucket of Google Cloud Storage", _ENDPOINT)
AZ: Final = _kind("az", "a container of Azure Blob Storage", {**_ENDPOINT, "account": "name of the storage account"})
