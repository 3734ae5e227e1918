"""The table of rights: every method on every kind of resource, with every right missing in turn, on every engine.

The store is compared before and after each rejected request.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from docstore import Client as Library
from docstore import DocstoreError, Tokens
from docstore.server.security.rights import RIGHTS
from tests.engine_urls import ENGINES, url_in
from tests.http_client import Answer, Client
from tests.server_process import RunningServer
from tests.stores import run

MERGE = {"Content-Type": "application/merge-patch+json"}
JSON = {"Content-Type": "application/json"}

CASES = {
    "read a document": ("GET", "in/old", {}, {"read"}),
    "read a range": ("GET", "in/old", {"Range": "bytes=0-1"}, {"read"}),
    "revalidate": ("GET", "in/old", {"If-None-Match": '"x"'}, {"read"}),
    "read headers": ("HEAD", "in/old", {}, {"read"}),
    "list in JSON": ("GET", "?format=json", {}, {"list"}),
    "list in lines": ("GET", "?format=ndjson", {}, {"list"}),
    "list as text": ("GET", "?format=text&prefix=in", {}, {"list"}),
    "list as a page": ("GET", "", {"Accept": "text/html"}, {"list"}),
    "list for programs": ("GET", "", {}, {"list"}),
    "list headers": ("HEAD", "?format=json", {}, {"list"}),
    "list a folder": ("GET", "in/", {}, {"list"}),
    "download all": ("GET", "?format=zip", {}, {"list", "read"}),
    "download headers": ("HEAD", "?format=tar", {}, {"list", "read"}),
    "download a folder": ("GET", "in/?format=tar", {}, {"list", "read"}),
    "download a document": ("GET", "?format=zip&keys=in/old", {}, {"read"}),
    "download a chosen folder": ("GET", "?format=zip&keys=in/", {}, {"list", "read"}),
    "create by PUT": ("PUT", "in/new", JSON, {"create"}),
    "create by POST": ("POST", "in/new", JSON, {"create"}),
    "create, if absent": ("PUT", "in/new", {**JSON, "If-None-Match": "*"}, {"create"}),
    "create with a TTL": ("PUT", "in/new", {**JSON, "TTL": "60"}, {"create"}),
    "replace by PUT": ("PUT", "in/old", JSON, {"replace"}),
    "replace by POST": ("POST", "in/old", JSON, {"replace"}),
    "replace, if present": ("PUT", "in/old", {**JSON, "If-Match": "*"}, {"replace"}),
    "replace by an end": ("PUT", "in/old", {**JSON, "TTL": "1"}, {"replace"}),
    "replace an old state": ("PUT", "in/old", {**JSON, "If-None-Match": '"x"'}, {"replace"}),
    "replace fields": ("PUT", "in/old", {**JSON, "Meta-Author": "ana"}, {"replace"}),
    "patch": ("PATCH", "in/old", MERGE, {"read", "replace"}),
    "patch the TTL": ("PATCH", "in/old", {**MERGE, "TTL": "1"}, {"read", "replace"}),
    "delete": ("DELETE", "in/old", {}, {"delete"}),
    "delete, if present": ("DELETE", "in/old", {"If-Match": "*"}, {"delete"}),
}
"""Method, path in the mount, headers, and the rights that the request needs."""
IN_COLLECTION = {"POST": {"create"}, "PUT": {"create"}}


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


class Store:
    """A server whose mounts are all engines, and a client of it with every token."""

    def __init__(self, server: RunningServer, tokens: Tokens) -> None:
        self.server, self.tokens = server, tokens
        self.client = Client(server)
        self._made: dict[tuple[str, str, str], str] = {}
        self.administrator = ""

    def token(self, rights: set[str], mount: str, prefix: str = "in/") -> dict[str, str]:
        """The header of a token that was made before the server started."""
        return bearer(self._made[",".join(sorted(rights)), mount, prefix])

    def session(self, rights: set[str], mount: str) -> dict[str, str]:
        """The headers of a page of the store, in a browser that has logged in with such a token."""
        text = self._made[",".join(sorted(rights)), mount, "in/"]
        answer = self.client.prepare("POST", "/-/login", json.dumps({"token": text}).encode(), JSON)
        return {"Cookie": answer["set-cookie"].partition(";")[0], "Origin": self.server.url}

    def make(self, rights: set[str], mount: str, prefix: str = "in/") -> None:
        made = self.tokens.create(rights=rights, mount=mount, prefix=prefix)
        self._made[",".join(sorted(rights)), mount, prefix] = made.text

    def ask(self, method: str, path: str, headers: dict[str, str]) -> Answer:
        content = b'{"n":2}' if method in ("PUT", "POST", "PATCH") else None
        return self.client.ask(method, path, content, headers)

    def state(self, mount: str) -> bytes:
        return self.client.prepare("GET", f"/{mount}/?format=json", None, bearer(self.administrator)).content

    def reset(self, mount: str) -> bytes:
        """Make the collection `in/old` and `out/old`, and return its state."""
        admin = bearer(self.administrator)
        for key in self.client.prepare("GET", f"/{mount}/?format=text", None, admin).content.decode().split():
            self.client.prepare("DELETE", f"/{mount}/{key}", None, admin)
        for key in ("in/old", "out/old"):
            self.client.prepare("PUT", f"/{mount}/{key}", b'{"n":1}', {**admin, **JSON})
        return self.state(mount)


def subsets() -> list[set[str]]:
    """All rights, each one missing, and exactly those that some request needs."""
    needed = [needs for *_, needs in CASES.values()]
    return [set(RIGHTS), *({*RIGHTS} - {right} for right in RIGHTS), *needed, {"create", "replace"}]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("data")
    mounts = [f"--mount={engine}={url_in(folder, engine)}" for engine in ENGINES]
    with RunningServer(folder, "--auth", "tokens", *mounts) as server:
        made = Store(server, Tokens(folder))
        made.administrator = made.tokens.create(rights=["all"]).text
        for engine in ENGINES:
            for rights in subsets():
                made.make(rights, engine)
        made.make({"create"}, "memory", "")
        made.make({"read", "list"}, "memory", "")
        while made.client.ask("GET", "/", None, made.token({"read", "list"}, "memory", "")).status != 200:
            pass  # within a second
        yield made
        made.client.close()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mount", ENGINES)
def test_each_right_is_needed_where_the_table_says_so(store: Store, mount: str, case: str) -> None:
    method, key, headers, needed = CASES[case]
    path = f"/{mount}/{key}"
    before = store.reset(mount)
    for missing in RIGHTS:
        answer = store.ask(method, path, {**headers, **store.token({*RIGHTS} - {missing}, mount)})
        if missing in needed:
            assert answer.status == 403
            assert method == "HEAD" or f"the token lacks the right: {missing}".encode() in answer.content
            assert store.state(mount) == before
        else:
            assert answer.status < 400, (missing, answer)
            before = store.reset(mount)
    assert store.ask(method, path, {**headers, **store.token(needed, mount)}).status < 400


@pytest.mark.parametrize("case", CASES)
def test_a_session_has_the_rights_of_its_token(store: Store, case: str) -> None:
    method, key, headers, needed = CASES[case]
    path, before = f"/memory/{key}", store.reset("memory")
    for missing in needed:
        answer = store.ask(method, path, {**headers, **store.session({*RIGHTS} - {missing}, "memory")})
        assert (answer.status, store.state("memory")) == (403, before)
    session = store.session(needed, "memory")
    if method not in ("GET", "HEAD"):
        answer = store.ask(method, path, {**headers, "Cookie": session["Cookie"]})
        assert (answer.status, store.state("memory")) == (403, before)
    assert store.ask(method, path, {**headers, **session}).status < 400


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mount", ENGINES)
def test_no_right_reaches_beyond_its_prefix_or_mount(store: Store, mount: str, case: str) -> None:
    method, key, headers, needed = CASES[case]
    before = store.reset(mount)
    token = store.token(set(RIGHTS), mount)
    outside = key.replace("in", "out") if "?" not in key and key else None
    if outside:
        answer = store.ask(method, f"/{mount}/{outside}", {**headers, **token})
        assert (answer.status, store.state(mount)) == (404 if needed <= {"read", "list"} else 403, before)
        absent = store.ask(method, f"/{mount}/{outside.replace('/old', '/no')}", {**headers, **token})
        assert (absent.status, absent.content) == (answer.status, answer.content)
    other = next(engine for engine in ENGINES if engine != mount)
    elsewhere = store.token(set(RIGHTS), other)
    answer = store.ask(method, f"/{mount}/{key}", {**headers, **elsewhere})
    nowhere = store.ask(method, f"/nowhere/{key}", {**headers, **elsewhere})
    assert (answer.status, answer.content) == (nowhere.status, nowhere.content.replace(b"nowhere", mount.encode()))
    assert answer.status == (404 if needed <= {"read", "list"} else 403)
    assert store.state(mount) == before


@pytest.mark.parametrize("case", CASES)
def test_without_a_token_everything_is_401_with_both_challenges(store: Store, case: str) -> None:
    """But pages: for Basic, a browser would open a dialog instead of the login."""
    method, key, headers, _ = CASES[case]
    expected = ["Bearer"] if headers.get("Accept") == "text/html" else ["Bearer", "Basic"]
    before = store.reset("memory")
    for mount in ("memory", "nowhere"):
        answer = store.ask(method, f"/{mount}/{key}", headers)
        challenges = [value.partition(" ")[0] for value in answer.headers.get_all("WWW-Authenticate") or []]
        assert (answer.status, challenges) == (401, expected)
    assert store.state("memory") == before


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_new_uuid_needs_the_right_to_create_in_the_whole_mount(store: Store, method: str) -> None:
    before = store.reset("memory")
    for token in (store.token({"create"}, "memory"), store.token({"read", "list"}, "memory", "")):
        assert store.ask(method, "/memory/", {**JSON, **token}).status == 403
        assert store.state("memory") == before
    assert store.ask(method, "/memory/", {**JSON, **store.token({"create"}, "memory", "")}).status == 201


@pytest.mark.parametrize("mount", ENGINES)
def test_a_token_that_may_only_create_is_append_only(store: Store, mount: str) -> None:
    before = store.reset(mount)
    token = store.token({"create"}, mount)
    attempts = [
        (method, headers)
        for method in ("PUT", "POST")
        for headers in (
            {},
            {"TTL": "0"},
            {"If-Match": "*"},
            {"If-None-Match": '"x"'},
            {"If-Unmodified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"},
        )
    ]
    attempts += [("PATCH", MERGE), ("PATCH", {**MERGE, "TTL": "0"}), ("DELETE", {}), ("DELETE", {"If-Match": "*"})]
    for method, headers in attempts:
        assert store.ask(method, f"/{mount}/in/old", {**headers, **token}).status == 403
        assert store.state(mount) == before
    answer = store.ask("PUT", f"/{mount}/in/old", {"If-None-Match": "*", **token})
    assert (answer.status, answer["Content-Type"], answer.headers["ETag"]) == (412, "text/plain; charset=utf-8", None)
    assert (answer.content, store.state(mount)) == (b"precondition failed\n", before)
    assert store.ask("GET", f"/{mount}/in/old", token).status == 404


def test_the_root_listings_and_descriptions_show_what_the_token_may_see(store: Store) -> None:
    store.reset("memory")
    token = store.token({"list"}, "memory")
    text = {"Accept": "text/plain", **token}
    assert store.ask("GET", "/", text).content == b"/memory/\n"
    assert store.ask("GET", "/memory/", text).content == b"in/old\n"
    assert store.ask("GET", "/memory/?prefix=i", text).content == b"in/old\n"
    assert store.ask("GET", "/memory/?prefix=out", text).content == b""
    assert store.ask("GET", "/memory/?delimiter=/", text).content == b"in/\n"
    assert b"out/" not in store.ask("GET", "/memory/", {"Accept": "text/html", **token}).content
    assert b"/file/" not in store.ask("GET", "/", {"Accept": "text/html", **token}).content
    assert b"/file/" not in store.ask("GET", "/-/openapi.json", token).content
    assert store.ask("GET", "/-/ready", token).content == b"ready\n"
    assert [store.ask("GET", path, {}).status for path in ("/-/ready", "/-/openapi.json", "/", "/-/docs")] == [401] * 4
    assert [store.ask("GET", path, {}).status for path in ("/-/health", "/-/problems", "/-/web/page.css")] == [200] * 3
    assert store.ask("GET", "/-/web/../../memory/in/old", {}).status == 401
    assert store.ask("OPTIONS", "/memory/in/old", token)["Allow"] == "GET, HEAD, OPTIONS"
    created = store.ask("OPTIONS", "/memory/in/old", store.token({"create"}, "memory"))
    assert created["Allow"] == "GET, HEAD, OPTIONS, POST, PUT"


@pytest.mark.parametrize("missing", RIGHTS)
def test_the_library_and_the_command_change_nothing_without_the_right(
    store: Store, missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = store.reset("file")
    header = store.token({*RIGHTS} - {missing}, "file")
    secret = header["Authorization"].partition(" ")[2]
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").write_bytes(b"{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCSTORE_URL", store.server.url.replace("://", f"://any:{secret}@"))
    calls = {
        "read": (lambda docs: docs["in/old"], ["get", "file/in/old"]),
        "list": (lambda docs: docs.list(prefix="in/"), ["ls", "file/in/"]),
        "create": (lambda docs: docs.put("in/new", b"x"), ["put", "file/in/new", "folder/old"]),
        "replace": (lambda docs: docs.put("in/old", b"x"), ["put", "file/in/old", "folder/old"]),
        "delete": (lambda docs: docs.delete("in/old"), ["rm", "file/in/old"]),
    }
    call, words = calls[missing]
    with Library(f"{store.server.url}/file/", headers=header) as docs, pytest.raises(DocstoreError) as caught:
        call(docs)
    assert f"lacks the right: {missing}" in str(caught.value)
    result = run(*words)
    assert (result.status, f"lacks the right: {missing}" in result.err, secret in result.err) == (3, True, False)
    if missing in ("replace", "delete"):
        moves = [["mv", "file/in/old", "file/in/other"]] if missing == "delete" else [["sync", "./folder", "file/in/"]]
        for words in moves:
            assert run(*words).status != 0
        assert b'"key":"in/old"' in store.state("file")
    else:
        assert store.state("file") == before
