"""The text of signed links: one encoding, a bounded length, and caveats that only ever take rights away."""

import base64
import json
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docstore.links import (
    BLOCKS_LIMIT,
    LINK_METHODS,
    LINK_SIZE_LIMIT,
    NO_CAVEATS,
    Caveats,
    Grant,
    InvalidLink,
    SignedLink,
    in_order,
    sign_block,
)

ID = "4f9c2a71be" + "0068f0a1b2" + "9d8e7f6a5b4c3d2e"
FULL = Caveats("docs", "report", None, ("GET", "PUT"), 1_767_225_600, 10, ("text/csv", "image/*"), "0123456789abcdef")


def packed(*blocks: bytes, id: str = ID, signature: bytes = b"s" * 32) -> str:
    data = bytes.fromhex(id) + b"\n".join(blocks) + signature
    return f"dsl_{base64.urlsafe_b64encode(data).rstrip(b'=').decode()}"


def root_of(id: str) -> bytes:
    """A key for the first block, which depends on the id, as the server's does."""
    return sha256(id.encode()).digest()


ROOT = root_of(ID)


def is_valid(link: SignedLink) -> bool:
    return link.signatures(root_of(link.id))[-1] == link.signature


def test_a_link_is_its_id_its_blocks_and_a_signature() -> None:
    link = sign_block(ID, FULL, ROOT)
    assert is_valid(link)
    assert not is_valid(sign_block(ID, FULL, b"x" * 32))
    assert SignedLink.parse(link.encode()) == link
    assert link.encode().startswith("dsl_")
    assert link.grant() == Grant(
        "docs", "report", True, frozenset({"GET", "PUT"}), 1_767_225_600, 10, (("text/csv", "image/*"),), 0
    )


def test_a_holder_narrows_a_link_without_the_key_and_nobody_widens_it() -> None:
    link = sign_block(ID, Caveats("docs", prefix="a/", methods=("GET", "PUT"), until=100), ROOT)
    narrowed = link.narrowed(Caveats(methods=("GET",), until=50)).narrowed(Caveats("docs", key="a/b"))
    assert is_valid(narrowed)
    assert narrowed.grant() == Grant("docs", "a/b", True, frozenset({"GET"}), 50)
    for blocks in (narrowed.blocks[:2], narrowed.blocks[:1], narrowed.blocks[1:], narrowed.blocks[::-1]):
        assert not is_valid(replace(narrowed, blocks=blocks))
    for block in (b'{"until":100}', b'{"methods":["GET","PUT"]}'):
        assert not is_valid(replace(narrowed, blocks=(*narrowed.blocks, block)))
    assert not is_valid(replace(narrowed, id=ID.replace("4", "5")))


@pytest.mark.parametrize(
    ("added", "left"),
    [
        (Caveats("docs", prefix="a/b"), ("a/b", False)),
        (Caveats("docs", prefix="a"), ("a/", False)),
        (Caveats("docs", prefix=""), ("a/", False)),
        (Caveats("docs", key="a/b"), ("a/b", True)),
        (Caveats("docs", key="a"), None),
        (Caveats("docs", key="b/a"), None),
        (Caveats("docs", key=""), None),
        (Caveats("docs", prefix="b"), None),
        (Caveats("doc", prefix="a/"), None),
        (Caveats("docs/a", prefix=""), None),
        (Caveats("other", key="a/b"), None),
    ],
)
def test_a_scope_is_what_both_blocks_name(added: Caveats, left: tuple[str, bool] | None) -> None:
    grant = Grant("docs", "a/", False, frozenset({"GET"}), 100).narrow(added, 1)
    if left is None:
        assert grant.methods == frozenset()
    else:
        assert (grant.mount, grant.prefix, grant.is_key, grant.methods) == ("docs", *left, frozenset({"GET"}))


