"""The pictures of the documentation exist, are small, and have alternative texts."""

import re
import struct
import zlib
from pathlib import Path

import pytest

from tests.web.pictures import PICTURES, VIEWS
from tests.web.png import shrunk
from tests.web.test_preview import png

ROOT = Path(__file__).parents[2]
SHOWN = re.findall(
    r"!\[([^\]]*)\]\((?:docs/)?pictures/([a-z-]+)\.png\)",
    (ROOT / "README.md").read_text() + (ROOT / "docs" / "page.md").read_text(),
)


def test_every_picture_is_used_and_has_an_alternative_text() -> None:
    assert {name for _, name in SHOWN} == VIEWS.keys() == {file.stem for file in PICTURES.iterdir()}
    assert all(len(words) > 10 for words, _ in SHOWN)


@pytest.mark.parametrize("name", VIEWS)
def test_a_picture_is_small(name: str) -> None:
    assert (PICTURES / f"{name}.png").stat().st_size < 80_000


def test_a_picture_of_few_colours_is_the_same_with_a_palette() -> None:
    small = shrunk(png(40, 30))
    assert small[25] == 3, "the kind of colour: by palette"
    palette = small[small.index(b"PLTE") + 4 :][:3]
    assert palette == bytes([10, 120, 100])
    at = small.index(b"IDAT")
    [size] = struct.unpack(">I", small[at - 4 : at])
    assert zlib.decompress(small[at + 4 : at + 4 + size]) == bytes(41 * 30)
