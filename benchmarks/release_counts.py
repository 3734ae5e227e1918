"""The instructions that the last release took for each request, which `instructions.py` prints beside those of today.

Until the first release, they are those of the commit that recorded them last. They depend on the version of Python,
which is kept with them.
"""

import json
import platform
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

RECORD = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class ReleaseCounts:
    docstore: str
    """The version of the release."""
    python: str
    counts: dict[str, int]
    """Instructions a request, or a call of a stage."""

    @classmethod
    def read(cls) -> "ReleaseCounts":
        return cls(**json.loads(RECORD.read_text()))

    def replaced_by(self, counts: dict[str, int]) -> "ReleaseCounts":
        """Counts of today; those of cases that did not run stay, unless they are of another version."""
        today = ReleaseCounts(version("docstore"), platform.python_version(), self.counts)
        return replace(today, counts={**self.counts, **counts} if today == self else counts)

    def write(self) -> None:
        RECORD.write_text(json.dumps(asdict(self), indent=2) + "\n")

    def lines(self, counts: dict[str, int]) -> list[str]:
        """The counts of today beside these, as a table."""
        lines = [f"{'instructions':20}{'now':>10}{self.docstore:>10}{'ratio':>8}"]
        for name, count in counts.items():
            recorded = self.counts.get(name)
            beside = f"{recorded:10,}{count / recorded:8.3f}" if recorded else f"{'-':>10}{'-':>8}"
            lines.append(f"{name:20}{count:10,}{beside}")
        if self.python != platform.python_version():
            here = platform.python_version()
            lines.append(f"Python {here} counted now, {self.python} then: a part of each ratio is Python's.")
        return lines
