"""The options of the operations: conditions, parts, stored fields; unknown and invalid ones are rejected."""

from datetime import UTC, datetime, timedelta

import pytest

from docstore import (
    Client,
    Conflict,
    NotModified,
    RequestError,
)
from docstore.client.options import TTL

BOTH = pytest.mark.parametrize("url", ["http-docs", "inside-memory"], indirect=True)


@BOTH
def test_conditions_accept_versions_etags_lists_and_the_star(docs: Client) -> None:
    first = docs.put("a", b"1", if_none_match="*")
    with pytest.raises(Conflict) as caught:
        docs.put("a", b"2", if_none_match="*")
    assert caught.value.version == first.version
    assert caught.value.problem is not None
    assert (caught.value.problem.status, caught.value.problem.name) == (412, "precondition-failed")
    assert caught.value.problem.advice
    second = docs.put("a", b"2", if_match=first.version)
    third = docs.put("a", b"3", if_match=second.etag)
    for refused in (
        lambda: docs.put("a", b"4", if_match=first.etag),
        lambda: docs.put("b", b"4", if_match="*"),
        lambda: docs.delete("a", if_match=first.etag),
        lambda: docs.get("a", None, if_match=first.etag),
        lambda: b"".join(docs.iter_content("a", if_match=first.etag)),
    ):
        with pytest.raises(Conflict):
            refused()
    assert docs.get("a", None, if_match=["other", third.etag]) == b"3"
    assert docs.get("a", None, if_none_match=third.etag) == NotModified(third.version)
    assert docs.get("a", None, if_none_match=first.etag) == b"3"
    docs.delete("a", if_match=third.version)


@BOTH
def test_parts_are_slices(docs: Client) -> None:
    content = bytes(range(100))
    docs["a"] = content
    docs["empty"] = b""
    for start, stop in ((0, 10), (90, None), (None, 3), (-7, None), (5, 1000), (99, 100)):
        assert docs.get("a", None, start=start, stop=stop) == content[start:stop]
        assert b"".join(docs.iter_content("a", start=start, stop=stop)) == content[start:stop]
    part = docs.get("a", None, start=10, stop=20)
    assert part is not None
    assert part.info.size == 100
    assert docs.get("empty", None, start=0, stop=5) == b""
    with pytest.raises(RequestError, match="range not satisfiable"):
        docs.get("a", None, start=100)
    for start, stop in ((5, 5), (5, 4), (-5, 3), (0, 0)):
        with pytest.raises(ValueError, match="part"):
            docs.get("a", None, start=start, stop=stop)


@BOTH
def test_invalid_fields_are_rejected_before_anything_is_sent(docs: Client) -> None:
    for refused in (
        {"type": "nonsense"},
        {"type": "text/plain\r\nX: y"},
        {"meta": {"a b": "c"}},
        {"meta": {"a": "b\r\nX: y"}},
        {"meta": {"é": "x"}},
        {"meta": {"a": "é"}},
        {"meta": {"a": " b"}},
        {"fields": {"content-language": "en\t"}},
        {"meta": {"a": "x" * 9000}},
    ):
        with pytest.raises(RequestError):
            docs.put("a", b"", **refused)
    for ttl in (-1, 1.5, "1 fortnight", "", "-1"):
        with pytest.raises(ValueError, match="ttl"):
            docs.put("a", b"", ttl=ttl)
    for kind in ([1], b"1h", {}):
        with pytest.raises(TypeError, match="a ttl is"):
            docs.put("a", b"", ttl=kind)
    with pytest.raises(RequestError):
        docs.put("a", b"", ttl=10**12)
    assert not docs


@BOTH
@pytest.mark.parametrize(
    ("ttl", "seconds"), [("90", 90), ("10m", 600), ("1h30m", 5400), (timedelta(days=1), 86_400), (60.0, 60)]
)
def test_a_ttl_is_seconds_a_timedelta_or_text(docs: Client, ttl: TTL, seconds: int) -> None:
    docs.put("a", b"", ttl=ttl)
    expires = docs.info("a").expires
    assert expires is not None
    assert 0 < seconds - (expires - datetime.now(UTC)).total_seconds() < 50


@BOTH
def test_unknown_options_are_rejected(docs: Client) -> None:
    for mistaken in (
        lambda: docs.put("a", b"", typ="text/plain"),
        lambda: docs.add(b"", if_match="x"),
        lambda: docs.update("a", lambda _: b"", tll=3),
        lambda: docs.setdefault("a", b"", tll=3),
        lambda: docs.get("a", None, stat=3),
        lambda: Client("memory:", timeout=3),
    ):
        with pytest.raises(TypeError, match="unknown option"):
            mistaken()
    assert not docs


@pytest.mark.parametrize("tag", ['a"\r\nX: y', "a\n", 'a"b', "ü", "a b", '"a', 'W/"a" x', '"a", "b"'])
@pytest.mark.parametrize("name", ["if_match", "if_none_match"])
def test_an_invalid_etag_is_an_error_before_anything_is_sent(name: str, tag: str) -> None:
    with Client("http://127.0.0.1:1/docs/", tries=1) as docs:
        with pytest.raises(ValueError, match="not an ETag"):
            docs.put("key", b"x", **{name: tag})  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="not an ETag"):
            docs.delete("key", if_match=[tag])
