"""The key for signing: made once for all workers, and never used while its file is not exactly right."""

import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from docstore.server.errors import HTTPProblem
from docstore.server.security.signing_key import SigningKey, mac
from docstore.server.security.state_files import CHECK_INTERVAL_S


def test_the_key_is_made_when_it_is_first_needed_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    key = SigningKey(tmp_path / "data")
    assert key.current() is None
    assert not key.path.exists()
    made = key.create()
    assert len(made) == 32
    assert key.create() == key.current() == made
    assert stat.S_IMODE(key.path.stat().st_mode) == 0o600
    assert SigningKey(tmp_path / "other").create() != made


def test_another_worker_knows_the_key_at_once(tmp_path: Path) -> None:
    one, other = SigningKey(tmp_path), SigningKey(tmp_path)
    assert (one.current(), other.current()) == (None, None)
    assert one.create() == other.current()


def test_many_workers_make_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: SigningKey(tmp_path).create(), range(40)))) == 1


def damaged(text: bytes) -> list[bytes]:
    """Every beginning of the file, and other files that are almost right."""
    digits = text.rpartition(b" ")[2]
    almost = [b"\0" * len(text), b"\0" * 32, text.upper(), text + b"\n", text.rstrip(), b" " + text, text[:-2] + b"g\n"]
    return [*(text[:size] for size in range(len(text))), *almost, digits, text.replace(digits, b"0" * 64 + b"\n")]


def test_a_damaged_key_is_never_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = SigningKey(tmp_path).create()
    text = SigningKey(tmp_path).path.read_bytes()
    for data in damaged(text):
        key = SigningKey(tmp_path)
        key.path.write_bytes(data)
        for use in (key.current, key.create):
            assert_unavailable(use)
        assert key.path.read_bytes() == data
    key.path.write_bytes(text)
    assert SigningKey(tmp_path).current() == made
    assert made.hex() not in caplog.text


def test_an_unreadable_key_is_never_used_and_never_replaced(tmp_path: Path) -> None:
    key = SigningKey(tmp_path)
    key.path.mkdir()
    for use in (key.current, key.create):
        assert_unavailable(use)


def test_a_removed_key_ends_what_it_signed_and_the_next_one_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, now_s = SigningKey(tmp_path), 0.0
    monkeypatch.setattr(key._file, "_monotonic", lambda: now_s)
    made = key.create()
    assert key.current() == made
    key.path.unlink()
    now_s += CHECK_INTERVAL_S
    assert key.current() is None
    assert key.create() != made


def test_a_signature_is_for_one_purpose() -> None:
    key = b"k" * 32
    signatures = {mac(key, b"a", b"b"), mac(key, b"ab", b""), mac(key, b"", b"ab"), mac(b"l" * 32, b"a", b"b")}
    assert len(signatures) == 4
    assert {len(signature) for signature in signatures} == {32}


def assert_unavailable(use: Callable[[], object]) -> None:
    with pytest.raises(HTTPProblem) as raised:
        use()
    assert (raised.value.type.name, raised.value.type.status) == ("access-unavailable", 503)
