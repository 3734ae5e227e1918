"""`docstore copy`, `export` and `import`: documents arrive whole, as they were, or not at all."""

import asyncio
import errno
import hashlib
import io
import itertools
import os
import re
import shlex
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from docstore.content import BytesContent
from docstore.engines.contract import PutRequest
from docstore.engines.registry import EngineURL, open_engine
from docstore.export import copy
from docstore.export.archive import FORMATS
from docstore.export.copy import Outcome
from docstore.export.tar import DOCUMENTS as COUNT
from docstore.export.tar import META
from docstore.model import Fields, Meta
from docstore.testing.clock import SetClock
from docstore.testing.contract.documents import version
from tests.stores import DOCUMENTS, FIELDS, LARGE, LATE_NS, ON_DISK, opened, run, store, stored

NAMES = ["plain", "dir/in it", "ü/☃", "-rf", "a" * 255, "/".join(["long" * 20] * 12), "back\\slash", "%2e%2e"]


def state(meta: Meta, data: bytes) -> tuple[object, ...]:
    """All of a document that a transfer keeps."""
    return meta.version, meta.size, meta.digest, meta.fields, meta.expires_ns, meta.modified_ns, data


def kept(url: str) -> dict[str, tuple[object, ...]]:
    return {key: state(*document) for key, document in stored(url).items()}


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
    ended = run("copy", source, target)
    assert (ended.status, ended.out) == (0, "")
    assert f"{len(DOCUMENTS)} documents copied" in ended.err
    there = kept(target)
    assert there.pop("of its own")
    assert there == kept(source)
    assert there["small"][4] == LATE_NS


def test_a_copy_that_is_started_again_passes_over_what_is_the_same(source: str, tmp_path: Path) -> None:
    target = f"file:{tmp_path / 'target'}"
    run("copy", source, target, "--prefix", "a")
    first = stored(target)
    assert set(first) == {key for key in stored(source) if key.startswith("a")}
    ended = run("copy", source, target)
    assert ended.status == 0
    assert f"{len(first)} the same already" in ended.err
    assert {key: stored(target)[key] for key in first} == first, "what was there was written again"
    assert kept(target) == kept(source)


def test_a_document_that_expires_at_another_time_is_copied_again(tmp_path: Path) -> None:
    async def put(url: str, expires_ns: int | None) -> None:
        async with opened(url) as engine:
            await engine.put(PutRequest("key", BytesContent(b"data"), FIELDS, expires_ns=expires_ns))

    urls = [f"sqlite:{tmp_path / name}" for name in ("source.db", "target.db")]
    for url, expires_ns in zip(urls, (LATE_NS, None), strict=True):
        asyncio.run(put(url, expires_ns))
    run("copy", *urls)
    assert kept(urls[1]) == kept(urls[0])


@pytest.mark.parametrize("command", ["copy", "export"])
@pytest.mark.parametrize("scheme", ON_DISK)
def test_a_store_to_read_from_is_never_made(tmp_path: Path, command: str, scheme: str) -> None:
    ended = run(command, f"{scheme}:{tmp_path / 'nowhere'}", *(["memory:"] if command == "copy" else []))
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert list(tmp_path.iterdir()) == []


def damaged(tmp_path: Path) -> str:
    """A store whose large document has another byte."""
    url = f"sqlite:{tmp_path / 'damaged.db'}"
    store(url)
    (file,) = (path for path in (tmp_path / "damaged.db.sealed").iterdir() if path.name != "lock")
    file.write_bytes(LARGE[:-1] + b"\0")
    return url


def test_a_damaged_document_is_not_copied_and_the_others_are(tmp_path: Path) -> None:
    url, target = damaged(tmp_path), f"file:{tmp_path / 'target'}"
    ended = run("copy", url, target)
    assert ended.status == 1
    assert "'large'" in ended.err.splitlines()[0]
    assert set(stored(target)) == DOCUMENTS.keys() - {"large"}
    assert (run("check", target).status, run("check", target).out) == (0, "")


def test_a_damaged_document_is_named_by_the_export_and_refused_by_the_import(tmp_path: Path) -> None:
    url, tar, target = damaged(tmp_path), tmp_path / "store.tar", f"file:{tmp_path / 'target'}"
    ended = run("export", url, tar)
    assert ended.status == 1
    assert "'large'" in ended.err.splitlines()[0]
    ended = run("import", target, tar)
    assert ended.status == 1
    assert "'large'" in ended.err.splitlines()[0]
    assert set(stored(target)) == DOCUMENTS.keys() - {"large"}


