"""`docstore serve` as a child process for tests, on a free loopback port.

With `follow` the server stops when its parent ends for any reason: it reads a pipe that the parent never writes to, and
stops at its end. A signal at the parent's death was rejected: only Linux has it, and it follows the parent's thread.
"""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from docstore.errors import SetupError

STOPS_WITHIN_S: Final = 30
_FOLLOWING: Final = ("-c", "from docstore.testing.server import serve_while_followed; serve_while_followed()")


class ServerProcess:
    """`docstore serve --data DATA` with these arguments. `url` has no slash at its end.

    Raises SetupError with the server's output if it does not start.
    """

    _python: Sequence[str] = (sys.executable,)

    def __init__(
        self,
        data: Path,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        follow: bool = True,
        program: Sequence[str] = ("-m", "docstore"),
    ) -> None:
        self._data = data
        self._program = _FOLLOWING if follow else program
        self._arguments = arguments
        self._environment = {**os.environ, **(environment or {})}
        self._follow = follow
        self.start()

    def start(self, port: int = 0) -> None:
        command = [*self._python, *self._program, "serve", "--port", str(port), "--data", str(self._data)]
        self.process = subprocess.Popen(  # noqa: S603 - the command is ours
            [*command, *self._arguments],
            stdin=subprocess.PIPE if self._follow else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment,
        )
        self.errors: list[str] = []
        """The lines of its standard error."""
        self._reader = threading.Thread(target=self._read_errors, args=(self.process.stderr,), daemon=True)
        self._reader.start()
        record_log(self.process, self.errors)
        first = self.process.stdout.readline() if self.process.stdout else ""
        match = re.search(r"http://([^/]+):(\d+)/", first)
        if match is None:
            self.wait()
            raise SetupError(f"the server did not start: {first}{''.join(self.errors)}")
        self.host, self.port = match[1], int(match[2])
        self.url = f"http://{self.host}:{self.port}"

    def _read_errors(self, stream: IO[str]) -> None:
        self.errors.extend(stream)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the end and return the exit status."""
        self.process.send_signal(number)
        return self.wait()

    def kill(self) -> None:
        self.process.kill()
        self.wait()

    def wait(self) -> int:
        """Wait for the end and return the exit status. Raises TimeoutExpired and kills it after STOPS_WITHIN_S."""
        try:
            status = self.process.wait(STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self._reader.join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return status

    def __enter__(self) -> "ServerProcess":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()
        else:
            self.wait()


@dataclass(slots=True)
class _Log:
    process: subprocess.Popen[str]
    lines: list[str]
    """Grows while the process runs."""
    before: int = 0
    """Lines from before the current test."""


_logs: Final[list[_Log]] = []


def record_log(process: subprocess.Popen[str], lines: list[str]) -> None:
    """Let the pytest plugin print the `lines` of this server with a test that fails while it runs."""
    _logs.append(_Log(process, lines))


def begin_test() -> None:
    """Forget the servers that have ended, and what the others wrote."""
    _logs[:] = [log for log in _logs if log.process.poll() is None]
    for log in _logs:
        log.before = len(log.lines)


def logs_of_test() -> list[tuple[str, str]]:
    """A title and the lines of each server that wrote something during this test."""
    written = [(log.process.pid, log.lines[log.before :]) for log in _logs]
    return [
        (f"log of server {pid}", "".join(f"{line.rstrip()}\n" for line in lines)) for pid, lines in written if lines
    ]


def serve_while_followed() -> None:
    """Run the command until standard input ends: its other end is held by the parent."""
    from docstore.cli.main import main

    threading.Thread(target=_stop_at_the_end, args=(sys.stdin.fileno(),), daemon=True).start()
    main(prog_name="docstore")


def _stop_at_the_end(descriptor: int) -> None:
    while os.read(descriptor, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
