"""`docstore cp -r` between engines, `export` and `import`: documents arrive complete and unchanged, or not at all."""

import asyncio
import errno
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from docstore.cli import store_commands
from docstore.content import BytesContent
from docstore.engines.contract import PutRequest
from docstore.engines.shared.verify import Finding
from docstore.errors import PathConflict, StorageUnavailable
from docstore.export.archive import ARCHIVE_FORMATS
from docstore.export.copy import Step, StepOutcome
from tests.stores import DOCUMENTS, FIELDS, LARGE, LATE_NS, ON_DISK, kept, opened, prepare, run, store, stored


@pytest.mark.parametrize(
    "command",
    [
        ("ls", "{}"),
        ("get", "{}#a"),
        ("info", "{}#a"),
        ("cp", "{}#a", "sqlite:{target}#a"),
        ("cp", "-r", "{}", "sqlite:{target}"),
        ("export", "{}", "-"),
    ],
)
def test_reading_a_folder_of_files_creates_nothing_in_it(tmp_path: Path, command: tuple[str, ...]) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_bytes(b"content")
    arguments = [part.format(f"file:{folder}", target=tmp_path / "target.db") for part in command]
    assert run(*arguments).status == 0
    assert [path.name for path in folder.iterdir()] == ["a"]


def test_a_document_of_a_folder_of_files_is_copied_and_moved_in_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    prepare("cp", f"file:{tmp_path}#a", f"file:{tmp_path}#b")
    prepare("mv", f"file:{tmp_path}#a", f"sqlite:{tmp_path.parent}/moved.db#a")
    assert not (tmp_path / "a").exists()
    assert (tmp_path / "b").read_bytes() == b"content"


def test_a_document_of_a_folder_of_files_is_removed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    assert run("rm", f"file:{tmp_path}#a").status == 0
    assert not (tmp_path / "a").exists()


NAMES = ["plain", "dir/in it", "ü/☃", "-rf", "a" * 255, "/".join(["long" * 20] * 12), "back\\slash", "%2e%2e"]


@pytest.fixture
def source(tmp_path: Path) -> str:
    url = f"sqlite:{tmp_path / 'source.db'}"
    store(url, DOCUMENTS | {name: name.encode() for name in NAMES})
    return url


@pytest.mark.parametrize(("one", "other"), list(itertools.product(ON_DISK, ON_DISK)))
def test_a_copy_keeps_content_fields_expiry_version_and_time(tmp_path: Path, one: str, other: str) -> None:
    source, target = f"{one}:{tmp_path / 'source'}", f"{other}:{tmp_path / 'target'}"
    store(source)
    store(target, {"small": b"an older one", "of its own": b"stays"})
    result = run("cp", "-r", source, target)
    assert (result.status, result.out) == (0, "")
    assert f"{len(DOCUMENTS)} documents copied" in result.err
    there = kept(target)
    assert there.pop("of its own")
    assert there == kept(source)
    assert there["small"][4] == LATE_NS


def test_a_copy_that_is_run_again_skips_equal_documents(source: str, tmp_path: Path) -> None:
    target = f"file:{tmp_path / 'target'}"
    prepare("cp", "-r", f"{source}#a", target)
    first = stored(target)
    assert set(first) == {key for key in stored(source) if key.startswith("a")}
    result = run("cp", "-r", source, target)
    assert result.status == 0
    assert f"{len(first)} the same already" in result.err
    assert {key: stored(target)[key] for key in first} == first, "existing documents were written again"
    assert kept(target) == kept(source)


def test_a_document_that_expires_at_another_time_is_copied_again(tmp_path: Path) -> None:
    async def put(url: str, expires_ns: int | None) -> None:
        async with opened(url) as engine:
            await engine.put(PutRequest("key", BytesContent(b"data"), FIELDS, expires_ns=expires_ns))

    urls = [f"sqlite:{tmp_path / name}" for name in ("source.db", "target.db")]
    for url, expires_ns in zip(urls, (LATE_NS, None), strict=True):
        asyncio.run(put(url, expires_ns))
    prepare("cp", "-r", *urls)
    assert kept(urls[1]) == kept(urls[0])


