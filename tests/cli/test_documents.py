"""The commands on documents: over HTTP to a real server, and on each engine by its URL."""

import asyncio
import hashlib
import json
import re
from pathlib import Path

import pytest

from docstore.cli.download import PARTS
from tests.server_process import RunningServer
from tests.stores import ON_DISK, CommandResult, opened, run

WHERE = ["docs", "file", *ON_DISK]
"""Two mounts of a server, and three engines."""


@pytest.fixture(params=WHERE)
def place(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> str:
    """The beginning of an address, before the key, under which only this test stores documents."""
    if request.param in ON_DISK:
        return f"{request.param}:{tmp_path}/store#"
    return f"{request.param}/t{abs(hash(request.node.name)) % 10**9}-"


def done(*arguments: object, data: bytes = b"") -> CommandResult:
    result = run(*arguments, data=data)
    assert (result.status, result.err.startswith("docstore: ")) == (0, False), result.err
    return result


def metadata(address: str) -> dict[str, object]:
    described = json.loads(done("info", "--json", address).out)
    assert isinstance(described, dict)
    return described


def test_a_document_is_put_listed_read_and_removed(place: str) -> None:
    content = bytes(range(256)) + b"no newline"
    assert done("put", f"{place}key", data=content).data == b""
    assert done("get", f"{place}key").data == content
    assert done("get", "--range", "1-3", f"{place}key").data == b"\x01\x02\x03"
    assert done("get", "--range", "-7", f"{place}key").data == b"newline"
    assert done("ls", f"{place}k").out.endswith("key\n")
    assert metadata(f"{place}key")["size"] == len(content)
    assert done("rm", f"{place}key").out == ""
    assert (run("get", f"{place}key").status, run("rm", f"{place}key").status) == (1, 1)
    assert run("ls", place).out == ""


def test_info_shows_all_metadata(place: str, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_bytes(b"<p>")
    options = ["--ttl", "2h", "--meta", "author=ana", "--meta", "x=1=2", "--language", "de", "--encoding", "gzip"]
    options += ["--type", "text/html"]
    done("put", f"{place}key", file, *options, "--disposition", "inline", "--cache-control", "max-age=60")
    described = metadata(f"{place}key")
    assert described["media_type"] == "text/html"
    assert described["sha256"] == hashlib.sha256(b"<p>").hexdigest()
    fields = {"content-language": "de", "content-encoding": "gzip", "content-disposition": "inline"}
    assert described["fields"] == fields | {
        "cache-control": "max-age=60",
        "meta-author": "ana",
        "meta-x": "1=2",
    }
    assert "expires" in described
    shown = done("info", f"{place}key").out
    for name, value in described.items():
        if name not in ("fields", "size"):
            assert f"{value}\n" in shown, name
    assert "meta-author" in shown


def test_conditions_are_enforced(place: str) -> None:
    key = f"{place}key"
    done("put", key, "--if-none-match", "*", data=b"one")
    first = str(metadata(key)["version"])
    result = run("put", key, "--if-none-match", "*", data=b"two")
    assert (result.status, result.err.count("\n")) == (1, 2)
    done("put", key, "--if-match", f'"{first}"', data=b"two")
    assert run("put", key, "--if-match", first, data=b"three").status == 1
    assert run("rm", key, "--if-match", first).status == 1
    assert done("get", key).data == b"two"
    done("rm", key, "--if-match", metadata(key)["version"])


def test_keys_are_exact(url: str, tmp_path: Path) -> None:
    store = f"sqlite:{tmp_path}/store"
    names = ["a b", "100%", "é/☃", "q?x=1", "#h", "%2e", "a+b", "c:d"]
    for name in names:
        encoded = "".join(f"%{byte:02X}" for byte in name.encode())
        done("put", f"{store}#{encoded}", data=name.encode())
        done("cp", f"{store}#{encoded}", f"file/exact/{encoded}")
        assert done("get", f"{url}/file/exact/{encoded}").data == name.encode()
    listed = done("ls", "-R", f"{url}/file/exact/").out.splitlines()
    assert listed == sorted((f"exact/{name}" for name in names), key=lambda key: key.encode())


def test_a_folder_is_uploaded_copied_and_downloaded_unchanged(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    files = {"a.txt": b"1", "deep/er/b.json": b"{}", "empty": b"", ".hidden": b"h", "deep/é ☃": b"x" * 2_000_000}
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "loop").symlink_to(folder)
    result = run("put", "-r", "file/round/", folder)
    said = f"docstore: {folder}/loop: links to folders are not followed\n"
    assert (result.status, said in result.err) == (1, True)
    (folder / "loop").unlink()
    done("put", "-r", "file/round/", folder)
    assert metadata("file/round/deep/er/b.json")["media_type"] == "application/json"
    done("cp", "-r", "file/round/", f"sqlite:{tmp_path}/store#in/")
    for source in ("file/round/", f"sqlite:{tmp_path}/store#in/"):
        done("get", "-r", source, "-o", tmp_path / "back")
        there = {path.relative_to(tmp_path / "back").as_posix(): path for path in (tmp_path / "back").rglob("*")}
        assert {name: path.read_bytes() for name, path in there.items() if path.is_file()} == files
    done("rm", "-r", "--yes", "file/round/")
    assert run("ls", "file/round/").status == 1
    assert PARTS not in there


def test_an_address_can_be_a_prefix_of_keys(url: str, tmp_path: Path) -> None:
    for key in ("pre-1", "pre-2", "prey", "other"):
        done("put", f"cache/ac/p/{key}", data=key.encode())
    assert done("ls", "cache/ac/p/pre-").out == "p/pre-1\np/pre-2\n"
    assert done("ls", "-n", "1", "cache/ac/p/pre").out == "p/pre-1\n"
    done("get", "-r", "cache/ac/p/pre-", "-o", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pre-1", "pre-2"]
    done("rm", "-r", "-y", "cache/ac/p/pre-")
    assert done("ls", "cache/ac/p/").out == "p/other\np/prey\n"


def test_several_files_are_stored_under_their_names(url: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    done("put", "file/several/", tmp_path / "one", tmp_path / "two")
    done("put", "file/several/", tmp_path / "one", "--type", "text/x-one")
    assert done("ls", "file/several/").out == "several/one\nseveral/two\n"
    assert metadata("file/several/one")["media_type"] == "text/x-one"


def test_the_exit_status_says_whether_any_of_several_files_were_stored(url: str, tmp_path: Path) -> None:
    (tmp_path / "bad name.txt").write_bytes(b"x")
    result = run("put", "-qr", "docs/", tmp_path)
    assert (result.status, result.err.count("\n")) == (2, 1), "none could be stored"
    for name in ("some-good", "some-good2"):
        (tmp_path / name).write_bytes(b"x")
    result = run("put", "-qr", "docs/", tmp_path)
    assert (result.status, result.err.count("\n")) == (1, 1)
    assert "bad name.txt: " in result.err
    assert done("ls", "docs/some-").out == "some-good\nsome-good2\n"


def test_standard_input_is_stored_under_a_new_key_in_a_collection(url: str) -> None:
    key = done("put", "docs/", data=b"nameless").out.strip()
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", key)
    assert done("get", f"docs/{key}").data == b"nameless"


def test_a_large_stream_is_stored_completely(url: str, tmp_path: Path) -> None:
    content = b"0123456789abcdef" * 200_000
    done("put", "docs/stream", data=content)
    done("get", "docs/stream", "-o", tmp_path)
    assert (tmp_path / "stream").read_bytes() == content


@pytest.mark.parametrize("size", [3, 3_000_000])
def test_a_copy_keeps_the_etag_the_fields_and_the_ttl(url: str, tmp_path: Path, size: int) -> None:
    options = ["--type", "text/x", "--meta", "a=b", "--language", "de", "--ttl", "1h"]
    done("put", "docs/copied", *options, data=b"x" * size)
    done("cp", "docs/copied", f"file:{tmp_path}/folder#")
    done("cp", f"file:{tmp_path}/folder#copied", "cache/ac/copied-again")
    first, last = metadata("docs/copied"), metadata("cache/ac/copied-again")
    assert {**first, "key": "", "modified": "", "expires": ""} == {**last, "key": "", "modified": "", "expires": ""}
    assert str(first["expires"])[:13] <= str(last["expires"])[:13]


@pytest.mark.parametrize("cached", ["max-age=86400", "no-cache"])
def test_a_copy_keeps_a_cache_control_that_responses_change(url: str, tmp_path: Path, cached: str) -> None:
    done("put", "docs/cached", "--ttl", "1h", "--cache-control", cached, data=b"x")
    done("cp", "docs/cached", f"file:{tmp_path}/folder#")
    fields = [
        json.loads(done("ls", "--json", where).out)["fields"] for where in ("docs/cached", f"file:{tmp_path}/folder#")
    ]
    assert fields == [{"cache-control": cached}] * 2


def test_a_copy_skips_documents_that_exist_in_the_same_version(url: str, tmp_path: Path) -> None:
    for key in ("same", "other"):
        done("put", f"file/twice/{key}", data=key.encode())
    store = f"sqlite:{tmp_path}/store"
    done("cp", "-r", "file/twice/", f"{store}#")
    modified = metadata(f"{store}#same")["modified"]
    done("put", f"{store}#other", data=b"changed")
    done("cp", "-r", "file/twice/", f"{store}#")
    assert done("get", f"{store}#other").data == b"other"
    assert metadata(f"{store}#same")["modified"] == modified


def test_a_copy_reports_the_documents_that_the_target_rejects(url: str) -> None:
    for key in ("in.valid", "valid"):
        done("put", f"file/rejected/{key}", data=b"x")
    for status in (1, 2):  # 2 if there is nothing else
        result = run("cp", "-qr", "file/rejected/", "docs/")
        assert (result.status, result.err.count("\n")) == (status, 1), result.err
        assert result.err.startswith("docstore: 'rejected/in.valid': ")
        done("rm", "file/rejected/valid") if status == 1 else None
    assert done("get", "docs/valid").data == b"x"


def test_a_json_listing_has_one_document_per_line(url: str) -> None:
    for key in ("json-1", "json-2"):
        done("put", f"docs/{key}", data=b"x")
    lines = [json.loads(line) for line in done("ls", "--json", "docs/json-").out.splitlines()]
    assert [line["key"] for line in lines] == ["json-1", "json-2"]
    assert {"version", "size", "sha256", "media_type", "modified"} <= lines[0].keys()


def test_info_shows_the_state_of_a_server(url: str) -> None:
    described = metadata(url)
    assert (described["health"], described["ready"]) == ("ok", "ready")
    assert {"mount": "/cache/ac/", "engine": "memory"} in described["mounts"]  # type: ignore[operator]
    assert done("info", f"{url}/-/").out == done("info").out
    assert "/cache/ac/: " in done("info").out
    assert done("ls").out.splitlines() == ["/docs/", "/file/", "/cache/ac/", "/tiny/"]


def test_engines_lists_what_each_guarantees() -> None:
    shown = done("engines").out
    described = {engine["engine"]: engine for engine in json.loads(done("engines", "--json").out)["engines"]}
    assert {"memory", "file", "shelve", "sqlite"} <= described.keys()
    for name, engine in described.items():
        for promise in (f"{name}: ", engine["summary"], engine["survives"], engine["example"], *engine["options"]):
            assert promise in shown


def test_an_engine_can_be_opened_while_a_server_uses_it(url: str, data_of_server: Path) -> None:
    done("put", "docs/shared", data=b"from the server")
    assert done("get", f"sqlite:{data_of_server}/docs.db#shared").data == b"from the server"
    done("put", f"sqlite:{data_of_server}/docs.db#back", data=b"from the command")
    assert done("get", "docs/back").data == b"from the command"


def test_a_single_process_engine_that_is_open_elsewhere_is_an_error(tmp_path: Path) -> None:
    async def look() -> CommandResult:
        async with opened(f"shelve:{tmp_path}/shelf"):
            return await asyncio.to_thread(run, "put", f"shelve:{tmp_path}/shelf#key", data=b"x")

    result = asyncio.run(look())
    assert (result.status, result.err.count("\n")) == (2, 1)


REFUSED = [
    ("get docs/nothing", 1, "not found"),
    ("info docs/nothing", 1, "not found"),
    ("rm docs/nothing", 1, "not found"),
    ("cp docs/nothing docs/new", 1, "not found"),
    ("get nowhere/key", 1, "there is no mount at /nowhere/"),
    ("info nowhere/key", 1, "there is no mount at /nowhere/"),
    ("put nowhere/key FILE", 1, "there is no mount at /nowhere/"),
    ("edit nowhere/key", 1, "there is no mount at /nowhere/"),
    ("ls nowhere/", 1, "docstore ls"),
    ("put docs/key -r FILE", 2, "end the address with a slash"),
    ("put docs/ -r", 2, "name them"),
    ("put docs/ FOLDER", 2, "add -r to store its files"),
    ("put docs/key NOFILE", 2, "does not exist"),
    ("put docs/in.valid FILE", 2, "keys=name"),
    ("put docs/key --ttl soon", 2, "2h"),
    ('put docs/key FILE --if-match a"b', 2, "not an ETag"),
    ("rm docs/here --if-match ü", 2, "not an ETag"),
    ("put docs/key --ttl 99999999999", 2, "99999999999"),
    ("put docs/key --meta novalue", 2, "author=ana"),
    ("put docs/key --type nonsense", 2, "media type"),
    ("put docs/key --header novalue", 2, "X-Team:red"),
    ("put docs/key FILE --meta a=1 --meta A=2", 2, "'a' is given 2 times"),
    ("get docs/here --header X:1 --header x:1", 2, "'x' is given 2 times"),
    ("put tiny/key FILE", 3, "content too large"),
    ("get docs/", 2, "docs/key"),
    ("get docs", 2, "docs/key"),
    ("get docs/key --range 9-1", 2, "0-99"),
    ("get -r docs/", 2, "-o FOLDER"),
    ("get docs/../key", 2, "'.' or '..'"),
    ("get docs//key", 2, "must not be empty, '.' or '..'"),
    ("get memory:#key", 2, "memory: is empty"),
    ("get nosuch:place#key", 2, "unknown engine"),
    ("get sqlite:FOLDER/none.db#key", 2, "no such store"),
    ("ls file:FOLDER/none", 2, "no such store"),
    ("rm -r docs/", 2, "--yes"),
    ("rm docs/a docs/b --if-match x", 2, "one document"),
    ("cp -r docs/ docs/key", 2, "end the address with a slash"),
    ("cp -r docs/ http://127.0.0.1:1/docs/", 3, "docstore serve"),
    ("cp docs/here http://127.0.0.1:1/docs/", 3, "docstore serve"),
    ("cp docs/here docs/in.valid", 2, "keys=name"),
    ("cp -r sqlite:FOLDER/none.db docs/", 2, "no such store"),
    ("fetch docs/key", 2, "no such command 'fetch'; 'docstore get' does that"),
    ("get", 2, "Missing argument"),
    (
        "get http://127.0.0.1:1/docs/key",
        3,
        "cannot reach http://127.0.0.1:1: connection refused\ndocstore: is the server",
    ),
    ("ls http://127.0.0.1:1/", 3, "docstore serve"),
    ("put http://127.0.0.1:1/docs/key FILE", 3, "docstore serve"),
    ("get docs/here -o FOLDER/none/file", 3, "no such folder"),
]


@pytest.mark.parametrize(("line", "status", "said"), REFUSED, ids=[line for line, _, _ in REFUSED])
def test_an_error_is_one_or_two_lines(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, status: int, said: str
) -> None:
    monkeypatch.setattr("docstore.client.retry.FIRST_PAUSE_S", 0.001)
    (tmp_path / "file").write_bytes(b"more than ten bytes")
    done("put", "docs/here", data=b"x")
    places = {"FILE": tmp_path / "file", "NOFILE": tmp_path / "nofile", "FOLDER": tmp_path}
    words = [str(places.get(word, word.replace("FOLDER", str(tmp_path)))) for word in line.split()]
    result = run(*words)
    assert (result.status, result.out) == (status, ""), result.err
    assert said in result.err
    assert 1 <= result.err.count("\n") <= 2
    assert all(one.startswith("docstore: ") for one in result.err.splitlines())


@pytest.mark.parametrize("line", ["put URL/docs/key FILE", "get URL/docs/key", "edit URL/docs/key"])
def test_an_error_shows_no_password(tmp_path: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("docstore.client.retry.FIRST_PAUSE_S", 0.001)
    (tmp_path / "file").touch()
    line = line.replace("URL", "http://ana:s3cret@127.0.0.1:1").replace("FILE", str(tmp_path / "file"))
    result = run(*line.split())
    assert result.status == 3
    assert "s3cret" not in result.err
    assert "s3cret" not in run("get", "http://ana:s3cret@127.0.0.1:1/docs/").err


def test_put_drops_ttl_and_fields_unless_it_keeps_them(url: str, tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_bytes(b"1")
    done("put", "file/keeping/kept", path, "--ttl", "1h", "--meta", "a=1", "--type", "text/html", "--language", "de")
    path.write_bytes(b"2")
    done("put", "--keep", "file/keeping/kept", path, "--meta", "b=2")
    path.write_bytes(b"3")
    done("put", "--keep", "-r", "file/keeping/", tmp_path)
    kept = json.loads(done("info", "--json", "file/keeping/kept").out)
    assert (kept["size"], kept["media_type"], "expires" in kept) == (1, "text/html", True)
    assert kept["fields"] == {"content-language": "de", "meta-a": "1", "meta-b": "2"}
    assert "1 the same already" in run("put", "--keep", "-r", "file/keeping/", tmp_path).err
    done("put", "file/keeping/kept", path)
    dropped = json.loads(done("info", "--json", "file/keeping/kept").out)
    assert ("expires" in dropped, dropped.get("fields", {})) == (False, {})
    assert done("get", "file/keeping/kept").data == b"3"
    for line in ("put docs/ --keep", "put docs/key --keep --if-none-match *"):
        assert "--keep" in run(*line.split(), data=b"").err


def test_a_read_only_mount_stores_nothing_and_no_bytes(tmp_path: Path) -> None:
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    for name in ("a", "deep/b"):
        (tmp_path / "folder" / name).write_bytes(b"12345")
    done("put", f"sqlite:{tmp_path}/docs.db#old", data=b"1")
    mounts = ("--mount", f"docs=sqlite:{tmp_path}/docs.db?readonly=yes", "--mount", "names=memory:?keys=name")
    with RunningServer(tmp_path, *mounts) as running:
        base = running.url.rstrip("/")
        for words in (
            ["put", "-r", f"{base}/docs/", tmp_path / "folder"],
            ["sync", tmp_path / "folder", f"{base}/docs/"],
        ):
            result = run(*words)
            verb = "stored" if words[0] == "put" else "copied"
            closing = f"{base}/docs/: 0 documents {verb}, 0 bytes; 2 not {verb}; "
            assert (result.status, closing in result.err) == (2, True), result.err
        result = run("put", "-r", f"{base}/names/in/", tmp_path / "folder")
        assert (result.status, "0 documents stored, 0 bytes; 2 not stored" in result.err) == (2, True), result.err
        result = run("put", f"{base}/docs/key", data=b"1")
        assert (result.status, result.err.count("\n"), "Allow" in result.err) == (2, 1, False), result.err
