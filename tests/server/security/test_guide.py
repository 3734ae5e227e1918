"""docs/tokens.md and SECURITY.md agree with the code, and the example runs."""

import re
from pathlib import Path

import pytest

from docstore.server.security.rights import RIGHTS

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "tokens.md").read_text()
SECURITY = (ROOT / "SECURITY.md").read_text()


def test_the_guide_names_every_right() -> None:
    section = GUIDE.partition("## Rights")[2].partition("\n## ")[0]
    assert tuple(re.findall(r"^\| `([a-z]+)` \|", section, re.MULTILINE)) == RIGHTS


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    [example] = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    exec(compile(example, "tokens.md", "exec"), {})
    token, notes = capsys.readouterr().out.splitlines()
    assert (token[:4], notes) == ("dst_", "['ci']")


def test_the_tests_of_each_threat_exist() -> None:
    rows = re.findall(r"^\|(.*)\|(.*)\|(.*)\|$", SECURITY.partition("## Threats")[2], re.MULTILINE)[2:]
    assert len(rows) > 20
    for threat, _, tests in rows:
        paths = re.findall(r"`([\w/.]+)`", tests)
        assert paths, threat
        assert [path for path in paths if not (ROOT / "tests" / path).exists()] == []
