"""Entity tags and lists of them: RFC 9110 §8.8.3, §13.1.1 and §13.1.2."""

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from docstore.http.entity_tags import EntityTag, Tags, parse_entity_tag, parse_entity_tags
from docstore.http.headers import TooManyMembers

ETAGC = "".join(map(chr, [0x21, *range(0x23, 0x7F), *range(0x80, 0x100)]))

any_text = st.text() | st.text(st.characters(max_codepoint=0xFF)) | st.text('",\\ \t*W/ab')


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        pytest.param("*", Tags(True), id="13.1.1 any"),
        pytest.param(" * ", Tags(True), id="13.1.1 any, with whitespace"),
        pytest.param('"xyzzy"', Tags(False, (EntityTag(False, "xyzzy"),)), id="8.8.3 strong"),
        pytest.param('W/"xyzzy"', Tags(False, (EntityTag(True, "xyzzy"),)), id="8.8.3 weak"),
        pytest.param('""', Tags(False, (EntityTag(False, ""),)), id="8.8.3 empty"),
        pytest.param('"*"', Tags(False, (EntityTag(False, "*"),)), id="8.8.3 a star in quotes is a tag"),
        pytest.param('"a,b"', Tags(False, (EntityTag(False, "a,b"),)), id="8.8.3 a comma inside"),
        pytest.param('"a\\"', Tags(False, (EntityTag(False, "a\\"),)), id="8.8.3 a backslash escapes nothing"),
        pytest.param(
            '"a\\", "b"', Tags(False, (EntityTag(False, "a\\"), EntityTag(False, "b"))), id="8.8.3 nor in lists"
        ),
        pytest.param('"\xe9"', Tags(False, (EntityTag(False, "\xe9"),)), id="8.8.3 obs-text"),
        pytest.param(
            '"a" ,, W/"b",', Tags(False, (EntityTag(False, "a"), EntityTag(True, "b"))), id="5.6.1 empty members"
        ),
        pytest.param('"a",W/"b"', Tags(False, (EntityTag(False, "a"), EntityTag(True, "b"))), id="5.6.1 no whitespace"),
        pytest.param("", Tags(False), id="malformed: nothing"),
        pytest.param("xyzzy", Tags(False), id="malformed: no quotes"),
        pytest.param("'xyzzy'", Tags(False), id="malformed: other quotes"),
        pytest.param('w/"xyzzy"', Tags(False), id="8.8.3 the W is a capital"),
        pytest.param('W / "xyzzy"', Tags(False), id="8.8.3 no whitespace in a weak tag"),
        pytest.param('"a b"', Tags(False), id="8.8.3 no space in a tag"),
        pytest.param('"a\tb"', Tags(False), id="8.8.3 no tab in a tag"),
        pytest.param('"a\x7f"', Tags(False), id="8.8.3 no DEL in a tag"),
        pytest.param('"a', Tags(False), id="malformed: an open quote"),
        pytest.param('"a" "b"', Tags(False), id="malformed: no comma between"),
        pytest.param('bad, "good"', Tags(False, (EntityTag(False, "good"),)), id="a malformed member spoils no other"),
        pytest.param('*, "a"', Tags(False, (EntityTag(False, "a"),)), id="13.1.1 a star in a list is none"),
        pytest.param("*, *", Tags(False), id="13.1.1 two stars are none"),
    ],
)
def test_entity_tags_are_parsed_and_malformed_ones_are_skipped(value: str, tags: Tags) -> None:
    assert parse_entity_tags(value) == tags


@pytest.mark.parametrize(
    ("member", "strong", "weak"),
    [
        pytest.param('"1"', True, True, id='8.8.3.2 "1" and "1"'),
        pytest.param('W/"1"', False, True, id='8.8.3.2 W/"1" and "1"'),
        pytest.param('W/"2"', False, False, id='8.8.3.2 W/"2" and "1"'),
        pytest.param('"2", W/"1"', False, True, id="8.8.3.2 in a list, weak"),
        pytest.param('W/"1", "1"', True, True, id="8.8.3.2 in a list, both"),
        pytest.param("1", False, False, id="malformed"),
    ],
)
def test_tags_are_compared_strongly_and_weakly(member: str, strong: bool, weak: bool) -> None:
    tags = parse_entity_tags(member)
    assert (tags.match("1", weakly=False), tags.match("1", weakly=True)) == (strong, weak)


entity_tags = st.builds(EntityTag, st.booleans(), st.text(ETAGC))


@given(st.lists(entity_tags, max_size=5), st.sampled_from([",", ", ", "\t,, "]))
def test_formatted_entity_tags_can_be_parsed(tags: list[EntityTag], comma: str) -> None:
    written = [f'{"W/" if tag.weak else ""}"{tag.opaque}"' for tag in tags]
    assert parse_entity_tags(comma.join(written)) == Tags(False, tuple(tags))
    assert [parse_entity_tag(text) for text in written] == tags


@given(any_text)
@example('"')
def test_entity_tags_parsed_from_any_text_are_well_formed(value: str) -> None:
    tags = parse_entity_tags(value)
    assert tags.star is (value.strip(" \t") == "*")
    assert all(char in ETAGC for tag in tags.members for char in tag.opaque)


@pytest.mark.parametrize("unit", ['"', "\\", '\\"', ",", '",', " ", "a", "W/", '"a" ', '"a",', "*,"])
def test_a_hundred_kilobytes_of_anything_are_parsed_in_time(unit: str) -> None:
    for hostile in (unit * (100_000 // len(unit)), '"' + unit * (100_000 // len(unit)) + "\x00"):
        with suppress(TooManyMembers):
            assert len(parse_entity_tags(hostile).members) < len(hostile)
        assert parse_entity_tag(hostile + "\n") is None
