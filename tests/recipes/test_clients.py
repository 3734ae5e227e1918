"""Build caches, repositories and media: the recipes of docs/recipes.md with the real clients."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from tests.recipes.recipe import at, blocks, free_port, program, served, shell
from tests.server_process import RunningServer

NODE = Path(__file__).parent / "node" / "node_modules"
SOURCE = "int main(void) { return 0; }\n"


def test_ccache(tmp_path: Path) -> None:
    program("ccache")
    (tmp_path / "hello.c").write_text(SOURCE)
    with served("ccache", tmp_path) as server:
        prepared = f"export CCACHE_REMOTE_ONLY=1 CCACHE_DIR={tmp_path}/ccache\nccache --zero-stats\n"
        for hit in ("0", "1"):
            shown = shell(f"{prepared}{blocks('ccache')[1]}ccache --print-stats", server, tmp_path)
            assert f"remote_storage_hit\t{hit}\n" in shown


def test_sccache(tmp_path: Path) -> None:
    program("sccache")
    (tmp_path / "hello.c").write_text(SOURCE)
    prepared = f"export SCCACHE_SERVER_PORT={free_port()} SCCACHE_DIR={tmp_path}/sccache\n"
    lines = f"{prepared}{blocks('sccache')[1]}sccache --show-stats\nsccache --stop-server >/dev/null"
    with served("sccache", tmp_path) as server:
        try:
            for hits in ("0", "1"):
                shown = shell(lines, server, tmp_path)
                [line] = [line for line in shown.splitlines() if line.startswith("Cache hits  ")]
                assert line.split()[2] == hits, shown
        finally:
            shell(f"{prepared}sccache --stop-server || true", server, tmp_path)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A project of npm with one package, whose build prints RAN."""
    if not NODE.exists():
        pytest.skip("npm ci --prefix tests/recipes/node --ignore-scripts was not run")
    package = {
        "name": "a",
        "version": "1.0.0",
        "scripts": {"build": "mkdir -p dist && echo built >dist/out && echo RAN"},
    }
    lock = {"": {"name": "demo"}, "node_modules/a": {"resolved": "packages/a", "link": True}, "packages/a": {}}
    files: dict[str, object] = {
        "package.json": {"name": "demo", "private": True, "packageManager": "npm@10.0.0", "workspaces": ["packages/*"]},
        "package-lock.json": {"name": "demo", "lockfileVersion": 3, "requires": True, "packages": lock},
        "packages/a/package.json": package,
        "turbo.json": {"tasks": {"build": {"outputs": ["dist/**"]}}},
        "nx.json": {"targetDefaults": {"build": {"cache": True, "outputs": ["{projectRoot}/dist"]}}},
    }
    folder = tmp_path / "workspace"
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    (folder / ".gitignore").write_text("dist\nnode_modules\n.nx\n.turbo\n")
    (folder / "node_modules").symlink_to(NODE)
    return folder


def build(title: str, workspace: Path, server: RunningServer, number: int) -> str:
    """Run the recipe without what an earlier run left on this disk, and return what it prints."""
    shutil.rmtree(workspace / "packages" / "a" / "dist", ignore_errors=True)
    caches = {"NX_CACHE_DIRECTORY": f"nx{number}", "NX_WORKSPACE_DATA_DIRECTORY": f"data{number}"}
    environment = {name: str(workspace.parent / folder) for name, folder in caches.items()}
    quiet = {"NX_DAEMON": "false", "NX_NO_CLOUD": "true", "TURBO_TELEMETRY_DISABLED": "1"}
    lines = f"export PATH={NODE}/.bin:$PATH TURBO_CACHE=remote:rw\n{blocks(title)[1]}"
    printed = shell(lines, server, workspace, **environment, **quiet)
    assert (workspace / "packages" / "a" / "dist" / "out").read_text() == "built\n"
    return printed


def test_nx(workspace: Path, tmp_path: Path) -> None:
    title = "Nx"
    with served(title, tmp_path) as server:
        assert "[remote cache]" not in build(title, workspace, server, 1)
        assert "[remote cache]" in build(title, workspace, server, 2)


def test_turborepo(workspace: Path, tmp_path: Path) -> None:
    title = "Turborepo"
    with served(title, tmp_path) as server:
        assert "cache miss" in build(title, workspace, server, 1)
        assert "cache hit" in build(title, workspace, server, 2)


