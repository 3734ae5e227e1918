"""The example of docs/engines.md: found by its entry point alone, and tested like every engine."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from docstore.engines.contract import Engine
from docstore.engines.registry import EngineURL, open_engine, schemes
from docstore.engines.shared.verify import Finding, check_store
from docstore.errors import OpenError
from docstore.model import Clock
from docstore.testing.contract import EngineContract
from tests.stores import DOCUMENTS, run, store, stored


class TestLog(EngineContract):
    durable = True

    def open(self, folder: Path, clock: Clock) -> Engine:
        return open_engine(EngineURL("log", str(folder / "store.log")), clock)

    def check(self, folder: Path) -> Iterable[Finding]:
        checked = check_store(EngineURL("log", str(folder / "store.log")))
        return (found for found in checked if isinstance(found, Finding))


def test_it_works_like_a_built_in_engine(tmp_path: Path) -> None:
    url, other = f"log:{tmp_path / 'store.log'}", f"sqlite:{tmp_path / 'other.db'}"
    assert "log" in schemes()
    store(url)
    assert run("check", url).status == 0
    assert run("cp", "-r", url, other).status == 0
    assert {key: data for key, (_, data) in stored(other).items()} == DOCUMENTS
    assert {key: meta.modified_ns for key, (meta, _) in stored(other).items()} == {
        key: meta.modified_ns for key, (meta, _) in stored(url).items()
    }


def test_documents_are_copied_to_it(tmp_path: Path) -> None:
    url, other = f"log:{tmp_path / 'store.log'}", f"sqlite:{tmp_path / 'other.db'}"
    store(other)
    ended = run("cp", "-r", other, url)
    assert ended.status == 0
    assert {key: data for key, (_, data) in stored(url).items()} == DOCUMENTS


def test_a_truncated_record_is_dropped_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "store.log"
    store(f"log:{path}", {"a": b"first", "b": b"second"})
    whole = path.read_bytes()
    for size in range(len(whole) - 1, 0, -37):
        path.write_bytes(whole[:size])
        there = {key: data for key, (_, data) in stored(f"log:{path}").items()}
        assert there in ({"a": b"first"}, {})
        assert run("check", f"log:{path}").status == 0


def test_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "store.log"
    store(f"log:{path}", {"a": b"first", "b": b"second"})
    path.write_bytes(path.read_bytes().replace(b"first", b"f1rst"))
    ended = run("check", f"log:{path}")
    assert ended.status == 1
    assert "'a'" in ended.out


def test_only_one_process_can_open_it(tmp_path: Path) -> None:
    url = EngineURL("log", str(tmp_path / "store.log"))
    first = open_engine(url)
    try:
        with pytest.raises(OpenError, match="open already"):
            open_engine(url)
    finally:
        asyncio.run(first.close())