def test_a_document_whose_file_is_short_is_left_out_of_an_export(tmp_path: Path) -> None:
    url, tar, target = damaged(tmp_path), tmp_path / "store.tar", f"file:{tmp_path / 'target'}"
    (file,) = (path for path in (tmp_path / "damaged.db.sealed").iterdir() if path.name != "lock")
    os.truncate(file, 100)
    assert run("export", url, tar).status == 1
    assert run("import", target, tar).status == 0
    assert set(stored(target)) == DOCUMENTS.keys() - {"large"}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("scheme", ON_DISK)
def test_an_export_comes_back_as_it_was(source: str, tmp_path: Path, scheme: str, format: str) -> None:
    tar, target = tmp_path / "store.tar", f"{scheme}:{tmp_path / 'target'}"
    ended = run("export", source, tar, "--format", format)
    assert (ended.status, ended.out) == (0, "")
    assert sorted(path.name for path in tmp_path.glob("store.tar*")) == ["store.tar"]
    assert run("export", source, "--format", format, "--live").data == tar.read_bytes()
    assert run("import", target, tar).status == 0
    assert kept(target) == kept(source)
    again = run("import", target, data=tar.read_bytes())
    assert again.status == 0
    assert f"{len(stored(source))} the same already" in again.err


def test_any_tar_program_can_list_and_unpack_an_export(tmp_path: Path) -> None:
    url, tar = f"sqlite:{tmp_path / 'source.db'}", tmp_path / "store.tar"
    store(url, {"plain": LARGE, "in a folder/é": b"hello"})
    run("export", url, tar)
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "xf", tar, "-C", tmp_path / "out"], check=True, capture_output=True)
    assert (tmp_path / "out" / "plain").read_bytes() == LARGE
    assert (tmp_path / "out" / "in a folder" / "é").read_bytes() == b"hello"


def test_an_empty_store_goes_there_and_back(tmp_path: Path) -> None:
    url, target = f"sqlite:{tmp_path / 'source.db'}", f"sqlite:{tmp_path / 'target.db'}"
    store(url, {})
    tar = run("export", url).data
    assert run("import", target, data=tar).status == 0
    assert stored(target) == {}


def test_another_version_is_kept_unless_it_is_to_be_replaced(source: str, tmp_path: Path) -> None:
    tar, target = tmp_path / "store.tar", f"sqlite:{tmp_path / 'target.db'}"
    run("export", source, tar)
    store(target, {"small": b"another", "of its own": b"stays"})
    ended = run("import", target, tar)
    assert ended.status == 1
    assert "'small': the target has another version" in ended.err.splitlines()[0]
    assert stored(target)["small"][1] == b"another"
    assert len(stored(target)) == len(stored(source)) + 1
    assert run("import", target, tar, "--replace").status == 0
    there = kept(target)
    assert there.pop("of its own")
    assert there == kept(source)


