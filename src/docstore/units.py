"""Sizes as people write them: `5GiB`, `64 KiB` or `1000`; for settings, options of a mount and options of an engine."""

import re
from typing import Final

from docstore.errors import SetupError

_UNITS: Final = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}
_SIZE: Final = re.compile(r"([0-9]{1,15}) ?([KMGT]iB|B|)")


def parse_size(text: str) -> int:
    """Bytes of `5GiB`, `64 KiB` or `1000`. Raises SetupError."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise SetupError(f"{text!r} is not a size; one looks like 5GiB, 64KiB or 1000")
    return int(match[1]) * _UNITS[match[2]]
