"""Values that only the type checker freezes behave as frozen dataclasses do where nobody changes them."""

import copy
import pickle
from dataclasses import replace

import pytest

from docstore.content import BytesContent
from docstore.model import Fields, Meta

META = Meta("key", "version", 3, b"digest", Fields("text/plain"), 1)


def test_equal_values_have_equal_hashes() -> None:
    same = replace(META, fields=Fields("text/plain"))
    assert same == META
    assert hash(same) == hash(META)
    assert {META: 1}[same] == 1
    assert replace(META, size=4) != META
    assert BytesContent(b"a") in {BytesContent(b"a")}


def test_values_are_copied_and_pickled() -> None:
    assert copy.copy(META) == pickle.loads(pickle.dumps(META)) == META


def test_values_have_no_further_attributes() -> None:
    with pytest.raises(AttributeError):
        META.other = 1  # type: ignore[attr-defined]
