"""Names of objects sort like keys, stay below the limit of S3, and can be parsed again."""

from hypothesis import given
from hypothesis import strategies as st

from docstore.engines.object_store.names import (
    NAME_LIMIT,
    PREFIX_LIMIT,
    blob_name,
    group_of,
    marker_name,
    name_before,
    name_of,
    parse_blob,
    parse_marker,
    start_of,
)
from docstore.testing.contract.keys import HOSTILE_KEYS

KEYS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20) | st.sampled_from(HOSTILE_KEYS)


@given(KEYS, KEYS)
def test_names_sort_like_keys_except_within_a_group(one: str, other: str) -> None:
    names = name_of(one), name_of(other)
    if group_of(names[0]) is None or group_of(names[0]) != group_of(names[1]):
        assert (names[0] < names[1]) == (one.encode() < other.encode())
    assert (names[0] == names[1]) == (one == other)


@given(KEYS, KEYS)
def test_a_page_starts_after_a_key_and_within_its_prefix(key: str, other: str) -> None:
    assert name_of(key).startswith(start_of(key[:3]))
    if key > other:
        assert name_of(key) > name_before(other)
    assert name_of(key) > start_of(key)


def test_long_keys_with_a_long_common_start_are_one_group() -> None:
    start = "s" * NAME_LIMIT
    assert group_of(name_of(start)) is None
    assert group_of(name_of(start + "a")) == group_of(name_of(start + "b")) == start
    assert name_of(start) < name_of(start + "a") != name_of(start + "b")


def test_every_name_fits_the_limit_of_s3_and_uses_no_character_that_a_url_changes() -> None:
    for key in HOSTILE_KEYS:
        name = name_of(key)
        for path in (blob_name(name, "f" * 24), marker_name(name, 2**63, "w" * 12)):
            assert len(path) + PREFIX_LIMIT + 1 <= 1024
            assert path.isascii()
            assert len(path.split("/")) == (4 if path.startswith("x/") else 3)
        assert "/" not in name


def test_the_parts_of_a_name_can_be_parsed() -> None:
    for key in HOSTILE_KEYS:
        name = name_of(key)
        assert parse_blob(blob_name(name, "id")) == (name, "id")
        assert parse_marker(marker_name(name, 17, "write")) == (17, name, "write")


def test_times_of_markers_sort_as_text() -> None:
    times = [-5, 0, 1, 9, 10, 10**18, 10**30]
    markers = [marker_name("a!", time, "w") for time in times]
    assert markers == sorted(markers)
