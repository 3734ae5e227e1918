"""The targets of the fuzzer accept what they begin with, and beginnings and changes of it."""

import pytest

from tests.fuzz_parsers import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_accepts_its_seeds_and_what_is_almost_one(name: str) -> None:
    target, seeds = TARGETS[name]
    for seed in seeds:
        target(seed)
        for position in range(0, len(seed), 5):
            target(seed[:position])
            target(seed[:position] + b"\xff" + seed[position:])
            target(seed[:position] + b"," + seed[position + 1 :])
