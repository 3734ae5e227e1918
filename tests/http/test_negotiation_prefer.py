"""Prefer (RFC 7240)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docstore.http.message import Headers
from docstore.http.negotiation import preferred_return

PREFERENCES = [
    ("return=minimal", "minimal"),
    ("return=representation", "representation"),
    ("return=minimal, wait=10 , handling=lenient", "minimal"),
    # names are case-insensitive, blanks around "=" are allowed, and quotes mean nothing
    ("Return=minimal", "minimal"),
    ("return = minimal", "minimal"),
    ("\treturn\t=\tminimal ", "minimal"),
    ('return="minimal"', "minimal"),
    (r'return="mini\mal"', "minimal"),
    # unknown parameters
    ("return=minimal; foo=bar", "minimal"),
    ('return=minimal;foo="a, b;c"; d, wait=10', "minimal"),
    # the first of a name counts, whatever its value
    ("return=minimal, return=representation", "minimal"),
    ("return=representation, RETURN=minimal", "representation"),
    ("return, return=minimal", None),
    # unknown and malformed preferences are ignored
    ("", None),
    (", ,", None),
    ("respond-async", None),
    ("respond-async, wait=10", None),
    ("foo; return=minimal", None),
    ("foo=bar, return=minimal", "minimal"),
    ("return=everything", None),
    ("return=", None),
    ('return=""', None),
    ("return=minimal extra", None),
    ("=minimal, return=minimal", "minimal"),
    ("re turn=minimal", None),
    ('return="minimal', None),
]


@pytest.mark.parametrize(("value", "preferred"), PREFERENCES)
def test_the_preference_is_parsed(value: str, preferred: str | None) -> None:
    assert preferred_return(Headers([(b"prefer", value.encode("latin-1"))])) == preferred


def test_several_lines_are_one_list() -> None:
    headers = Headers([(b"prefer", b"return=minimal"), (b"x", b"y"), (b"prefer", b"wait=10, return=representation")])
    assert preferred_return(headers) == "minimal"


def test_a_request_without_the_header_prefers_nothing() -> None:
    assert preferred_return(Headers()) is None


@given(st.text(st.characters(max_codepoint=255) | st.sampled_from('return=wait10minimal;,"\\ '), max_size=60))
def test_any_value_is_handled_without_an_error(value: str) -> None:
    headers = Headers([(b"prefer", value.encode("latin-1"))])
    assert preferred_return(headers) in {None, "minimal", "representation"}
