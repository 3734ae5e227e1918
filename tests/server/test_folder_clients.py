"""Programs that read folders over HTTP, unchanged: pip, fsspec, rclone, wget and lftp."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import fsspec
import pytest

from tests.http_client import Client
from tests.server_process import RunningServer

TIMEOUT_S = 120
NUMBERED = [f"f/n/{number:04}.txt" for number in range(1205)]
KEYS = ["top.txt", "f/ü b.txt", "f/sub/a:b 100%.csv", "f/sub/deep/http-notes.csv", *NUMBERED]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with KEYS on the mounts `site` and `files`, and their names on `plain`."""
    folder = tmp_path_factory.mktemp("site")
    mounts = ["site=memory:?keys=path&index=yes", f"files=file:{folder}/files?keys=path", "plain=memory:?keys=name"]
    arguments = [part for mount in mounts for part in ("--mount", mount)]
    with RunningServer(folder / "data", *arguments) as server, Client(server) as client:
        for mount in ("site", "files"):
            for key in KEYS:
                assert client.ask("PUT", f"/{mount}/{quote(key)}", key.encode()).status == 201
        for number in range(1205):
            assert client.ask("PUT", f"/plain/{number:04}", b"x").status == 201
        yield server


def run(program: str, *arguments: str | Path, folder: Path) -> str:
    """Run a program of Debian in `folder`, which is its home too, and return its output."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"needs {program} (Debian package: {program})")
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [path, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def files_in(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def contents(prefix: str = "") -> dict[str, bytes]:
    return {key.removeprefix(prefix): key.encode() for key in KEYS if key.startswith(prefix)}


each_mount = pytest.mark.parametrize("mount", ["site", "files"])


@each_mount
def test_rclone_copies_a_folder(site: RunningServer, tmp_path: Path, mount: str) -> None:
    run("rclone", "copy", "--http-url", f"{site.url}/{mount}/", ":http:f", "copy", folder=tmp_path)
    assert files_in(tmp_path / "copy") == contents("f/")


def test_rclone_lists_a_mount_with_plain_names(site: RunningServer, tmp_path: Path) -> None:
    listed = run("rclone", "lsf", "--http-url", f"{site.url}/plain/", ":http:", folder=tmp_path)
    assert sorted(listed.split()) == [f"{number:04}" for number in range(1205)]


@each_mount
def test_wget_reads_a_folder_and_nothing_beside_it(site: RunningServer, tmp_path: Path, mount: str) -> None:
    run("wget", "-r", "-nv", "-nH", "--cut-dirs=2", f"{site.url}/{mount}/f/", folder=tmp_path)
    found = {name: data for name, data in files_in(tmp_path).items() if not name.endswith("index.html")}
    assert found == contents("f/")


@each_mount
def test_lftp_mirrors_a_folder(site: RunningServer, tmp_path: Path, mount: str) -> None:
    run("lftp", "-c", f"open {site.url}/{mount}/; mirror --parallel=8 f copy", folder=tmp_path)
    assert files_in(tmp_path / "copy") == contents("f/")


@each_mount
def test_fsspec_lists_globs_and_reads(site: RunningServer, mount: str) -> None:
    files, base = fsspec.filesystem("http"), f"{site.url}/{mount}"
    numbered = [f"{base}/{key}" for key in NUMBERED]
    assert files.ls(f"{base}/f/n/", detail=False) == numbered
    assert files.ls(f"{base}/f/sub", detail=False) == [f"{base}/f/sub/a%3Ab%20100%25.csv", f"{base}/f/sub/deep/"]
    assert files.glob(f"{base}/f/n/00*.txt") == numbered[:100]
    assert files.glob(f"{base}/**/*.csv") == [f"{base}/{quote(key)}" for key in KEYS[2:4]]
    assert files.glob(f"{base}/*/n/1204*") == numbered[-1:]
    assert sorted(files.find(f"{base}/")) == sorted(f"{base}/{quote(key)}" for key in KEYS)
    assert files.cat(files.glob(f"{base}/f/sub/*.csv")[0]) == KEYS[2].encode()
    assert (files.isdir(f"{base}/f"), files.isdir(f"{base}/top.txt"), files.isdir(f"{base}/no")) == (True, False, False)
    files.invalidate_cache()


def wheel(folder: Path, name: str, version: str, requirement: str = "") -> Path:
    """Create a wheel of one empty module."""
    path, info = folder / f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    needs = f"Requires-Dist: {requirement}\n" if requirement else ""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.mark.parametrize("option", ["--index-url", "--find-links"])
def test_pip_installs_from_folders_and_from_stored_indexes(site: RunningServer, tmp_path: Path, option: str) -> None:
    """`demo` is a folder of 120 files, more than a page of browsers; the index of `other` is a stored page."""
    with Client(site) as client:
        for minor in range(120):
            made = wheel(tmp_path, "demo", f"1.{minor}", "other")
            client.prepare("PUT", f"/site/simple/demo/{made.name}", made.read_bytes())
        made = wheel(tmp_path, "other", "2.0")
        client.prepare("PUT", f"/site/pool/{made.name}", made.read_bytes())
        page = f'<!doctype html><a href="../../pool/{made.name}">{made.name}</a>'
        client.prepare("PUT", "/site/simple/other/index.html", page.encode(), {"content-type": "text/html"})
    sources = [option, f"{site.url}/site/simple/"]
    if option == "--find-links":
        sources = ["--no-index"]
        for place in ("simple/demo/", "simple/other/"):
            sources += [option, f"{site.url}/site/{place}"]
    pip = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "install", "--no-cache-dir", "--target", tmp_path / "installed", *sources, "demo"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "installed").glob("*-info")} == {
        "demo-1.119.dist-info",
        "other-2.0.dist-info",
    }
