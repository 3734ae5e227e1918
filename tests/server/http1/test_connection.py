"""The state machine, without sockets: phases, keep-alive, and bytes that must never become a request."""

import pytest

from docstore.limits import Limits
from docstore.server.http1.connection import EMPTY_LINE_COUNT, Connection, Phase
from docstore.server.http1.parser import ProtocolError
from tests.server.http1.raw_client import GET, put, request
from tests.server.http1.state_machine import drive
from tests.server.http1.test_rules import ANSWERED, CHUNK_FAULTS, REFUSED

PUT = put(b"k", b"0123456789")
CHUNKS = request(b"PUT /docs/k", b"Transfer-Encoding: chunked", body=b"3;a=b\r\nabc\r\n4\r\ndefg\r\n0\r\nA: b\r\n\r\n")
SMALL = Limits(drain_size=100, linger_size=1000)


def connection_with_head(data: bytes, limits: Limits = SMALL) -> Connection:
    """Return a connection whose first head was taken."""
    connection = Connection(limits)
    connection.receive(data)
    assert connection.take_request() is not None
    return connection


@pytest.mark.parametrize("data", [data for data, _ in (REFUSED | ANSWERED).values()], ids=[*REFUSED, *ANSWERED])
def test_splitting_the_bytes_anywhere_changes_nothing(data: bytes) -> None:
    data += GET
    whole = drive(data).facts()
    for position in range(1, len(data), 1 if len(data) < 500 else 509):
        assert drive(data[:position], data[position:]).facts() == whole, position
    if len(data) < 500:
        assert drive(*(data[i : i + 1] for i in range(len(data)))).facts() == whole


@pytest.mark.parametrize("body", CHUNK_FAULTS.values(), ids=CHUNK_FAULTS)
def test_splitting_a_faulty_body_anywhere_changes_nothing(body: bytes) -> None:
    data = request(b"PUT /docs/k", b"Transfer-Encoding: chunked", body=body) + GET
    whole = drive(data)
    assert whole.refused in (400, 431)
    assert [seen.body for seen in whole.seen] == [None]
    for position in range(1, len(data), 1 if len(data) < 500 else 509):
        assert drive(data[:position], data[position:]).facts() == whole.facts(), position


def test_splitting_a_chunked_body_anywhere_changes_nothing() -> None:
    data = CHUNKS + GET
    for position in range(1, len(data)):
        driven = drive(data[:position], data[position:])
        assert driven.refused is None, position
        assert [seen.body for seen in driven.seen] == [b"abcdefg", b""], position


def test_bytes_after_trailers_do_not_count_as_trailers() -> None:
    driven = drive(CHUNKS + put(b"k", bytes(1000)), limits=Limits(head_size=500))
    assert driven.refused is None
    assert [seen.body for seen in driven.seen] == [b"abcdefg", bytes(1000)]


def test_requests_are_returned_one_at_a_time() -> None:
    connection = connection_with_head(GET + GET)
    assert connection.phase is Phase.COMPLETE
    assert connection.unread_size == len(GET)
    assert connection.decide_keep_alive()
    connection.finish_response()
    assert connection.phase is Phase.HEAD
    assert connection.take_request() is not None
    assert connection.unread_size == 0


def test_a_rejection_leaves_nothing_that_could_be_a_request() -> None:
    connection = Connection(SMALL)
    connection.receive(b"nonsense\r\n\r\n" + GET)
    with pytest.raises(ProtocolError):
        connection.take_request()
    assert (connection.phase, connection.unread_size) == (Phase.LINGER, 0)
    connection.receive(GET)
    assert connection.unread_size == 0


def test_lingering_ends_at_its_limit_or_with_the_client() -> None:
    for last in (lambda connection: connection.receive(b"x"), Connection.receive_eof):
        connection = Connection(SMALL)
        connection.reject()
        connection.receive(b"x" * 1000)
        assert connection.phase is Phase.LINGER
        last(connection)
        assert connection.phase is Phase.CLOSED


def test_a_small_rest_of_a_counted_body_is_drained_and_the_connection_kept() -> None:
    connection = connection_with_head(PUT[:-5])
    assert connection.take_body() == b"01234"
    assert connection.decide_keep_alive()
    connection.finish_response()
    connection.receive(b"56789" + GET)
    assert connection.phase is Phase.DRAIN
    assert connection.take_body() == b""
    assert connection.phase is Phase.HEAD
    assert connection.take_request() is not None


def test_a_large_rest_of_a_counted_body_is_not_drained() -> None:
    for size, kept in ((100, True), (101, False)):
        connection = connection_with_head(request(b"PUT /docs/k", b"Content-Length: %d" % size))
        assert connection.decide_keep_alive() is kept
        connection.finish_response()
        assert connection.phase is (Phase.DRAIN if kept else Phase.LINGER)


def test_a_chunked_rest_is_drained_until_it_is_too_large() -> None:
    connection = connection_with_head(request(b"PUT /docs/k", b"Transfer-Encoding: chunked"))
    assert connection.decide_keep_alive()
    connection.finish_response()
    connection.receive(b"64\r\n" + b"x" * 100 + b"\r\n")
    connection.take_body()
    assert connection.phase is Phase.DRAIN
    connection.receive(b"1\r\nx")
    connection.take_body()
    assert connection.phase is Phase.LINGER


def test_an_invalid_rest_ends_draining() -> None:
    connection = connection_with_head(request(b"PUT /docs/k", b"Transfer-Encoding: chunked"))
    connection.decide_keep_alive()
    connection.finish_response()
    connection.receive(b"nonsense\r\n" + GET)
    with pytest.raises(ProtocolError):
        connection.take_body()
    assert (connection.phase, connection.unread_size) == (Phase.LINGER, 0)


