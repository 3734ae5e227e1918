"""The help, its examples and docs/commands.md agree with the commands."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from docstore.cli import errors
from docstore.cli.main import _OTHER_NAMES, COMMANDS, CommandGroup, main
from tests.cli.guide import GUIDE, SHOWN, renewed
from tests.server_process import RunningServer
from tests.stores import run, store

README = Path(__file__).parent.parent.parent / "README.md"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_of_each_command_is_the_first_line_of_its_help(name: str) -> None:
    command = main.get_command(main.make_context("docstore", [], resilient_parsing=True), name)
    assert command is not None
    assert (command.name, command.get_short_help_str(200)) == (name, COMMANDS[name])


def test_every_command_is_listed() -> None:
    assert isinstance(main, CommandGroup)
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    assert [name for name in COMMANDS if f"\n  {name} " not in result.output] == []


def test_an_unknown_command_is_a_usage_error() -> None:
    assert CliRunner().invoke(main, ["fetch"]).exit_code == 2


def test_the_list_of_commands_loads_no_command() -> None:
    code = (
        "import sys\nfrom docstore.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted(name for name in sys.modules if name.startswith('docstore.')), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stderr.strip() == "['docstore.cli', 'docstore.cli.main']"


def examples() -> list[str]:
    """All example lines of all commands."""
    found = []
    for name in COMMANDS:
        example = re.search(r"Examples?:\s+(.*)", run(name, "--help").out, re.DOTALL)
        assert example is not None, f"{name} --help has no example"
        lines = [line.strip() for line in example[1].strip().splitlines()]
        assert any(f"docstore {name}" in line for line in lines)
        found += lines
    return found


@pytest.fixture
def example_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Create the files and stores that the examples use."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDITOR", "true")
    (tmp_path / "report.pdf").write_bytes(b"%PDF")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "note").write_bytes(b"note")
    for place in ("file:docstore-data/file", "sqlite:docstore-data/docs.db", "sqlite:docs.db"):
        store(place, {"2026": b"x"})
    assert run("export", "sqlite:docs.db", "backup.tar").status == 0
    subprocess.run(["gzip", "-k", "backup.tar"], check=True)


def follow(line: str) -> None:
    """Run a line of a guide after storing the documents that it uses."""
    for address in ("docs/greeting", "docs/report", "docs/2026-01", "file/drafts/a"):
        assert run("put", address, data=b"hello").status == 0
    before, _, command = line.rpartition("| ")
    data = subprocess.run(["bash", "-c", before], capture_output=True, check=True).stdout if before else b""
    assert command.startswith("docstore ")
    result = run(*shlex.split(command)[1:], data=data)
    assert result.status == 0, (line, result)


def test_every_example_succeeds(example_files: None, url: str) -> None:
    for line in examples():
        if not line.startswith(("docstore serve", "docstore sign")):  # links need tokens
            follow(line.replace("http://127.0.0.1:8080", url))


def test_the_session_in_the_readme_succeeds(example_files: None, url: str) -> None:
    [session] = re.findall(r"^```bash\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line.partition(" #")[0].rstrip() for line in session.splitlines()]
    assert len(lines) >= 10
    for line in lines[:-1]:
        follow(line)
    assert lines[-1] == 'eval "$(docstore completion bash)"'


def test_the_example_of_serve_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    [line] = [line for line in examples() if "docstore serve" in line]
    words = shlex.split(line)[2:]
    assert words.pop(words.index("--port") + 1) == "9000"
    words.remove("--port")
    with RunningServer(tmp_path / "data", *words) as server:
        assert run("ls", server.url).out == "/notes/\n/cache/\n"


def subcommands(name: str) -> list[str]:
    command = main.get_command(main.make_context("docstore", [], resilient_parsing=True), name)
    return [f"{name} {each}" for each in command.commands] if isinstance(command, click.Group) else []


def test_the_guide_shows_the_help_of_each_command() -> None:
    guide = GUIDE.read_text()
    shown = [name for command in COMMANDS for name in (command, *subcommands(command))]
    assert SHOWN.findall(guide) == shown
    assert renewed(guide) == guide, "make guide updates it"


def test_the_guide_names_every_exit_status_and_variable() -> None:
    guide = GUIDE.read_text()
    source = "".join(path.read_text() for path in Path(sys.modules["docstore.cli"].__path__[0]).glob("*.py"))
    named = set(re.findall(r"\bDOCSTORE_[A-Z_]+", source))
    assert {"DOCSTORE_URL", "DOCSTORE_COMPLETION_S"} <= named
    assert [name for name in named if name not in guide] == []
    for status in {value for name, value in vars(errors).items() if name.startswith("EXIT_")}:
        assert f"| {status} |" in guide


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("cat", "docstore get"),
        ("stat", "docstore info"),
        ("ping", "docstore info"),
        ("list", "docstore ls"),
        ("delete", "docstore rm"),
        ("copy", "docstore cp -r"),
        ("exprot", "docstore export"),
        ("xyzzy", ""),
    ],
)
def test_a_word_that_is_no_command_names_the_one_that_does_it(word: str, hint: str) -> None:
    result = run(word, "docs/key")
    assert (result.status, f"no such command '{word}'" in result.err, hint in result.err) == (2, True, True)


def test_every_hint_is_a_command() -> None:
    for instead in set(_OTHER_NAMES.values()):
        assert instead.startswith("--") or instead.split()[0] in COMMANDS
    assert not _OTHER_NAMES.keys() & COMMANDS.keys()
