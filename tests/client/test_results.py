"""Results are frozen values."""

import copy
import pickle

import pytest

from docstore import (
    Info,
    NotModified,
    Page,
    PutResult,
    StoredContent,
)


def test_results_are_frozen_and_can_be_pickled() -> None:
    info = Info("a", "v", 1, fields={"content-language": "de"}, meta={"a": "b"})
    for answer in (StoredContent(b"1", info), info, PutResult("a", "v", True), Page((info,)), NotModified("v")):
        assert pickle.loads(pickle.dumps(answer)) == answer
        assert copy.deepcopy(answer) == answer
        with pytest.raises((AttributeError, TypeError)):
            answer.key = "b"
    assert pickle.loads(pickle.dumps(StoredContent(b"1", info))).info == info
