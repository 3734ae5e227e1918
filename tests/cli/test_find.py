"""`find`, `mv`, patterns in addresses, and folders in `ls`."""

import itertools
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.server_process import RunningServer
from tests.stores import prepare, run

CONTENTS = {"a.txt": b"1", "b.md": b"22", "d/a.txt": b"x" * 3000, "d/e/c.txt": b"4", "ü x": b"5"}
_NUMBERS = itertools.count()


@pytest.fixture(params=["server", "sqlite"])
def place(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> str:
    """A folder with CONTENTS."""
    folder = f"find{next(_NUMBERS)}/"
    place = f"file/{folder}" if request.param == "server" else f"sqlite:{tmp_path}/find.db#{folder}"
    for key, content in CONTENTS.items():
        options = ["--meta", "kind=text"] if key.endswith("txt") else []
        assert run("put", place + key.replace("ü x", "%C3%BC%20x"), *options, data=content).status == 0
    return place


def names(place: str, *arguments: str) -> list[str]:
    """The keys below the folder that a command prints."""
    result = run(*arguments)
    assert (result.status, result.err) == (0, "")
    return [line.removeprefix(place.replace("file/", "").rpartition("#")[2]) for line in result.out.splitlines()]


def test_ls_shows_folders_and_all_documents_on_request(place: str) -> None:
    assert names(place, "ls", place) == ["a.txt", "b.md", "d/", "ü x"]
    assert names(place, "ls", "-R", place) == sorted(CONTENTS)
    assert names(place, "ls", place, "-n", "3") == ["a.txt", "b.md", "d/"]
    assert [json.loads(line).keys() & {"key", "folder"} for line in run("ls", "--json", f"{place}d/").out.splitlines()]
    assert "folder" in run("ls", "-l", place).out


def test_a_long_listing_has_every_folder_once(url: str, tmp_path: Path) -> None:
    store = f"sqlite:{tmp_path}/many.db"
    for number in range(30):
        (tmp_path / "files" / f"{number:02}").mkdir(parents=True)
        (tmp_path / "files" / f"{number:02}" / "x").write_bytes(b"x")
        (tmp_path / "files" / f"{number:02}.y").write_bytes(b"y")
    prepare("put", "-r", f"{store}#", tmp_path / "files")
    assert run("ls", store).out.splitlines() == sorted(f"{n:02}{end}" for n in range(30) for end in ("/", ".y"))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.txt", ["a.txt"]),
        ("**.txt", ["a.txt", "d/a.txt", "d/e/c.txt"]),
        ("**/a.txt", ["a.txt", "d/a.txt"]),
        ("*/a.txt", ["d/a.txt"]),
        ("d/**", ["d/a.txt", "d/e/c.txt"]),
        ("%C3%BC*", ["ü x"]),
        ("*.nothing", []),
    ],
)
def test_a_pattern_in_an_address_selects(place: str, pattern: str, expected: list[str]) -> None:
    assert names(place, "ls", place + pattern) == expected


def test_get_and_rm_take_patterns(place: str, tmp_path: Path) -> None:
    assert run("get", f"{place}*.md").out == "22"
    several, none = run("get", f"{place}**.txt"), run("get", f"{place}*.nothing")
    assert (several.status, "several documents" in several.err, none.status) == (2, True, 1)
    assert run("get", f"{place}**.txt", "-o", tmp_path / "to").status == 0
    found = {path.relative_to(tmp_path / "to").as_posix() for path in (tmp_path / "to").rglob("*") if path.is_file()}
    assert found == {"a.txt", "d/a.txt", "d/e/c.txt"}
    assert run("rm", f"{place}**/a.txt").status == 2, "not without a question"
    assert run("rm", "-qy", f"{place}**/a.txt").status == 0
    assert names(place, "ls", "-R", place) == ["b.md", "d/e/c.txt", "ü x"]


def test_an_encoded_star_is_a_star(url: str) -> None:
    prepare("put", "file/star/a%2Ab", data=b"star")
    prepare("put", "file/star/axb", data=b"x")
    assert run("ls", "file/star/a%2Ab").out == "star/a*b\n"
    assert run("get", "file/star/a%2Ab").out == "star"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--name", "*.txt"], ["a.txt", "d/a.txt", "d/e/c.txt"]),
        (["--name", "*.md", "--name", "e"], ["b.md", "d/e/c.txt"]),
        (["--larger", "1KiB"], ["d/a.txt"]),
        (["--smaller", "2"], ["a.txt", "d/e/c.txt", "ü x"]),
        (["--meta", "kind"], ["a.txt", "d/a.txt", "d/e/c.txt"]),
        (["--meta", "Kind=text", "--smaller", "2"], ["a.txt", "d/e/c.txt"]),
        (["--meta", "kind=other"], []),
        (["--older", "1h"], []),
        (["--newer", "1h"], sorted(CONTENTS)),
        (["--type", "text/markdown"], ["b.md"]),
    ],
)
def test_find_prints_addresses_that_other_commands_take(place: str, options: list[str], expected: list[str]) -> None:
    result = run("find", place, *options)
    assert result.status == 0, result.err
    contents = {address: run("get", address).data for address in result.out.splitlines()}
    assert [*contents.values()] == [CONTENTS[key] for key in expected]
    assert all(address.startswith(place) for address in contents)


