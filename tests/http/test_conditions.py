"""Conditional requests: RFC 9110 §13, and the expectations that they become for an engine."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docstore.http.conditions import ConditionOutcome, Conditions, expectation, if_range_holds, last_modified
from docstore.http.dates import format_http_date
from docstore.http.headers import TooManyMembers
from docstore.http.message import Headers
from docstore.model import ABSENT, ANY, Expectation, Fields, Meta, satisfies

MODIFIED = 784_111_777
META = Meta("key", "v1", 3, b"\x00" * 32, Fields(), MODIFIED * 10**9 + 500_000_000)
NOW = MODIFIED + 3600

BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
EQUAL = "Sun, 06 Nov 1994 08:49:37 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"

PROCEED, NOT_MODIFIED, FAILED = ConditionOutcome.PROCEED, ConditionOutcome.NOT_MODIFIED, ConditionOutcome.FAILED


def headers(*pairs: tuple[str, str]) -> Headers:
    return Headers((name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs)


def conditions(*pairs: tuple[str, str]) -> Conditions:
    found = Conditions.of(headers(*pairs))
    assert found is not None
    return found


MATCH = "if-match"
NONE_MATCH = "if-none-match"
MODIFIED_SINCE = "if-modified-since"
UNMODIFIED_SINCE = "if-unmodified-since"

STANDING = [
    # the outcome for an existing document, of a read and of a write
    pytest.param([(MATCH, '"v1"')], PROCEED, PROCEED, id="13.1.1 the tag"),
    pytest.param([(MATCH, '"v2"')], FAILED, FAILED, id="13.1.1 another tag"),
    pytest.param([(MATCH, 'W/"v1"')], FAILED, FAILED, id="13.1.1 strong comparison"),
    pytest.param([(MATCH, '"v0", "v1"')], PROCEED, PROCEED, id="13.1.1 a list with the tag"),
    pytest.param([(MATCH, '"v0"'), (MATCH, '"v1"')], PROCEED, PROCEED, id="5.3 a list in two lines"),
    pytest.param([(MATCH, '"v0,v1", "v1,v2"')], FAILED, FAILED, id="8.8.3 commas inside tags"),
    pytest.param([(MATCH, "*")], PROCEED, PROCEED, id="13.1.1 any"),
    pytest.param([(MATCH, "v1")], FAILED, FAILED, id="13.1.1 a malformed tag matches nothing"),
    pytest.param([(MATCH, 'v0, "v1"')], PROCEED, PROCEED, id="13.1.1 a malformed tag beside the tag"),
    pytest.param([(MATCH, "")], FAILED, FAILED, id="13.1.1 an empty list matches nothing"),
    pytest.param([(NONE_MATCH, '"v1"')], NOT_MODIFIED, FAILED, id="13.1.2 the tag"),
    pytest.param([(NONE_MATCH, '"v2"')], PROCEED, PROCEED, id="13.1.2 another tag"),
    pytest.param([(NONE_MATCH, 'W/"v1"')], NOT_MODIFIED, FAILED, id="13.1.2 weak comparison"),
    pytest.param([(NONE_MATCH, '"v0", W/"v1"')], NOT_MODIFIED, FAILED, id="13.1.2 a list with the tag"),
    pytest.param([(NONE_MATCH, "*")], NOT_MODIFIED, FAILED, id="13.1.2 any"),
    pytest.param([(NONE_MATCH, "v1")], PROCEED, PROCEED, id="13.1.2 a malformed tag matches nothing"),
    pytest.param([(MODIFIED_SINCE, BEFORE)], PROCEED, PROCEED, id="13.1.3 modified since"),
    pytest.param([(MODIFIED_SINCE, EQUAL)], NOT_MODIFIED, PROCEED, id="13.1.3 not modified since that second"),
    pytest.param([(MODIFIED_SINCE, AFTER)], NOT_MODIFIED, PROCEED, id="13.1.3 not modified since a later date"),
    pytest.param([(MODIFIED_SINCE, "Sunday, 06-Nov-94 08:49:37 GMT")], NOT_MODIFIED, PROCEED, id="5.6.7 rfc850"),
    pytest.param([(MODIFIED_SINCE, "Sun Nov  6 08:49:37 1994")], NOT_MODIFIED, PROCEED, id="5.6.7 asctime"),
    pytest.param([(MODIFIED_SINCE, "yesterday")], PROCEED, PROCEED, id="13.1.3 an invalid date is ignored"),
    pytest.param([(MODIFIED_SINCE, AFTER), (MODIFIED_SINCE, AFTER)], PROCEED, PROCEED, id="13.1.3 two are ignored"),
    pytest.param([(UNMODIFIED_SINCE, BEFORE)], FAILED, FAILED, id="13.1.4 modified since"),
    pytest.param([(UNMODIFIED_SINCE, EQUAL)], PROCEED, PROCEED, id="13.1.4 not modified since that second"),
    pytest.param([(UNMODIFIED_SINCE, AFTER)], PROCEED, PROCEED, id="13.1.4 not modified since"),
    pytest.param([(UNMODIFIED_SINCE, "0")], PROCEED, PROCEED, id="13.1.4 an invalid date is ignored"),
    pytest.param([(UNMODIFIED_SINCE, BEFORE)] * 2, PROCEED, PROCEED, id="13.1.4 two are ignored"),
    pytest.param([(MATCH, '"v1"'), (UNMODIFIED_SINCE, BEFORE)], PROCEED, PROCEED, id="13.2.2 1 goes before 2, true"),
    pytest.param([(MATCH, '"v2"'), (UNMODIFIED_SINCE, AFTER)], FAILED, FAILED, id="13.2.2 1 goes before 2, false"),
    pytest.param([(MATCH, '"v2"'), (NONE_MATCH, '"v1"')], FAILED, FAILED, id="13.2.2 1 goes before 3"),
    pytest.param([(MATCH, '"v1"'), (NONE_MATCH, '"v1"')], NOT_MODIFIED, FAILED, id="13.2.2 3 comes after 1"),
    pytest.param([(MATCH, '"v1"'), (MODIFIED_SINCE, EQUAL)], NOT_MODIFIED, PROCEED, id="13.2.2 4 comes after 1"),
    pytest.param([(UNMODIFIED_SINCE, BEFORE), (NONE_MATCH, "*")], FAILED, FAILED, id="13.2.2 2 goes before 3"),
    pytest.param([(UNMODIFIED_SINCE, EQUAL), (NONE_MATCH, "*")], NOT_MODIFIED, FAILED, id="13.2.2 3 comes after 2"),
    pytest.param([(NONE_MATCH, '"v2"'), (MODIFIED_SINCE, EQUAL)], PROCEED, PROCEED, id="13.2.2 3 goes before 4, true"),
    pytest.param([(NONE_MATCH, "*"), (MODIFIED_SINCE, BEFORE)], NOT_MODIFIED, FAILED, id="13.2.2 3 goes before 4"),
    pytest.param([(NONE_MATCH, ""), (MODIFIED_SINCE, EQUAL)], PROCEED, PROCEED, id="13.1.3 ignored beside a bad list"),
]


@pytest.mark.parametrize(("pairs", "read", "write"), STANDING)
def test_conditions_on_an_existing_document(
    pairs: list[tuple[str, str]], read: ConditionOutcome, write: ConditionOutcome
) -> None:
    judged = conditions(*pairs)
    assert {judged.evaluate(method, META, NOW) for method in ("GET", "HEAD")} == {read}
    assert {judged.evaluate(method, META, NOW) for method in ("PUT", "POST", "PATCH", "DELETE", "MOVE")} == {write}
    assert {judged.evaluate(method, META, NOW) for method in ("OPTIONS", "TRACE", "CONNECT")} == {PROCEED}


@pytest.mark.parametrize(
    ("pairs", "outcome"),
    [
        pytest.param([(MATCH, '"v1"')], FAILED, id="13.1.1 a tag"),
        pytest.param([(MATCH, "*")], FAILED, id="13.1.1 any"),
        pytest.param([(NONE_MATCH, '"v1"')], PROCEED, id="13.1.2 a tag"),
        pytest.param([(NONE_MATCH, "*")], PROCEED, id="13.1.2 any"),
        pytest.param([(UNMODIFIED_SINCE, BEFORE)], PROCEED, id="13.1.4 no date to compare with"),
        pytest.param([(MODIFIED_SINCE, AFTER)], PROCEED, id="13.1.3 no date to compare with"),
        pytest.param([(MATCH, "*"), (NONE_MATCH, "*")], FAILED, id="13.2.2 both can't hold"),
    ],
)
def test_conditions_on_an_absent_document(pairs: list[tuple[str, str]], outcome: ConditionOutcome) -> None:
    judged = conditions(*pairs)
    assert {judged.evaluate(method, None, NOW) for method in ("PUT", "POST", "MOVE")} == {outcome}
    answered_404 = ("GET", "HEAD", "DELETE", "PATCH")
    assert {judged.evaluate(method, None, NOW) for method in answered_404} == {PROCEED}, "13.2.1"


@pytest.mark.parametrize("name", [MATCH, NONE_MATCH, MODIFIED_SINCE, UNMODIFIED_SINCE])
def test_each_precondition_is_found_among_other_fields(name: str) -> None:
    assert Conditions.of(headers(("host", "a"), (name, "*"), ("accept", "*/*"))) is not None


@pytest.mark.parametrize("name", ["if-range", "range", "if", "x-if-match", "if-match-not", "host"])
def test_without_a_precondition_there_are_no_conditions(name: str) -> None:
    assert Conditions.of(headers((name, "*"))) is None
    assert Conditions.of(headers()) is None


@pytest.mark.parametrize(
    ("pairs", "current", "expected"),
    [
        pytest.param([], META, ANY, id="no conditions"),
        pytest.param([(MATCH, '"v0", "v1"')], META, "v1", id="the version that was judged"),
        pytest.param([(NONE_MATCH, '"v2"')], META, "v1", id="13.1.2 another version would be judged again"),
        pytest.param([(UNMODIFIED_SINCE, AFTER)], META, "v1", id="13.1.4 the version that had this date"),
        pytest.param([(NONE_MATCH, "*")], None, ABSENT, id="13.1.2 create only"),
        pytest.param([(NONE_MATCH, '"v1"')], None, ABSENT, id="13.1.2 the absence that was judged"),
        pytest.param([(MODIFIED_SINCE, AFTER)], META, ANY, id="13.1.3 binds no write"),
    ],
)
def test_a_write_expects_the_state_that_was_evaluated(
    pairs: list[tuple[str, str]], current: Meta | None, expected: Expectation
) -> None:
    assert expectation(Conditions.of(headers(*pairs)), current) == expected


tag_lists = st.none() | st.just("*") | st.lists(st.sampled_from(['"v1"', '"v2"', 'W/"v1"', "v1"])).map(",".join)
dates = st.none() | st.sampled_from([BEFORE, EQUAL, AFTER, "never"])
sent = st.fixed_dictionaries(
    {MATCH: tag_lists, NONE_MATCH: tag_lists, MODIFIED_SINCE: dates, UNMODIFIED_SINCE: dates}
).map(lambda fields: headers(*((name, value) for name, value in fields.items() if value is not None)))
states = st.none() | st.builds(
    lambda version, seconds: replace(META, version=version, modified_ns=(MODIFIED + seconds) * 10**9),
    st.sampled_from(["v1", "v2", "v3"]),
    st.integers(-1, 1),
)


@given(sent, states, states)
def test_a_write_commits_only_on_the_state_that_was_evaluated(
    fields: Headers, judged_state: Meta | None, other_state: Meta | None
) -> None:
    judged = Conditions.of(fields)
    if judged is None or judged.evaluate("PUT", judged_state, NOW) is not PROCEED:
        return
    expect = expectation(judged, judged_state)
    if expect is ANY:
        assert judged.evaluate("PUT", other_state, NOW) is PROCEED
    else:
        assert satisfies(expect, judged_state)
        versions = {None if state is None else state.version for state in (judged_state, other_state)}
        assert satisfies(expect, other_state) is (len(versions) == 1)


@given(st.sampled_from([MATCH, NONE_MATCH, MODIFIED_SINCE, UNMODIFIED_SINCE]), st.binary(max_size=200), states)
def test_any_bytes_in_a_precondition_get_an_outcome(name: str, value: bytes, current: Meta | None) -> None:
    judged = Conditions.of(Headers([(name.encode(), value)]))
    assert judged is not None
    for method in ("GET", "PUT"):
        assert judged.evaluate(method, current, NOW) in ConditionOutcome


@pytest.mark.parametrize(
    ("value", "now", "holds"),
    [
        pytest.param('"v1"', NOW, True, id="13.1.5 the tag"),
        pytest.param('"v1"', MODIFIED, True, id="13.1.5 the tag, at once"),
        pytest.param('"v2"', NOW, False, id="13.1.5 another tag"),
        pytest.param('W/"v1"', NOW, False, id="13.1.5 strong comparison"),
        pytest.param('"v1", "v2"', NOW, False, id="13.1.5 a list"),
        pytest.param("*", NOW, False, id="13.1.5 a star"),
        pytest.param("v1", NOW, False, id="13.1.5 no quotes"),
        pytest.param("", NOW, False, id="13.1.5 nothing"),
        pytest.param(EQUAL, NOW, True, id="13.1.5 the date"),
        pytest.param("Sunday, 06-Nov-94 08:49:37 GMT", NOW, True, id="5.6.7 the date in another form"),
        pytest.param(BEFORE, NOW, False, id="13.1.5 exact match, an earlier date"),
        pytest.param(AFTER, NOW, False, id="13.1.5 exact match, a later date"),
        pytest.param("yesterday", NOW, False, id="13.1.5 no date"),
        pytest.param(EQUAL, MODIFIED + 1, True, id="8.8.2.2 one second later"),
        pytest.param(EQUAL, MODIFIED, False, id="8.8.2.2 within the second"),
        pytest.param(EQUAL, MODIFIED - 5, False, id="8.8.2.2 a clock that went back"),
    ],
)
def test_if_range_accepts_only_strong_validators(value: str, now: int, holds: bool) -> None:
    assert if_range_holds(value, META, now) is holds


@given(st.text(), st.integers(0, 10**10))
def test_any_text_in_if_range_is_handled_without_an_error(value: str, now: int) -> None:
    assert if_range_holds(value, META, now) is False


@given(st.integers(0, 10**11 * 10**9))
def test_the_last_modified_that_was_sent_is_not_later_than_the_change(modified_ns: int) -> None:
    meta = replace(META, modified_ns=modified_ns)
    assert 0 <= modified_ns - last_modified(meta) * 10**9 < 10**9
    sent_back = conditions((MODIFIED_SINCE, format_http_date(last_modified(meta))))
    assert sent_back.evaluate("GET", meta, NOW) is NOT_MODIFIED


def test_a_hundred_kilobytes_of_tags_are_rejected() -> None:
    """To ignore some would change the condition."""
    with pytest.raises(TooManyMembers):
        conditions((MATCH, ",".join(['"no"'] * 20_000 + ['"v1"'])))
    assert conditions((MATCH, '"' * 100_001)).evaluate("PUT", META, NOW) is FAILED
