"""Validators and conditions through a real server, the same on each engine."""

import email.utils
import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from docstore.model import Fields, version_of
from tests.http_client import Client, ask, prepare
from tests.server_process import MOUNTS, RunningServer

each_mount = pytest.mark.parametrize("mount", MOUNTS)


def etag_of(content: bytes, media_type: str) -> str:
    return f'"{version_of(hashlib.sha256(content).digest(), Fields.make(media_type))}"'


@each_mount
def test_the_etag_is_made_from_content_and_type(server: RunningServer, mount: str) -> None:
    path = f"/{mount}/tagged"
    with Client(server) as client:
        for content, media_type in [(b"1", "text/a"), (b"2", "text/a"), (b"2", "text/b"), (b"1", "text/a")]:
            written = client.ask("PUT", path, content, {"content-type": media_type})
            tag = etag_of(content, media_type)
            assert (written["etag"], client.ask("GET", path)["etag"], client.ask("HEAD", path)["etag"]) == (
                tag,
                tag,
                tag,
            )
        client.prepare("DELETE", path)


@each_mount
def test_last_modified_is_a_date_not_later_than_date(server: RunningServer, mount: str) -> None:
    path = f"/{mount}/dated"
    with Client(server) as client:
        for _ in range(20):
            client.prepare("PUT", path, b"1")
            answer = client.ask("GET", path)
            modified = email.utils.parsedate_to_datetime(answer["last-modified"])
            assert modified <= email.utils.parsedate_to_datetime(answer["date"])
        client.prepare("DELETE", path)


@each_mount
def test_head_has_the_fields_of_get(server: RunningServer, mount: str) -> None:
    path = f"/{mount}/headed"
    with Client(server) as client:
        client.prepare("PUT", path, b"12345", {"content-type": "text/x"})
        get, head = client.ask("GET", path), client.ask("HEAD", path)
        assert (head.status, head.content) == (200, b"")
        assert {k: v for k, v in head.headers.items() if k != "date"} == {
            k: v for k, v in get.headers.items() if k != "date"
        }
        client.prepare("DELETE", path)


CONDITIONS = [
    # method, field, value ({} is the present tag), status when the document exists, status when it does not
    ("GET", "If-None-Match", "{}", 304, 404),
    ("GET", "If-None-Match", "W/{}", 304, 404),
    ("GET", "If-None-Match", '"x", {}', 304, 404),
    ("GET", "If-None-Match", "*", 304, 404),
    ("GET", "If-None-Match", '"x"', 200, 404),
    ("GET", "If-Match", "{}", 200, 404),
    ("GET", "If-Match", "W/{}", 412, 404),
    ("GET", "If-Match", '"x"', 412, 404),
    ("HEAD", "If-None-Match", "{}", 304, 404),
    ("HEAD", "If-Match", '"x"', 412, 404),
    ("PUT", "If-None-Match", "*", 412, 201),
    ("PUT", "If-None-Match", "{}", 412, 201),
    ("PUT", "If-None-Match", '"x"', 200, 201),
    ("PUT", "If-Match", "{}", 200, 412),
    ("PUT", "If-Match", '"x", {}', 200, 412),
    ("PUT", "If-Match", "W/{}", 412, 412),
    ("PUT", "If-Match", '"x"', 412, 412),
    ("PUT", "If-Match", "*", 200, 412),
    ("POST", "If-None-Match", "*", 412, 201),
    ("POST", "If-Match", "{}", 200, 412),
    ("DELETE", "If-Match", "{}", 200, 404),
    ("DELETE", "If-Match", '"x"', 412, 404),
    ("DELETE", "If-None-Match", "*", 412, 404),
]


@each_mount
@pytest.mark.parametrize(("method", "field", "value", "existing", "missing"), CONDITIONS)
def test_conditions_are_evaluated_as_in_the_table(
    server: RunningServer, mount: str, method: str, field: str, value: str, existing: int, missing: int
) -> None:
    path = f"/{mount}/conditional"
    tag = etag_of(b"as it was", "text/x")
    with Client(server) as client:
        client.prepare("DELETE", path)
        content = b"new" if method in ("PUT", "POST") else None
        assert client.ask(method, path, content, {field: value.format(tag)}).status == missing
        client.prepare("PUT", path, b"as it was", {"content-type": "text/x"})
        answer = client.ask(method, path, content, {field: value.format(tag)})
        assert answer.status == existing
        if answer.status in (304, 412):
            assert answer["etag"] == tag
            assert client.ask("GET", path).content == b"as it was"
        client.prepare("DELETE", path)


@each_mount
def test_a_304_has_no_content_and_the_fields_that_a_200_would(server: RunningServer, mount: str) -> None:
    path = f"/{mount}/unchanged"
    with Client(server) as client:
        client.prepare("PUT", path, b"1")
        full = client.ask("GET", path)
        short = client.ask("GET", path, headers={"If-None-Match": full["etag"]})
        assert (short.status, short.content) == (304, b"")
        assert all(short[name] == full[name] for name in ("etag", "cache-control", "last-modified"))
        assert "content-length" not in short.headers
        client.prepare("DELETE", path)


@each_mount
def test_compare_and_swap_loses_no_increment(server: RunningServer, mount: str) -> None:
    path = f"/{mount}/counter"
    prepare(server, "PUT", path, b"0")

    def increment(_: int) -> None:
        with Client(server) as client:
            while True:
                got = client.ask("GET", path)
                new = b"%d" % (int(got.content) + 1)
                if client.ask("PUT", path, new, {"If-Match": got["etag"]}).status == 200:
                    return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(increment, range(40)))
    assert ask(server, "GET", path).content == b"40"
    prepare(server, "DELETE", path)
