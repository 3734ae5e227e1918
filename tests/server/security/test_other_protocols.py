"""Writes that are meant for another protocol are refused and change nothing."""

from collections.abc import Iterator

import pytest

from tests.http_client import Client, ask
from tests.server_process import MOUNTS, RunningServer

each_mount = pytest.mark.parametrize("mount", MOUNTS)

OLD = b"what stands there"

DOCUMENT_WRITES = [
    pytest.param("POST", "?uploads", {}, id="S3 begins a multipart upload"),
    pytest.param("POST", "?uploads=", {}, id="the same with an equals sign"),
    pytest.param("PUT", "?partNumber=1&uploadId=x", {}, id="S3 uploads a part"),
    pytest.param("DELETE", "?tagging", {}, id="S3 deletes tags"),
    pytest.param("PUT", "?tagging", {}, id="S3 puts tags"),
    pytest.param("DELETE", "?versionId=1", {}, id="S3 deletes a version"),
    pytest.param("PUT", "?comp=block&blockid=AA", {}, id="Azure puts a block"),
    pytest.param("PUT", "?x-id=CopyObject", {}, id="x-id names another operation"),
    pytest.param("DELETE", "?x-id=PutObject", {}, id="x-id names the operation of another method"),
    pytest.param("PATCH", "?a=1", {"Content-Type": "application/merge-patch+json"}, id="PATCH with a parameter"),
    pytest.param("PUT", "?%75ploads", {}, id="an encoded name"),
    pytest.param("PUT", "", {"x-amz-copy-source": "/docs/other"}, id="S3 copies"),
    pytest.param("POST", "", {"X-HTTP-Method-Override": "DELETE"}, id="a method in a header"),
    pytest.param("PUT", "", {"X-Method-Override": "PATCH"}, id="a method in another header"),
    pytest.param("PUT", "", {"Destination": "/docs/other"}, id="WebDAV moves"),
]

COLLECTION_WRITES = [
    pytest.param("POST", "?delete", {}, 400, id="S3 deletes many"),
    pytest.param("PUT", "?acl", {}, 400, id="S3 puts an access list"),
    pytest.param("POST", "", {"Accept": "application/vnd.git-lfs+json"}, 415, id="Git LFS by Accept"),
    pytest.param("POST", "", {"Content-Type": "application/vnd.git-lfs+json; charset=utf-8"}, 415, id="Git LFS"),
    pytest.param("POST", "", {"Content-Type": "application/soap+xml"}, 415, id="SOAP"),
    pytest.param("POST", "", {"X-HTTP-Method-Override": "GET"}, 400, id="a method in a header"),
]


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    with Client(server) as connected:
        yield connected


@each_mount
@pytest.mark.parametrize(("method", "query", "headers"), DOCUMENT_WRITES)
def test_a_write_of_another_protocol_changes_no_document(
    method: str, query: str, headers: dict[str, str], mount: str, client: Client
) -> None:
    assert client.ask("PUT", f"/{mount}/key", OLD).status in (200, 201)
    answer = client.ask(method, f"/{mount}/key{query}", b"{}", headers)
    assert answer.status == 400
    assert b"nothing was changed" in answer.content
    assert client.ask("GET", f"/{mount}/key").content == OLD


@each_mount
@pytest.mark.parametrize(("method", "query", "headers", "status"), COLLECTION_WRITES)
def test_a_write_of_another_protocol_adds_no_document(
    method: str, query: str, headers: dict[str, str], status: int, mount: str, client: Client
) -> None:
    before = client.ask("GET", f"/{mount}/?format=text").content
    answer = client.ask(method, f"/{mount}/{query}", b"{}", headers)
    assert answer.status == status
    assert b"nothing was" in answer.content
    assert client.ask("GET", f"/{mount}/?format=text").content == before


def test_a_query_that_names_the_very_operation_passes(client: Client) -> None:
    assert client.ask("PUT", "/memory/sdk?x-id=PutObject", b"x").status == 201
    assert client.ask("DELETE", "/memory/sdk?x-id=DeleteObject").status == 200


def test_headers_that_only_describe_pass(client: Client) -> None:
    headers = {
        "x-amz-date": "20261127T000000Z",
        "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
        "x-ms-blob-type": "BlockBlob",
    }
    assert client.ask("PUT", "/memory/described", b"x", headers).status == 201


def test_a_mount_ignores_the_parameters_that_it_names(tmp_path_factory: pytest.TempPathFactory) -> None:
    mount = "cache=memory:?ignore_query=slug,teamId"
    with RunningServer(tmp_path_factory.mktemp("data"), "--mount", mount) as running:
        assert ask(running, "PUT", "/cache/key?teamId=a&slug=b", OLD).status == 201
        assert ask(running, "PUT", "/cache/key?teamId=a&teamSlug=b", b"x").status == 400
        assert ask(running, "GET", "/cache/key").content == OLD
