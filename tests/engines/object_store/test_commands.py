"""The commands and the library on a bucket: its URL is the address of a store, as that of a database is."""

from pathlib import Path

import docstore
from tests.engines.object_store.s3_server import s3_url
from tests.stores import DOCUMENTS, kept, run, store


def test_a_copy_there_and_back_is_the_same_store(tmp_path: Path) -> None:
    url, there, back = s3_url(tmp_path), f"sqlite:{tmp_path / 'there.db'}", f"sqlite:{tmp_path / 'back.db'}"
    store(there)
    for command in (("cp", "-r", there, url), ("cp", "-r", there, url), ("cp", "-r", url, back), ("check", url)):
        done = run(*command)
        assert done.status == 0, done.err
    assert kept(url) == kept(there) == kept(back)


def test_an_export_has_all_documents(tmp_path: Path) -> None:
    url, file, back = s3_url(tmp_path), tmp_path / "export.tar", f"sqlite:{tmp_path / 'back.db'}"
    store(url)
    for command in (("export", url, file), ("import", back, file)):
        done = run(*command)
        assert done.status == 0, done.err
    assert kept(url) == kept(back)


def test_a_key_of_a_bucket_is_an_address(tmp_path: Path) -> None:
    url = s3_url(tmp_path)
    store(url)
    assert run("get", f"{url}#small").data == DOCUMENTS["small"]
    assert run("put", f"{url}#new", data=b"new").status == 0
    listed = run("ls", "-R", url)
    assert all(key in listed.out for key in (*DOCUMENTS, "new")), listed.err


def test_the_library_opens_a_bucket(tmp_path: Path) -> None:
    with docstore.open(s3_url(tmp_path)) as documents:
        documents["greeting"] = b"hello"
        assert documents["greeting"] == b"hello"
        assert list(documents) == ["greeting"]