def test_pip_and_uv(tmp_path: Path) -> None:
    program("uv")
    (tmp_path / "wheels").mkdir()
    with zipfile.ZipFile(tmp_path / "wheels" / "demo_pkg-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("demo.py", "")
        wheel.writestr("demo_pkg-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo-pkg\nVersion: 1.0\n")
        wheel.writestr("demo_pkg-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("demo_pkg-1.0.dist-info/RECORD", "".join(f"{name},,\n" for name in wheel.namelist()))
    with served("pip and uv", tmp_path) as server:
        lines = blocks("pip and uv")[1].replace("pip install", "pip install --target by-$by").splitlines(keepends=True)
        for by, line in (("pip", lines[0] + lines[1]), ("uv", lines[2])):
            shell(f"by={by}\n{line}", server, tmp_path, PIP_CONFIG_FILE="/dev/null", UV_CACHE_DIR=str(tmp_path / "uv"))
            assert (tmp_path / f"by-{by}" / "demo.py").exists()


def test_apt(tmp_path: Path) -> None:
    for name in ("dpkg-scanpackages", "apt-ftparchive", "apt-get"):
        program(name)
    control = tmp_path / "package" / "DEBIAN" / "control"
    control.parent.mkdir(parents=True)
    control.write_text(
        "Package: demo\nVersion: 1.0\nArchitecture: all\nMaintainer: a <a@store.example>\nDescription: a demo\n"
    )
    with served("apt", tmp_path) as server:
        shell("dpkg-deb --build package demo_1.0_all.deb", server, tmp_path)
        _, store, source = blocks("apt")
        shell(store, server, tmp_path)
        for folder in ("lists/partial", "cache/archives/partial", "client"):
            (tmp_path / folder).mkdir(parents=True)
        (tmp_path / "sources.list").write_text(at(source, server))
        options = [f"Dir::Etc::sourcelist={tmp_path}/sources.list", "Dir::Etc::sourceparts=-", "APT::Sandbox::User="]
        options += [
            f"Dir::State::lists={tmp_path}/lists",
            f"Dir::Cache={tmp_path}/cache",
            "Dir::State::status=/dev/null",
        ]
        apt = "apt-get " + " ".join(f"-o {option}" for option in options)
        shell(f"{apt} update\ncd client\n{apt} download demo", server, tmp_path)
        fetched = (tmp_path / "client" / "demo_1.0_all.deb").read_bytes()
        assert fetched == (tmp_path / "demo_1.0_all.deb").read_bytes()


def test_ostree(tmp_path: Path) -> None:
    program("ostree")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_text("content")
    with served("OSTree", tmp_path) as server:
        before = "ostree init --repo=repository --mode=archive\nostree init --repo=copy --mode=bare-user\n"
        commit = "ostree commit --repo=repository --branch=main tree\n"
        shown = shell(f"{before}{commit}{blocks('OSTree')[1]}ostree cat --repo=copy store:main file", server, tmp_path)
        assert shown.endswith("content")


def test_nix(tmp_path: Path) -> None:
    program("nix")
    (tmp_path / "file").write_text("content")
    names = ("NIX_STATE_DIR", "NIX_STORE_DIR", "NIX_LOCALSTATE_DIR", "NIX_CONF_DIR", "NIX_LOG_DIR")
    folders = {name: str(tmp_path / name) for name in names}
    for folder in folders.values():
        Path(folder).mkdir()
    with served("Nix", tmp_path) as server:
        to, back = blocks("Nix")[1].splitlines(keepends=True)
        add = "path=$(nix-store --add file 2>/dev/null)\n"
        shown = shell(f'{add}{to}nix-store --delete "$path"\n{back}cat "$path"', server, tmp_path, **folders)
        assert shown.endswith("content")


def test_ffmpeg(tmp_path: Path) -> None:
    program("ffmpeg")
    title = "HLS with ffmpeg"
    with served(title, tmp_path) as server:
        shell(blocks(title)[1], server, tmp_path)
        read = "ffmpeg -loglevel error -stats -i http://localhost:8080/live/show/stream.m3u8 -f null -"
        assert "frame=   30" in shell(read, server, tmp_path)


@pytest.mark.parametrize("title", ["Bazel", "Gradle", "DVC"])
def test_the_server_of_a_recipe_without_its_client_here_starts(title: str, tmp_path: Path) -> None:
    with served(title, tmp_path) as server:
        assert server.process.poll() is None