def test_a_link_for_a_key_stays_one_for_it() -> None:
    grant = Grant("docs", "a/b", True, frozenset({"GET"}), 100)
    for caveats in (Caveats("docs", key="a/b"), Caveats("docs", prefix="a/b"), Caveats("docs", prefix="a")):
        assert grant.narrow(caveats, 1) == grant
    listing = Grant("docs", "a", False, frozenset({"GET", "LIST"}), 100)
    assert listing.narrow(Caveats("docs", key="a"), 1).methods == {"GET"}, "a key has no listing"
    assert listing.narrow(Caveats("docs", prefix="a"), 1).methods == {"GET", "LIST"}
    for caveats in (Caveats("docs", key="a/b/c"), Caveats("docs", prefix="a/b/c"), Caveats("docs", key="a")):
        assert grant.narrow(caveats, 1).methods == frozenset()


@pytest.mark.parametrize(
    "block",
    [
        b"", b"{}", b"[]", b"null", b"1", b'"once"', b"{", b"\xff", b"[" * 2000,
        b'{"until": 1}', b'{"until":1.0}', b'{"until":1e2}', b'{"until":-1}', b'{"until":true}', b'{"until":"1"}',
        b'{"until":1,"until":2}', b'{"until":01}', b'{"until":NaN}', b'{"until":1099511627776}', b'{"until":null}',
        b'{"max_document":1,"until":1}', b'{"max_document":-1}', b'{"max_document":9223372036854775808}',
        b'{"methods":[]}', b'{"methods":"GET"}', b'{"methods":["get"]}', b'{"methods":["HEAD"]}',
        b'{"methods":["GET","GET"]}', b'{"methods":["PUT","GET"]}', b'{"methods":[["GET"]]}', b'{"methods":{"GET":1}}',
        b'{"types":[]}', b'{"types":["text"]}', b'{"types":["TEXT/csv"]}', b'{"types":["text/csv; a=b"]}',
        b'{"types":["text/csv\\n"]}', b'{"once":true}', b'{"once":"x"}', b'{"once":"0123456789ABCDEF"}',
        b'{"key":"a"}', b'{"prefix":"a"}', b'{"mount":"docs"}', b'{"mount":"docs","key":"a","prefix":"a"}',
        b'{"mount":"docs","key":null}', b'{"mount":"docs","key":"\\u0061"}', b'{"mount":"docs","key":"\\ud800"}',
        b'{"key":"a","mount":"docs"}', b'{"mount":"docs","key":"a\\/b"}', b'{"rights":["read"]}', b'{"Until":1}',
    ],
)  # fmt: skip
def test_a_block_with_another_encoding_or_an_unknown_caveat_is_rejected(block: bytes) -> None:
    with pytest.raises(InvalidLink):
        Caveats.parse(block)
    with pytest.raises(InvalidLink):
        SignedLink.parse(packed(FULL.encode(), block))


def texts() -> list[str]:
    link = sign_block(ID, FULL, ROOT).encode()
    cut = [link[:size] for size in range(len(link))]
    encodings = [
        link + "=",
        f" {link}",
        f"{link}\n",
        link.replace("dsl_", "DSL_"),
        link.replace("_", "%5F"),
        f"{link}é",
    ]
    incomplete = [replace(FULL, methods=None), replace(FULL, until=None), replace(FULL, mount=None, key=None)]
    return [
        *(*cut, *encodings, link.replace("dsl_", "dst_"), "dsl_", "dsl_A", "dsl_" + "A" * LINK_SIZE_LIMIT, ""),
        *(packed(caveats.encode()) for caveats in incomplete),
        packed(*[FULL.encode()] * (BLOCKS_LIMIT + 1)),
        packed(FULL.encode(), b""),
        packed(b"", FULL.encode()),
    ]


def test_a_text_that_is_not_exactly_a_link_is_rejected() -> None:
    for text in texts():
        with pytest.raises(InvalidLink):
            SignedLink.parse(text)


