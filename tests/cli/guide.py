"""Writes the help of each command into docs/commands.md (`make guide`)."""

import re
from pathlib import Path

from click.testing import CliRunner

from docstore.cli.main import main

GUIDE = Path(__file__).parent.parent.parent / "docs" / "commands.md"
SHOWN = re.compile(r"^```text\n\$ docstore (\S+(?: \S+)?) --help\n.*?^```$", re.MULTILINE | re.DOTALL)


def renewed(guide: str) -> str:
    """Return `guide` with the current help of each command."""
    return SHOWN.sub(lambda shown: _block(shown[1]), guide)


def _block(name: str) -> str:
    result = CliRunner().invoke(main, [*name.split(), "--help"], prog_name="docstore", terminal_width=100)
    return f"```text\n$ docstore {name} --help\n{result.output}```"


if __name__ == "__main__":
    GUIDE.write_text(renewed(GUIDE.read_text()))
