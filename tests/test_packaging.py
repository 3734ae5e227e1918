"""How Docstore is built and checked: the locks, the Makefile, the plugin of CI. Nothing here needs the network."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUPS = PROJECT["dependency-groups"]
SERVE, DEV = "requirements/serve.txt", "requirements/dev.txt"
STATED = {
    SERVE: PROJECT["project"]["dependencies"] + GROUPS["build"],
    DEV: PROJECT["project"]["dependencies"] + GROUPS["build"] + GROUPS["dev"],
}

LOCK = re.compile(
    r"(?:#[^\n]*\n)*(?:[a-z0-9-]+==[^\s;]+(?: ; [^\n\\]+)?(?: \\\n    --hash=sha256:[0-9a-f]{64})+\n(?: +#[^\n]*\n)+)+"
)
PIN = re.compile(r"^([a-z0-9-]+)==([^\s;]+)", re.MULTILINE)
ADDRESS = re.compile(r"://|file:|(?:^|\s)/|--(?:extra-)?index|--find-links")


def pins(lock: str) -> dict[str, str]:
    return dict(PIN.findall((ROOT / lock).read_text()))


@pytest.mark.parametrize("lock", STATED)
def test_a_lock_contains_only_pins_with_hashes(lock: str) -> None:
    assert LOCK.fullmatch((ROOT / lock).read_text())


@pytest.mark.parametrize("lock", STATED)
def test_a_lock_names_no_host_and_no_folder(lock: str) -> None:
    assert ADDRESS.search((ROOT / lock).read_text()) is None


@pytest.mark.parametrize(("lock", "stated"), [(lock, each) for lock, stated in STATED.items() for each in stated])
def test_a_lock_pins_what_the_project_states(lock: str, stated: str) -> None:
    wanted = Requirement(stated)
    assert wanted.specifier.contains(pins(lock)[canonicalize_name(wanted.name)])


def test_the_test_environment_has_the_versions_of_the_runtime() -> None:
    assert pins(SERVE).items() <= pins(DEV).items()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the Makefile works on, in a folder of its own."""
    for name in ("Makefile", "pyproject.toml", SERVE, DEV):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


def make(folder: Path, *arguments: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """Make as typed at a terminal: what a make around the tests was told stays out of it."""
    ours = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "VENV", "ARGS", "UV"}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    command = ["make", *arguments, f"PYTHON={python}"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_every_target_is_in_the_help_and_in_the_guide(checkout: Path) -> None:
    listed = re.findall(r"^([a-z-]+) +\S", make(checkout, "help").stdout, re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.+)$", (checkout / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert sorted(listed) == sorted(phony[1].split())
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    assert [target for target in listed if f"`make {target}" not in guide] == []


@pytest.fixture
def installed(checkout: Path) -> Path:
    """A checkout whose environment counts as made, by `make --touch`."""
    (checkout / ".venv").mkdir()
    assert make(checkout, "--touch", "install", "test").returncode == 0
    return checkout


@pytest.mark.parametrize(("target", "command"), [("serve", ".venv/bin/docstore"), ("test", ".venv/bin/pytest")])
def test_a_second_run_installs_nothing(installed: Path, target: str, command: str) -> None:
    [line] = make(installed, "-n", target).stdout.splitlines()
    assert line.startswith(command)


@pytest.mark.parametrize(
    ("changed", "target", "installs"),
    [
        (SERVE, "serve", True),
        (SERVE, "test", True),
        ("pyproject.toml", "serve", True),
        (DEV, "test", True),
        (DEV, "serve", False),
    ],
)
def test_a_changed_lock_installs_again(installed: Path, changed: str, target: str, installs: bool) -> None:
    newest = max(path.stat().st_mtime for path in (installed / ".venv").iterdir())
    os.utime(installed / changed, (newest + 1, newest + 1))
    assert ("pip install" in make(installed, "-n", target).stdout) is installs


def test_another_python_recreates_the_environment(installed: Path) -> None:
    other = installed / "python3.99"
    other.symlink_to(sys.executable)
    assert f"{other} -m venv" in make(installed, "-n", "serve", python=str(other)).stdout


def fake_python(folder: Path, when: str) -> str:
    """A Python that makes an environment of itself, and fails with several lines when `when` is asked of it."""
    python = folder / "python"
    python.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        f'*"{when}"*) printf "WARNING: slow\\nERROR: no such version\\nTraceback:\\n  File\\n"; exit 1 ;;\n'
        '"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;\n'
        "esac\n"
    )
    python.chmod(0o755)
    return str(python)


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("version_info", "Docstore needs Python 3.11 or newer"),
        ("ensurepip", "has no venv module; on Debian it is in the package python3-venv"),
    ],
)
def test_an_unsupported_python_is_refused_in_one_line(checkout: Path, when: str, said: str) -> None:
    run = make(checkout, "serve", python=fake_python(checkout, when))
    [line] = run.stderr.splitlines()
    assert said in line
    assert run.returncode != 0
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize(
    ("when", "target", "what"),
    [("-r requirements/serve.txt", "install", SERVE), ("-e .", "install", "docstore"), (f"-r {DEV}", "test", DEV)],
)
def test_a_failed_installation_is_reported_in_one_line_and_repeated(
    checkout: Path, when: str, target: str, what: str
) -> None:
    python = fake_python(checkout, when)
    run = make(checkout, target, python=python)
    line, of_make = run.stderr.splitlines()
    assert line == f"pip can't install {what}: no such version (the log is .venv/pip.log)"
    assert of_make.startswith("make: ***")
    assert "pip install" in make(checkout, "-n", target, python=python).stdout


SKIPPING = {
    "by a mark": "@pytest.mark.skip\ndef test_it(): pass",
    "in the test": "def test_it(): pytest.skip()",
    "of the whole module": "pytest.skip(allow_module_level=True)",
    "for a missing import": "pytest.importorskip('no_such_module')",
    "for no parameters": "@pytest.mark.parametrize('nothing', [])\ndef test_it(nothing): pass",
    "as an expected failure": "@pytest.mark.xfail\ndef test_it(): assert False",
}


def test_a_skip_is_a_failure_in_ci(tmp_path: Path) -> None:
    for number, body in enumerate(SKIPPING.values()):
        (tmp_path / f"test_{number}.py").write_text(f"import pytest\n\n{body}\n")
    (tmp_path / "test_of_nothing.py").write_text("def test_it(): pass\n")
    (tmp_path / "pytest.ini").touch()
    environment = os.environ | {"PYTEST_PLUGINS": "no_skips", "PYTHONPATH": str(ROOT / ".ci")}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # the others take seconds to load
    command = [sys.executable, "-m", "pytest", "-p", "xdist", "-n", "1", "--continue-on-collection-errors", "-rA"]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    failed = set(re.findall(r"^(?:FAILED|ERROR) test_(\d)\.py", run.stdout, re.MULTILINE))
    assert [how for number, how in enumerate(SKIPPING) if str(number) not in failed] == []
    assert "PASSED test_of_nothing.py::test_it" in run.stdout
    assert run.returncode == 1


def test_ci_is_a_program_that_runs_the_checks_without_skips() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    assert "run_make check" in script.read_text()
    assert "PYTEST_PLUGINS=no_skips" in script.read_text()
