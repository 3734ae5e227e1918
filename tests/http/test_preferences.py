"""Prefer and Preference-Applied (RFC 7240)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docstore.http.message import Headers
from docstore.http.preferences import NO_PREFERENCES, WAIT_LIMIT_S, Preferences, applied

MINIMAL = Preferences(return_="minimal")
WHOLE = Preferences(return_="representation")
WAIT = Preferences(wait_s=10)

PREFERENCES = [
    ("return=minimal", MINIMAL),
    ("return=representation", WHOLE),
    ("wait=10", WAIT),
    ("handling=strict", Preferences(handling="strict")),
    ("handling=lenient", Preferences(handling="lenient")),
    ("return=minimal, wait=10 , handling=lenient", Preferences("minimal", 10, "lenient")),
    # names are compared without case, blanks around "=" are allowed, and quotes say nothing
    ("Return=minimal", MINIMAL),
    ("return = minimal", MINIMAL),
    ("\treturn\t=\tminimal ", MINIMAL),
    ('return="minimal"', MINIMAL),
    (r'return="mini\mal"', MINIMAL),
    ('wait="10"', WAIT),
    ("wait=010", WAIT),
    ("wait=0", Preferences(wait_s=0)),
    # parameters, of which none is known
    ("return=minimal; foo=bar", MINIMAL),
    ('return=minimal;foo="a, b;c"; d, wait=10', Preferences("minimal", 10)),
    # the first of a name counts, whatever it says
    ("return=minimal, return=representation", MINIMAL),
    ("return=representation, RETURN=minimal", WHOLE),
    ("wait=10, wait=20", WAIT),
    ("wait=soon, wait=10", NO_PREFERENCES),
    ("return, return=minimal", NO_PREFERENCES),
    # what is unknown or malformed is as if it were not there
    ("", NO_PREFERENCES),
    (", ,", NO_PREFERENCES),
    ("respond-async", NO_PREFERENCES),
    ("respond-async, wait=10", WAIT),
    ("foo; return=minimal", NO_PREFERENCES),
    ("foo=bar, return=minimal", MINIMAL),
    ("return=everything", NO_PREFERENCES),
    ("return=", NO_PREFERENCES),
    ('return=""', NO_PREFERENCES),
    ("return=minimal extra", NO_PREFERENCES),
    ("=minimal, return=minimal", MINIMAL),
    ("re turn=minimal", NO_PREFERENCES),
    ('return="minimal', NO_PREFERENCES),
    ("wait=-1", NO_PREFERENCES),
    ("wait=1.5", NO_PREFERENCES),
    ("wait=\xb2", NO_PREFERENCES),
    (f"wait={WAIT_LIMIT_S}", Preferences(wait_s=WAIT_LIMIT_S)),
    (f"wait={WAIT_LIMIT_S + 1}", NO_PREFERENCES),
    ("wait=" + "9" * 5000, NO_PREFERENCES),
]


@pytest.mark.parametrize(("value", "preferences"), PREFERENCES)
def test_preferences_are_read(value: str, preferences: Preferences) -> None:
    assert Preferences.of(Headers([(b"prefer", value.encode("latin-1"))])) == preferences


def test_several_lines_are_one_list() -> None:
    headers = Headers([(b"prefer", b"return=minimal"), (b"x", b"y"), (b"prefer", b"wait=10, return=representation")])
    assert Preferences.of(headers) == Preferences("minimal", 10)


def test_a_request_without_the_field_prefers_nothing() -> None:
    assert Preferences.of(Headers()) == NO_PREFERENCES


@pytest.mark.parametrize(
    ("honoured", "value"),
    [
        (NO_PREFERENCES, None),
        (MINIMAL, "return=minimal"),
        (Preferences(wait_s=0), "wait=0"),
        (Preferences("representation", 10, "strict"), "return=representation, wait=10, handling=strict"),
    ],
)
def test_an_answer_names_what_it_honoured(honoured: Preferences, value: str | None) -> None:
    assert applied(honoured) == value


@given(
    st.builds(
        Preferences,
        st.sampled_from([None, "minimal", "representation"]),
        st.none() | st.integers(0, WAIT_LIMIT_S),
        st.sampled_from([None, "strict", "lenient"]),
    )
)
def test_what_was_applied_reads_as_what_was_preferred(preferences: Preferences) -> None:
    assert Preferences.parse(applied(preferences) or "") == preferences


@given(st.text(st.characters(max_codepoint=255) | st.sampled_from('return=wait10minimal;,"\\ '), max_size=60))
def test_no_value_is_an_error(value: str) -> None:
    assert Preferences.parse(value).return_ in {None, "minimal", "representation"}
