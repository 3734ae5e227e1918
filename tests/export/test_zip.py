"""The format of a zip, read by Python and Info-ZIP: many members, large ones, times, names."""

import hashlib
import io
import shutil
import subprocess
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docstore.export.members import member_name
from docstore.export.zip import ZipMembers
from docstore.model import Fields, Meta

HOUR_NS = 3600 * 10**9
TIMES_NS = {"old": -HOUR_NS, "first": 0, "today": 1_700_000_000 * 10**9, "late": 250_000_000_000 * 10**9}


def meta_of(name: str, size: int, modified_ns: int = TIMES_NS["today"]) -> Meta:
    return Meta(name, "v", size, hashlib.sha256().digest(), Fields("text/plain"), modified_ns, None)


def zipped(contents: dict[str, bytes], times: dict[str, int] | None = None) -> bytes:
    members, parts = ZipMembers(), []
    for name, content in contents.items():
        parts.append(members.begin(meta_of(name, len(content), (times or TIMES_NS).get(name, 10**18)), name))
        members.add(content)
        parts += [content, members.finish()]
    with closing(members):
        return b"".join([*parts, *members.end()])


def check_with_unzip(file: Path) -> None:
    unzip = shutil.which("unzip")
    if unzip is not None:
        subprocess.run([unzip, "-tqq", file], check=True, capture_output=True)


def test_a_zip_holds_contents_names_and_times(tmp_path: Path) -> None:
    contents = {"first": b"", "old": b"1", "today": b"2" * 100_000, "late": b"3", "a/é 😀": b"4", "x" * 255: b"5"}
    (tmp_path / "a.zip").write_bytes(zipped(contents))
    with zipfile.ZipFile(tmp_path / "a.zip") as opened:
        assert opened.testzip() is None
        assert {name: opened.read(name) for name in opened.namelist()} == contents
        dates = {info.filename: info.date_time for info in opened.infolist()}
    assert dates["old"] == dates["first"] == (1980, 1, 1, 0, 0, 0)
    assert dates["today"] == (2023, 11, 14, 22, 13, 20)
    assert dates["late"][0] == 2107
    check_with_unzip(tmp_path / "a.zip")


def test_an_empty_zip_and_a_zip_without_its_end() -> None:
    with zipfile.ZipFile(io.BytesIO(zipped({}))) as opened:
        assert opened.namelist() == []
    whole = zipped({"a": b"1" * 1000, "b": b"2"})
    for size in range(len(whole)):
        with pytest.raises(zipfile.BadZipFile):
            zipfile.ZipFile(io.BytesIO(whole[:size]))


@pytest.mark.parametrize(("size", "count"), [(2000, 99), (3000, 99), (10**6, 3), (1000, 1)])
def test_large_sizes_offsets_and_counts_are_in_zip64_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, count: int
) -> None:
    """As if ZIP64 began at `size` bytes and `count` members."""
    monkeypatch.setattr("docstore.export.zip.ZIP64_SIZE", size)
    monkeypatch.setattr("docstore.export.zip.ZIP64_COUNT", count)
    contents = {"a": b"1" * 2500, "b": b"2" * 10, "c": b"3" * 2500}
    (tmp_path / "a.zip").write_bytes(zipped(contents))
    assert b"PK\6\6" in (tmp_path / "a.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as opened:
        assert {name: opened.read(name) for name in opened.namelist()} == contents
    check_with_unzip(tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("a/b c", "a/b c"),
        ("2026-11-27T10:00", "2026-11-27T10:00"),
        ("..\\..\\evil", "..%5C..%5Cevil"),
        ("\\\\host\\share", "%5C%5Chost%5Cshare"),
        ("C:/evil", "C%3A/evil"),
        ("a/c:evil", "a/c%3Aevil"),
        ("100%", "100%"),
        ("a%5Cb", "a%255Cb"),
    ],
)
def test_a_name_does_not_lead_out_of_the_folder(key: str, name: str) -> None:
    assert member_name(key) == name


@given(st.lists(st.text(alphabet="C:%\\53A2/", min_size=1), unique=True))
def test_names_stay_unique(keys: list[str]) -> None:
    assert len({member_name(key) for key in keys}) == len(keys)
