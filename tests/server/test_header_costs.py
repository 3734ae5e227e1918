"""No header and no target makes a request expensive: the Python instructions of each are counted, and bounded.

A header section has at most 64 KiB. Without limits on members, one took up to 45 ms of the event loop. Time is not
measured, because it depends on the machine. The patterns of `re` are one instruction each; they take linear time.
"""

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from docstore.content import BytesContent, read_all
from docstore.http.headers import LIST_LIMIT, parse_parameters
from docstore.http.message import Headers, Request
from docstore.http.stored_headers import STORED_HEADERS
from docstore.http.structured import parse_dictionary
from docstore.http.url import InvalidTarget, segments
from docstore.server.http1.parser import _MESSAGE_FIELDS, ProtocolError, parse_head
from tests.in_process import opened

SIZE = 60_000
LIMIT = 250_000
"""Instructions of a request. The most expensive one has 1,024 digests, as many as RFC 9651 requires; before lists were
limited, one had 3 million."""

FIELDS = [
    *("accept", "accept-encoding", "range", "if-range", "prefer", "host", "expect"),
    *("if-match", "if-none-match", "if-modified-since", "if-unmodified-since"),
    *(
        "content-digest",
        "repr-digest",
        "content-md5",
        "digest",
        "want-content-digest",
        "want-repr-digest",
        "want-digest",
    ),
    *("origin", "referer", "sec-fetch-site", "access-control-request-headers", "cookie", "authorization"),
    *("content-type", "meta-a", "ttl", *STORED_HEADERS),
]
"""Every header that the server parses, which the test checks, and Cookie, which it does not."""

SHAPES = [
    *(
        "a,",
        ",",
        " ,",
        ", ,",
        ";",
        "a;",
        ";a=1",
        "=",
        "a=1,",
        "a/b,",
        "a/b;q=0,",
        "*/*;",
        '"a",',
        'W/"a", ',
        '"',
        '\\"',
    ),
    *("a=:AA==:,", "sha-256=1,", "sha-256;q=1,", "a=(1 2),", "(", "a;b;c=1,", "a=:AAAA:;b,", ":", "bytes=0-1,", "0-1,"),
    *("return=minimal,", "return=x;", "9", "-", "a", "meta-a,", "http://a/", "/", "[", "a b ", "%", "é", ".", "Mon, "),
]

REQUESTS: list[tuple[str, str, dict[str, str]]] = [
    ("GET", "/memory/a", {}),
    ("GET", "/memory/a", {"range": "bytes=0-0"}),
    ("GET", "/memory/", {}),
    ("GET", "/-/web/page.css", {}),
    ("GET", "/missing", {}),
    ("PUT", "/memory/b", {}),
    ("POST", "/memory/", {}),
    ("PATCH", "/memory/a", {"content-type": "application/merge-patch+json"}),
    ("DELETE", "/memory/c", {}),
    ("OPTIONS", "/memory/a", {"origin": "https://other.example", "access-control-request-method": "PUT"}),
]


class Instructions:
    """Counts the instructions of Python that run within it."""

    def __init__(self) -> None:
        self.count = 0

    def _trace(self, frame: FrameType, event: str, _: object) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self.count += event == "opcode"
        return self._trace

    def __enter__(self) -> "Instructions":
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)


def test_the_counter_counts() -> None:
    with Instructions() as few:
        sorted("abc")
    with Instructions() as many:
        sorted(str(number) for number in range(10_000))
    assert few.count < 1000 < 10_000 < many.count


@pytest.mark.parametrize(("method", "target", "more"), REQUESTS)
def test_a_header_of_any_shape_is_cheap(method: str, target: str, more: dict[str, str], tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path, ["memory"], cors=("https://app.example",)) as inside:
            for key in "ac":
                assert (await inside.send("PUT", f"/memory/{key}", b"{}")).status == 201
            for field in FIELDS:
                for shape in SHAPES:
                    value = (shape * SIZE)[:SIZE]
                    headers = Headers(
                        (name.encode(), text.encode("latin-1")) for name, text in {**more, field: value}.items()
                    )
                    for _ in range(2):  # the first request may load a module or compile a pattern
                        with Instructions() as counted:
                            request = Request(method, target, "", headers, BytesContent(b"{}"))
                            response = await inside.store.handle(request)
                        if counted.count < LIMIT:
                            break
                    assert counted.count < LIMIT, f"{method} {target}, {field}: {shape!r} repeated"
                    assert response.status < 500
                    await read_all(response.content)

    asyncio.run(run())


