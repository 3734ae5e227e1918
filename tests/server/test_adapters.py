"""The same tests on other servers than Docstore's own: uvicorn's protocol, and Granian, both through ASGI.

Documents and methods are implemented in `handle` and must not depend on the server. Tests of what only `http1`
supports (limits, malformed requests, early responses on a kept connection) are in `http1/`; ARCHITECTURE.md has
the table. Granian closes a connection after a response that was sent before the body arrived, so no write fails here.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from docstore.testing.server import record_log
from tests.server.resources.test_document import (  # noqa: F401 - these run here on the server below
    test_a_truncated_body_changes_nothing,
    test_chunked_content_is_stored_completely,
    test_concurrent_writers_leave_one_complete_document,
    test_content_comes_back_byte_for_byte,
    test_dot_segments_are_removed_before_routing,
)
from tests.server.resources.test_document_conditions import (  # noqa: F401
    test_a_304_has_no_content_and_the_fields_that_a_200_would,
    test_head_has_the_fields_of_get,
    test_last_modified_is_a_date_not_later_than_date,
    test_the_etag_is_made_from_content_and_type,
)
from tests.server.test_original_session import test_the_session_of_the_article_works_line_by_line  # noqa: F401
from tests.server_process import STARTS_WITHIN_S, RunningServer, plain_name_mounts


class RunningGranian(RunningServer):
    """Granian in the place of `docstore serve`; only what the tests above use."""

    def start(self, port: int = 0) -> None:
        with socket.create_server(("127.0.0.1", port)) as free:
            self.host, self.port = free.getsockname()[:2]
        self.url = f"http://{self.host}:{self.port}"
        command = [
            sys.executable,
            "-m",
            "granian",
            "--interface",
            "asgi",
            "--host",
            self.host,
            "--port",
            str(self.port),
        ]
        self.errors = []
        self.process = subprocess.Popen(
            [*command, "--no-log", "tests.server.granian_application:application"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent.parent,
            env={**os.environ, "DOCSTORE_DATA": str(self.data)},
        )
        self._reader = threading.Thread(target=self._read_errors, args=(self.process.stderr,), daemon=True)
        self._reader.start()
        record_log(self.process, self.errors)
        ends_s = time.monotonic() + STARTS_WITHIN_S
        while not self._answers():
            assert self.process.poll() is None, "Granian ended"
            assert time.monotonic() < ends_s, "Granian does not answer"
            time.sleep(0.05)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((self.host, self.port)) == 0

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.wait()


@pytest.fixture(scope="module", params=["uvicorn", "granian"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    data = tmp_path_factory.mktemp("data")
    plain = plain_name_mounts(data)
    uvicorn = request.param == "uvicorn"
    with RunningServer(data, "--http", "uvicorn", *plain) if uvicorn else RunningGranian(data) as running:
        yield running
