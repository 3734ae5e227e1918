"""Digest fields (RFC 9530), Digest (RFC 3230) and Content-MD5 (RFC 1864), with the vectors of RFC 9530 Appendix B."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from docstore.content import BytesContent, Upload, read_all
from docstore.errors import DigestMismatch, IncompleteUpload
from docstore.http.digests import (
    AnnouncedDigest,
    DigestVerifiedUpload,
    announced_digests,
    digest_headers,
    structured_digest,
    wanted_digests,
)
from docstore.http.message import Headers

WHOLE = b'{"hello": "world"}\n'
SHA256 = "RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg="
SHA512 = "YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg=="
MD5 = "UFIauregE76D7gDe0/n0JA=="
SHA = base64.b64encode(hashlib.sha1(WHOLE).digest()).decode()
PART = b'"world"}\n'
PART_SHA256 = "jjcgBDWNAtbYUXI37CVG3gRuGOAjaaDRGpIUFsdyepQ="
OTHER_SHA256 = base64.b64encode(hashlib.sha256(b"another").digest()).decode()


def headers(*lines: tuple[str, str]) -> Headers:
    return Headers((name.encode("latin-1"), value.encode("latin-1")) for name, value in lines)


def check(digests: tuple[AnnouncedDigest, ...], content: bytes) -> None:
    pieces = [content[start : start + 5] for start in range(0, len(content), 5)]
    asyncio.run(read_all(DigestVerifiedUpload(Pieces(*pieces), digests)))


RIGHT = [
    ("content-digest", f"sha-256=:{SHA256}:"),
    ("content-digest", f"sha-512=:{SHA512}:"),
    ("content-digest", f"sha-256=:{SHA256}:, sha-512=:{SHA512}:"),
    ("content-digest", f"sha-256=:{SHA256.rstrip('=')}:;made-by=me"),
    ("content-digest", f"sha-256=:AAAA:, sha-256=:{SHA256}:"),
    ("content-digest", f"md5=:AAAA:, unixsum=:AA==:, sha-256=:{SHA256}:"),
    ("repr-digest", f"sha-256=:{SHA256}:"),
    ("content-md5", MD5),
    ("digest", f"sha-256={SHA256}"),
    ("digest", f"SHA-256={SHA256},MD5={MD5}"),
    ("digest", f"sha-512={SHA512}, unixsum=30637, sha={SHA}"),
]

WRONG = [
    ("content-digest", f"sha-256=:{OTHER_SHA256}:", "sha-256"),
    ("content-digest", f"sha-256=:{SHA256}:, sha-512=:{OTHER_SHA256}:", "sha-512"),
    ("content-digest", "sha-256=::", "sha-256"),
    ("repr-digest", f"sha-256=:{OTHER_SHA256}:", "sha-256"),
    ("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==", "md5"),
    ("content-md5", "", "md5"),
    ("content-md5", MD5.rstrip("="), "md5"),
    ("content-md5", MD5[:8] + " " + MD5[8:], "md5"),
    ("content-md5", MD5 + "=", "md5"),
    ("content-md5", f"{MD5}, {MD5}", "md5"),
    ("content-md5", hashlib.md5(WHOLE).hexdigest(), "md5"),
    ("content-md5", "\xe4", "md5"),
    ("digest", f"sha-256={OTHER_SHA256}", "sha-256"),
    ("digest", f"sha-256={SHA256}, md5=AAAA", "md5"),
    ("digest", f"sha-256={hashlib.sha256(WHOLE).hexdigest()}", "sha-256"),
    ("digest", "sha-256", "sha-256"),
]

NOTHING = [
    ("content-digest", ""),
    ("content-digest", "md5=:AAAA:"),
    ("content-digest", f"sha-256={SHA256}"),
    ("content-digest", f"sha-256=:{SHA256}"),
    ("content-digest", f"sha-256=:{SHA256}:, sha-512=1"),
    ("content-digest", f"SHA-256=:{SHA256}:"),
    ("repr-digest", f"sha-256=:{SHA256[:9]} {SHA256[9:]}:"),
    ("digest", "unixsum=30637"),
    ("digest", ", ,"),
    ("want-digest", "sha-256"),
    ("x-digest", f"sha-256={OTHER_SHA256}"),
]


@pytest.mark.parametrize(("field", "value"), RIGHT)
def test_content_that_matches_its_digest_passes(field: str, value: str) -> None:
    announced = announced_digests(headers((field, value)))
    assert announced
    check(announced, WHOLE)
    with pytest.raises(DigestMismatch):
        check(announced, WHOLE[:-1] + b" ")


@pytest.mark.parametrize(("field", "value", "algorithm"), WRONG)
def test_a_digest_that_does_not_match_the_content_is_named(field: str, value: str, algorithm: str) -> None:
    announced = announced_digests(headers((field, value)))
    assert announced
    with pytest.raises(DigestMismatch, match=f"{algorithm} .* {field} "):
        check(announced, WHOLE)


@pytest.mark.parametrize(("field", "value"), NOTHING)
def test_unsupported_and_malformed_digests_are_ignored(field: str, value: str) -> None:
    assert announced_digests(headers((field, value))) == ()


def test_every_field_and_every_line_is_checked() -> None:
    announced = announced_digests(
        headers(
            ("content-digest", f"sha-256=:{SHA256}:"),
            ("content-digest", f"sha-512=:{SHA512}:"),
            ("repr-digest", f"sha-256=:{SHA256}:"),
            ("content-md5", MD5),
            ("content-md5", "AAAA"),
            ("digest", f"sha={SHA}"),
        )
    )
    assert announced
    assert [(digest.field, digest.algorithm) for digest in announced] == [
        ("content-digest", "sha-256"),
        ("content-digest", "sha-512"),
        ("repr-digest", "sha-256"),
        ("content-md5", "md5"),
        ("content-md5", "md5"),
        ("digest", "sha"),
    ]
    with pytest.raises(DigestMismatch, match="content-md5"):
        check(announced, WHOLE)


def test_empty_content_has_digests_too() -> None:
    check((AnnouncedDigest("content-digest", "sha-256", hashlib.sha256().digest()),), b"")


class Pieces:
    """An upload in pieces, which may fail after the last one."""

    size = None

    def __init__(self, *pieces: bytes, failure: Exception | None = None) -> None:
        self._pieces = pieces
        self._failure = failure

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
        if self._failure is not None:
            raise self._failure


RIGHT_DIGEST = (AnnouncedDigest("repr-digest", "sha-256", hashlib.sha256(WHOLE).digest()),)


def test_a_verified_upload_yields_the_bytes_unchanged() -> None:
    async def chunks(upload: Upload) -> list[bytes]:
        return [chunk async for chunk in upload]

    assert asyncio.run(chunks(DigestVerifiedUpload(Pieces(WHOLE[:7], WHOLE[7:]), RIGHT_DIGEST))) == [
        WHOLE[:7],
        WHOLE[7:],
    ]


def test_a_verified_upload_has_the_announced_size() -> None:
    assert DigestVerifiedUpload(BytesContent(WHOLE), RIGHT_DIGEST).size == len(WHOLE)
    assert DigestVerifiedUpload(Pieces(WHOLE), RIGHT_DIGEST).size is None


@pytest.mark.parametrize("content", [b"", WHOLE[:-1], WHOLE + b"\n", WHOLE[:3] + b"H" + WHOLE[4:]])
def test_an_upload_with_other_bytes_always_raises(content: bytes) -> None:
    with pytest.raises(DigestMismatch):
        asyncio.run(read_all(DigestVerifiedUpload(BytesContent(content), RIGHT_DIGEST)))


def test_an_error_of_the_upload_is_passed_on() -> None:
    with pytest.raises(IncompleteUpload):
        asyncio.run(read_all(DigestVerifiedUpload(Pieces(WHOLE[:7], failure=IncompleteUpload("gone")), RIGHT_DIGEST)))


REPR, CONTENT, OLDER = "repr-digest", "content-digest", "digest"
WANTED = [
    ((), set()),
    ((("want-repr-digest", "sha-256=1"),), {REPR}),
    ((("want-content-digest", "sha-256=10"),), {CONTENT}),
    ((("want-repr-digest", "sha-512=3, sha-256=10, unixsum=0"),), {REPR}),
    ((("want-repr-digest", "sha-512=4, sha-256=3"),), {REPR}),
    ((("want-repr-digest", "sha-512=1, sha-256=0"),), set()),
    ((("want-repr-digest", "sha-256=0"),), set()),
    ((("want-repr-digest", "md5=10"),), set()),
    ((("want-repr-digest", "md5=10, sha-256=1"),), {REPR}),
    ((("want-repr-digest", "sha-256=11"),), set()),
    ((("want-repr-digest", "sha-256=-1"),), set()),
    ((("want-repr-digest", "sha-256=5, md5=11"),), set()),
    ((("want-repr-digest", "sha-256"),), set()),
    ((("want-repr-digest", "sha-256=1.0"),), set()),
    ((("want-repr-digest", "sha-256=1,"),), set()),
    ((("want-repr-digest", "SHA-256=1"),), set()),
    ((("want-repr-digest", "md5=1"), ("want-repr-digest", "sha-256=1")), {REPR}),
    ((("want-digest", "sha-256"),), {OLDER}),
    ((("want-digest", "SHA-256;q=0.3, sha;q=1"),), {OLDER}),
    ((("want-digest", "sha-512;q=0.5"),), set()),
    ((("want-digest", "sha-512, sha-256"),), {OLDER}),
    ((("want-digest", "sha-256;q=0"),), set()),
    ((("want-digest", "sha-256, sha-256;q=0"),), set()),
    ((("want-digest", "sha-256;q=x, sha-512;q=0.1"),), set()),
    ((("want-digest", "contentMD5, md5"),), set()),
    (
        (("want-digest", "sha-256"), ("want-repr-digest", "sha-256=1"), ("want-content-digest", "sha-256=1")),
        {REPR, CONTENT, OLDER},
    ),
]


@pytest.mark.parametrize(("lines", "wanted"), WANTED)
def test_the_stored_algorithm_is_wanted_or_not(lines: tuple[tuple[str, str], ...], wanted: set[str]) -> None:
    assert wanted_digests(headers(*lines)) == wanted


def test_a_response_has_the_digest_of_the_document_and_of_the_part() -> None:
    wanted = frozenset({REPR, CONTENT, OLDER})
    document, part = hashlib.sha256(WHOLE).digest(), hashlib.sha256(PART).digest()
    assert digest_headers(wanted, document, part) == [
        (b"repr-digest", f"sha-256=:{SHA256}:".encode()),
        (b"content-digest", f"sha-256=:{PART_SHA256}:".encode()),
        (b"digest", f"sha-256={SHA256}".encode()),
    ]
    assert [name for name, _ in digest_headers(wanted, document, None)] == [b"repr-digest", b"digest"]
    assert digest_headers(frozenset(), document, part) == []


def test_digests_are_formatted_as_structured_fields() -> None:
    assert structured_digest("sha-512", hashlib.sha512(WHOLE).digest()) == f"sha-512=:{SHA512}:"
    assert http_sf.parse(structured_digest("sha-256", b"\xff").encode(), tltype="dictionary") == {
        "sha-256": (b"\xff", {})
    }


@given(st.binary(max_size=64), st.sampled_from(["sha-256", "sha-512"]), st.integers(0, 63))
def test_one_flipped_bit_is_detected(content: bytes, algorithm: str, bit: int) -> None:
    value = hashlib.new(algorithm.replace("-", ""), content).digest()
    announced = announced_digests(headers(("repr-digest", structured_digest(algorithm, value))))
    assert announced
    check(announced, content)
    if content:
        flipped = bytearray(content)
        flipped[bit % len(content)] ^= 1 << bit % 8
        with pytest.raises(DigestMismatch):
            check(announced, bytes(flipped))


@given(
    st.sampled_from(["content-digest", "repr-digest", "content-md5", "digest"]),
    st.text(st.characters(max_codepoint=255) | st.sampled_from("sha-256=:;,md5AA=="), max_size=40),
)
def test_any_digest_field_is_handled_without_another_error(field: str, value: str) -> None:
    announced = announced_digests(headers((field, value)))
    if announced:
        with pytest.raises(DigestMismatch):
            check(announced, WHOLE)
