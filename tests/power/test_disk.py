"""The model of the disk: what may be lost, and what may not."""

from random import Random

import pytest

from tests.power.disk import SOME_TIME_NS, TOP, Change, Cut, Disk, Made, Named, Put, Synced, Timed

T = SOME_TIME_NS
FILE = [Made(1, (b"", T)), Named(((TOP, b"a", 1),))]
ON_DISK = [*FILE, Put(1, 0, b"old"), Synced(1), Synced(TOP)]
FOLDERS = [Made(1, None), Named(((TOP, b"f", 1),)), Made(2, None), Named(((TOP, b"g", 2),)), Synced(TOP)]

State = dict[str, str | None]


def states(steps: list[Change], limit: int = 1000) -> list[State]:
    """The states that may be found, without times."""
    disk = Disk()
    for step in steps:
        disk.apply(step)
    found: list[State] = []
    for image in disk.left(Random(1), limit):
        state = {path.decode(): content and content[0].decode() for path, content in sorted(image.items())}
        if state not in found:
            found.append(state)
    return found


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        pytest.param(FILE, [{}, {"a": ""}], id="a new name may be lost"),
        pytest.param([*FILE, Synced(1)], [{}, {"a": ""}], id="fsync of a file does not keep its name"),
        pytest.param([*FILE, Synced(TOP)], [{"a": ""}], id="fsync of the folder does"),
        pytest.param(ON_DISK, [{"a": "old"}], id="what is fsynced stays"),
        pytest.param(
            [*FILE, Synced(TOP), Put(1, 0, b"new!")],
            [{"a": text} for text in ("", "\0\0\0\0", "ne", "new!")],
            id="bytes may be absent, zeroes, a part, or all",
        ),
        pytest.param([*ON_DISK, Cut(1, 0)], [{"a": ""}, {"a": "old"}], id="a file that was cut may be as it was"),
        pytest.param(
            [*ON_DISK, Made(2, (b"new", T)), Named(((TOP, b"t", 2),)), Named(((TOP, b"a", 2), (TOP, b"t", None)))],
            [{"a": "new"}, {"a": "old"}, {"a": "old", "t": "new"}],
            id="a rename is atomic",
        ),
        pytest.param(
            [*FOLDERS, Made(3, (b"", T)), Named(((1, b"a", 3),)), Named(((2, b"a", 3), (1, b"a", None)))],
            [{"f": None, "f/a": "", "g": None}, {"f": None, "g": None}, {"f": None, "g": None, "g/a": ""}],
            id="from one folder to another too",
        ),
        pytest.param(
            [
                *(*FOLDERS, Made(3, (b"", T)), Named(((1, b"a", 3),)), Named(((2, b"a", 3), (1, b"a", None)))),
                Synced(2),
            ],
            [{"f": None, "g": None, "g/a": ""}],
            id="and is whole when one of the two is fsynced",
        ),
        pytest.param(
            [*FOLDERS, Made(3, (b"", T)), Named(((1, b"a", 3),)), Made(4, (b"", T)), Named(((2, b"b", 4),))],
            [
                {"f": None, "f/a": "", "g": None},
                {"f": None, "f/a": "", "g": None, "g/b": ""},
                {"f": None, "g": None},
                {"f": None, "g": None, "g/b": ""},
            ],
            id="names in two folders come in any order",
        ),
        pytest.param(
            [*ON_DISK, Named(((TOP, b"a", None),)), Made(2, (b"x", T)), Named(((TOP, b"a", 2),))],
            [{}, {"a": "old"}, {"a": "x"}],
            id="changes of one name keep their order",
        ),
        pytest.param(
            [Made(1, None), Named(((TOP, b"f", 1),)), Made(2, (b"x", T)), Named(((1, b"a", 2),)), Synced(1)],
            [{}, {"f": None, "f/a": "x"}],
            id="a lost folder takes along what was fsynced in it",
        ),
    ],
)
def test_the_states_after_a_power_cut(steps: list[Change], found: list[State]) -> None:
    assert sorted(states(steps), key=repr) == sorted(found, key=repr)


def test_times_and_bytes_may_be_lost_independently() -> None:
    disk = Disk()
    for step in (*FILE, Synced(TOP), Put(1, 0, b"x"), Timed(1, 5)):
        disk.apply(step)
    expected = {(data, time_ns) for data in (b"", b"\0", b"x") for time_ns in (5, T)}
    assert {image[b"a"] for image in disk.left(Random(1), 1000)} == expected
    disk.apply(Synced(1))
    assert {image[b"a"] for image in disk.left(Random(1), 1000)} == {(b"x", 5)}


def test_long_writes_are_torn_at_sectors_in_any_order() -> None:
    disk = Disk()
    for step in (*FILE, Synced(TOP), Put(1, 100, b"x" * 2000)):
        disk.apply(step)
    torn = set()
    for seed in range(200):
        for image in disk.left(Random(seed), 1000):
            content = image[b"a"]
            assert content is not None
            torn.add(tuple("x" in content[0][start : start + 512].decode() for start in range(0, 2100, 512)))
    assert (False, True, False, True, False) in torn
    assert (True, False, False, False, True) in torn


def test_many_changes_are_sampled_with_the_extremes() -> None:
    steps: list[Change] = []
    for node in range(1, 40):
        steps += [Made(node, (b"", T)), Named(((TOP, b"%02d" % node, node),))]
    found = states(steps, limit=60)
    assert {} in found
    assert any(len(state) == 39 for state in found)
    assert any(len(state) in (36, 37, 38) for state in found)
    assert any(len(state) in (1, 2, 3) for state in found)
    assert len(found) > 30
