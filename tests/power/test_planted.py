"""The harness detects planted faults: each step that an engine takes for durability is left out in turn."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import apsw
import pytest

from docstore.content import Descriptor
from docstore.engines.file.metadata import MetadataFolder
from docstore.engines.file.tree import FolderTree
from docstore.engines.file.writer import FileWriter
from docstore.engines.sqlite import engine, queries
from docstore.engines.sqlite.blobs import BlobFolder
from tests.power.replay import find_first_fault, record
from tests.power.workloads import Session, Workload, expiring, folders, large, small, together

Plant = Callable[[pytest.MonkeyPatch], None]


def no_fsync_of(is_kind: Callable[[int], bool]) -> Plant:
    def plant(patch: pytest.MonkeyPatch) -> None:
        def fsync(descriptor: int) -> None:
            if not is_kind(os.fstat(descriptor).st_mode):
                noted(descriptor)

        noted = os.fsync
        patch.setattr(os, "fsync", fsync)

    return plant


def fsynced_after_its_rename(patch: pytest.MonkeyPatch) -> None:
    def commit(writer: FileWriter, staged: Any) -> Any:
        steps = commits(writer, staged)
        content, sidecar = next(steps)
        yield (content,)
        yield (*next(steps), sidecar)
        return (yield from steps)

    commits = FileWriter._commit
    patch.setattr(FileWriter, "_commit", commit)


def one_of_a_group_is_fsynced(patch: pytest.MonkeyPatch) -> None:
    def sync(writer: FileWriter, numbers: list[int]) -> BaseException | None:
        return syncs(writer, numbers[:2])

    syncs = FileWriter._sync
    patch.setattr(FileWriter, "_sync", sync)


def no_fsync_of_the_folder_of(name: str) -> Plant:
    """A rename or a mark in one folder that is not made durable."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        def create_marker(metadata: MetadataFolder, marker: str) -> None:
            os.close(os.open(marker, os.O_WRONLY | os.O_CREAT, 0o666, dir_fd=metadata._folders["expiring"]))

        def commit(writer: FileWriter, staged: Any) -> Any:
            steps = commits(writer, staged)
            yield next(steps)
            next(steps)
            return (yield from steps)

        commits = FileWriter._commit
        if name == "expiring":
            patch.setattr(MetadataFolder, "create_marker", create_marker)
        else:
            patch.setattr(FileWriter, "_commit", commit)

    return plant


def the_record_after_the_content(patch: pytest.MonkeyPatch) -> None:
    def rename(metadata: MetadataFolder, temporary: str, folder: int | str, name: str | bytes) -> int:
        if folder == "meta":
            waiting.append((metadata, temporary, folder, name))
            return metadata._folders[folder]
        number = renames(metadata, temporary, folder, name)
        while waiting:
            os.fsync(renames(*waiting.pop()))
        return number

    waiting: list[tuple[MetadataFolder, str, str, str | bytes]] = []
    renames = MetadataFolder.rename
    patch.setattr(MetadataFolder, "rename", rename)


def no_fsync_of_the_folders_above(patch: pytest.MonkeyPatch) -> None:
    def sync_name(tree: FolderTree, above: Descriptor, folder: Descriptor) -> None:
        pass

    patch.setattr(FolderTree, "_sync_name", sync_name)


def a_delete_that_is_not_fsynced(patch: pytest.MonkeyPatch) -> None:
    def unlink(writer: FileWriter, stored: Any) -> None:
        with patch.context() as inner:
            no_fsync_of(stat.S_ISDIR)(inner)
            unlinks(writer, stored)

    unlinks = FileWriter._unlink
    patch.setattr(FileWriter, "_unlink", unlink)


def synchronous(setting: str) -> Plant:
    def plant(patch: pytest.MonkeyPatch) -> None:
        def opened(path: Path) -> apsw.Connection:
            connection = open_writing(path)
            connection.pragma("synchronous", setting)
            return connection

        open_writing = engine.open_writing
        patch.setattr(engine, "open_writing", opened)

    return plant


def sealed_names_after_the_commit(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(BlobFolder, "sync", lambda folder: None)


def sealed_files_unlinked_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    def put(transaction: queries.Transaction, *args: Any) -> Any:
        written = really(transaction, *args)
        for name in transaction.orphaned_files:
            Path(f"{transaction.connection.filename}.sealed", name).unlink()
        return written

    really = queries.put_row
    patch.setattr(queries, "put_row", put)


FAULTS: dict[str, tuple[str, Plant, Workload]] = {
    "file: contents are not fsynced": ("file", no_fsync_of(stat.S_ISREG), small),
    "file: large contents are not fsynced": ("file", no_fsync_of(stat.S_ISREG), large),
    "file: no folder is fsynced": ("file", no_fsync_of(stat.S_ISDIR), small),
    "file: a record is renamed before its fsync": ("file", fsynced_after_its_rename, small),
    "file: the folder of records is not fsynced": ("file", no_fsync_of_the_folder_of("meta"), small),
    "file: the folder of markers is not fsynced": ("file", no_fsync_of_the_folder_of("expiring"), expiring),
    "file: the record comes after the content": ("file", the_record_after_the_content, small),
    "file: folders above are not fsynced": ("file", no_fsync_of_the_folders_above, folders),
    "file: one write of a group is fsynced": ("file", one_of_a_group_is_fsynced, together),
    "file: a delete is not fsynced": ("file", a_delete_that_is_not_fsynced, small),
    "sqlite: synchronous=OFF": ("sqlite", synchronous("OFF"), small),
    "sqlite: synchronous=NORMAL": ("sqlite", synchronous("NORMAL"), small),
    "sqlite: sealed files are not fsynced": ("sqlite", no_fsync_of(stat.S_ISREG), large),
    "sqlite: no folder is fsynced": ("sqlite", no_fsync_of(stat.S_ISDIR), large),
    "sqlite: COMMIT before the names of sealed files": ("sqlite", sealed_names_after_the_commit, large),
    "sqlite: files are unlinked before COMMIT": ("sqlite", sealed_files_unlinked_before_the_commit, large),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    scheme, plant, workload = FAULTS[name]

    async def planted(session: Session) -> None:
        # The store exists already, so the fault affects writes only.
        with monkeypatch.context() as patch:
            plant(patch)
            await session.reopen()
            await workload(session)

    recording = record(tmp_path / "disk", monkeypatch, scheme, planted)
    loss = find_first_fault(recording, scheme, Random(1), states=0)
    print(loss)
    assert loss is not None
