"""A locale that Python reads as ASCII changes nothing: keys, names and messages are UTF-8."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
mkdir -p dé/ü && printf 1 > fé && printf 2 > dé/ü/ö
docstore put 'sqlite:é.db#' fé
docstore put -r 'sqlite:é.db#bäume/' dé
docstore ls -R 'sqlite:é.db'
docstore info 'sqlite:é.db#fé' | grep key
docstore get 'sqlite:é.db#fé'
docstore get 'sqlite:é.db#fé' -o größe
docstore get -r 'sqlite:é.db#bäume/' -o ördner
docstore cp -r 'sqlite:é.db#bäume/' 'file:dätä#kopieñ/'
docstore cp -r 'sqlite:é.db#bä' 'file:ällés'
docstore export 'sqlite:é.db' äus.tar
docstore import 'sqlite:neü.db' äus.tar
EDITOR='sed -i s/1/3/' docstore edit 'sqlite:é.db#fé'
docstore rm 'sqlite:é.db#bäume/ü/ö'
docstore get 'sqlite:é.db#fehlt-é'
docstore put 'sqlite:é.db#x' fehlt-é
docstore get 'sqlite:é.db#fé' -o fehlt-é/x
docstore import 'sqlite:é.db' fehlt-é.tar
docstore serve --config fehlt-é.toml
docstore ls --ünknown
printf 'kaputt \\377' > "$(printf 'f\\377')"
docstore put 'sqlite:é.db#' "$(printf 'f\\377')"
find . -type f | LC_ALL=C sort
"""

ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
OTHERS = {"POSIX": {**ASCII, "LC_ALL": "POSIX"}, "C": {"LC_ALL": "C"}, "LANG": {"LANG": "C"}}


def outcome(folder: Path, settings: dict[str, str], script: str = SCRIPT) -> tuple[str, str]:
    """What the script writes to standard output and error."""
    folder.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHONUTF8"))}
    line = f'docstore() {{ {sys.executable} -m docstore "$@"; }}\n{script}'
    ended = subprocess.run(["bash", "-c", line], cwd=folder, env={**kept, **settings}, capture_output=True, timeout=300)
    output, errors = (text.decode("utf-8", "backslashreplace") for text in (ended.stdout, ended.stderr))
    assert "Traceback" not in errors, errors
    errors = re.sub(r"[0-9.]+ s(, [^\n]*/s)?", "SECONDS", errors)
    return output.replace(str(folder), ""), errors.replace(str(folder), "")


def test_names_in_an_ascii_locale_are_utf_8(tmp_path: Path) -> None:
    output, errors = outcome(tmp_path / "ascii", ASCII)
    assert (output, errors) == outcome(tmp_path / "utf-8", {"LC_ALL": "C.UTF-8"})
    for name in ("bäume/ü/ö\n", "./größe\n", "./ördner/ü/ö\n", "./äus.tar\n"):
        assert name in output
    for message in (
        "GET of 'fehlt-é': not found",
        "Path 'fehlt-é' does not exist",
        "fehlt-é.tar: No such file",
        "--ünknown",
    ):
        assert message in errors


@pytest.mark.parametrize("settings", OTHERS.values(), ids=OTHERS)
def test_other_ways_to_choose_the_c_locale(settings: dict[str, str], tmp_path: Path) -> None:
    script = "printf 1 > fé && docstore put 'sqlite:é.db#' fé && docstore ls 'sqlite:é.db'"
    assert outcome(tmp_path / "here", settings, script) == ("fé\n", "")
