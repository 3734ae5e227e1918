"""What all tests share: a server of their module, and settings of Hypothesis that suit a shared machine."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.server_process import RunningServer

settings.register_profile("docstore", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("docstore")

# A shell without job control starts what runs in its background with interrupts ignored, which children would inherit:
# tests that interrupt a process would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: tests wait for processes, disks and clocks, and meanwhile another can work."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """`docstore serve` with its four default mounts, shared by the tests of a module."""
    with RunningServer(tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder for a server of the test's own."""
    return tmp_path / "data"
