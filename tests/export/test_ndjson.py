"""ndjson: lossless, limited in size, possible to write by hand, and verified."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from docstore.export import ndjson
from docstore.model import Fields
from docstore.testing.contract.documents import version_of_data
from tests.stores import DOCUMENTS, FIELDS, LARGE, LATE_NS, run, store, stored

END = '{"documents":1}\n'


def lines_of(url: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run("export", url, "--format", "ndjson").out.splitlines()]


def test_a_line_has_all_metadata(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'source.db'}"
    store(url)
    *lines, end = lines_of(url)
    assert end == {"documents": len(DOCUMENTS)}
    assert [line["key"] for line in lines] == sorted(DOCUMENTS)
    metas = {key: meta for key, (meta, _) in stored(url).items()}
    for line in lines:
        meta = metas[line["key"]]
        assert (line["version"], line["size"], line["sha256"]) == (meta.version, meta.size, meta.digest.hex())
        assert (line["media_type"], line["fields"]) == (FIELDS.media_type, dict(FIELDS.others))
        assert (line["modified_ns"], line.get("expires_ns")) == (meta.modified_ns, meta.expires_ns)
        assert (line["text"].encode() if "text" in line else base64.b64decode(line["base64"])) == DOCUMENTS[line["key"]]
    assert [line["key"] for line in lines if "base64" in line] == ["large"]
    assert [line["key"] for line in lines if "expires_ns" in line] == ["small"]


CONTENTS = {
    "ascii": b"hello",
    "controls": bytes(range(32)) + b"\x7f",
    "line ends": b"a\nb\r\nc\xe2\x80\xa8d",
    "not utf-8": b"\xff\xfe",
    "a surrogate": b"\xed\xa0\x80",
    "a byte order mark": b"\xef\xbb\xbfx",
    "what looks like an end": END.encode(),
}


def test_any_content_is_exported_and_imported_unchanged(tmp_path: Path) -> None:
    url, target = f"sqlite:{tmp_path / 'source.db'}", f"file:{tmp_path / 'target'}"
    store(url, CONTENTS)
    assert run("import", target, data=run("export", url, "--format", "ndjson").data).status == 0
    assert {key: data for key, (_, data) in stored(target).items()} == CONTENTS


def test_a_line_written_by_hand_needs_a_key_and_content(tmp_path: Path) -> None:
    target = f"sqlite:{tmp_path / 'target.db'}"
    lines = '{"key":"a","text":"hello"}\n\n{"key":"b","base64":"AP8=","media_type":"x/y","fields":{"meta-a":"b"}}\n'
    assert run("import", target, data=f'{lines}{{"documents":2}}\n'.encode()).status == 0
    there = stored(target)
    assert {key: data for key, (_, data) in there.items()} == {"a": b"hello", "b": b"\0\xff"}
    assert there["b"][0].fields == Fields.make("x/y", {"meta-a": "b"})


LINE = {"key": "key", "text": "data", "version": version_of_data(b"data"), "size": 4}
BROKEN = {
    "no content": ({"text": None}, "text or base64"),
    "two contents": ({"base64": "AP8="}, "text or base64"),
    "base64 that is none": ({"text": None, "base64": "AP8=!"}, "base64"),
    "half a character": ({"text": "\ud800"}, "surrogate"),
    "a key that is a path out": ({"key": "../x"}, "'.' or '..'"),
    "half a character in the key": ({"key": "\ud800"}, "UTF-8"),
    "no key": ({"key": ""}, "empty"),
    "another content": ({"text": "DATA"}, "version"),
    "another size": ({"size": 5}, "sha256 and size"),
    "a size that is none": ({"size": "4"}, "size must be a whole number"),
    "another digest": ({"sha256": "00" * 32}, "sha256 and size"),
    "a digest that is none": ({"sha256": "x"}, "hexadecimal"),
    "a time that is none": ({"modified_ns": True}, "modified_ns must be a whole number"),
    "fields that are none": ({"fields": ["meta-a"]}, "fields must be an object"),
    "a field that is no text": ({"fields": {"meta-a": 1}}, "fields must be an object"),
    "a field that no write stores": ({"version": None, "fields": {"set-cookie": "a"}}, "its fields"),
    "a media type that is none": ({"media_type": 1}, "media_type must be a string"),
}


@pytest.mark.parametrize(("change", "why"), BROKEN.values(), ids=BROKEN)
def test_an_invalid_line_is_reported_and_the_others_are_stored(
    tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    target = f"sqlite:{tmp_path / 'target.db'}"
    changed = {name: value for name, value in (LINE | change).items() if value is not None}
    lines = [{"key": "before", "text": ""}, changed, {"key": "then", "text": ""}, {"documents": 3}]
    result = run("import", target, data="".join(f"{json.dumps(line)}\n" for line in lines).encode())
    assert result.status == 1
    assert why in result.err.splitlines()[0]
    assert list(stored(target)) == ["before", "then"]


def test_truncated_lines_give_only_complete_documents(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'source.db'}"
    documents = {"a": b"x" * 40, "b": b"\xff" * 30, "c": b""}
    store(url, documents)
    data = run("export", url, "--format", "ndjson").data
    seen = set()
    for stop in [*range(1, len(data) - 1, 37), len(data) - 1, data.index(b"\n") + 1]:
        target = f"file:{tmp_path / f'{stop}'}"
        result = run("import", target, data=data[:stop])
        exists = (tmp_path / f"{stop}").exists()
        there = {key: content for key, (_, content) in stored(target).items()} if exists else {}
        assert there.items() <= documents.items()
        assert (result.status, "not a complete export" in result.err) == (1 if there else 2, True), stop
        seen.add(len(there))
    assert seen == {0, 1, 2, 3}


@pytest.mark.parametrize(
    "data",
    [b"{}\n", b'{"documents":1}\n', b'{"key"\n', b"{" * 100_000 + b"\n", b'{"key":"a","text":"b"}\n[]\n', b"{"],
    ids=["an empty object", "too few", "no JSON", "too deep", "an array", "a beginning"],
)
def test_files_that_are_not_exports_are_rejected(tmp_path: Path, data: bytes) -> None:
    result = run("import", f"sqlite:{tmp_path / 'target.db'}", data=data)
    starts_as_export = data.startswith(b'{"key":"a"')
    assert (result.status, (tmp_path / "target.db").exists()) == ((1, True) if starts_as_export else (2, False))
    assert "not a complete export" in result.err


@pytest.mark.parametrize("over", [0, 1])
def test_a_document_above_the_size_limit_needs_a_tar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, over: int
) -> None:
    monkeypatch.setattr(ndjson, "DOCUMENT_LIMIT", len(LARGE))
    url, file, target = f"sqlite:{tmp_path / 'source.db'}", tmp_path / "store.ndjson", f"file:{tmp_path / 'target'}"
    store(url, {"before": b"x", "large": LARGE + bytes(over)})
    result = run("export", url, file, "--format", "ndjson")
    assert (result.status, file.exists()) == ((1, False) if over else (0, True))
    assert ("'large' has 256,001 bytes" in result.err and "--format tar" in result.err) == bool(over)
    cut = run("export", url, "--format", "ndjson").data
    assert run("import", target, data=cut).status == over
    assert list(stored(target)) == (["before"] if over else ["before", "large"])


@pytest.mark.parametrize("data", [b"\0" * 4096, b"\xff" * 4096], ids=["escaped", "in base64"])
def test_the_longest_line_of_an_export_can_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setattr(ndjson, "DOCUMENT_LIMIT", len(data))
    monkeypatch.setattr(ndjson, "LINE_LIMIT", ndjson.LINE_LIMIT // (4 * 1024 * 1024) * len(data))
    url, target = f"sqlite:{tmp_path / 'source.db'}", f"file:{tmp_path / 'target'}"
    store(url, {"key": data})
    assert run("import", target, data=run("export", url, "--format", "ndjson").data).status == 0
    too_long = b'{"key":"a","text":"' + b"x" * ndjson.LINE_LIMIT + b'"}\n'
    assert "a line is too long" in run("import", target, data=too_long).err


def test_an_expiry_far_in_the_future_is_imported(tmp_path: Path) -> None:
    target = f"sqlite:{tmp_path / 'target.db'}"
    line = {"key": "key", "text": "x", "expires_ns": LATE_NS}
    assert run("import", target, data=f"{json.dumps(line)}\n{END}".encode()).status == 0
    assert stored(target)["key"][0].expires_ns == LATE_NS


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    target = f"sqlite:{tmp_path / 'target.db'}"
    lines = b'\xef\xbb\xbf{"key": "a", "text": "hello"}\n{"documents": 1}\n'
    assert run("import", target, data=lines).status == 0
    assert stored(target)["a"][1] == b"hello"
