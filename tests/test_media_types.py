"""The rule for documents without a media type, as tables, and the page that documents it."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docstore.http.headers import parse_media_type
from docstore.media_types import (
    ENDINGS,
    JSON_LIMIT,
    LONGEST_GUESS,
    SIGNATURES,
    TEXT_LIMIT,
    guess_media_type,
    media_type_of,
    type_of_content,
)

BYTES, TEXT, JSON = "application/octet-stream", "text/plain; charset=utf-8", "application/json"
GUIDE = (Path(__file__).parent.parent / "docs" / "media-types.md").read_text()

KEYS = [
    ("page.html", b"<p>hi", "text/html; charset=utf-8"),
    ("page.html", b"<p>\xe4", "text/html"),
    ("page.html", b"", "text/html"),
    ("data.csv", b'{"a":1}', "text/csv; charset=utf-8"),
    ("a/b/REPORT.PDF", b"x", "application/pdf"),
    ("a/b.c/key", b"x", TEXT),
    ("a.json", b"not JSON", JSON),
    ("archive.tar.gz", b"\x00", "application/gzip"),
    ("app.js", b"x", "text/javascript; charset=utf-8"),
    ("data.bin", b"text", BYTES),
    ("picture.png", b"text", "image/png"),
    ("what.unknown", b"x", TEXT),
    *((key, b"x", TEXT) for key in ("json", ".json", "a/.png", "a.", "png/a", "a.png/")),
    ("data:,x.html", b"x", "text/html; charset=utf-8"),
]

CONTENTS = [
    (b"", BYTES),
    (b"x\n", TEXT),
    ("gr\xfc\xdfe \U0001f600".encode(), TEXT),
    (b"\xef\xbb\xbfmark", TEXT),
    (b"a\tb\r\nc\x0cd\x1b[1m", TEXT),
    *((b"a" + bytes([code]), BYTES) for code in (0, 1, 7, 8, 11, 14, 26, 28, 31, 127)),
    (b"caf\xe9", BYTES),
    (b"cut \xc3", BYTES),
    ("text".encode("utf-16"), BYTES),
    (b'{"a": [1, 2.5e3, null]}\n', JSON),
    (b" \r\n\t[]", JSON),
    (b"{}", JSON),
    *((text, TEXT) for text in (b"1", b'"text"', b"null", b"true", b"{", b"{a: 1}", b"[1,]", b"{}{}", b"[NaN]")),
    (b'{"a":1}\n{"a":2}\n', TEXT),
    (b"[" * 20_000, TEXT),
    (b"[" + b"1" * 5000 + b"]", TEXT),
    (b"[" * 3000 + b"]" * 3000, TEXT),
    (b"[" * 201 + b"]" * 201, TEXT),
    (b"[" * 200 + b"]" * 200, "application/json"),
    (b'["' + b"[" * 300 + b'", ' + b"[], " * 300 + b"{}]", "application/json"),
    (b'["\xe9"]', BYTES),
    (b'["' + b"x" * TEXT_LIMIT + b'\xe9"]', TEXT),
    (b"<!DOCTYPE html><p>", TEXT),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", TEXT),
    (b"\x89PNG\r\n\x1a\n\0\0", "image/png"),
    (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
    (b"GIF89a\1\0\1\0", "image/gif"),
    (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
    (b"RIFF\n\n\n\nWAVEfmt ", "audio/wav"),
    (b"RIFF\x10\0\0\0AVI ", BYTES),
    (b"\0\0\0\x1cftypavif", "image/avif"),
    (b"\0\0\0\x18ftypmp42", "video/mp4"),
    (b"\0\0\0\x14ftypqt  ", "video/quicktime"),
    (b"%PDF-1.7\n", "application/pdf"),
    (b"PK\3\4\x14\0", "application/zip"),
    (b"PK\5\6" + bytes(18), "application/zip"),
    (b"\x1f\x8b\x08\0", "application/gzip"),
    (b"BZh91AY&SY", "application/x-bzip2"),
    (b"BZh9", TEXT),
    (b"\xfd7zXZ\0\0\4", "application/x-xz"),
    (b"\x28\xb5\x2f\xfd\x04", "application/zstd"),
    (b"7z\xbc\xaf\x27\x1c\0\4", "application/x-7z-compressed"),
    (b"name".ljust(257, b"\0") + b"ustar\x0000", "application/x-tar"),
    (b"\0asm\1\0\0\0", "application/wasm"),
    (b"PAR1\x15\x04", "application/vnd.apache.parquet"),
    (b"SQLite format 3\0\x10", "application/vnd.sqlite3"),
    (b"fLaC\0\0\0\x22", "audio/flac"),
    (b"ID3\x04\0\0", "audio/mpeg"),
    (b"ID3 is a format", TEXT),
    (b"OggS\0\2", "audio/ogg"),
    (b"wOFF\0\1\0\0", "font/woff"),
    (b"wOF2\0\1\0\0", "font/woff2"),
]


@pytest.mark.parametrize(("key", "content", "media_type"), KEYS, ids=str)
def test_the_ending_of_the_key_comes_first(key: str, content: bytes, media_type: str) -> None:
    assert guess_media_type(key, content, complete=True) == media_type


@pytest.mark.parametrize(("content", "media_type"), CONTENTS, ids=lambda value: repr(value)[:30])
def test_then_the_content(content: bytes, media_type: str) -> None:
    assert guess_media_type("key", content, complete=True) == media_type


def test_only_the_start_of_content_is_looked_at() -> None:
    for binary in (b"\0", b"\xff"):
        assert type_of_content(b"x" * TEXT_LIMIT + binary, complete=True) == TEXT
        assert type_of_content(b"x" * (TEXT_LIMIT - 1) + binary, complete=True) != TEXT
    # A character that is cut off at the limit is text; one that ends with the content is not.
    for content, complete, media_type in [
        (b"x" * (TEXT_LIMIT - 1) + "\xe4".encode(), True, TEXT),
        (b"x" * (TEXT_LIMIT - 1) + b"\xc3", False, TEXT),
        (b"x" * (TEXT_LIMIT - 1) + b"\xc3", True, BYTES),
    ]:
        assert type_of_content(content, complete) == media_type


def test_json_is_parsed_if_it_is_small_and_complete() -> None:
    largest = b'["' + b"x" * (JSON_LIMIT - 4) + b'"]'
    assert [type_of_content(largest, complete) for complete in (True, False)] == [JSON, TEXT]
    assert type_of_content(b" " + largest, complete=True) == TEXT


@given(st.text(max_size=9), st.binary(max_size=60), st.booleans())
def test_a_guess_is_a_short_media_type_and_the_two_functions_agree(key: str, content: bytes, complete: bool) -> None:
    guessed = guess_media_type(key, content, complete=complete)
    assert parse_media_type(guessed) is not None
    assert len(guessed) <= LONGEST_GUESS
    assert media_type_of(key, type_of_content(content, complete)) == guessed


def test_the_page_lists_the_tables() -> None:
    assert all(parse_media_type(media_type) for media_type in (*ENDINGS.values(), *SIGNATURES))
    endings, signatures = (dict(re.findall(r"^\| `([^`]+)` \| (.*) \|$", part, re.MULTILINE))
                           for part in GUIDE.split("## Endings")[1].split("## Signatures"))  # fmt: skip
    listed = {ending: media_type for media_type, text in endings.items() for ending in re.findall(r"`(\w+)`", text)}
    assert listed == ENDINGS
    assert {name: text.strip("`").replace("\\|", "|").encode() for name, text in signatures.items()} == SIGNATURES
    assert f"{JSON_LIMIT // 1024} KiB" in GUIDE
    assert f"first {TEXT_LIMIT // 1024} KiB" in GUIDE
