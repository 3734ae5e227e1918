"""A graceful stop on a real server: what has begun is finished, nothing else begins."""

import signal
import threading
from pathlib import Path

import pytest

from tests.server.http1.raw import GET, Raw, ask, put, request, wait_until_refused
from tests.server.http1.serving import WAITS_S, WireServer


@pytest.fixture
def server(tmp_path: Path):
    with WireServer(tmp_path) as server:
        assert ask(server.port, put(b"known", b"hello")).status == 201
        yield server


def test_a_request_in_flight_is_answered_and_its_connection_closed(server: WireServer) -> None:
    with Raw(server.port) as raw:
        raw.send(request(b"GET /test/waits?0.5"))
        server.wait_for("waiting")
        server.ask_to_stop()
        answer = raw.answer()
        assert (answer.content, answer.get("connection")) == (b"done\n", "close")
        assert raw.is_closed()


def test_idle_connections_are_closed(server: WireServer) -> None:
    with Raw(server.port) as silent, Raw(server.port) as idle:
        idle.send(GET)
        assert idle.answer().status == 200
        server.ask_to_stop()
        assert silent.is_closed()
        assert idle.is_closed()
        server.wait()


def test_a_request_that_has_begun_is_read_and_answered(server: WireServer) -> None:
    with Raw(server.port) as head, Raw(server.port) as body:
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


def test_what_was_pipelined_behind_is_not_begun(server: WireServer) -> None:
    with Raw(server.port) as raw:
        raw.send(request(b"GET /test/waits?0.5"), put(b"never", b"x"))
        server.wait_for("waiting")
        server.ask_to_stop()
        assert raw.answer().get("connection") == "close"
        assert raw.is_closed()


def test_who_takes_longer_than_the_stop_may_is_cut_off(tmp_path: Path) -> None:
    with WireServer(tmp_path, stop_timeout_s=1) as server, Raw(server.port) as raw:
        raw.send(request(b"GET /test/waits?15"))
        server.wait_for("waiting")
        server.ask_to_stop()
        assert raw.rest() == b""
        server.wait()
        assert "waited" not in server.told


def test_SIGTERM_under_load_loses_no_answered_write(tmp_path: Path) -> None:
    acknowledged: list[bytes] = []
    enough = threading.Event()

    def write(port: int, name: int) -> None:
        number = 0
        try:
            with Raw(port) as raw:
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

    with WireServer(tmp_path) as server:
        writers = [threading.Thread(target=write, args=(server.port, name)) for name in range(8)]
        for writer in writers:
            writer.start()
        assert enough.wait(WAITS_S)
        server.ask_to_stop()
        for writer in writers:
            writer.join()
        server.wait()
    with WireServer(tmp_path) as server, Raw(server.port) as raw:
        for key in acknowledged:
            raw.send(request(b"GET /file/" + key))
            assert raw.answer().content == b"hello"
