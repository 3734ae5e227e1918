"""`docstore serve` as a child process for the tests of this repository."""

from collections.abc import Sequence
from pathlib import Path

from docstore.testing.server import ServerProcess

MOUNTS = ("memory", "file", "shelve", "docs")
"""The four default mounts, one for each engine."""

ENGINES = {"memory": "memory:", "file": "file:{}/file", "shelve": "shelve:{}/shelve", "docs": "sqlite:{}/docs.db"}
"""The engine URL of each of MOUNTS, over a folder."""


def plain_name_mounts(folder: Path) -> list[str]:
    """The arguments for the default mounts with the key rule of the original."""
    return [f"--mount={name}={url.format(folder)}?keys=name" for name, url in ENGINES.items()]


STARTS_WITHIN_S = 30


class RunningServer(ServerProcess):
    """`docstore serve` as a person starts it. If it has logged an error, the test fails at its end."""

    def __init__(
        self,
        data: Path,
        *arguments: str,
        environment: dict[str, str] | None = None,
        program: Sequence[str] = ("-m", "docstore"),
    ) -> None:
        super().__init__(data, *arguments, environment=environment, follow=False, program=program)

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