@pytest.mark.parametrize(("method", "target", "more"), REQUESTS)
def test_the_table_has_every_header_that_is_parsed(
    method: str, target: str, more: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: set[str] = set()

    def recording(name: str) -> Callable[..., Any]:
        original = getattr(Headers, name)

        def call(self: Headers, field: str) -> Any:
            read.add(field)
            return original(self, field)

        return call

    for name in ("get", "lines"):
        monkeypatch.setattr(Headers, name, recording(name))

    async def run() -> None:
        async with opened(tmp_path, ["memory"], cors=("https://app.example",), hosts=frozenset({"a"})) as inside:
            for headers in (more, dict.fromkeys(FIELDS, "a"), {**more, "host": "a", "ttl": "1"}):
                await inside.send(method, target, b"{}", headers)

    asyncio.run(run())
    assert read <= {*FIELDS, "content-length"}


@pytest.mark.parametrize("field", [name.decode() for name in _MESSAGE_FIELDS])
def test_a_header_of_the_message_is_cheap(field: str) -> None:
    for shape in SHAPES:
        value = (shape * SIZE)[:SIZE].encode("latin-1")
        host = b"" if field == "host" else b"Host: a\r\n"
        with Instructions() as counted, suppress(ProtocolError):
            parse_head("PUT /a HTTP/1.1", host + field.encode() + b": " + value + b"\r\n", 100)
        assert counted.count < LIMIT, f"{field}: {shape!r} repeated"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST", "OPTIONS"])
@pytest.mark.parametrize("shape", ["/", "/a", "/..", "/.", "%2F", "/%2E", "%C3%A9", "a", "é", "a=1&", "&", ";", "+"])
def test_a_target_of_any_shape_is_cheap(method: str, shape: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path, ["memory"], keys="path") as inside:
            for path, query in (("/memory/" + shape * 20_000, ""), ("/memory/", shape * 20_000)):
                with Instructions() as counted:
                    request = Request(method, path[:16_000], query[:16_000], Headers(), BytesContent(b""))
                    response = await inside.store.handle(request)
                assert counted.count < LIMIT, f"{path[:20]}?{query[:10]}"
                assert response.status < 500

    asyncio.run(run())


def tags(count: int) -> str:
    return ",".join(['"x"'] * count)


GUARDS: dict[str, tuple[str, Callable[[int], dict[str, str]]]] = {
    "If-Match": ("PUT", lambda count: {"if-match": tags(count)}),
    "If-None-Match": ("PUT", lambda count: {"if-none-match": tags(count)}),
    "If-None-Match of GET": ("GET", lambda count: {"if-none-match": tags(count)}),
    "Digest": ("PUT", lambda count: {"digest": ",".join(["unknown=x"] * count)}),
    "Content-Language": ("PUT", lambda count: {"content-language": ",".join(["en"] * count)}),
    "Docstore-Cache-Control": (
        "PUT",
        lambda count: {"docstore-cache-control": ",".join(f"a{number}" for number in range(count))},
    ),
}


@pytest.mark.parametrize(("method", "headers"), GUARDS.values(), ids=GUARDS)
def test_a_list_that_must_be_complete_is_431_past_its_limit(
    method: str, headers: Callable[[int], dict[str, str]], tmp_path: Path
) -> None:
    async def run() -> None:
        async with opened(tmp_path, ["memory"]) as inside:
            assert (await inside.send("PUT", "/memory/a", b"1")).status == 201
            assert (await inside.send(method, "/memory/a", b"2", headers(LIST_LIMIT))).status in (200, 412)
            before = await inside.send("GET", "/memory/a")
            assert (await inside.send(method, "/memory/a", b"3", headers(LIST_LIMIT + 1))).status == 431
            assert (await inside.send("GET", "/memory/a")).content == before.content

    asyncio.run(run())


def test_a_list_of_preferences_is_read_up_to_its_limit(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path, ["memory"]) as inside:
            for others, status in ((LIST_LIMIT - 1, 204), (LIST_LIMIT, 200)):
                assert (await inside.send("PUT", "/memory/a", b"1")).status in (200, 201)
                prefer = ",".join(["x"] * others + ["return=minimal"])
                assert (await inside.send("PUT", "/memory/a", b"2", {"prefer": prefer})).status == status

    asyncio.run(run())


def test_a_dictionary_has_as_many_members_as_its_rfc_requires() -> None:
    assert len(parse_dictionary(",".join(f"a{number}=1" for number in range(1024))) or {}) == 1024
    assert parse_dictionary(",".join(f"a{number}=1" for number in range(1025))) is None


def test_a_member_has_a_limited_number_of_parameters() -> None:
    texts = ["".join(f";a{number}=1" for number in range(count)) for count in (LIST_LIMIT, LIST_LIMIT + 1)]
    assert [len(parse_parameters(text) or {}) for text in texts] == [LIST_LIMIT, 0]


def test_a_path_has_a_limited_number_of_segments() -> None:
    assert len(segments("/a" * 1024)) == 1024
    with pytest.raises(InvalidTarget, match="1024 segments"):
        segments("/a" * 1025)


@pytest.mark.parametrize("field", [b"Connection", b"Transfer-Encoding"])
def test_a_list_of_the_message_is_431_past_its_limit(field: bytes) -> None:
    section = b"Host: a\r\n" + field + b": " + b"x," * LIST_LIMIT + b"x\r\n"
    with pytest.raises(ProtocolError) as caught:
        parse_head("GET / HTTP/1.1", section, 100)
    assert caught.value.status == 431
