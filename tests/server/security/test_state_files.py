"""A state file that a server can't read is read again, also if the file does not change."""

import errno
from pathlib import Path

import pytest

from docstore.server.security.state_files import CHECK_INTERVAL_S, WatchedFile


def test_a_file_that_could_not_be_opened_for_a_moment_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now_s, path = 0.0, tmp_path / "state.json"
    file = WatchedFile(path, bytes.decode, "empty", lambda: now_s)
    assert file.current() == "empty"
    path.write_bytes(b"content")

    def fail(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", fail)
        for _ in range(3):
            now_s += CHECK_INTERVAL_S
            assert file.current() is None
    now_s += CHECK_INTERVAL_S
    assert file.current() == "content"
    assert len(caplog.records) == 1
