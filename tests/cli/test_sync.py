"""`docstore sync` between folders, servers and engines, and what it shares with `put -r`, `get -r` and `cp -r`."""

import asyncio
import itertools
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from docstore import AsyncClient
from docstore.cli.collection_engine import CollectionEngine, remember
from tests.stores import CommandResult, prepare, run

FILES = {"a.txt": b"1", "deep/er/b.json": b"{}", "deep/c": b"x" * 100_000, "é ☃": b"", "log.tmp": b"t"}
_NUMBERS = itertools.count()


@pytest.fixture(params=["server", "file", "sqlite"])
def place(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> str:
    """An empty folder in a store."""
    if request.param == "server":
        return f"file/sync{next(_NUMBERS)}/"
    return f"{request.param}:{tmp_path}/store{next(_NUMBERS)}#in/"


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def read(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def counts(result: CommandResult) -> str:
    """The counts of the closing line."""
    assert result.status == 0, result.err
    [line] = result.err.splitlines()
    assert re.search(r"; [0-9.]+ s", line)
    return line.rpartition(": ")[2].partition(", ")[0] + line.partition(";")[2].rpartition(";")[0]


def test_a_folder_goes_to_a_store_and_back(place: str, tmp_path: Path) -> None:
    source = write(tmp_path / "source", FILES)
    assert counts(run("sync", source, place)) == "5 documents copied"
    assert counts(run("sync", source, place)) == "0 documents copied 5 the same already"
    assert counts(run("sync", place, tmp_path / "back")) == "5 documents copied"
    assert read(tmp_path / "back") == FILES
    assert counts(run("sync", place, tmp_path / "back")) == "0 documents copied 5 the same already"


def test_only_differences_are_copied_and_deleted(place: str, tmp_path: Path) -> None:
    source, back = write(tmp_path / "source", FILES), tmp_path / "back"
    prepare("sync", source, place)
    prepare("sync", place, back)
    (source / "a.txt").unlink()
    (source / "deep" / "er" / "b.json").write_bytes(b"[]")
    planned = run("sync", source, place, "--delete", "--dry-run")
    assert (planned.status, planned.out.splitlines()) == (0, ["copy deep/er/b.json", "delete a.txt"])
    assert counts(run("sync", source, place)) == "1 document copied 3 the same already"
    assert counts(run("sync", source, place, "--delete")) == "0 documents copied 4 the same already; 1 deleted"
    assert run("sync", place, back, "--delete", "-n").out.splitlines() == ["copy deep/er/b.json", "delete a.txt"]
    assert counts(run("sync", place, back, "--delete")) == "1 document copied 3 the same already; 1 deleted"
    assert read(back) == read(source)


def test_what_is_excluded_is_neither_copied_nor_deleted(place: str, tmp_path: Path) -> None:
    source = write(tmp_path / "source", FILES)
    prepare("sync", source, place, "--exclude", "*.tmp", "--exclude", "er")
    assert read_store(place, tmp_path) == {name: FILES[name] for name in ("a.txt", "deep/c", "é ☃")}
    prepare("sync", source, place)
    (source / "log.tmp").unlink()
    (source / "a.txt").unlink()
    prepare("sync", source, place, "--delete", "--exclude", "*.tmp")
    assert read_store(place, tmp_path).keys() == FILES.keys() - {"a.txt"}
    prepare("sync", source, place, "--delete", "--include", "*.tmp", "--include", "deep/")
    assert read_store(place, tmp_path).keys() == FILES.keys() - {"a.txt", "log.tmp"}


def read_store(place: str, tmp_path: Path) -> dict[str, bytes]:
    folder = tmp_path / f"read{next(_NUMBERS)}"
    assert run("get", "-r", place, "-o", folder).status == 0
    return read(folder)


@pytest.mark.parametrize("target", ["file/mirror{}/", "sqlite:{path}/mirror{}.db", "file:{path}/mirror{}#deep/"])
def test_two_stores_become_alike(place: str, target: str, tmp_path: Path) -> None:
    mirror = target.format(next(_NUMBERS), path=tmp_path)
    prepare("sync", write(tmp_path / "source", FILES), place)
    prepare("put", f"{place}typed", "--type", "text/x", "--meta", "a=b", "--ttl", "1h", data=b"typed")
    assert counts(run("sync", place, mirror)) == "6 documents copied"
    assert counts(run("sync", place, mirror)) == "0 documents copied 6 the same already"
    assert '"meta-a":"b"' in run("info", "--json", f"{mirror}{'' if '/' in mirror[-1] else '#'}typed").out
    prepare("put", f"{place}typed", "--type", "text/y", "--ttl", "1h", data=b"typed")
    prepare("rm", f"{place}a.txt")
    assert run("sync", place, mirror, "--delete", "-n").out.splitlines() == ["copy typed", "delete a.txt"]
    assert counts(run("sync", place, mirror, "--delete")) == "1 document copied 4 the same already; 1 deleted"
    assert read_store(mirror, tmp_path) == read_store(place, tmp_path)


def test_an_empty_source_deletes_nothing(place: str, tmp_path: Path) -> None:
    source, empty = write(tmp_path / "source", FILES), tmp_path / "empty"
    empty.mkdir()
    prepare("sync", source, place)
    for options in (["--delete"], ["--delete", "--dry-run"]):
        result = run("sync", empty, place, *options)
        assert (result.status, result.out, "nothing was deleted" in result.err) == (2, "", True)
    assert run("sync", tmp_path / "missing", place, "--delete").status == 2
    assert read_store(place, tmp_path) == FILES


def test_nothing_is_deleted_when_a_copy_fails(url: str, tmp_path: Path) -> None:
    source = write(tmp_path / "source", {"new": b"x" * 11})
    prepare("put", "tiny/old", data=b"1")
    result = run("sync", source, "tiny/", "--delete")
    assert (result.status, "nothing was deleted" in result.err) == (3, True)
    assert run("get", "tiny/old").data == b"1"


def test_a_dry_run_creates_no_store_and_no_folder(url: str, tmp_path: Path) -> None:
    source = write(tmp_path / "source", FILES)
    prepare("put", "file/dry/a", data=b"1")
    assert run("sync", "file/dry/", f"sqlite:{tmp_path}/new.db", "-n").out == "copy a\n"
    assert run("sync", "file/dry/", tmp_path / "new", "-n").out == "copy a\n"
    prepare("sync", source, f"sqlite:{tmp_path}/new.db", "-n")
    assert {path.name for path in tmp_path.iterdir()} == {"source"}


def test_a_collection_holds_one_page_and_reads_what_is_listed_without_another_request(url: str) -> None:
    keys = [f"held/{number}" for number in range(5)]
    for key in keys:
        prepare("put", f"file/{key}", data=b"1")

    async def check() -> None:
        async with AsyncClient(f"{url}/file/") as client:
            engine = CollectionEngine(client)
            metas = [
                meta for after in ("", *keys[1::2]) for meta in await engine.list(prefix="held/", after=after, limit=2)
            ]
            assert [meta.key for meta in metas] == keys
            assert [*engine.listed] == keys[4:]
            rooted = [replace(meta, key=meta.key.removeprefix("held/")) for meta in metas]
            for meta in remember(engine, "held/", rooted):
                assert engine.listed[f"held/{meta.key}"].version == meta.version
                assert await engine.get(f"held/{meta.key}") is not None
            assert engine.listed == {}

    asyncio.run(check())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("./a", "./b"), "both are folders"),
        (("docs/key", "./b"), "docs/key: end the address with a slash to store several documents: docs/key/\n"),
        (("./b", "docs"), "docs: end the address with a slash to store several documents: docs/\n"),
        (("./nowhere", "docs/"), "no such folder"),
    ],
)
def test_mistakes_are_one_line(url: str, words: tuple[str, str], said: str) -> None:
    result = run("sync", *words)
    assert (result.status, said in result.err, result.err.count("\n") <= 2) == (2, True, True), result.err