@pytest.mark.parametrize("command", ["cp -r", "sync", "export"])
@pytest.mark.parametrize("scheme", ON_DISK)
def test_reading_never_creates_a_store(tmp_path: Path, command: str, scheme: str) -> None:
    target = [] if command == "export" else [f"file:{tmp_path / 'target'}"]
    result = run(*command.split(), f"{scheme}:{tmp_path / 'nowhere'}", *target)
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
    assert list(tmp_path.iterdir()) == []


def damaged(tmp_path: Path) -> str:
    """Return a store whose large document has a wrong byte."""
    url = f"sqlite:{tmp_path / 'damaged.db'}"
    store(url)
    (file,) = (path for path in (tmp_path / "damaged.db.sealed").iterdir() if path.name != "lock")
    file.write_bytes(LARGE[:-1] + b"\0")
    return url


def test_a_damaged_document_is_not_copied_and_the_others_are(tmp_path: Path) -> None:
    url, target = damaged(tmp_path), f"file:{tmp_path / 'target'}"
    result = run("cp", "-r", url, target)
    assert result.status == 3
    assert "'large'" in result.err.splitlines()[0]
    assert set(stored(target)) == DOCUMENTS.keys() - {"large"}
    assert (run("check", target).status, run("check", target).out) == (0, "")


def test_a_damaged_document_is_reported_by_the_export_and_rejected_by_the_import(tmp_path: Path) -> None:
    url, tar, target = damaged(tmp_path), tmp_path / "store.tar", f"file:{tmp_path / 'target'}"
    result = run("export", url, tar)
    assert result.status == 1
    assert "'large'" in result.err.splitlines()[0]
    result = run("import", target, tar)
    assert result.status == 1
    assert "'large'" in result.err.splitlines()[0]
    assert set(stored(target)) == DOCUMENTS.keys() - {"large"}


def test_a_truncated_document_is_left_out_of_an_export(tmp_path: Path) -> None:
    url, tar, target = damaged(tmp_path), tmp_path / "store.tar", f"file:{tmp_path / 'target'}"
    (file,) = (path for path in (tmp_path / "damaged.db.sealed").iterdir() if path.name != "lock")
    os.truncate(file, 100)
    assert run("export", url, tar).status == 1
    assert run("import", target, tar).status == 0
    assert set(stored(target)) == DOCUMENTS.keys() - {"large"}


@pytest.mark.parametrize("format", ARCHIVE_FORMATS)
@pytest.mark.parametrize("scheme", ON_DISK)
def test_an_exported_store_is_imported_unchanged(source: str, tmp_path: Path, scheme: str, format: str) -> None:
    tar, target = tmp_path / "store.tar", f"{scheme}:{tmp_path / 'target'}"
    result = run("export", source, tar, "--format", format)
    assert (result.status, result.out) == (0, "")
    assert sorted(path.name for path in tmp_path.glob("store.tar*")) == ["store.tar"]
    assert run("export", source, "--format", format, "--live").data == tar.read_bytes()
    assert run("import", target, tar).status == 0
    assert kept(target) == kept(source)
    again = run("import", target, data=tar.read_bytes())
    assert again.status == 0
    assert f"{len(stored(source))} the same already" in again.err


def test_an_empty_store_is_exported_and_imported(tmp_path: Path) -> None:
    url, target = f"sqlite:{tmp_path / 'source.db'}", f"sqlite:{tmp_path / 'target.db'}"
    store(url, {})
    tar = run("export", url).data
    assert run("import", target, data=tar).status == 0
    assert stored(target) == {}


def test_another_version_is_kept_without_replace(source: str, tmp_path: Path) -> None:
    tar, target = tmp_path / "store.tar", f"sqlite:{tmp_path / 'target.db'}"
    prepare("export", source, tar)
    store(target, {"small": b"another", "of its own": b"stays"})
    result = run("import", target, tar)
    assert result.status == 1
    assert "'small': the target has another version" in result.err.splitlines()[0]
    assert stored(target)["small"][1] == b"another"
    assert len(stored(target)) == len(stored(source)) + 1
    assert run("import", target, tar, "--replace").status == 0
    there = kept(target)
    assert there.pop("of its own")
    assert there == kept(source)


