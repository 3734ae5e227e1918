"""A real server process for tests: `docstore serve` on a free port of loopback, stopped or killed as a test wishes."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

MOUNTS = ("memory", "file", "shelve", "docs")
"""The four default mounts, one for each engine."""

STARTS_WITHIN_S = 30
STOPS_WITHIN_S = 30


class RunningServer:
    """`docstore serve` with the arguments given; `url` is known once it serves."""

    def __init__(
        self,
        data: Path,
        *arguments: str,
        environment: dict[str, str] | None = None,
        program: Sequence[str] = ("-m", "docstore"),
    ) -> None:
        self._data = data
        self._program = program
        self._arguments: Sequence[str] = arguments
        self._environment = {**os.environ, **(environment or {})}
        self.start()

    def start(self, port: int = 0) -> None:
        command = [sys.executable, *self._program, "serve", "--port", str(port), "--data", str(self._data)]
        self.process = subprocess.Popen(
            [*command, *self._arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment,
        )
        self.errors: list[str] = []
        self._reader = threading.Thread(target=self._read_errors, args=(self.process.stderr,))
        self._reader.start()
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        match = re.search(r"http://([^/]+):(\d+)/", first)
        if match is None:
            self.wait()
            raise AssertionError(f"the server did not start: {first}{''.join(self.errors)}")
        self.host, self.port = match[1], int(match[2])
        self.url = f"http://{self.host}:{self.port}"

    def _read_errors(self, stream: IO[str]) -> None:
        self.errors.extend(stream)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal and waits for the end; the exit status."""
        self.process.send_signal(number)
        return self.wait()

    def kill(self) -> None:
        self.process.kill()
        self.wait()

    def wait(self) -> int:
        status = self.process.wait(STOPS_WITHIN_S)
        self._reader.join()
        self.process.stdout.close()
        self.process.stderr.close()
        return status

    def restart(self) -> None:
        """A clean stop and a new start on the same data and another port."""
        assert self.stop() == 0
        self.start()

    def __enter__(self) -> "RunningServer":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()
        complaints = [line for line in self.errors if "Traceback" in line or "Error" in line]
        assert not complaints, "".join(self.errors)
