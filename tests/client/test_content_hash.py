"""The digest of large content is computed in a thread, which ends with the transfer."""

import hashlib
from pathlib import Path

import pytest

from docstore import Client, DigestMismatch
from docstore.client.content_hash import ContentHash
from tests.leaks import no_leaks
from tests.server_process import RunningServer

MIB = 1024 * 1024
LARGE = bytes(range(256)) * (20 * MIB // 256)


@pytest.mark.parametrize("threaded", [True, False])
@pytest.mark.parametrize("size", [0, 1, MIB, MIB + 1, 20 * MIB])
def test_the_digest_is_that_of_all_blocks(size: int, threaded: bool) -> None:
    with no_leaks():
        content = ContentHash()
        if threaded:
            content.in_thread()
        for start in range(0, size, 100_000):
            content.update(LARGE[start : min(size, start + 100_000)])
        content.close()
    assert content.digest() == hashlib.sha256(LARGE[:size]).digest()


def test_no_thread_outlives_a_transfer_that_ends_early(server: RunningServer, tmp_path: Path) -> None:
    def stop(size: int) -> None:
        nonlocal moved
        moved += size
        if moved > 5 * MIB:
            raise InterruptedError

    path = tmp_path / "large"
    path.write_bytes(LARGE)
    with Client(f"{server.url}/docs/") as docs:
        docs.put("large", LARGE)
    with no_leaks(), Client(f"{server.url}/docs/") as docs:
        for call in (lambda: docs.put("other", path, digest="after", progress=stop),
                     lambda: docs.download("large", tmp_path / "copy", progress=stop)):  # fmt: skip
            moved = 0
            with pytest.raises(InterruptedError):
                call()
        pieces = iter(docs.iter_content("large"))
        assert sum(len(next(pieces)) for _ in range(40)) > MIB
        del pieces
        wrong = hashlib.sha256(b"other").digest()
        with pytest.raises(DigestMismatch):
            docs.put("other", (LARGE[start : start + MIB] for start in range(0, len(LARGE), MIB)), digest=wrong)
        assert "other" not in docs
