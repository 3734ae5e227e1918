"""Mounts whose storage overlaps are refused before anything is opened."""

from pathlib import Path

import pytest

from docstore.config import MountSettings, Settings
from docstore.errors import SetupError


@pytest.mark.parametrize(
    ("first", "second", "refused"),
    [
        ("file:{}", "sqlite:{}/docs.db", True),
        ("file:{}", "sqlite:{}/a/b/docs.db", True),
        ("file:{}", "shelve:{}/store", True),
        ("file:{}", "file:{}/below", True),
        ("file:{}/link", "sqlite:{}/data/docs.db", True),
        ("file:{}/docs.db.sealed", "sqlite:{}/docs.db", True),
        ("file:{}/docs.db.sealed/x", "sqlite:{}/docs.db", True),
        ("file:{}/a", "sqlite:{}/docs.db", False),
        ("file:{}/a", "file:{}/a", False),
        ("file:{}/a", "file:{}/ab", False),
        ("sqlite:{}/docs.db", "sqlite:{}/docs.db", False),
    ],
)
def test_a_folder_of_documents_contains_no_other_storage(
    first: str, second: str, refused: bool, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    mounts = tuple(
        MountSettings.parse(f"{name}={url.format(tmp_path)}") for name, url in (("one", first), ("two", second))
    )
    for order in (mounts, mounts[::-1]):
        if refused:
            with pytest.raises(SetupError, match="overlap"):
                Settings(mounts=order).checked()
        else:
            Settings(mounts=order).checked()


@pytest.mark.parametrize("name", ["tokens.json", "signing.key"])
def test_no_folder_of_documents_contains_tokens_even_if_the_server_ignores_them(name: str, tmp_path: Path) -> None:
    mounts = (MountSettings.parse(f"docs=file:{tmp_path}"),)
    data = tmp_path / "data"
    data.mkdir()
    assert Settings(mounts=mounts, data=data, auth="open").checked()
    (data / name).touch()
    with pytest.raises(SetupError, match="where the tokens are"):
        Settings(mounts=mounts, data=data, auth="open").checked()
    assert Settings(mounts=(MountSettings.parse(f"docs=file:{data}/file"),), data=data, auth="open").checked()


@pytest.mark.parametrize("folder", ["ended", "used", "ended/4f9c2a71be", "other/../used/x"])
def test_no_folder_of_documents_is_among_the_links_and_sessions_that_have_ended(folder: str, tmp_path: Path) -> None:
    mounts = (MountSettings.parse(f"docs=file:{tmp_path}/{folder}"),)
    with pytest.raises(SetupError, match="have ended"):
        Settings(mounts=mounts, data=tmp_path, auth="tokens").checked()
