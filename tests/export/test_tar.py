"""Imports and exports as tar: complete, damaged, hostile and cut off."""

import asyncio
import hashlib
import io
import lzma
import subprocess
import tarfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from docstore.errors import ArchiveError
from docstore.export import copy
from docstore.export.tar import COUNT_HEADER, END_NAME, META_HEADER, read_tar
from docstore.model import Fields, Meta
from docstore.testing.contract.documents import version_of_data
from tests.stores import LARGE, LATE_NS, prepare, run, store, stored


def test_any_tar_program_can_list_and_unpack_an_export(tmp_path: Path) -> None:
    url, tar = f"sqlite:{tmp_path / 'source.db'}", tmp_path / "store.tar"
    store(url, {"plain": LARGE, "in a folder/é": b"hello"})
    prepare("export", url, tar)
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "xf", tar, "-C", tmp_path / "out"], check=True, capture_output=True)
    assert (tmp_path / "out" / "plain").read_bytes() == LARGE
    assert (tmp_path / "out" / "in a folder" / "é").read_bytes() == b"hello"


def unpack(tar: Path, folder: Path) -> dict[str, bytes]:
    subprocess.run(["tar", "xf", tar, "-C", folder], check=True, capture_output=True)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_unpacking_an_export_keeps_the_mode_of_the_target_folder(tmp_path: Path) -> None:
    url, tar, folder = f"sqlite:{tmp_path / 'source.db'}", tmp_path / "store.tar", tmp_path / "out"
    store(url, {"a": b"hello"})
    prepare("export", url, tar)
    folder.mkdir(mode=0o700)
    assert unpack(tar, folder) == {"a": b"hello", END_NAME: b""}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder.stat().st_mtime > 0
    with tarfile.open(tar) as opened:
        assert "." not in opened.getnames()


@pytest.mark.parametrize("key", [END_NAME, f"{END_NAME}/below"])
def test_the_end_mark_replaces_no_document(tmp_path: Path, key: str) -> None:
    url, tar, folder = f"sqlite:{tmp_path / 'source.db'}", tmp_path / "store.tar", tmp_path / "out"
    documents = {"a": b"1", key: b"2", f"{END_NAME}-": b"3", f"{END_NAME}_": b"4", "z": b"5"}
    store(url, documents)
    prepare("export", url, tar)
    folder.mkdir()
    assert unpack(tar, folder) == {**documents, f"{END_NAME}__": b""}
    target = f"sqlite:{tmp_path / 'target.db'}"
    assert run("import", target, tar).status == 0
    assert {key: data for key, (_, data) in stored(target).items()} == documents


@pytest.mark.parametrize("kind", [tarfile.DIRTYPE, tarfile.REGTYPE])
def test_an_end_mark_of_any_name_and_type_is_read(tmp_path: Path, kind: bytes) -> None:
    end = tarfile.TarInfo(".")
    end.type, end.pax_headers = kind, {COUNT_HEADER: "1"}
    tar = members(("a", GOOD, b"data")).rstrip(b"\0")
    tar += bytes(-len(tar) % tarfile.BLOCKSIZE) + end.tobuf(tarfile.PAX_FORMAT) + bytes(2 * tarfile.BLOCKSIZE)
    assert run("import", f"sqlite:{tmp_path / 'target.db'}", data=tar).status == 0


