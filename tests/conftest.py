"""Fixtures of all tests: a server for each module, and Hypothesis settings for a shared machine."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.postgresql_server import stop_shared_server
from tests.server_process import RunningServer, plain_name_mounts

settings.register_profile("docstore", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("docstore")

# A shell without job control starts background processes with interrupts ignored. Children would inherit that, and
# tests that interrupt a process would hang.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# One folder for what the workers of a session share; workers inherit the variable.
_OWNS_SESSION = "DOCSTORE_TEST_SESSION" not in os.environ
if _OWNS_SESSION:
    os.environ["DOCSTORE_TEST_OWNER"] = str(os.getpid())
    os.environ["DOCSTORE_TEST_SESSION"] = tempfile.mkdtemp(prefix="docstore-tests-")


# Clusters need root and minutes to start.
_WITH_CLUSTERS = "DOCSTORE_CLUSTER" in os.environ
collect_ignore = [] if _WITH_CLUSTERS else ["cluster"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what a run leaves out."""
    if not _WITH_CLUSTERS:
        terminalreporter.write_line(
            "not tested here, but by make test-cluster: clusters, and 40 of 41 cases of the oracle on s3"
        )


def pytest_unconfigure() -> None:
    """End what the workers shared, in the process that started them."""
    if _OWNS_SESSION:
        stop_shared_server()
        shutil.rmtree(os.environ["DOCSTORE_TEST_SESSION"])


def pytest_xdist_auto_num_workers() -> int:
    """Return one more than the number of cores: tests wait for processes, disks and clocks, while another can run."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """`docstore serve` with its default mounts, one for each module; `keys=name` if the module has PLAIN_NAMES."""
    folder = tmp_path_factory.mktemp("data")
    arguments = plain_name_mounts(folder) if getattr(request.module, "PLAIN_NAMES", False) else []
    with RunningServer(folder, *arguments) as running:
        yield running


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder for a server that one test starts."""
    return tmp_path / "data"
