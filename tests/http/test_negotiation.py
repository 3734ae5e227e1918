"""Accept (RFC 9110 §12.5.1): tables, and an oracle that reads the section word by word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docstore.http.headers import LIST_LIMIT
from docstore.http.negotiation import accepts_coding, choose

HTML, JSON, LINES, TEXT = "text/html", "application/json", "application/x-ndjson", "text/plain"
OFFERS = [HTML, JSON, LINES, TEXT]

CHOICES = [
    # no Accept
    (None, HTML),
    ("", HTML),
    (",, ,", HTML),
    ("*/*", HTML),
    # one range
    ("application/json", JSON),
    ("APPLICATION/JSON", JSON),
    ("text/*", HTML),
    ("application/*", JSON),
    ("image/png", None),
    ("image/*", None),
    ("application/problem+json", None),
    # invalid wildcards
    ("application/*+json", None),
    ("application/*+json, text/plain;q=0.1", TEXT),
    # weights, then the order of the offers
    ("text/plain, application/json", JSON),
    ("application/json;q=0.5, text/plain", TEXT),
    ("application/json;q=0.501, text/plain;q=0.5", JSON),
    ("application/json ; q=0.5 , text/plain;\tq=0.6", TEXT),
    ("text/html;q=0.9, application/json;Q=1.000", JSON),
    ("*/*;q=0.1, text/plain;q=0.2", TEXT),
    # what browsers and tools send
    ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", HTML),
    ("application/json, text/plain, */*", HTML),
    ("application/json, */*;q=0.5", JSON),
    # the most specific range counts, not the one with the highest weight
    ("text/html;q=0, */*", JSON),
    ("text/*;q=0, */*", JSON),
    ("*/*, text/*;q=0.5, text/plain;q=0.9", JSON),
    ("*/*;q=0", None),
    ("*/*;q=0, text/plain", TEXT),
    ("text/html;q=0", None),
    ("text/html;q=0.2, text/html;q=0.9, application/json;q=0.5", HTML),
    # parameters
    ("text/html;level=1", None),
    ("text/html;level=1, text/plain;q=0.1", TEXT),
    ("application/json;charset=utf-8", JSON),
    ('application/json;charset="UTF-8"', JSON),
    ("application/json;charset=latin1", None),
    ("text/html;charset=utf-8;q=0, */*;q=0.5", JSON),
    ("text/html;q=0.5;level=1, text/plain;q=0.1", TEXT),
    # members that are malformed count as not sent
    ("*, text/plain", TEXT),
    ("*/json, text/plain", TEXT),
    ("text, text/plain", TEXT),
    ("text/plain/x, text/plain", TEXT),
    ("text/html;q=2, text/plain", TEXT),
    ("text/html;q=-1, text/plain", TEXT),
    ("text/html;q=.5, text/plain", TEXT),
    ("text/html;q=0.1234, text/plain", TEXT),
    ("text/html;q, text/plain", TEXT),
    ("text/html;q=\u0661, text/plain", TEXT),
    ("text/html;q=1;q=1, text/plain", TEXT),
    ('text/html;a="x, text/plain', HTML),
    ("nonsense", HTML),
]


@pytest.mark.parametrize(("accept", "choice"), CHOICES)
def test_the_offer_with_the_highest_weight_is_chosen(accept: str | None, choice: str | None) -> None:
    assert choose(accept, OFFERS) == choice


EXAMPLE = "text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed, text/plain;format=fixed;q=0.4, */*;q=0.5"
RANKED = ["text/plain;format=flowed", "text/plain", "image/jpeg", "text/plain;format=fixed", "text/html"]


@pytest.mark.parametrize("index", range(len(RANKED) - 1))
def test_the_example_of_the_rfc_ranks_as_its_table_says(index: int) -> None:
    better, worse = RANKED[index : index + 2]
    assert choose(EXAMPLE, [better, worse]) == choose(EXAMPLE, [worse, better]) == better


def test_an_offer_with_parameters_is_named_by_ranges_with_fewer() -> None:
    offers = ["application/json", 'text/html; level=1; charset="UTF-8"']
    assert choose("text/html;level=1", offers) == offers[1]
    assert choose("text/html;charset=utf-8;level=1;q=0, text/html;level=1", offers) is None


def test_members_beyond_the_limit_count_as_not_sent() -> None:
    others = ["a/b"] * (LIST_LIMIT - 1)
    assert choose(",".join([*others, TEXT]), OFFERS) == TEXT
    assert choose(",".join([*others, "a/b", TEXT]), OFFERS) is None


def test_an_offer_that_is_not_a_media_type_raises_value_error() -> None:
    with pytest.raises(ValueError, match="not a media type"):
        choose("text/html", ["html"])


TYPES = st.sampled_from(["text", "application", "image"])
SUBTYPES = st.sampled_from(["html", "json", "plain"])
WEIGHTS = st.integers(0, 10)
PARAMETERS = st.sampled_from([{}, {"v": "1"}, {"v": "2"}, {"v": "1", "w": "1"}])
RANGES = st.tuples(
    st.one_of(st.tuples(TYPES, SUBTYPES), st.tuples(TYPES, st.just("*")), st.just(("*", "*"))), PARAMETERS
)


def written(name: tuple[str, str], parameters: dict[str, str]) -> str:
    return "/".join(name) + "".join(f";{key}={value}" for key, value in parameters.items())


@given(
    st.lists(st.tuples(RANGES, WEIGHTS), min_size=1, max_size=6),
    st.lists(st.tuples(st.tuples(TYPES, SUBTYPES), PARAMETERS), min_size=1, max_size=4),
)
def test_any_accept_gives_the_result_of_the_oracle(
    ranges: list[tuple[tuple[tuple[str, str], dict[str, str]], int]],
    offers: list[tuple[tuple[str, str], dict[str, str]]],
) -> None:
    def weight(name: tuple[str, str], parameters: dict[str, str]) -> int:
        for pattern in (name, (name[0], "*"), ("*", "*")):
            for size in (2, 1, 0):
                found = [
                    weight
                    for (named, required), weight in ranges
                    if named == pattern and len(required) == size and required.items() <= parameters.items()
                ]
                if found:
                    return max(found)
        return 0

    accept = ", ".join(f"{written(*named)};q={weight / 10}" for named, weight in ranges)
    weights = [weight(*offer) for offer in offers]
    best = max(weights)
    expected = written(*offers[weights.index(best)]) if best else None
    assert choose(accept, [written(*offer) for offer in offers]) == expected


@given(st.text(st.characters(max_codepoint=255), max_size=60))
def test_any_accept_is_handled_without_an_error(accept: str) -> None:
    assert choose(accept, OFFERS) in {*OFFERS, None}


CODINGS = [
    (None, False),
    ("", False),
    ("gzip", True),
    ("GZIP", True),
    ("gzip, deflate, br", True),
    ("deflate, gzip;q=1.0, *;q=0.5", True),
    ("gzip;q=0", False),
    ("gzip; q=0.001", True),
    ("gzip ;\tq=0", False),
    ("*", True),
    ("*;q=0", False),
    ("gzip;q=0, *", False),
    ("identity", False),
    ("identity, *;q=0", False),
    ("br;q=1.0, x-gzip", False),
    # what is malformed counts as not sent
    ("gzip;q=2", False),
    ("gzip;level=9", False),
    (";q=1, gzip", True),
]


@pytest.mark.parametrize(("field", "taken"), CODINGS)
def test_12_5_3_a_coding_is_sent_to_clients_that_accept_it(field: str | None, taken: bool) -> None:
    assert accepts_coding(field, "gzip") is taken
