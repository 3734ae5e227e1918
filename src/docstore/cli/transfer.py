"""Transfers of many documents: `put -r`, `get -r`, `cp -r` and `sync` make a plan here and carry it out.

A plan is complete before anything is transferred, so that totals are known, and a dry run only prints it. Documents are
deleted after all copies have succeeded: an incomplete copy is no reason to remove anything.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from docstore.cli.collection_engine import meta_of_info
from docstore.cli.download import Folder, UnsafeKey
from docstore.cli.errors import EXIT_OK, EXIT_PARTIAL, print_error, print_notice
from docstore.cli.local_files import find_files
from docstore.cli.options import split_prefix
from docstore.cli.output import escape_controls
from docstore.cli.parallel import WorkerPool
from docstore.cli.put import put_file
from docstore.cli.summary import Summary
from docstore.client.transport import run_sync
from docstore.errors import InvalidKey, NotFound, SetupError
from docstore.export.compare import Plan, compare
from docstore.keys import check_path
from docstore.model import Meta
from docstore.units import format_count, format_size

if TYPE_CHECKING:
    from docstore import Client, PutOptions
    from docstore.cli.progress import Advance

Selects = Callable[[str], bool]
"""Whether a key takes part."""


@dataclass(frozen=True, slots=True)
class TransferOptions:
    """The options of `sync`; the other commands use the defaults."""

    delete: bool = False
    dry_run: bool = False
    selects: Selects = lambda _: True


ALL: Final = TransferOptions()


def upload_all(
    docs: "Client",
    prefix: str,
    paths: tuple[Path, ...],
    options: "PutOptions",
    summary: Summary,
    transfer: TransferOptions = ALL,
) -> int:
    """Store the files of `paths` under `prefix`; return the exit status."""
    skipped: dict[str, str] = {}
    files = {key: file for key, file in find_files(paths, skipped).items() if transfer.selects(key)}
    for key in [*files]:
        try:
            check_path(prefix + key)  # no mount allows more
        except InvalidKey as error:
            skipped[key] = f"{files.pop(key).path}: {error}"
    lines = [line for key, line in skipped.items() if transfer.selects(key)]
    summary.failed += len(lines)
    # What the options would change is written again, and what expires, because a write without a TTL clears it.
    keeps = options.get("keep", False)
    may_skip = not any(value for name, value in options.items() if name != "keep")

    def is_same(meta: Meta, stored: Meta) -> bool:
        return may_skip and (keeps or stored.expires_ns is None) and files[meta.key].has_content(stored)

    async def listing(after: str) -> AsyncIterator[Meta]:
        for info in docs.documents(prefix, after=prefix + after if after else ""):
            if transfer.selects(key := info.key[len(prefix) :]):
                yield meta_of_info(info, key)

    plan = run_sync(compare(_iterate(file.meta for file in files.values()), listing, is_same, delete=transfer.delete))

    def store(meta: Meta, advance: "Advance") -> None:
        put_file(docs, prefix + meta.key, files[meta.key].path, options, advance)

    def delete(key: str) -> None:
        docs.delete(prefix + key)

    status = EXIT_OK
    if start(plan, summary, transfer):
        status = _run(plan, store, delete, summary, lambda key: str(files[key].path))
    for line in lines:
        print_error(escape_controls(line))
    return max(status, EXIT_PARTIAL if lines else EXIT_OK)


def download_all(docs: "Client", prefix: str, path: Path, summary: Summary, transfer: TransferOptions = ALL) -> int:
    """Store the documents whose keys begin with `prefix` as files in a folder; return the exit status."""
    root, rest = split_prefix(prefix)
    there = find_files((path,), {}) if path.is_dir() else {}
    local = {key: file for key, file in there.items() if key.startswith(rest) and transfer.selects(key)}
    infos = {info.key[len(root) :]: info for info in docs.documents(prefix) if transfer.selects(info.key[len(root) :])}

    async def listing(after: str) -> AsyncIterator[Meta]:
        for key, file in local.items():
            if key > after:
                yield file.meta

    plan = run_sync(
        compare(
            _iterate(meta_of_info(info, key) for key, info in infos.items()),
            listing,
            lambda meta, other: local[other.key].has_content(meta),
            delete=transfer.delete,
        )
    )
    if not start(plan, summary, transfer):
        return EXIT_OK
    with Folder(path) as folder:
        copied = {meta.key for meta in plan.copies}
        for key in infos.keys() - copied:
            with suppress(UnsafeKey):
                folder.claim(key)  # no other document may be stored in this file

        def fetch(meta: Meta, advance: "Advance") -> None:
            folder.download(docs, infos[meta.key], meta.key, advance)

        return _run(plan, fetch, folder.delete, summary, lambda key: repr(root + key))


async def _iterate(metas: Iterable[Meta]) -> AsyncIterator[Meta]:
    for meta in metas:
        yield meta


def start(plan: Plan, summary: Summary, transfer: TransferOptions) -> bool:
    """Count what is in the plan; print it and return False in a dry run.

    Raise SetupError for a plan that would empty the target: its source may be a disk that is not mounted.
    """
    if plan.deletes and not plan.copies and not plan.same:
        raise SetupError("the source has no documents; nothing was deleted; 'docstore rm -r' empties a collection")
    if transfer.dry_run:
        _print_plan(plan)
        return False
    summary.skipped += plan.same
    summary.bar.set_total(plan.size, len(plan.copies))
    return True


def _run(
    plan: Plan,
    copy: Callable[[Meta, "Advance"], None],
    delete: Callable[[str], None],
    summary: Summary,
    name: Callable[[str], str],
) -> int:
    WorkerPool(copy, lambda meta: name(meta.key), summary, lambda meta: meta.size).run(plan.copies)
    for key in keys_to_delete(plan, summary):
        with suppress(NotFound):
            delete(key)
            summary.deleted += 1
    return summary.status


def keys_to_delete(plan: Plan, summary: Summary) -> list[str]:
    """Return the keys to delete after the copies; none if one failed."""
    if plan.deletes and summary.failed:
        print_error("nothing was deleted, because not all documents were copied")
        return []
    return plan.deletes


def _print_plan(plan: Plan) -> None:
    """Print what would be done, one line for each document, and the totals."""
    for meta in plan.copies:
        click.echo(f"copy {escape_controls(meta.key)}")
    for key in plan.deletes:
        click.echo(f"delete {escape_controls(key)}")
    totals = f"{format_count(len(plan.copies), 'document')} to copy, {format_size(plan.size)}"
    print_notice(f"{totals}; {len(plan.deletes):,} to delete; {plan.same:,} the same already")