def test_one_byte_is_not_called_bytes(url: str) -> None:
    prepare("put", "docs/single-byte", data=b"x")
    assert run("find", "docs/single-byte", "--count").out.endswith("  1 byte in all\n")
    assert re.search("^size: +1 byte$", run("info", "docs/single-byte").out, re.MULTILINE)


def test_find_counts_documents_and_bytes_by_folder(place: str) -> None:
    shown = run("find", place, "--count").out.splitlines()
    assert ["2 documents" in shown[0], shown[0].endswith("d/")] == [True, True]
    assert "5 documents" in shown[-1]
    *folders, total = map(json.loads, run("find", place, "--count", "--json").out.splitlines())
    assert total == {"documents": 5, "bytes": sum(map(len, CONTENTS.values()))}
    assert [folder["bytes"] for folder in folders] == [3001]


def test_find_from_any_form_of_an_address(url: str, tmp_path: Path) -> None:
    prepare("put", f"sqlite:{tmp_path}/form.db#k", data=b"1")
    assert run("find", f"sqlite:{tmp_path}/form.db").out == f"sqlite:{tmp_path}/form.db#k\n"
    prepare("put", "file/form/k", data=b"1")
    assert run("find", "file/form").out == "file/form/k\n"
    assert run("find", f"{url}/file/form/*").out == f"{url}/file/form/k\n"


@pytest.mark.parametrize("target", [lambda place, _: f"{place}new", lambda _, path: f"sqlite:{path}/moved.db#new"])
def test_a_document_moves_with_its_fields(place: str, target: Callable[[str, Path], str], tmp_path: Path) -> None:
    new = target(place, tmp_path)
    before = json.loads(run("info", "--json", f"{place}a.txt").out)
    result = run("mv", f"{place}a.txt", new)
    assert (result.status, result.err) == (0, "")
    after = json.loads(run("info", "--json", new).out)
    assert [after[name] for name in ("version", "fields")] == [before[name] for name in ("version", "fields")]
    assert run("get", f"{place}a.txt").status == 1
    assert run("mv", f"{place}a.txt", new).status == 1


def test_many_documents_move(place: str, tmp_path: Path) -> None:
    target = f"file:{tmp_path}/moved#in/"
    assert "2 documents moved" in run("mv", "-r", f"{place}d/", target).err
    assert names(place, "ls", "-R", place) == ["a.txt", "b.md", "ü x"]
    assert run("ls", "-R", target).out == "in/a.txt\nin/e/c.txt\n"


def test_a_move_onto_itself_removes_nothing(place: str, tmp_path: Path) -> None:
    """Also if the same store has two addresses."""
    other = place.replace("file/", "http://localhost:{}/file/")
    if "{}" in other:
        other = other.format(os.environ["DOCSTORE_URL"].rpartition(":")[2])
    else:
        other = place.replace("find.db", "../" + tmp_path.name + "/find.db")
    for same in (place, other):
        result = run("mv", "-r", place, same)
        assert "5 the same already" in result.err
        assert run("mv", f"{place}a.txt", f"{same}a.txt").status == 1
    assert names(place, "ls", "-R", place) == sorted(CONTENTS)


def test_a_move_onto_itself_under_another_key_removes_nothing(tmp_path: Path) -> None:
    """The address of a document does not show where the name of the mount ends, so that its key may look different."""
    direct = f"sqlite:{tmp_path}/store.db#a"
    prepare("put", direct, data=b"1")
    with RunningServer(tmp_path, "--mount", f"cache/ac=sqlite:{tmp_path}/store.db") as server:
        result = run("mv", f"{server.url}/cache/ac/a", direct)
    assert (result.status, "nothing was removed" in result.err) == (1, True)
    assert run("get", direct).data == b"1"


@pytest.mark.parametrize(
    "words",
    [
        ["get", "-r", "{}", "-o", "{path}/back"],
        ["sync", "{}", "{path}/back"],
        ["sync", "{}", "file/sync/"],
        ["cp", "-r", "{}", "sqlite:{path}/copy.db"],
        ["mv", "-r", "{}", "sqlite:{path}/copy.db"],
        ["rm", "-r", "--yes", "{}"],
        ["export", "{}", "{path}/back.tar"],
        ["ls", "{}"],
        ["ls", "-R", "{}"],
        ["find", "{}"],
        ["find", "--count", "{}"],
    ],
)
def test_a_mistyped_folder_is_not_found_and_an_empty_collection_is_empty(
    url: str, tmp_path: Path, words: list[str]
) -> None:
    engine = f"sqlite:{tmp_path}/find.db"
    prepare("put", f"{engine}#a", data=b"1")
    for address, shown in (("file/typo/", f"{url.rstrip('/')}/file/typo/"), (f"{engine}#typo/", f"{engine}#typo/")):
        result = run(*(word.format(address, path=tmp_path) for word in words))
        assert (result.status, result.out, result.err) == (
            1,
            "",
            f"docstore: {shown}: not found\n",
        )
    assert not {"back", "back.tar"} & {path.name for path in tmp_path.iterdir()}
    prepare("rm", f"{engine}#a")
    assert run(*(word.format(f"{engine}", path=tmp_path) for word in words)).status == 0


def test_a_pattern_is_named_as_it_was_typed(url: str) -> None:
    prepare("put", "file/stars/a b", data=b"1")
    result = run("rm", "--yes", "file/stars/a%20**")
    assert (result.status, "/file/stars/a%20**: 1 document removed" in result.err) == (0, True), result.err
