"""Build caches, repositories and media: the recipes of docs/recipes.md with the real clients."""

import zipfile
from pathlib import Path

import pytest

from tests.recipes.recipe import at, blocks, free_port, program, requests, served, shell

SOURCE = "int main(void) { return 0; }\n"


def test_ccache(tmp_path: Path) -> None:
    program("ccache")
    (tmp_path / "hello.c").write_text(SOURCE)
    with served("ccache", tmp_path) as server:
        lines = f"export CCACHE_REMOTE_ONLY=1 CCACHE_DIR={tmp_path}/ccache\n{blocks('ccache')[1]}"
        shell(lines, server, tmp_path)
        stored = requests(server, "PUT")
        shell(lines, server, tmp_path)
        assert len(stored) >= 2
        assert requests(server, "PUT") == stored
        assert {target.split()[1] for target in requests(server, "GET")[-2:]} == {"200"}


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
        assert "/live/show/stream2.ts 201" in requests(server, "PUT")


@pytest.mark.parametrize("title", ["Bazel", "Gradle", "Nx", "Turborepo", "DVC"])
def test_the_server_of_a_recipe_without_its_client_here_starts(title: str, tmp_path: Path) -> None:
    with served(title, tmp_path) as server:
        assert server.process.poll() is None
