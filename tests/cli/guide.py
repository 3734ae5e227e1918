"""The help of each command as docs/commands.md shows it; `make guide` writes it there anew."""

import re
from pathlib import Path

from click.testing import CliRunner

from docstore.cli.main import main

GUIDE = Path(__file__).parent.parent.parent / "docs" / "commands.md"
SHOWN = re.compile(r"^```text\n\$ docstore (\S+) --help\n.*?^```$", re.MULTILINE | re.DOTALL)


def renewed(guide: str) -> str:
    """`guide` with each help that it shows as the command tells it now."""
    return SHOWN.sub(lambda shown: _block(shown[1]), guide)


def _block(name: str) -> str:
    told = CliRunner().invoke(main, [name, "--help"], prog_name="docstore", terminal_width=100)
    return f"```text\n$ docstore {name} --help\n{told.output}```"


if __name__ == "__main__":
    GUIDE.write_text(renewed(GUIDE.read_text()))
