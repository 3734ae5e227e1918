"""The spelling of keys as names: round trips, unique names, and names that belong to no document."""

import unicodedata
from collections.abc import Iterator
from typing import Final, Literal

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from docstore.engines.file.filenames import MORE, NamePath, Scheme, aside_of, file_segment, folder_segment, place_of
from docstore.errors import InvalidKey
from docstore.keys import check_path

PLAIN, FOLDED = Scheme.PLAIN, Scheme.FOLDED
FORMS: Final[list[Literal["NFC", "NFD", "NFKC", "NFKD"]]] = ["NFC", "NFD", "NFKC", "NFKD"]
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{digit}" for port in ("com", "lpt") for digit in range(10))}


def valid(key: str) -> bool:
    try:
        check_path(key)
    except InvalidKey:
        return False
    return True


anything = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=60)
awkward = st.text(st.sampled_from("aAbcnoul.%+2e5 ~:é\u00c5\u0301\ufb01\u212bß\u017f😀"), min_size=1, max_size=12)
long = st.builds(lambda text, count: (text * count)[:255], awkward, st.integers(20, 255))
keys = st.lists(anything | awkward | long, min_size=1, max_size=4).map("/".join).filter(valid)
schemes = st.sampled_from(Scheme)


def segments(place: NamePath) -> Iterator[NamePath]:
    names: NamePath = ()
    for name in place:
        names = (*names, name)
        if not name.endswith(MORE):
            yield names
            names = ()


def decoded(place: NamePath, scheme: Scheme) -> str | None:
    *folders, last = segments(place)
    parts = [*(folder_segment(names, scheme) for names in folders), file_segment(last, scheme)]
    return None if None in parts else "/".join(part for part in parts if part)


@pytest.mark.parametrize(
    ("key", "plain", "folded"),
    [
        ("notes", b"notes", b"notes"),
        ("a/b.txt", b"a/b.txt", b"a/b.txt"),
        ("README.md", b"README.md", b"%52%45%41%44%4d%45.md"),
        ("café", "café".encode(), b"caf%c3%a9"),
        ("50%", b"50%25", b"50%25"),
        ("%41", b"%2541", b"%2541"),
        (".docstore", b"%2edocstore", b"%2edocstore"),
        (".docstore/format", b"%2edocstore/format", b"%2edocstore/format"),
        ("a/.b", b"a/%2eb", b"a/%2eb"),
        ("...", b"%2e..", b"%2e.%2e"),
        ("con", b"con", b"%63on"),
        ("nul.txt", b"nul.txt", b"%6eul.txt"),
        ("console", b"console", b"console"),
        ("end.", b"end.", b"end%2e"),
        ("end ", b"end ", b"end%20"),
        ("progra~1", b"progra~1", b"progra%7e1"),
        ('<>:"|?*\\', b'<>:"|?*\\', b"%3c%3e%3a%22%7c%3f%2a%5c"),
        ("x" * 255, b"x" * 255, b"x" * 255),
        ("%" * 100, b"%25" * 66 + b"%+/" + b"%25" * 34, b"%25" * 66 + b"%+/" + b"%25" * 34),
        ("é" * 127, "é".encode() * 127, b"/".join([b"%c3%a9" * 33 + MORE] * 3 + [b"%c3%a9" * 28])),
        ("%" * 66 + "." * 80, b"%25" * 66 + b"..%+/%2e" + b"." * 77, b"%25" * 66 + b".%2e%+/%2e" + b"." * 76 + b"%2e"),
    ],
)
def test_a_key_is_escaped_only_as_its_file_system_needs(key: str, plain: bytes, folded: bytes) -> None:
    assert b"/".join(place_of(key, PLAIN)) == plain
    assert b"/".join(place_of(key, FOLDED)) == folded


@given(keys, schemes)
@example("x" * 255, PLAIN)
@example("%" * 255, PLAIN)
@example("😀" * 63, FOLDED)
@example("/".join("a" * 512), PLAIN)
def test_a_key_is_decoded_from_its_place_and_from_aside(key: str, scheme: Scheme) -> None:
    for place in (place_of(key, scheme), aside_of(key, scheme)):
        assert decoded(place, scheme) == key
        assert all(0 < len(name) <= 255 and b"/" not in name and not name.startswith(b".") for name in place)


@given(keys, keys, schemes)
@example("a", "a/b", PLAIN)
@example("a%", "a", PLAIN)
@example("x" * 255, "x" * 200 + "/" + "x" * 55, PLAIN)
@example("x" * 200 + "%+", "x" * 255, PLAIN)
@example("a/b", "a%2fb", FOLDED)
def test_two_keys_never_share_a_file_and_no_file_aside_is_a_folder_of_another(
    one: str, other: str, scheme: Scheme
) -> None:
    assume(one != other)
    files = {place_of(other, scheme), aside_of(other, scheme)}
    assert files.isdisjoint({place_of(one, scheme), aside_of(one, scheme)})
    aside = aside_of(one, scheme)
    assert aside != place_of(other, scheme)[: len(aside)]


@given(keys)
@example("Straße.Ⅷ")
@example("CON")
@example("Con.TXT/aux /lpt1")
def test_folded_names_are_unique_on_a_file_system_that_folds_everything(key: str) -> None:
    for name in (*place_of(key, FOLDED), *aside_of(key, FOLDED)):
        text = name.decode("ascii")
        assert {unicodedata.normalize(form, text.casefold()) for form in FORMS} == {text}
        assert not set(text) & set('<>:"|?*\\~')
        assert text == text.rstrip(". ")
        assert text.partition(".")[0].rstrip(" ") not in RESERVED


@pytest.mark.parametrize(
    ("names", "scheme"),
    [
        ((b"%41",), PLAIN),
        ((b"%2E",), PLAIN),
        ((b"50%",), FOLDED),
        ((b"a%%",), PLAIN),
        ((b"%",), PLAIN),
        ((b".hidden",), PLAIN),
        ((b".docstore",), FOLDED),
        ((b"%2e",), PLAIN),
        ((b"%2e%2e",), FOLDED),
        ((b"a%2fb",), PLAIN),
        ((b"a%2fb",), FOLDED),
        ((b"a%00b",), FOLDED),
        ((b"a\nb",), PLAIN),
        ((b"\xff",), PLAIN),
        ((b"README",), FOLDED),
        ((b"caf%C3%A9",), FOLDED),
        ((b"con",), FOLDED),
        ((b"a%+",), PLAIN),
        ((b"a%+", b"b"), PLAIN),
        ((b"x" * 200 + MORE, b"x" * 55), PLAIN),
    ],
)
def test_a_name_that_encodes_no_key_belongs_to_no_document(names: NamePath, scheme: Scheme) -> None:
    assert folder_segment(names, scheme) is None
    if names != (b"50%",):  # as a file, that is the document `50`, aside
        assert file_segment(names, scheme) is None


def test_a_folder_is_never_stored_aside() -> None:
    assert file_segment((b"a%",), PLAIN) == "a"
    assert folder_segment((b"a%",), PLAIN) is None


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=3), schemes)
def test_any_name_belongs_to_at_most_one_document(names: list[bytes], scheme: Scheme) -> None:
    place = tuple(names)
    segment = file_segment(place, scheme)
    assert segment is None or place in (place_of(segment, scheme), aside_of(segment, scheme))
