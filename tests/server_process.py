"""A real server process for tests: `docstore serve` on a free port of loopback, stopped or killed as a test wishes."""

from collections.abc import Sequence
from pathlib import Path

from docstore.testing.server import ServerProcess

MOUNTS = ("memory", "file", "shelve", "docs")
"""The four default mounts, one for each engine."""

STARTS_WITHIN_S = 30


class RunningServer(ServerProcess):
    """`docstore serve` as a person starts it; one that complained of an error fails the test at its end."""

    def __init__(
        self,
        data: Path,
        *arguments: str,
        environment: dict[str, str] | None = None,
        program: Sequence[str] = ("-m", "docstore"),
    ) -> None:
        super().__init__(data, *arguments, environment=environment, follow=False, program=program)

    def restart(self) -> None:
        """A clean stop and a new start on the same data and another port."""
        assert self.stop() == 0
        self.start()

    def __enter__(self) -> "RunningServer":
        return self

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        complaints = [line for line in self.errors if "Traceback" in line or "Error" in line]
        assert not complaints, "".join(self.errors)
