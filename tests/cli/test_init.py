"""`docstore init`: the file that it writes serves the defaults."""

import json
from pathlib import Path

import pytest

from docstore.config import Settings
from docstore.config_file import read_toml
from docstore.limits import Limits
from tests.server_process import MOUNTS, RunningServer
from tests.stores import run


def test_the_configuration_serves_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("init")
    assert (result.status, "docstore serve --config docstore.toml" in result.out) == (0, True)
    settings = read_toml(Path("docstore.toml"))
    settings["limits"] = Limits.of(settings["limits"])
    assert Settings(**settings).checked() == Settings().checked()
    with RunningServer(tmp_path / "data", "--config", "docstore.toml") as server:
        assert run("ls", server.url).out == "".join(f"/{name}/\n" for name in MOUNTS)
        assert run("put", f"{server.url}/docs/a", data=b"1").status == 0
    assert (tmp_path / "docstore-data" / "docs.db").exists()


def test_every_setting_has_a_comment_and_can_be_set(tmp_path: Path) -> None:
    file = tmp_path / "all.toml"
    assert run("init", file).status == 0
    lines = file.read_text().splitlines()
    assert max(map(len, lines)) <= 120
    for setting, value in (("anonymous", "read"), ("public_urls", ["https://store.example"])):
        index = lines.index(f"# {setting} = {json.dumps(value)}")
        assert lines[index - 1].startswith("# ")
        lines[index] = lines[index].removeprefix("# ")
    file.write_text("\n".join(lines))
    assert Settings(**read_toml(file) | {"limits": Limits()}).checked().anonymous == "read"


def test_a_file_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "docstore.toml"
    file.write_text("port = 1\n")
    result = run("init", file)
    assert (result.status, result.err.count("\n"), "exists" in result.err) == (2, 1, True)
    assert file.read_text() == "port = 1\n"
    assert run("init", tmp_path / "none" / "docstore.toml").status == 3
