"""The help tells the truth: what stands in it is what the commands say and do."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from docstore.cli import PLACES, Commands, main


@pytest.mark.parametrize("name", PLACES)
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    command = main.get_command(main.make_context("docstore", [], resilient_parsing=True), name)
    assert command is not None
    assert (command.name, command.get_short_help_str(200)) == (name, PLACES[name].summary)


def test_every_command_is_listed() -> None:
    assert isinstance(main, Commands)
    ended = CliRunner().invoke(main, ["--help"])
    assert ended.exit_code == 0
    assert [name for name in PLACES if f"\n  {name} " not in ended.output] == []


def test_an_unknown_command_is_a_wrong_usage() -> None:
    assert CliRunner().invoke(main, ["fetch"]).exit_code == 2


def test_the_list_of_commands_is_shown_without_loading_one() -> None:
    code = (
        "import sys\nfrom docstore.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted(name for name in sys.modules if name.startswith('docstore.')), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr.strip() == "['docstore.cli']"
