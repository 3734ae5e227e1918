"""`docstore cp`: copy documents between any two addresses, with all their metadata.

A copy has the same version and the same ETag as the original, which is verified after each write. Between two engines
it also keeps the modification times, which no client can set on a server.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import click

from docstore.cli.addresses import Address
from docstore.cli.collection_engine import open_place, remember
from docstore.cli.errors import EXIT_FAILED, EXIT_OK, EXIT_PARTIAL, CommandError, exits
from docstore.cli.options import ADDRESS, Access, access_options, check_found, split_prefix
from docstore.cli.transfer import ALL, TransferOptions, keys_to_delete, start
from docstore.errors import DocstoreError, NotFound, SetupError
from docstore.export.compare import compare
from docstore.export.copy import (
    MAX_RUNNING,
    MAX_RUNNING_IN_ENGINES,
    Rooted,
    Step,
    StepOutcome,
    copy_document,
    copy_documents,
    is_same,
    list_all,
)
from docstore.model import Meta

if TYPE_CHECKING:
    from docstore.cli.summary import Summary
    from docstore.engines.contract import Engine

_TOLERANCE_NS: Final = 2 * 10**9
"""Servers take TTLs in whole seconds, so that the copy of a document expires up to a second later."""


@click.command(
    epilog="""\b
Examples:
  docstore cp docs/greeting file/greeting
  docstore cp -r docs/ sqlite:backup.db
  docstore cp -r file:docstore-data/file sqlite:new.db"""
)
@click.argument("source", type=ADDRESS, metavar="FROM")
@click.argument("target", type=ADDRESS, metavar="TO")
@click.option("-r", "--recursive", is_flag=True, help="All documents whose keys begin with FROM.")
@access_options
@exits
def cp(source: Address, target: Address, recursive: bool, access: Access) -> int:
    """Copy documents between any two addresses: servers, engines, or both.

    Content, type, fields, ETag and the remaining TTL are kept, and between two engines the modification time. If TO
    ends with a slash, the name is kept. Documents that TO already has in the same version are skipped, so an
    interrupted copy can be run again. Each document is copied in one complete version.
    """
    if recursive:
        with access.summary("cp", target, "copied") as summary:
            return copy_all(source, target, summary, access)
    if source.is_collection:
        raise SetupError(f"{source} is a collection; add -r to copy all its documents")
    if target.is_collection:
        target = target.child(source.name)
    copy_one(source, target, access)
    return EXIT_OK


def copy_one(source: Address, target: Address, access: Access, *, remove: bool = False) -> None:
    """Copy one document, or move it. Raise NotFound, CommandError and what reading and writing raise."""
    (source_url, key), (target_url, new_key) = access.find_document(source), access.find_document(target)

    async def run() -> None:
        async with _open_both(source, source_url, target, target_url, access, remove=remove) as (reader, writer):
            meta = await reader.head(key)
            if meta is None:
                raise NotFound(f"{source}: not found")
            present = await writer.head(new_key)
            if present is not None and is_same(meta, present, tolerance_ns=_TOLERANCE_NS):
                if remove:  # both may be the same document, of a store with two addresses
                    raise CommandError(EXIT_PARTIAL, f"{target} has this version already; nothing was removed")
                return
            bar.set_total(meta.size)
            step = await copy_document(Rooted(reader, key), Rooted(writer, new_key), replace(meta, key=""), bar.advance)
            if isinstance(step.why, DocstoreError):
                raise step.why
            if step.outcome is StepOutcome.EXPIRED:
                raise NotFound(f"{source} has just expired")
            if step.outcome is StepOutcome.BROKEN:
                raise CommandError(EXIT_FAILED, f"{source}: {step.why}")
            if remove:
                await reader.delete(key, expect=step.version)

    with access.progress("mv" if remove else "cp") as bar:
        asyncio.run(run())


def copy_all(
    source: Address,
    target: Address,
    summary: "Summary",
    access: Access,
    transfer: TransferOptions = ALL,
    *,
    remove: bool = False,
) -> int:
    """Copy the documents whose keys begin with an address, or move them; return the exit status."""
    target.check_collection()
    (source_url, prefix), (target_url, new_root) = access.find_prefix(source), access.find_prefix(target)
    root, rest = split_prefix(prefix)
    exact = not (source.on_server or target.on_server)

    def same(meta: Meta, present: Meta) -> bool:
        return is_same(meta, present, tolerance_ns=0 if exact else _TOLERANCE_NS)

    async def run() -> None:
        opened = _open_both(source, source_url, target, target_url, access, remove=remove, dry_run=transfer.dry_run)
        async with opened as (source_store, target_store):
            check_found(source, prefix, await source_store.list(prefix=prefix, limit=1))
            reader, writer = Rooted(source_store, root), Rooted(target_store, new_root)

            async def selected() -> AsyncIterator[Meta]:
                async for meta in list_all(reader, rest):
                    summary.bar.advance_comparison()
                    if transfer.selects(meta.key):
                        yield meta

            plan = await compare(
                selected(),
                lambda after: (meta async for meta in list_all(writer, rest, after) if transfer.selects(meta.key)),
                same,
                delete=transfer.delete,
            )
            if not start(plan, summary, transfer):
                return
            copies = remember(source_store, root, plan.copies)
            at_a_time = MAX_RUNNING_IN_ENGINES if exact else MAX_RUNNING
            steps = copy_documents(reader, writer, copies, on_bytes=summary.bar.advance, at_a_time=at_a_time)
            steps = _removing(reader, steps) if remove else steps
            await summary.count_steps(steps, root)
            for key in keys_to_delete(plan, summary):
                with suppress(NotFound):
                    await writer.delete(key)
                    summary.deleted += 1

    asyncio.run(run())
    return summary.status


@asynccontextmanager
async def _open_both(
    source: Address,
    source_url: str,
    target: Address,
    target_url: str,
    access: Access,
    *,
    remove: bool,
    dry_run: bool = False,
) -> AsyncIterator[tuple["Engine", "Engine"]]:
    """Open two stores, or one if they are the same: some engines can be opened only once."""
    writes = not dry_run and (remove or source_url == target_url)
    async with open_place(access.for_address(source), source_url, writes=writes, must_exist=True) as reader:
        if source_url == target_url:
            yield reader, reader
            return
        opened = open_place(access.for_address(target), target_url, writes=not dry_run, missing_ok=True)
        async with opened as writer:
            yield reader, writer


async def _removing(source: Rooted, steps: AsyncGenerator[Step, None]) -> AsyncGenerator[Step, None]:
    """Remove the original of each document that was copied, in the version of the copy."""
    async with aclosing(steps):
        async for step in steps:
            if step.outcome is StepOutcome.STORED:
                try:
                    await source.delete(step.key, expect=step.version)
                except DocstoreError as error:
                    step = Step.broken(step.key, error)
            yield step