def members(*metas: tuple[str, Meta | str | None, bytes], count: int | None = None) -> bytes:
    """Return a tar of members with these names, metadata and contents, with an end mark if `count` is given."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, meta, data in metas:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            if meta is not None:
                member.pax_headers = {META_HEADER: meta.pack() if isinstance(meta, Meta) else meta}
            tar.addfile(member, io.BytesIO(data))
        if count is not None:
            end = tarfile.TarInfo(".")
            end.pax_headers = {COUNT_HEADER: str(count)}
            tar.addfile(end)
    return file.getvalue()


def meta_of(key: str, data: bytes, expires_ns: int | None = None) -> Meta:
    return Meta(key, version_of_data(data), len(data), hashlib.sha256(data).digest(), Fields(), 1, expires_ns)


def test_the_name_of_a_member_is_not_used(tmp_path: Path) -> None:
    target = f"file:{tmp_path / 'in' / 'target'}"
    tar = members(("../../escaped", meta_of("key", b"data"), b"data"), ("/etc/x", meta_of("x", b"y"), b"y"), count=2)
    assert run("import", target, data=tar).status == 0
    assert {key: data for key, (_, data) in stored(target).items()} == {"key": b"data", "x": b"y"}
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def fielded(others: dict[str, str], media_type: str = "text/plain") -> Meta:
    fields = Fields.make(media_type, others)
    return replace(meta_of("good", b"data"), fields=fields, version=version_of_data(b"data", fields))


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
def test_an_invalid_member_is_rejected_and_the_others_are_stored(
    tmp_path: Path, meta: Meta | str, data: bytes, why: str
) -> None:
    target = f"sqlite:{tmp_path / 'target.db'}"
    before, after = meta_of("before", b"1"), meta_of("then", b"2")
    result = run("import", target, data=members(("b", before, b"1"), ("m", meta, data), ("t", after, b"2"), count=3))
    assert result.status == 1
    assert why in result.err.splitlines()[0]
    assert list(stored(target)) == ["before", "then"]
    assert run("check", target).out == ""


def test_expired_documents_are_not_imported(tmp_path: Path) -> None:
    target = f"sqlite:{tmp_path / 'target.db'}"
    tar = members(
        ("a", meta_of("gone", b"1", expires_ns=5), b"1"), ("b", meta_of("here", b"2", LATE_NS), b"2"), count=2
    )
    result = run("import", target, data=tar)
    assert result.status == 0
    assert "1 the same already or expired" in result.err
    assert list(stored(target)) == ["here"]


NO_EXPORTS = {
    "nothing": b"",
    "no tar": b"not a tar at all " * 100,
    "a tar of something else": members(("file", None, b"data")),
    "lines of something else": b'{"name":"value"}\n',
    "another compression": lzma.compress(members(count=0)),
    "damaged gzip": b"\x1f\x8b damaged",
}


@pytest.mark.parametrize("data", NO_EXPORTS.values(), ids=NO_EXPORTS)
@pytest.mark.parametrize("scheme", ["file", "sqlite"])
def test_an_import_of_something_else_creates_no_store(tmp_path: Path, data: bytes, scheme: str) -> None:
    result = run("import", f"{scheme}:{tmp_path / 'target'}", data=data)
    assert (result.status, result.out, list(tmp_path.iterdir())) == (2, "", [])
    [line] = result.err.splitlines()
    assert "standard input: not a complete export: " in line


INCOMPLETE = {
    "no end": members(("a", GOOD, b"data")),
    "another number of documents": members(("a", GOOD, b"data"), count=2),
}


@pytest.mark.parametrize("tar", INCOMPLETE.values(), ids=INCOMPLETE)
def test_an_incomplete_export_is_reported_in_one_line(tmp_path: Path, tar: bytes) -> None:
    result = run("import", f"sqlite:{tmp_path / 'target.db'}", data=tar)
    assert result.status == 1
    summary, line = result.err.splitlines()
    assert "documents imported" in summary or "document imported" in summary
    assert "not a complete export" in line
    assert "a complete file adds the rest" in line


def test_a_truncated_tar_gives_only_complete_documents(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'source.db'}"
    documents = {"a": b"x" * 512, "b": LARGE[:3000], "c": bytes(2000)}
    store(url, documents)
    tar = run("export", url).data
    seen = set()
    for stop in [*range(0, len(tar) - 1024, 512), *range(300, len(tar) - 1024, 1777)]:
        target = f"sqlite:{tmp_path / f'{stop}.db'}"
        result = run("import", target, data=tar[:stop])
        exists = (tmp_path / f"{stop}.db").exists()
        there = {key: data for key, (_, data) in stored(target).items()} if exists else {}
        assert there.items() <= documents.items()
        assert (result.status, result.err.count("\n")) == ((1, 2) if there else (2, 1)), stop
        seen.add(len(there))
    assert seen == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("modified_ns", "kept_ns"), [(-1, 0), (10**40, copy.LAST_DATE_NS), (copy.LAST_DATE_NS, copy.LAST_DATE_NS)]
)
@pytest.mark.parametrize("scheme", ["file", "shelve"])
def test_times_beyond_the_year_9999_are_clamped(tmp_path: Path, scheme: str, modified_ns: int, kept_ns: int) -> None:
    target = f"{scheme}:{tmp_path / 'target'}"
    tar = members(("m", replace(GOOD, modified_ns=modified_ns, expires_ns=10**40), b"data"), count=1)
    assert run("import", target, data=tar).status == 0
    [(meta, _)] = stored(target).values()
    assert (meta.modified_ns, meta.expires_ns) == (kept_ns, copy.LAST_DATE_NS)
    assert "1 the same already" in run("import", target, data=tar).err


def test_the_last_of_several_members_of_one_key_wins_with_replace(tmp_path: Path) -> None:
    target = f"file:{tmp_path / 'target'}"
    tar = members(*((f"{n}", meta_of("key", b"%d" % n), b"%d" % n) for n in range(30)), count=30)
    assert run("import", target, "--replace", data=tar).status == 0
    assert [data for _, data in stored(target).values()] == [b"29"]


def sparse(headers: dict[str, str]) -> bytes:
    """Return a tar whose first member has these PAX headers of a GNU sparse file."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("sparse")
        member.pax_headers = headers
        tar.addfile(member)
    return file.getvalue()


HOSTILE = {
    "a sparse map without numbers": (sparse({"GNU.sparse.map": "no,number"}), "not a tar"),
    "a sparse size without a number": (sparse({"GNU.sparse.map": "0,1", "GNU.sparse.size": "x"}), "not a tar"),
    "a size that overflows": (
        members(("a", meta_of("a", b""), b""), count=1).replace(b"0" * 10, b"\x80" + b"\xff" * 9, 1),
        "",
    ),
    "deep metadata": (members(("a", "[" * 20_000, b""), count=1), ""),
    "deep fields": (members(("a", '{"sha256": "", "fields": ' + "[" * 20_000, b""), count=1), ""),
    "xz": (lzma.compress(members(count=0)), "compressed with xz"),
    "zip": (b"PK\x03\x04" + bytes(60), "compressed with zip"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_one_line(name: str, tmp_path: Path) -> None:
    data, text = HOSTILE[name]
    result = run("import", f"sqlite:{tmp_path / 'target.db'}", data=data)
    assert result.status != 0
    assert "Traceback" not in result.err
    assert text in result.err


@given(st.integers(0, 511), st.binary(min_size=1, max_size=40))
@settings(max_examples=3 * settings().max_examples)
def test_any_damage_of_a_header_is_one_line(position: int, damage: bytes) -> None:
    tar = bytearray(members(("a", meta_of("a", b"data"), b"data"), count=1))
    tar[position : position + len(damage)] = damage

    async def read() -> None:
        async for _ in read_tar(io.BytesIO(tar)):
            pass

    with suppress(ArchiveError):
        asyncio.run(read())