def test_a_folder_that_was_typed_as_an_address_is_named(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCSTORE_URL", url)
    (tmp_path / "reports").mkdir()
    result = run("sync", "reports/", "copy/")
    assert result.status == 1
    assert "reports/ is an address here; write ./reports/ for the folder" in result.err
    assert "copy/" not in result.err


def test_put_writes_again_what_its_options_change_and_what_expires(place: str, tmp_path: Path) -> None:
    source = write(tmp_path / "source", {"a": b"1", "b": b"2"})
    prepare("put", f"{place}a", "--ttl", "1h", data=b"1")
    assert counts(run("put", "-r", place, source)) == "2 documents stored"
    assert counts(run("put", "-r", place, source)) == "0 documents stored 2 the same already"
    assert counts(run("put", "-r", place, source, "--meta", "x=1")) == "2 documents stored"
    assert '"meta-x":"1"' in run("info", "--json", f"{place}b").out


def test_a_link_in_the_target_is_removed_and_not_followed(url: str, tmp_path: Path) -> None:
    prepare("put", "file/links/a", data=b"1")
    precious, back = tmp_path / "precious", write(tmp_path / "back", {"deep/own": b"2"})
    precious.write_bytes(b"mine")
    (back / "deep" / "link").symlink_to(precious)
    (back / "folder").symlink_to(tmp_path)
    assert counts(run("sync", "file/links/", back, "--delete")) == "1 document copied 2 deleted"
    assert precious.read_bytes() == b"mine"
    assert sorted(path.name for path in back.iterdir()) == ["a", "folder"]


def test_two_files_with_one_key_are_rejected(url: str, tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", {"a": b"1"}), write(tmp_path / "two", {"a": b"2"})
    result = run("put", "-r", "file/twice/", one, two)
    assert (result.status, "would both be stored" in result.err) == (2, True)


def test_verbose_names_each_document_and_quiet_prints_nothing(place: str, tmp_path: Path) -> None:
    source = write(tmp_path / "source", {"a": b"1"})
    assert run("sync", source, place, "-v").err.startswith("copied ")
    (source / "a").write_bytes(b"2")
    assert run("sync", source, place, "-q").err == ""


def test_the_metadata_of_a_file_store_is_not_uploaded(place: str, tmp_path: Path) -> None:
    folder = tmp_path / "served"
    for store in (folder, folder / "below"):
        assert run("put", f"file:{store}#a", "--meta", "by=me", data=b"1").status == 0
        assert (store / ".docstore" / "format").is_file()
    write(folder, {"other/.docstore/format": b"of another program"})
    assert counts(run("put", "-r", place, folder)) == "3 documents stored"
    assert counts(run("sync", folder, place, "--delete")) == "0 documents copied 3 the same already"


def test_sync_deletes_no_metadata_of_a_file_store(place: str, tmp_path: Path) -> None:
    folder = tmp_path / "served"
    for key in ("a", "b"):
        assert run("put", f"file:{folder}#{key}", "--meta", "by=me", data=b"1").status == 0
    prepare("put", f"{place}a", data=b"1")
    assert counts(run("sync", place, folder, "--delete")) == "0 documents copied 1 the same already; 1 deleted"
    assert (folder / ".docstore" / "format").is_file()


@pytest.mark.parametrize(("name", "kind"), [("dangling", "link"), ("pipe", "fifo"), ("new\nline", "file")])
def test_what_cannot_be_a_document_is_reported_counted_and_not_promised(
    place: str, tmp_path: Path, name: str, kind: str
) -> None:
    source = write(tmp_path / "source", {"a": b"1"})
    prepare("put", f"{place}old", data=b"1")
    path = source / name
    if kind == "link":
        path.symlink_to(tmp_path / "nowhere")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.write_bytes(b"x")
    shown = str(path).replace("\n", "\\n")
    planned = run("sync", source, place, "--dry-run")
    assert (planned.status, planned.out) == (1, "copy a\n")
    for words in (["put", "-r", place, source], ["sync", source, place, "--delete"]):
        result = run(*words)
        done = "stored" if words[0] == "put" else "copied"
        assert (result.status, f"; 1 not {done}; " in result.err) == (1, True), result.err
        [line] = [line for line in result.err.splitlines() if line.startswith(f"docstore: {source}")]
        assert (line.startswith(f"docstore: {shown}: "), line.count(str(source))) == (True, 1)
    assert run("get", f"{place}old").data == b"1"
    (source / "a").unlink()
    alone = run("put", "-r", place, source)
    assert (alone.status, "0 documents stored, 0 bytes; 1 not stored" in alone.err) == (1, True), alone.err
    assert run("sync", source, place, "--exclude", name).status == 0
