"""The request log: a line for each request, whatever it contains, and one record for each iteration of the loop."""

import asyncio
import logging

import pytest

from docstore.content import BytesContent
from docstore.http.message import Headers, Request, Response
from docstore.server.access_log import PRINTED_LIMIT, AccessLog, AccessLogFormatter, escape


async def handle(request: Request) -> Response:
    return Response(
        404 if request.path == "/none" else 200, [], BytesContent(b"12345"), head_only=request.method == "HEAD"
    )


def asked(method: str, path: str, query: str = "") -> Request:
    return Request(method, path, query, Headers(), BytesContent(b""))


def lines_of(*requests: Request) -> tuple[int, list[str]]:
    """The number of records for requests handled in one iteration of the loop, and the lines that are printed."""
    records: list[logging.LogRecord] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    async def run() -> None:
        logging_handle = AccessLog().around(handle)
        await asyncio.gather(*(logging_handle(request) for request in requests))
        await asyncio.sleep(0)

    log, kept = logging.getLogger("docstore.access"), Kept()
    level = log.level
    log.addHandler(kept)
    log.setLevel(logging.INFO)
    try:
        asyncio.run(run())
    finally:
        log.setLevel(level)
        log.removeHandler(kept)
    formatter = AccessLogFormatter("2023 %(levelname).1s %(message)s")
    return len(records), [line for record in records for line in formatter.format(record).splitlines()]


def test_each_request_is_one_line_with_its_own_prefix() -> None:
    records, lines = lines_of(asked("GET", "/docs/a"), asked("HEAD", "/docs/b", "x=1"), asked("GET", "/none"))
    assert records == 1
    assert [line.rsplit(" ", 2)[0] for line in lines] == [
        "2023 I GET /docs/a 200 5 B",
        "2023 I HEAD /docs/b?x=1 200 0 B",
        "2023 I GET /none 404 5 B",
    ]
    assert all(line.endswith(" ms") for line in lines)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/a\n2023 I GET /forged 200", r"/a\x0a2023\x20I\x20GET\x20/forged\x20200"),
        ("/\r\x1b[31m\x7f\x85", r"/\x0d\x1b[31m\x7f\x85"),
        ("/%s%d{}", "/%s%d{}"),
    ],
)
def test_client_text_forges_no_log_line(path: str, told: str) -> None:
    _, lines = lines_of(asked("GET", path), asked("GET", "/b"))
    assert [line.split(" ")[3] for line in lines] == [told, "/b"]


def test_printable_text_is_logged_up_to_a_limit() -> None:
    assert escape("/" + "a" * (PRINTED_LIMIT - 1)) == "/" + "a" * (PRINTED_LIMIT - 1)
    assert escape("/" + "a" * PRINTED_LIMIT) == "/" + "a" * (PRINTED_LIMIT - 1)


def test_other_records_are_not_changed() -> None:
    record = logging.LogRecord("docstore", logging.ERROR, "", 0, "one\ntwo", (), None)
    assert AccessLogFormatter("E %(message)s").format(record) == "E one\ntwo"


def test_the_next_loop_logs_lines_that_the_previous_one_left() -> None:
    logging_handle = AccessLog().around(handle)
    log = logging.getLogger("docstore.access")
    told: list[str] = []
    log.setLevel(logging.INFO)
    log.addFilter(keep := lambda record: bool(told.append(record.getMessage())) or True)
    try:
        loop = asyncio.new_event_loop()
        coroutine = logging_handle(asked("GET", "/first"))
        asyncio._set_running_loop(loop)
        with pytest.raises(StopIteration):
            coroutine.send(None)
        asyncio._set_running_loop(None)
        loop.close()

        async def second() -> None:
            await logging_handle(asked("GET", "/second"))
            await asyncio.sleep(0)

        asyncio.run(second())
    finally:
        log.removeFilter(keep)
        log.setLevel(logging.NOTSET)
    assert [line.split(" ")[1] for line in "\n".join(told).splitlines()] == ["/first", "/second"]
