"""The README is correct: its commands run against a real server and print the output shown."""

import re
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from docstore.config import MountOptions, MountSettings, Settings
from docstore.config_file import read_toml
from docstore.limits import Limits
from docstore.server.mounts import Mounts
from docstore.server.resources.system import openapi_document
from tests.server_process import RunningServer

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def session() -> list[tuple[str, str]]:
    """The commands of the console block, each with what it prints."""
    [console] = blocks("console")
    steps = re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]
    return [(command, output) for command, _, output in (step.partition("\n") for step in steps)]


def test_the_session_prints_what_the_readme_says(server: RunningServer) -> None:
    steps = session()
    assert len(steps) >= 15
    for command, expected in steps:
        command = command.replace("localhost:8080", f"localhost:{server.port}")
        ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, timeout=60)
        assert ended.returncode == 0, ended
        pattern = re.sub(UUID, lambda _: UUID, re.escape(expected.rstrip("\n")).replace(r"\-", "-"))
        assert re.fullmatch(pattern, ended.stdout.rstrip("\n")), (command, ended.stdout)


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    commands = re.findall(r"^make (\w+)", blocks("sh")[0], re.MULTILINE)
    assert commands == ["serve", "test"]
    for target in commands:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_the_mounts_of_the_readme_can_be_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = blocks("sh")[1].split()
    arguments = [word.strip("'") for word in command if "=" in word]
    mounts = tuple(MountSettings.parse(argument) for argument in arguments)
    assert [mount.name for mount in Settings(mounts=mounts).checked().mounts] == ["notes", "cache/ac", "site"]
    server_arguments = [part for argument in arguments for part in ("--mount", argument)]
    with RunningServer(tmp_path / "data", *server_arguments):
        pass


def test_the_config_file_of_the_readme_is_valid(tmp_path: Path) -> None:
    file = tmp_path / "docstore.toml"
    file.write_text(blocks("toml")[0])
    told = read_toml(file)
    assert Limits.of(told.pop("limits")).head_s == 10
    settings = Settings(**told).checked()
    assert (settings.port, settings.mounts[0].name, settings.mounts[0].max_document) == (8080, "notes", 5 * 1024**3)


def test_every_limit_is_listed_with_its_default() -> None:
    for limit in fields(Limits):
        assert re.search(rf"^\| `{limit.name}` \| {limit.default:,} \|", README, re.MULTILINE), limit.name


def test_every_setting_and_option_is_named() -> None:
    for setting in fields(Settings):
        assert f"`{setting.name}`" in README or f"[{setting.name}" in README, setting.name
    for option in (*(option.name for option in fields(MountOptions)), "max_bytes", "evict"):
        assert f"`{option}=" in README


def test_every_path_of_the_service_is_named() -> None:
    served = [path for path in openapi_document(Mounts([]))["paths"] if not path.startswith("/-/web/")]
    for path in served:
        assert path in README, path
