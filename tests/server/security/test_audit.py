"""The audit log: what a line says, what it never says, and what happens when it can't be written."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from docstore import Tokens
from docstore.http.message import Headers, Request, Response
from docstore.server.errors import HTTPProblem
from docstore.server.security.audit import AuditLog
from tests.http_client import Client, prepare
from tests.server_process import RunningServer


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


@pytest.mark.parametrize("http", ["wire", "uvicorn"])
def test_a_line_says_who_did_what_and_with_what_result(tmp_path: Path, http: str) -> None:
    data, log = tmp_path / "data", tmp_path / "audit.jsonl"
    tokens = Tokens(data)
    made, other = tokens.create(rights=["all"]), tokens.create(rights=["read"], mount="docs", prefix="a")
    words = ("--auth", "tokens", "--audit", str(log), "--http", http, "--mount=docs=memory:")
    with RunningServer(data, *words) as server, Client(server) as client:
        stored = client.ask("PUT", "/docs/caf%C3%A9%20%22%3C", b"content", bearer(made.text))
        answers = [
            client.ask("GET", "/docs/caf%C3%A9%20%22%3C", None, bearer(made.text)),
            client.ask("PUT", "/docs/a", b"content", bearer(other.text)),
            client.ask("GET", "/docs/b", None, bearer(other.text)),
            client.ask("HEAD", "/docs/a"),
            client.ask("DELETE", "/docs/caf%C3%A9%20%22%3C?x=1", None, bearer(made.text)),
            client.ask("DELETE", "/docs/caf%C3%A9%20%22%3C", None, bearer(made.text)),
            client.ask("GET", f"/docs/{made.text}?token={made.text}"),
        ]
        assert client.ask("GET", "/-/health").status == 200
    seen = [(each["token"], each["method"], each["path"], each["status"]) for each in lines(log)]
    key, id, limited = '/docs/café "<', made.token.id, other.token.id
    assert seen == [
        (id, "PUT", key, 201),
        (id, "GET", key, 200),
        (limited, "PUT", "/docs/a", 403),
        (limited, "GET", "/docs/b", 404),
        (None, "HEAD", "/docs/a", 401),
        (id, "DELETE", key, 400),
        (id, "DELETE", key, 200),
        (None, "GET", f"/docs/dst_{id}_...", 401),
    ]
    assert [each["status"] for each in lines(log)] == [answer.status for answer in (stored, *answers)]
    first = lines(log)[0]
    assert (first["bytes"], first["etag"], first["address"]) == (7, stored["ETag"], "127.0.0.1")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    assert log.stat().st_mode & 0o077 == 0
    for text in (log.read_text(), "".join(server.errors)):
        assert not any(secret in text for secret in (made.text[15:], other.text[15:], "content"))


def test_a_renamed_log_is_replaced_by_a_new_one_and_sighup_does_not_stop_the_server(tmp_path: Path) -> None:
    log, old = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"
    mount = f"--mount=docs=sqlite:{tmp_path}/docs.db"
    with RunningServer(tmp_path / "data", "--audit", str(log), "--workers", "2", mount) as server:
        for number in range(10):
            prepare(server, "PUT", f"/docs/{number}", b"x")
        log.rename(old)
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        for number in range(10, 20):
            prepare(server, "PUT", f"/docs/{number}", b"x")
        assert server.stop() == 0
    for path, numbers in ((old, range(10)), (log, range(10, 20))):
        assert [each["path"] for each in lines(path)] == [f"/docs/{number}" for number in numbers]


def test_while_the_log_cannot_be_written_requests_are_rejected(tmp_path: Path) -> None:
    log = tmp_path / "folder" / "audit.jsonl"
    log.parent.mkdir()
    with RunningServer(tmp_path / "data", "--audit", str(log), "--mount=docs=memory:") as server:
        with Client(server) as client:
            assert client.ask("PUT", "/docs/a", b"1").status == 201
            log.unlink()
            log.mkdir()
            assert client.ask("GET", "/docs/a").status in (200, 503)  # the handle is checked now and then
            for method in ("GET", "PUT", "DELETE"):
                answer = client.ask(method, "/docs/a", b"2")
                assert (answer.status, answer["Retry-After"]) == (503, "1")
            assert client.ask("GET", "/-/health").status == 200
            log.rmdir()
            assert client.ask("GET", "/docs/a").content == b"1"
        assert server.stop() == 0  # then all of its log is read
        assert sum("audit log can't be written" in line for line in server.errors) == 1
        server.errors[:] = [line for line in server.errors if "audit log can't be written" not in line]
    assert [each["method"] for each in lines(log)] == ["GET", "GET"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--audit", "missing/audit.jsonl"], "missing/audit.jsonl"),
        (["--audit", "site/audit.jsonl", "--mount", "site=file:site"], "contains site/audit.jsonl, the audit log"),
    ],
)
def test_a_server_does_not_start_without_its_log(tmp_path: Path, words: list[str], said: str) -> None:
    command = [sys.executable, "-m", "docstore", "serve", "--port", "0", *words]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (result.returncode, said in result.stderr, len(result.stderr.splitlines())) == (2, True, 1)


def test_on_a_full_disk_one_request_is_carried_out_and_its_line_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, write_bytes = 0, os.write

    def write(descriptor: int, data: bytes) -> int:
        nonlocal free
        if data and not free:  # an empty write succeeds
            raise OSError(errno.ENOSPC, "No space left on device")
        written = write_bytes(descriptor, data[:free])
        free -= written
        return written

    path = tmp_path / "audit.jsonl"
    log = AuditLog(path, lambda: 0)
    monkeypatch.setattr(os, "write", write)
    log.check()
    log.record(Request("PUT", "/docs/a", "", Headers([])), None, "/docs/a", Response(201, []))
    for size in (0, 10, 0):
        free = size
        with pytest.raises(HTTPProblem, match="access-unavailable"):
            log.check()
        log.record(Request("PUT", "/docs/b", "", Headers([])), None, "/docs/b", Response(503, []))
    free = 10_000
    log.check()
    log.record(Request("PUT", "/docs/c", "", Headers([])), None, "/docs/c", Response(201, []))
    log.close()
    part, *whole = path.read_text("ascii").splitlines()
    assert len(part) == 10
    assert [json.loads(line)["path"] for line in whole] == ["/docs/a", "/docs/c"]
