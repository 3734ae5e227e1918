"""Any bytes, split anywhere: no exception but ProtocolError, bounded memory, and what h11 makes of valid requests."""

from itertools import pairwise

import h11
from hypothesis import given, settings
from hypothesis import strategies as st

from docstore.limits import Limits
from docstore.server.http1.connection import Phase
from tests.server.http1.raw_client import GET, put, request
from tests.server.http1.state_machine import Driven, drive

EXAMPLES = settings().max_examples
LIMITS = Limits(line_size=200, head_size=500, field_count=10, drain_size=100, linger_size=1000)

PIECES = [
    *(b"GET ", b"PUT ", b"/docs/k", b"*", b"http://h", b" ", b" HTTP/1.1", b" HTTP/1.0"),
    *(b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\0", b"\t", b"\xff", b";", b",", b": ", b":"),
    *(b"Host: h", b"Host", b"Content-Length: ", b"5", b"0", b"hello", b"Connection: close", b"Expect: 100-continue"),
    *(b"Transfer-Encoding: chunked", b"5\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    *(GET, put(b"k", b"hello"), request(b"PUT /docs/k", b"Transfer-Encoding: chunked")),
]

streams = st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=20)), max_size=40).map(b"".join)


def split(data: bytes, positions: list[int]) -> list[bytes]:
    cuts = sorted({min(position, len(data)) for position in positions} | {0, len(data)})
    return [data[start:stop] for start, stop in pairwise(cuts)]


@settings(max_examples=15 * EXAMPLES)
@given(streams, st.lists(st.integers(0, 400), max_size=10))
def test_any_bytes_end_in_responses_and_a_known_phase(data: bytes, positions: list[int]) -> None:
    driven = Driven(LIMITS)
    for segment in split(data, positions):
        driven.receive(segment)
        held = driven.connection.unread_size
        assert held <= LIMITS.line_size + LIMITS.head_size + 2000
        assert driven.connection.phase in (Phase.HEAD, Phase.BODY, Phase.LINGER, Phase.CLOSED)
    assert driven.facts() == drive(data, limits=LIMITS).facts()
    driven.end()
    assert driven.connection.phase in (Phase.HEAD, Phase.CLOSED)
    assert (driven.refused is None) or driven.connection.phase is Phase.CLOSED


near = st.integers(-6, 6)
breaks = st.sampled_from([b"", b"", b"\r", b"\n", b"\0", b"\r\n"])


@settings(max_examples=10 * EXAMPLES)
@given(near, near, breaks, breaks, st.integers(0, 10), st.integers(0, 10))
def test_near_the_limits_splitting_changes_nothing(
    line: int, section: int, in_line: bytes, in_section: bytes, before_line_end: int, before_end: int
) -> None:
    """A request line and a section near their limits, with invalid bytes near their ends."""
    target = b"/" * (LIMITS.line_size - len("GET  HTTP/1.1") + line)
    fields = b"Host: h\r\n" + b"A: b\r\n" * 8 + b"A: "
    fields += b"c" * (LIMITS.head_size - len(fields) - len("\r\n") + section)
    head = [b"GET ", _with(in_line, target, before_line_end), b" HTTP/1.1\r\n", _with(in_section, fields, before_end)]
    data = b"".join(head) + b"\r\n\r\n"
    whole = drive(data, limits=LIMITS).facts()
    assert drive(*(data[i : i + 1] for i in range(len(data))), limits=LIMITS).facts() == whole
    for size in range(1, 8):
        assert drive(data[:-size], data[-size:], limits=LIMITS).facts() == whole


def _with(added: bytes, data: bytes, before_end: int) -> bytes:
    return data[: len(data) - before_end] + added + data[len(data) - before_end :]


@settings(max_examples=3 * EXAMPLES)
@given(streams)
def test_bytes_after_a_rejection_change_nothing(data: bytes) -> None:
    refused = drive(data, limits=LIMITS)
    if refused.refused is not None:
        assert drive(data + GET, limits=LIMITS).facts() == refused.facts()


tokens = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789!#$%&'*+-.^_`|~", min_size=1, max_size=12).map(str.encode)
values = st.text([chr(c) for c in range(0x21, 0x7F)] + [" ", "\t"], max_size=30).map(lambda v: v.strip(" \t").encode())
OF_THE_MESSAGE = {b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade"}
others = st.lists(st.tuples(tokens, values).filter(lambda field: field[0].lower() not in OF_THE_MESSAGE), max_size=6)
targets = st.text("abcXYZ019-._~/?&=%:@!$'()*+,;", max_size=20).map(lambda text: b"/" + text.encode())
bodies = st.one_of(st.none(), st.binary(max_size=60))


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A valid request with a counted or a chunked body."""
    method = draw(st.one_of(st.sampled_from([b"GET", b"PUT", b"POST", b"DELETE"]), tokens))
    if method == b"CONNECT":
        method = b"GET"
    fields = [name + b":" + draw(st.sampled_from([b"", b" ", b"\t "])) + value for name, value in draw(others)]
    body = draw(bodies)
    sent = b""
    if body is not None and draw(st.booleans()):
        fields.append(b"Content-Length: %d" % len(body))
        sent = body
    elif body is not None:
        fields.append(b"Transfer-Encoding: " + draw(st.sampled_from([b"chunked", b"Chunked"])))
        size = draw(st.integers(1, 30))
        pieces = [body[start : start + size] for start in range(0, len(body), size)]
        sent = b"".join(b"%X\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    fields.insert(draw(st.integers(0, len(fields))), b"Host: example.org:80")
    if draw(st.integers(0, 9)) == 0:
        fields.append(b"Connection: close")
    lines = [method + b" " + draw(targets) + b" HTTP/1.1", *fields, b"", sent]
    return b"\r\n".join(lines)


def seen_by_h11(data: bytes) -> list[tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes]]:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    seen: list[tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes]] = []
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            seen.append((event.method, event.target, list(event.headers), b""))
        elif isinstance(event, h11.Data):
            method, target, headers, body = seen[-1]
            seen[-1] = (method, target, headers, body + bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            connection.send(h11.Response(status_code=200, headers=[(b"content-length", b"0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is not h11.DONE:
                return seen
            connection.start_next_cycle()
        else:
            return seen


@settings(max_examples=5 * EXAMPLES)
@given(st.lists(requests(), min_size=1, max_size=4).map(b"".join), st.lists(st.integers(0, 900), max_size=8))
def test_valid_requests_are_what_h11_says_they_are(data: bytes, positions: list[int]) -> None:
    driven = drive(*split(data, positions))
    assert driven.refused is None
    ours = [
        (
            seen.request.method.encode(),
            (seen.request.path, seen.request.query),
            lowered(seen.request.headers.pairs()),
            seen.body,
        )
        for seen in driven.seen
    ]
    theirs = [
        (method, (target.decode().partition("?")[0], target.decode().partition("?")[2]), lowered(headers), body)
        for method, target, headers, body in seen_by_h11(data)
    ]
    assert ours == theirs


def lowered(pairs: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """h11 lowers the coding; Docstore leaves it unchanged."""
    return [(name, value.lower() if name == b"transfer-encoding" else value) for name, value in pairs]