def test_an_export_to_a_closed_pipe_ends_in_one_line(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'source.db'}"
    store(url, {f"{number}": LARGE for number in range(20)})
    command = [sys.executable, "-m", "docstore", "export", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(100)
        process.stdout.close()
        lines = process.stderr.read().decode().splitlines()
        assert process.wait() == 1
    assert lines[-1] == "docstore: the reader of the export closed the pipe"
    assert len(lines) == 2


def test_an_export_that_fails_leaves_the_file_that_was_there(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = tmp_path / "exports"
    folder.mkdir()
    tar = folder / "store.tar"
    prepare("export", source, tar)
    before = tar.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    result = run("export", source, tar)
    assert (result.status, result.err.count("\n")) == (1, 2)
    assert [path.name for path in folder.iterdir()] == ["store.tar"]
    assert tar.read_bytes() == before
    monkeypatch.undo()
    result = run("export", source, tmp_path / "none" / "store.tar")
    assert (result.status, result.err) == (2, f"docstore: {tmp_path}/none/store.tar: No such file or directory\n")


def test_an_export_does_not_touch_other_files(source: str, tmp_path: Path) -> None:
    (tmp_path / "store.tar.partial").write_bytes(b"mine")
    assert run("export", source, tmp_path / "store.tar").status == 0
    assert (tmp_path / "store.tar.partial").read_bytes() == b"mine"


def test_an_export_follows_a_link_and_writes_to_a_pipe(source: str, tmp_path: Path) -> None:
    linked, link, pipe = tmp_path / "far" / "store.tar", tmp_path / "link", tmp_path / "pipe"
    linked.parent.mkdir()
    link.symlink_to(linked)
    assert run("export", source, link).status == 0
    assert (link.is_symlink(), linked.is_file()) == (True, True)
    os.mkfifo(pipe)
    with (tmp_path / "read").open("wb") as file, subprocess.Popen(["cat", pipe], stdout=file) as reader:
        try:
            assert run("export", source, pipe).status == 0
            assert pipe.is_fifo()
            assert reader.wait(timeout=30) == 0
        finally:
            reader.kill()
    assert (tmp_path / "read").read_bytes() == linked.read_bytes()


def test_the_commands_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    lines = re.findall(r"^docstore ((?:check|cp -r [a-z]+:|export|import) ?.*)$", readme, re.MULTILINE)
    assert [line.split()[0] for line in lines] == ["check", "cp", "export", "import", "export"]
    monkeypatch.chdir(tmp_path)
    store("sqlite:notes.db")
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "index.html").write_text("<p>hello")
    for line in lines:
        assert run(*shlex.split(line, comments=True)).status == 0
    assert kept("sqlite:restored.db") == kept("sqlite:notes.db")
    assert stored("sqlite:restored.db")["index.html"][1] == b"<p>hello"


@pytest.mark.parametrize("error", [StorageUnavailable("busy"), PathConflict("in the way"), OSError(5, "I/O error")])
@pytest.mark.parametrize("command", ["export", "import"])
def test_a_failure_of_the_storage_ends_with_status_1(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, error: Exception
) -> None:
    async def fail(*_: object, **__: object) -> AsyncIterator[Step]:
        yield Step("a", StepOutcome.STORED)
        raise error

    monkeypatch.setattr(store_commands, f"{command}_store", fail)
    arguments = {"export": [source], "import": [f"file:{tmp_path}/new"]}
    result = run(command, *arguments[command], data=b'{"documents":0}\n')
    assert (result.status, result.err.count("\n"), "1 document" in result.err) == (1, 2, True)


@pytest.mark.parametrize("error", [StorageUnavailable("busy"), OSError(5, "I/O error")])
def test_a_check_that_the_storage_ends_has_status_1(
    source: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> Iterator[Finding]:
        yield Finding("somewhere", "something")
        raise error

    monkeypatch.setattr(store_commands, "check_store", fail)
    result = run("check", source)
    assert (result.status, result.err.count("\n"), "2 findings" in result.err) == (1, 2, True)


def test_a_document_whose_place_is_occupied_is_reported_and_the_others_are_copied(tmp_path: Path) -> None:
    url, folder = f"sqlite:{tmp_path / 'source.db'}", tmp_path / "target"
    store(url, {"a": b"1", "b/x": b"2", "c": b"3"})
    folder.mkdir()
    (folder / "b").symlink_to(tmp_path)
    result = run("cp", "-r", url, f"file:{folder}")
    assert (result.status, result.err.splitlines()[0].startswith("docstore: 'b/x': ")) == (3, True)
    assert set(stored(f"file:{folder}")) == {"a", "c"}


@pytest.mark.parametrize("command", ["check", "cp", "sync", "export", "import"])
def test_the_help_of_each_command_has_an_example(command: str) -> None:
    result = run(command, "--help")
    assert result.status == 0
    assert "Example" in result.out
    assert f"docstore {command}" in result.out


def test_memory_stays_small_with_a_large_document(tmp_path: Path) -> None:
    """A document of 300 MB is exported and imported in less than 100 MB."""
    # getrusage starts with the peak of the parent process.
    measured = (
        "import re, sys\n"
        "from docstore.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    print(re.search('VmHWM:\\\\s*([0-9]+) kB', open('/proc/self/status').read())[1], file=sys.stderr)\n"
    )
    folder = tmp_path / "source"
    folder.mkdir()
    with (folder / "large.bin").open("wb") as file:
        file.truncate(300_000_000)
    tar, target = tmp_path / "store.tar", f"sqlite:{tmp_path / 'target.db'}"
    for arguments in (["export", f"file:{folder}", str(tar)], ["import", target, str(tar)]):
        command = [sys.executable, "-c", measured, *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "1 document " in result.stderr
        assert int(result.stderr.split()[-1]) < 100_000


@pytest.mark.parametrize("live", [False, True])
def test_an_export_without_space_for_a_snapshot_suggests_live(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, live: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", refuse)
    result = run("export", source, tmp_path / "store.tar", *(["--live"] if live else []))
    assert (result.status, "--live" in result.err) == ((0, False) if live else (1, True))
    assert (tmp_path / "store.tar").exists() is live


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tgz", "x.ndjson", "x.ndjson.gz"])
def test_the_name_of_an_export_decides_its_format(source: str, tmp_path: Path, name: str) -> None:
    assert run("export", source, tmp_path / name).status == 0
    start = (tmp_path / name).read_bytes()[:2]
    assert (start == b"\x1f\x8b") is name.endswith("gz")
    assert start != b"{" or "ndjson" in name
    assert run("import", f"sqlite:{tmp_path}/restored.db", tmp_path / name).status == 0
    assert kept(f"sqlite:{tmp_path}/restored.db") == kept(source)


@pytest.mark.parametrize("name", ["x.zip", "x.tar.xz", "x.7z"])
def test_other_formats_are_refused_with_a_hint(source: str, tmp_path: Path, name: str) -> None:
    result = run("export", source, tmp_path / name)
    assert (result.status, ".tar.gz" in result.err, (tmp_path / name).exists()) == (2, True, False)


@pytest.mark.parametrize(
    ("damage", "status"),
    [(lambda data: data[: len(data) // 2], 1), (lambda data: data[:50] + b"xxxx" + data[54:], 2)],
    ids=["truncated", "damaged before the first document"],
)
def test_a_damaged_gzip_file_is_one_line(
    source: str, tmp_path: Path, damage: Callable[[bytes], bytes], status: int
) -> None:
    archive = tmp_path / "x.tar.gz"
    prepare("export", source, archive)
    archive.write_bytes(damage(archive.read_bytes()))
    result = run("import", f"sqlite:{tmp_path}/restored.db", archive)
    assert (result.status, "gzip" in result.err or "not a complete export" in result.err) == (status, True)


def test_servers_are_exported_and_imported(source: str, tmp_path: Path, url: str) -> None:
    assert run("cp", "-qr", source, "file/exported/").status == 1  # but for `small`, whose TTL no server takes
    assert run("export", "file/exported/", tmp_path / "x.tar").status == 0
    assert run("import", "file/again/", tmp_path / "x.tar").status == 0
    contents = {key.removeprefix("again/exported/"): content for key, content in listed("file/again/").items()}
    assert contents == {key: content for key, (_, content) in stored(source).items() if key != "small"}
    assert "the same already" in run("import", "file/again/", tmp_path / "x.tar").err


def listed(address: str) -> dict[str, bytes]:
    mount = address.partition("/")[0]
    keys = [json.loads(line)["key"] for line in run("ls", "-R", "--json", address).out.splitlines()]
    return {key: run("get", f"{mount}/{quote(key)}").data for key in keys}