def members(*metas: tuple[str, Meta | str | None, bytes], count: int | None = None) -> bytes:
    """A tar of members with these names, meta and content, and an end when `count` is given."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, meta, data in metas:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            if meta is not None:
                member.pax_headers = {META: meta.pack() if isinstance(meta, Meta) else meta}
            tar.addfile(member, io.BytesIO(data))
        if count is not None:
            end = tarfile.TarInfo(".")
            end.pax_headers = {COUNT: str(count)}
            tar.addfile(end)
    return file.getvalue()


def meta_of(key: str, data: bytes, expires_ns: int | None = None) -> Meta:
    return Meta(key, version(data), len(data), hashlib.sha256(data).digest(), Fields(), 1, expires_ns)


def test_the_name_of_a_member_is_not_believed(tmp_path: Path) -> None:
    target = f"file:{tmp_path / 'in' / 'target'}"
    tar = members(("../../escaped", meta_of("key", b"data"), b"data"), ("/etc/x", meta_of("x", b"y"), b"y"), count=2)
    assert run("import", target, data=tar).status == 0
    assert {key: data for key, (_, data) in stored(target).items()} == {"key": b"data", "x": b"y"}
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def fielded(others: dict[str, str], media_type: str = "text/plain") -> Meta:
    fields = Fields.make(media_type, others)
    return replace(meta_of("good", b"data"), fields=fields, version=version(b"data", fields))


GOOD = meta_of("good", b"data")
REFUSED = {
    "a key that is a path out": (replace(GOOD, key="../x"), b"data", "'.' or '..'"),
    "another content": (GOOD, b"DATA", "digest"),
    "another size": (GOOD, b"data and more", "13 bytes of 4"),
    "another version": (GOOD.pack().replace(GOOD.version, "x" * 32), b"data", "version"),
    "unreadable meta": ("{", b"data", "unreadable"),
    "a field that no write stores": (fielded({"set-cookie": "a=b"}), b"data", "its fields"),
    "a field of two lines": (fielded({"meta-a": "b\r\nset-cookie: c"}), b"data", "its fields"),
    "a field that is not ASCII": (fielded({"meta-a": "\u2603"}), b"data", "its fields"),
    "a media type that is none": (fielded({}, "text/html\r\nx: y"), b"data", "its fields"),
}


@pytest.mark.parametrize(("meta", "data", "why"), REFUSED.values(), ids=REFUSED)
def test_a_bad_member_is_refused_and_the_others_are_stored(
    tmp_path: Path, meta: Meta | str, data: bytes, why: str
) -> None:
    target = f"sqlite:{tmp_path / 'target.db'}"
    before, after = meta_of("before", b"1"), meta_of("then", b"2")
    ended = run("import", target, data=members(("b", before, b"1"), ("m", meta, data), ("t", after, b"2"), count=3))
    assert ended.status == 1
    assert why in ended.err.splitlines()[0]
    assert list(stored(target)) == ["before", "then"]
    assert run("check", target).out == ""


def test_what_has_expired_is_not_imported(tmp_path: Path) -> None:
    target = f"sqlite:{tmp_path / 'target.db'}"
    tar = members(
        ("a", meta_of("gone", b"1", expires_ns=5), b"1"), ("b", meta_of("here", b"2", LATE_NS), b"2"), count=2
    )
    ended = run("import", target, data=tar)
    assert ended.status == 0
    assert "1 the same already or expired" in ended.err
    assert list(stored(target)) == ["here"]


NO_EXPORTS = {
    "nothing": b"",
    "no tar": b"not a tar at all " * 100,
    "a tar of something else": members(("file", None, b"data")),
    "no end": members(("a", GOOD, b"data")),
    "another number of documents": members(("a", GOOD, b"data"), count=2),
}


@pytest.mark.parametrize("tar", NO_EXPORTS.values(), ids=NO_EXPORTS)
def test_what_is_no_whole_export_is_refused_in_one_line(tmp_path: Path, tar: bytes) -> None:
    ended = run("import", f"sqlite:{tmp_path / 'target.db'}", data=tar)
    assert ended.status == 1
    summary, line = ended.err.splitlines()
    assert "documents imported" in summary or "document imported" in summary
    assert "not a complete export" in line
    assert "a complete file adds the rest" in line


def test_a_tar_that_is_cut_anywhere_is_told_and_gives_whole_documents_only(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'source.db'}"
    documents = {"a": b"x" * 512, "b": LARGE[:3000], "c": bytes(2000)}
    store(url, documents)
    tar = run("export", url).data
    seen = set()
    for stop in [*range(0, len(tar) - 1024, 512), *range(300, len(tar) - 1024, 1777)]:
        target = f"sqlite:{tmp_path / f'{stop}.db'}"
        ended = run("import", target, data=tar[:stop])
        there = {key: data for key, (_, data) in stored(target).items()}
        assert there.items() <= documents.items()
        assert ended.status == 1, stop
        assert ended.err.count("\n") == 2
        seen.add(len(there))
    assert seen == {0, 1, 2, 3}


def test_what_goes_between_the_list_and_the_copy_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy, "MAX_RUNNING", 1)

    async def run_copy() -> list[Outcome]:
        clock = SetClock()
        source, target = (open_engine(EngineURL.parse("memory:"), clock) for _ in range(2))
        for key in ("a", "b", "c"):
            await source.put(
                PutRequest(key, BytesContent(b"data"), FIELDS, expires_ns=clock() + 5 if key == "b" else None)
            )
        outcomes = []
        async for step in copy.copy_documents(source, target):
            outcomes.append(step.outcome)
            clock.set_ns(clock() + 5)
            await source.delete("c")
        assert [meta.key for meta in await target.list()] == ["a"]
        return outcomes

    assert asyncio.run(run_copy()) == [Outcome.STORED, Outcome.EXPIRED, Outcome.EXPIRED]


def test_an_export_to_a_reader_that_goes_away_ends_in_one_line(tmp_path: Path) -> None:
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
    run("export", source, tar)
    before = tar.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    ended = run("export", source, tar)
    assert (ended.status, ended.err.count("\n")) == (1, 2)
    assert [path.name for path in folder.iterdir()] == ["store.tar"]
    assert tar.read_bytes() == before
    monkeypatch.undo()
    ended = run("export", source, tmp_path / "none" / "store.tar")
    assert (ended.status, ended.err) == (2, f"docstore: {tmp_path}/none/store.tar: No such file or directory\n")


def test_an_export_leaves_alone_what_is_beside_its_file(source: str, tmp_path: Path) -> None:
    (tmp_path / "store.tar.partial").write_bytes(b"mine")
    assert run("export", source, tmp_path / "store.tar").status == 0
    assert (tmp_path / "store.tar.partial").read_bytes() == b"mine"


def test_an_export_follows_a_link_and_writes_into_a_pipe(source: str, tmp_path: Path) -> None:
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
    lines = re.findall(r"^docstore ((?:check|copy|export|import) .*)$", readme, re.MULTILINE)
    assert [line.split()[0] for line in lines] == ["check", "copy", "export", "import", "export"]
    monkeypatch.chdir(tmp_path)
    store("sqlite:notes.db")
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "index.html").write_text("<p>hello")
    for line in lines:
        assert run(*shlex.split(line, comments=True)).status == 0
    assert kept("sqlite:restored.db") == kept("sqlite:notes.db")
    assert stored("sqlite:restored.db")["index.html"][1] == b"<p>hello"


@pytest.mark.parametrize("command", ["check", "copy", "export", "import"])
def test_the_help_of_each_command_has_an_example(command: str) -> None:
    ended = run(command, "--help")
    assert ended.status == 0
    assert "Example:" in ended.out
    assert f"docstore {command}" in ended.out


def test_memory_stays_small_with_a_large_document(tmp_path: Path) -> None:
    """A document of 300 MB passes through with less than that in memory."""
    # What getrusage says begins with the peak of the process that forked this one.
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
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "1 document " in ended.stderr
        assert int(ended.stderr.split()[-1]) < 100_000


@pytest.mark.parametrize(
    ("modified_ns", "kept_ns"), [(-1, 0), (10**40, copy.MAX_TIME_NS), (copy.MAX_TIME_NS, copy.MAX_TIME_NS)]
)
@pytest.mark.parametrize("scheme", ["file", "shelve"])
def test_times_that_nobody_can_tell_are_bounded(tmp_path: Path, scheme: str, modified_ns: int, kept_ns: int) -> None:
    target = f"{scheme}:{tmp_path / 'target'}"
    tar = members(("m", replace(GOOD, modified_ns=modified_ns, expires_ns=10**40), b"data"), count=1)
    assert run("import", target, data=tar).status == 0
    [(meta, _)] = stored(target).values()
    assert (meta.modified_ns, meta.expires_ns) == (kept_ns, copy.MAX_TIME_NS)
    assert "1 the same already" in run("import", target, data=tar).err


def test_the_last_of_two_members_of_one_key_wins_when_it_may_replace(tmp_path: Path) -> None:
    target = f"file:{tmp_path / 'target'}"
    tar = members(*((f"{n}", meta_of("key", b"%d" % n), b"%d" % n) for n in range(30)), count=30)
    assert run("import", target, "--replace", data=tar).status == 0
    assert [data for _, data in stored(target).values()] == [b"29"]


@pytest.mark.parametrize("live", [False, True])
def test_an_export_without_room_for_its_snapshot_says_how_to_do_without(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, live: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", refuse)
    ended = run("export", source, tmp_path / "store.tar", *(["--live"] if live else []))
    assert (ended.status, "--live" in ended.err) == ((0, False) if live else (1, True))
    assert (tmp_path / "store.tar").exists() is live
