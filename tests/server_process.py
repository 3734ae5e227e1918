"""`docstore serve` as a child process for the tests of this repository."""

from collections.abc import Sequence
from pathlib import Path

from docstore.testing.server import ServerProcess
from tests.engine_urls import ON_DISK_URLS

MOUNTS = ("memory", "file", "shelve", "docs")
"""The four default mounts, one for each engine."""


def plain_name_mounts(folder: Path) -> list[str]:
    """The arguments for the default mounts with the key rule of the original."""
    return [f"--mount={name}={url.format(folder)}?keys=name" for name, url in ON_DISK_URLS.items()]


STARTS_WITHIN_S = 30


class RunningServer(ServerProcess):
    """`docstore serve` as a person starts it. If it has logged an error, the test fails at its end."""

    def __init__(
        self,
        data: Path,
        *arguments: str,
        environment: dict[str, str] | None = None,
        program: Sequence[str] = ("-m", "docstore"),
        group: bool = False,
    ) -> None:
        super().__init__(data, *arguments, environment=environment, follow=False, program=program, group=group)

    def restart(self) -> None:
        """Stop the server cleanly and start it on the same data and another port."""
        assert self.stop() == 0
        self.start()

    def __enter__(self) -> "RunningServer":
        return self

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        complaints = [line for line in self.errors if "Traceback" in line or "Error" in line]
        assert not complaints, "".join(self.errors)
