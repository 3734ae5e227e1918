"""Fixtures of all tests: a server for each module, and Hypothesis settings for a shared machine."""

import gc
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

from tests.postgresql_server import stop_shared_server
from tests.server_process import RunningServer, plain_name_mounts

settings.register_profile(
    "docstore",
    max_examples=int(os.environ.get("DOCSTORE_EXAMPLES") or 30),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("docstore")

# A shell without job control starts background processes with interrupts ignored. Children would inherit that, and
# tests that interrupt a process would hang.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _folder_in_memory() -> str | None:
    """A folder for temporary files, without the wait for a disk in each write; None if memory has too little space.

    A TMPDIR that is set is used. `on_disk` is on the disk anyway.
    """
    memory = Path("/dev/shm")
    if "TMPDIR" in os.environ or sys.platform != "linux" or not os.access(memory, os.W_OK):
        return None
    free = min(shutil.disk_usage(memory).free, os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return str(memory) if free > 6 * 1024**3 else None


# One folder for what the workers of a session share; workers inherit the variables.
_OWNS_SESSION = "DOCSTORE_TEST_SESSION" not in os.environ
if _OWNS_SESSION:
    _in_memory = _folder_in_memory()
    _session = tempfile.mkdtemp(prefix="docstore-tests-", dir=_in_memory)
    os.environ["DOCSTORE_TEST_OWNER"] = str(os.getpid())
    os.environ["DOCSTORE_TEST_SESSION"] = _session
    if _in_memory:
        Path(_session).chmod(0o1777)  # some tests work as another user
        os.environ["TMPDIR"] = tempfile.tempdir = _session


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


_STARTED_FIRST: Final = (
    *("engines/test_contract", "engines/object_store/test_contract", "engines/object_store/test_azure"),
    *("server/test_openapi", "recipes/test_clients"),
    *("recipes/test_proxies", "server/test_standard_library", "crash/test_together", "crash/test_kill"),
    *("crash/test_linear", "power/test_power", "engines/test_read_only_stores", "server/test_run", "cli/test_help"),
    *("cli/test_locale", "testing/test_pytest_plugin", "web/test_selection", "server/test_tls", "cli/test_streams"),
    *("server/test_folder_clients", "engines/test_damaged_stores", "server/resources/test_patch", "client/test_files"),
    *("web/test_accessibility", "web/test_try_it", "web/test_editing", "web/test_document", "web/test_uploads"),
    *("web/test_share", "web/test_login", "web/test_view", "server/security/test_read_only_switch"),
    *("server/http1/test_limits", "cli/test_process", "server/test_listeners", "server/security/test_audit"),
    *("recipes/test_scaling", "server/http1/test_stopping", "server/test_forwarding_proxy", "server/test_memory"),
    *("web/test_json_editing", "web/test_listing", "web/test_tokens", "web/test_security", "web/test_preview"),
    *("web/test_actions", "web/test_page", "web/test_web_apps", "web/test_start", "web/test_detail", "web/test_http"),
    *("client/test_local_transport", "client/test_content_hash", "server/test_storage_trouble", "cli/test_terminal"),
    *("server/test_read_only_mounts", "engines/postgresql/test_failures", "client/test_guide", "test_readme"),
)
"""The files that take longest, so that no worker is busy with one when the others have ended. Some have few tests."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a worker, start these files first, and then the files with the most tests."""
    if not hasattr(config, "workerinput"):
        return
    folder = Path(__file__).parent
    files = {path: str(path.relative_to(folder).with_suffix("")) for path in {item.path for item in items}}
    turns = {path: _STARTED_FIRST.index(name) for path, name in files.items() if name in _STARTED_FIRST}
    counts = Counter(item.path for item in items)
    items.sort(key=lambda item: (turns.get(item.path, len(_STARTED_FIRST)), -counts[item.path], item.path))


def pytest_collection_finish() -> None:
    """Exempt the tests and their modules from collections of garbage, of which tests for leaks ask for hundreds."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """`docstore serve` with its default mounts, one for each module; `keys=name` if the module has PLAIN_NAMES."""
    folder = tmp_path_factory.mktemp("data")
    arguments = plain_name_mounts(folder) if getattr(request.module, "PLAIN_NAMES", False) else []
    with RunningServer(folder, *arguments) as running:
        yield running


@pytest.fixture
def on_disk() -> Iterator[Path]:
    """A folder on a disk, for tests whose other files may be in memory."""
    with tempfile.TemporaryDirectory(dir="/var/tmp" if Path("/var/tmp").is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder for a server that one test starts."""
    return tmp_path / "data"
