"""Ids that end before their time: known to all workers at once, bounded, and removed when their time is over."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from docstore.server.errors import HTTPProblem
from docstore.server.security import ended
from docstore.server.security.ended import ENDABLE_ID, KEPT_S, EndedIds, expiry_of, make_endable_id, token_of
from docstore.testing.clock import SetClock

TOKEN, OTHER_TOKEN = "4f9c2a71be", "0123456789"
LATER_S = SetClock()() // 10**9 + 60


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_an_id_has_its_token_and_its_time() -> None:
    id = make_endable_id(TOKEN, 1_767_225_600)
    assert ENDABLE_ID.fullmatch(id)
    assert (token_of(id), expiry_of(id)) == (TOKEN, 1_767_225_600)
    assert make_endable_id(TOKEN, 1_767_225_600) != id


def test_an_id_ends_once_and_every_worker_knows_it_at_once(tmp_path: Path) -> None:
    clock = SetClock()
    one, other = EndedIds(tmp_path, clock), EndedIds(tmp_path, clock)
    id, another = make_endable_id(TOKEN, LATER_S), make_endable_id(TOKEN, LATER_S)
    assert not one.has(id)
    assert one.end(id)
    assert [ids.has(id) for ids in (one, other)] == [True, True]
    assert [ids.end(id) for ids in (one, other)] == [False, False]
    assert not other.has(another)
    one.release(id)
    one.release(id)
    assert not other.has(id)
    assert other.end(id)


def test_of_many_workers_one_ends_an_id(tmp_path: Path) -> None:
    for _ in range(20):
        id = make_endable_id(TOKEN, LATER_S)
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(lambda _, id=id: EndedIds(tmp_path, SetClock()).end(id), range(8))) == 1


def test_ids_are_removed_long_after_their_time_and_not_before(tmp_path: Path) -> None:
    clock = SetClock()
    ids = EndedIds(tmp_path, clock)
    now_s = clock() // 10**9
    id, later = make_endable_id(TOKEN, now_s + 5), make_endable_id(OTHER_TOKEN, now_s + 7)
    assert ids.end(id)
    assert ids.end(later)
    clock.set_ns((now_s + 5 + KEPT_S) * 10**9)
    ids.remove_expired()
    assert ids.has(id)
    clock.set_ns((now_s + 6 + KEPT_S) * 10**9)
    ids.remove_expired()
    assert (ids.has(id), ids.has(later)) == (False, True)
    ids.remove_expired()
    assert [path.name for path in ids.path.iterdir()] == [OTHER_TOKEN]
    assert ids.end(id)


def test_the_ids_of_a_token_are_bounded_and_those_of_others_still_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ended, "ENDED_LIMIT", 3)
    clock = SetClock()
    now_s = clock() // 10**9
    for _ in range(3):
        assert EndedIds(tmp_path, clock).end(make_endable_id(TOKEN, now_s + 1))
    for ids in (EndedIds(tmp_path, clock), EndedIds(tmp_path, clock)):
        for _ in range(2):
            with pytest.raises(HTTPProblem, match="too many links"):
                ids.end(make_endable_id(TOKEN, now_s + 1))
        assert ids.end(make_endable_id(OTHER_TOKEN, now_s + 1))
    assert len(files(tmp_path)) == 5
    clock.set_ns((now_s + 2 + KEPT_S) * 10**9)
    assert ids.end(make_endable_id(TOKEN, now_s + 2 + KEPT_S))
    assert len(files(tmp_path / "ended" / TOKEN)) == 1


def test_a_process_remembers_a_bounded_number_of_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ended, "ENDED_LIMIT", 3)
    ids = EndedIds(tmp_path, SetClock())
    for number in range(10):
        assert ids.end(make_endable_id(f"{number:010x}", LATER_S))
        assert len(ids._counts) <= 3


def test_other_files_in_the_folder_stay(tmp_path: Path) -> None:
    ids = EndedIds(tmp_path, SetClock())
    (ids.path / TOKEN).mkdir(parents=True)
    for path in (ids.path / TOKEN / "note", ids.path / TOKEN / ("0" * 25), ids.path / "README"):
        path.touch()
    ids.remove_expired()
    assert files(ids.path) == ["0" * 25, "README", "note"]


def test_a_folder_that_cannot_be_used_closes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ids = EndedIds(tmp_path, SetClock())
    ids.path.write_text("no folder")
    id = make_endable_id(TOKEN, LATER_S)
    for use in (ids.has, ids.end, ids.release):
        with pytest.raises(HTTPProblem) as raised:
            use(id)
        assert raised.value.type.status == 503
    ids.remove_expired()
    assert str(ids.path) in caplog.text
    assert id not in caplog.text


def test_what_ended_survives_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(ended, "sync_folder", synced.append)
    ids = EndedIds(tmp_path, SetClock())
    assert ids.end(make_endable_id(TOKEN, LATER_S))
    assert synced == [ids.path / TOKEN]
