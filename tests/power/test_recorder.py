"""Every change of a folder is recorded, refused, or detected at the end."""

import os
from pathlib import Path

import pytest

from tests.power.disk import Named, Put, Synced
from tests.power.recorder import Recorder


def test_each_change_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(tmp_path)
    with recorder.running(monkeypatch):
        (tmp_path / "f").mkdir()
        file = os.open(tmp_path / "f" / "a", os.O_RDWR | os.O_CREAT)
        os.write(file, b"one")
        os.write(file, b"two")
        os.fsync(file)
        os.close(file)
        (tmp_path / "f" / "a").rename(tmp_path / "b")
        (tmp_path / "f").rmdir()
    changes = [step for step in recorder.steps if isinstance(step, Named | Put | Synced)]
    assert changes == [
        Named(((0, b"f", 1),)),
        Named(((1, b"a", 2),)),
        Put(2, 0, b"one"),
        Put(2, 3, b"two"),
        Synced(2),
        Named(((0, b"b", 2), (1, b"a", None))),
        Named(((0, b"f", None),)),
    ]


def test_an_unknown_function_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").touch()
    with Recorder(tmp_path).running(monkeypatch), pytest.raises(AssertionError, match=r"os\.link"):
        (tmp_path / "b").hardlink_to(tmp_path / "a")


def test_an_unrecorded_change_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match="not noted"), Recorder(tmp_path).running(monkeypatch):
        (tmp_path / "a").write_bytes(b"by another way than os.open")
