"""A graceful stop of a real server: started requests are finished, no other starts."""

import signal
import threading
from pathlib import Path

import pytest

from tests.server.http1.raw_client import GET, RawClient, ask, put, request, wait_until_refused
from tests.server.http1.server import WAITS_S, HTTP1Server


@pytest.fixture
def server(tmp_path: Path):
    with HTTP1Server(tmp_path) as server:
        assert ask(server.port, put(b"known", b"hello")).status == 201
        yield server


def test_a_request_in_flight_is_answered_and_its_connection_closed(server: HTTP1Server) -> None:
    with RawClient(server.port) as raw:
        raw.send(request(b"GET /test/waits?0.5"))
        server.wait_for("waiting")
        server.ask_to_stop()
        answer = raw.answer()
        assert (answer.content, answer.get("connection")) == (b"done\n", "close")
        assert raw.is_closed()


def test_idle_connections_are_closed(server: HTTP1Server) -> None:
    with RawClient(server.port) as silent, RawClient(server.port) as idle:
        idle.send(GET)
        assert idle.answer().status == 200
        server.ask_to_stop()
        assert silent.is_closed()
        assert idle.is_closed()
        server.wait()


def test_a_started_request_is_read_and_answered(server: HTTP1Server) -> None:
    with RawClient(server.port) as head, RawClient(server.port) as body:
        head.send(GET[:-2])
        body.send(request(b"PUT /test/reads_slowly", b"Content-Length: 6"), b"abc")
        server.wait_for("took one chunk")
        server.ask_to_stop()
        wait_until_refused(server.port)
        head.send(b"\r\n")
        answer = head.answer()
        assert (answer.status, answer.get("connection")) == (200, "close")
        body.send(b"def")
        server.process.send_signal(signal.SIGUSR1)
        answer = body.answer()
        assert (answer.content, answer.get("connection")) == (b"6\n", "close")


def test_pipelined_requests_are_not_started(server: HTTP1Server) -> None:
    with RawClient(server.port) as raw:
        raw.send(request(b"GET /test/waits?0.5"), put(b"never", b"x"))
        server.wait_for("waiting")
        server.ask_to_stop()
        assert raw.answer().get("connection") == "close"
        assert raw.is_closed()


def test_a_request_longer_than_the_stop_timeout_is_cut_off(tmp_path: Path) -> None:
    with HTTP1Server(tmp_path, stop_timeout_s=1) as server, RawClient(server.port) as raw:
        raw.send(request(b"GET /test/waits?15"))
        server.wait_for("waiting")
        server.ask_to_stop()
        assert raw.rest() == b""
        server.wait()
        assert "waited" not in server.output


def test_SIGTERM_under_load_loses_no_answered_write(tmp_path: Path) -> None:
    acknowledged: list[bytes] = []
    enough = threading.Event()

    def write(port: int, name: int) -> None:
        number = 0
        try:
            with RawClient(port) as raw:
                while True:
                    key = b"n%d-%d" % (name, number)
                    raw.send(request(b"PUT /file/" + key, b"Content-Length: 5", body=b"hello"))
                    answer = raw.answer()
                    assert answer.status == 201
                    acknowledged.append(key)
                    if len(acknowledged) > 100:
                        enough.set()
                    if answer.get("connection") == "close":
                        return
                    number += 1
        except (OSError, AssertionError):
            return

    with HTTP1Server(tmp_path) as server:
        writers = [threading.Thread(target=write, args=(server.port, name)) for name in range(8)]
        for writer in writers:
            writer.start()
        assert enough.wait(WAITS_S)
        server.ask_to_stop()
        for writer in writers:
            writer.join()
        server.wait()
    with HTTP1Server(tmp_path) as server, RawClient(server.port) as raw:
        for key in acknowledged:
            raw.send(request(b"GET /file/" + key))
            assert raw.answer().content == b"hello"