def test_the_last_character_has_one_spelling() -> None:
    """Base64 has bits to spare, which a lenient reader ignores."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for key in ("a", "ab", "abc"):
        text = sign_block(ID, replace(FULL, key=key), ROOT).encode()
        accepted = []
        for character in alphabet:
            try:
                accepted.append(SignedLink.parse(text[:-1] + character).encode())
            except InvalidLink:
                continue
        assert len(set(accepted)) == len(accepted)
        assert all(found[:-1] == text[:-1] for found in accepted)


def test_a_link_has_a_bounded_length() -> None:
    sign_block(ID, replace(FULL, key="x" * 1024), ROOT)
    with pytest.raises(InvalidLink):
        sign_block(ID, replace(FULL, types=("text/" + "x" * 4000,)), ROOT)
    link = sign_block(ID, FULL, ROOT)
    for _ in range(BLOCKS_LIMIT - 1):
        link = link.narrowed(Caveats(until=1))
    with pytest.raises(InvalidLink):
        link.narrowed(Caveats(until=1))


def test_messages_have_no_part_of_a_link() -> None:
    for text in texts():
        with pytest.raises(InvalidLink) as raised:
            SignedLink.parse(text)
        assert not text.startswith("dsl_A") or text not in str(raised.value)


KEYS = st.sampled_from(["", "a", "a/", "a/b", "a/bc", "ab", "b", "é/\n", '"'])
METHODS = st.sets(st.sampled_from(LINK_METHODS), min_size=1).map(in_order)
TYPES = st.lists(st.sampled_from(["text/csv", "text/*", "image/png", "*/*"]), min_size=1, max_size=2).map(tuple)
SCOPES = st.tuples(st.sampled_from(["docs", "doc"]), KEYS, st.booleans())


def caveats(draw: st.DrawFn, *, first: bool = False) -> Caveats:
    scope = draw(SCOPES) if first else draw(st.none() | SCOPES)
    optional = (lambda strategy: strategy) if first else (lambda strategy: st.none() | strategy)
    return Caveats(
        scope[0] if scope else None,
        scope[1] if scope and scope[2] else None,
        scope[1] if scope and not scope[2] else None,
        draw(optional(METHODS)),
        draw(optional(st.integers(0, 9))),
        draw(st.none() | st.integers(0, 9)),
        draw(st.none() | TYPES),
        draw(st.none() | st.just("0123456789abcdef")),
    )


@st.composite
def links(draw: st.DrawFn) -> SignedLink:
    link = sign_block(ID, caveats(draw, first=True), ROOT)
    for _ in range(draw(st.integers(0, 3))):
        more = caveats(draw)
        link = link if more == NO_CAVEATS else link.narrowed(more)
    return link


def allows(grant: Grant, mount: str, key: str, method: str, now_s: int, size: int, media_type: str) -> bool:
    return (
        grant.mount == mount
        and grant.covers(key)
        and method in grant.methods
        and now_s < grant.until
        and (grant.max_document is None or size <= grant.max_document)
        and grant.accepts_type(media_type)
    )


REQUESTS = st.tuples(
    st.sampled_from(["docs", "doc"]),
    KEYS,
    st.sampled_from(LINK_METHODS),
    st.integers(0, 9),
    st.integers(0, 9),
    st.sampled_from(["text/csv", "TEXT/CSV; charset=x", "text/html", "image/png", "text/csv/x", ""]),
)


@given(links(), st.data(), REQUESTS)
def test_whatever_is_added_rights_never_grow(
    link: SignedLink, data: st.DataObject, request: tuple[str, str, str, int, int, str]
) -> None:
    more = caveats(data.draw)
    if more == NO_CAVEATS:
        return
    narrowed = link.narrowed(more)
    before, after = link.grant(), narrowed.grant()
    assert is_valid(narrowed)
    assert not allows(after, *request) or allows(before, *request)
    assert before.once is None or after.once == before.once
    # Each caveat holds, whatever came before.
    alone = Grant("docs", "", False, frozenset(LINK_METHODS), 2**40 - 1)
    if more.mount != "doc":
        assert not allows(after, *request) or request[0] != "docs" or allows(alone.narrow(more, 0), *request)


@given(links())
def test_what_parses_is_encoded_to_the_same_text(link: SignedLink) -> None:
    assert SignedLink.parse(link.encode()) == link
    for block in link.blocks:
        assert Caveats.parse(block).encode() == block
        assert json.loads(block) != {}


@given(links(), st.data())
def test_a_changed_link_is_rejected(link: SignedLink, data: st.DataObject) -> None:
    text = link.encode()
    position = data.draw(st.integers(0, len(text) - 1))
    changed = text[:position] + data.draw(st.characters(codec="ascii")) + text[position + 1 :]
    try:
        other = SignedLink.parse(changed)
    except InvalidLink:
        return
    assert other == link or not is_valid(other)