def test_a_body_without_a_100_is_not_drained() -> None:
    connection = connection_with_head(request(b"PUT /docs/k", b"Content-Length: 5", b"Expect: 100-continue"))
    assert not connection.body_wanted
    assert not connection.decide_keep_alive()


@pytest.mark.parametrize(
    ("field", "version", "kept"),
    [
        (b"A: b", b"1.1", True),
        (b"Connection: close", b"1.1", False),
        (b"Connection: keep-alive, CLOSE", b"1.1", False),
        (b"Connection: closed", b"1.1", True),
        (b"A: b", b"1.0", False),
        (b"Connection: keep-alive", b"1.0", True),
        (b"Connection: keep-alive, close", b"1.0", False),
    ],
)
def test_the_client_decides_about_keep_alive(field: bytes, version: bytes, kept: bool) -> None:
    connection = connection_with_head(b"GET / HTTP/" + version + b"\r\nHost: a\r\n" + field + b"\r\n\r\n")
    assert connection.decide_keep_alive() is kept


def test_a_client_that_asked_to_close_and_sent_all_needs_no_lingering() -> None:
    connection = connection_with_head(request(b"GET /", b"Connection: close"))
    connection.decide_keep_alive()
    connection.finish_response()
    assert connection.phase is Phase.CLOSED


def test_a_client_that_did_not_ask_to_close_gets_lingering() -> None:
    connection = connection_with_head(GET)
    connection.stopping = True
    assert not connection.decide_keep_alive()
    connection.finish_response()
    assert connection.phase is Phase.LINGER


def test_the_last_request_of_the_limit_ends_the_connection() -> None:
    assert [seen.kept for seen in drive(GET * 5, limits=Limits(request_count=3)).seen] == [True, True, False]


def test_requests_sent_before_the_client_closed_its_half_are_answered() -> None:
    driven = drive(GET + PUT, end=True)
    assert [seen.body for seen in driven.seen] == [b"", b"0123456789"]


@pytest.mark.parametrize("data", [PUT[:-1], request(b"PUT /", b"Transfer-Encoding: chunked", body=b"1\r\nx\r\n0\r\n")])
def test_a_body_that_the_client_truncates_is_never_complete(data: bytes) -> None:
    driven = drive(data, end=True)
    assert [seen.body for seen in driven.seen] == [None]
    assert driven.connection.phase is Phase.CLOSED


def test_a_body_keeps_the_pieces_in_which_it_arrived() -> None:
    connection = connection_with_head(request(b"PUT /docs/k", b"Content-Length: 6"))
    segment = b"abc"
    connection.receive(segment)
    assert connection.take_body() is segment
    connection.receive(b"def" + GET)
    assert connection.take_body() == b"def"
    assert connection.phase is Phase.COMPLETE
    assert connection.body_size == 6


def test_absolute_form_becomes_path_query_and_Host() -> None:
    asked = drive(request(b"GET http://Other:1/a?b=c?d", b"A: b", host=b"localhost")).seen[0].request
    assert (asked.path, asked.query) == ("/a", "b=c?d")
    assert asked.headers.pairs() == [(b"host", b"Other:1"), (b"a", b"b")]
    asked = drive(request(b"GET http://other?b")).seen[0].request
    assert (asked.path, asked.query) == ("/", "b")


@pytest.mark.parametrize("query", ["", "b?c=/d", "??", "%23"])
@pytest.mark.parametrize("path", ["/a", "/", "//a"])
def test_a_path_ends_at_the_first_question_mark(path: str, query: str) -> None:
    asked = drive(request(f"GET {path}?{query}".encode())).seen[0].request
    assert (asked.path, asked.query) == (path, query)


def test_empty_lines_are_counted_for_each_request() -> None:
    driven = drive((b"\r\n" * EMPTY_LINE_COUNT + GET) * 3 + b"\r\n" * (EMPTY_LINE_COUNT + 1) + GET)
    assert (len(driven.seen), driven.refused) == (3, 400)


def test_values_lose_outer_whitespace_and_names_become_lower_case() -> None:
    data = b"GET / HTTP/1.1\r\nHost: a\r\nX-Y: \t b  c\t \r\nEmpty:\r\nEmpty-Too: \r\n\r\n"
    pairs = drive(data).seen[0].request.headers.pairs()
    assert pairs == [(b"host", b"a"), (b"x-y", b"b  c"), (b"empty", b""), (b"empty-too", b"")]


@pytest.mark.parametrize("limits", [Limits(field_count=1), Limits(line_size=10), Limits(head_size=20)])
def test_a_head_that_another_connection_has_sent_is_checked_against_the_own_limits(limits: Limits) -> None:
    head = b"GET /repeated HTTP/1.1\r\nHost: a\r\nX-First: 1\r\nX-Second: 2\r\n\r\n"
    for _ in range(2):
        assert connection_with_head(head, Limits()).section.headers.get("x-first") == "1"
    with pytest.raises(ProtocolError):
        connection_with_head(head, limits)


def test_a_repeated_head_makes_a_request_of_its_own() -> None:
    head = b"GET /repeated HTTP/1.1\r\nHost: a\r\n\r\n"
    requests = []
    for _ in range(2):
        connection = Connection(Limits())
        connection.receive(head)
        requests.append(connection.take_request())
    assert requests[0] == requests[1]
    assert requests[0] is not requests[1]
