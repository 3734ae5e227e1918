"""`docstore sync`: make a folder, a collection or an engine like another one."""

from dataclasses import replace
from pathlib import Path

import click

from docstore.cli.addresses import Address
from docstore.cli.errors import exits, print_error
from docstore.cli.globs import key_filter
from docstore.cli.options import PLACE, Access, access_options
from docstore.cli.transfer import TransferOptions, download_all, upload_all
from docstore.errors import DocstoreError, SetupError


@click.command(
    epilog="""\b
Examples:
  docstore sync ./folder file/ --delete
  docstore sync docs/ ./backup --exclude '*.tmp' --dry-run
  docstore sync http://127.0.0.1:8080/docs/ sqlite:mirror.db"""
)
@click.argument("source", type=PLACE, metavar="FROM")
@click.argument("target", type=PLACE, metavar="TO")
@click.option("--delete", is_flag=True, help="Delete from TO what FROM does not have.")
@click.option("-n", "--dry-run", is_flag=True, help="Only show what would be copied and deleted.")
@click.option("--include", multiple=True, metavar="GLOB", help="Only keys that match; repeatable.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Not keys that match; repeatable, and stronger.")
@access_options
@exits
def sync(
    source: Address | Path,
    target: Address | Path,
    delete: bool,
    dry_run: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    access: Access,
) -> int:
    """Copy what differs from FROM to TO: between a folder and a store, or between two stores.

    A word that begins with ./, ../, / or ~ is a folder, any other an address. Documents are compared by digest and
    size, and between stores by version. What is excluded is neither copied nor deleted. Nothing is deleted until all
    copies have succeeded, or if FROM is empty.

    In a GLOB, * is any part of a name and ** also crosses folders. Without a slash it matches the name of a document or
    of a folder above it.
    """
    transfer = TransferOptions(delete, dry_run, key_filter(include, exclude))
    if isinstance(source, Path) and isinstance(target, Path):
        raise SetupError("both are folders; one must be an address, such as docs/")
    for place in (source, target):
        if isinstance(place, Address):
            place.check_collection()
    access = replace(access, quiet=True) if dry_run else access
    with access.summary("sync", target, "copied") as summary:
        if isinstance(source, Path):
            assert isinstance(target, Address)  # noqa: S101 - checked above
            if not source.is_dir():
                raise SetupError(f"{source}: no such folder")
            if dry_run and not target.on_server and not _exists(target):
                target = replace(target, store="memory:")  # as empty as a store that does not exist yet
            with access.open_prefix(target, writes=not dry_run) as (docs, prefix):
                return upload_all(docs, prefix, (source,), {}, summary, transfer)
        if isinstance(target, Path):
            with access.open_matching(replace(source, raw_path="")) as (docs, prefix, _):
                return download_all(docs, prefix, target, summary, transfer)
        from docstore.cli.cp import copy_all

        try:
            return copy_all(source, target, summary, access, transfer)
        except DocstoreError:
            for place in (source, target):
                if place.on_server and Path(place.text).is_dir():
                    print_error(f"{place.text} is an address here; write ./{place.text} for the folder")
            raise


def _exists(address: Address) -> bool:
    from docstore.engines.registry import EngineURL, store_exists

    return store_exists(EngineURL.parse(address.store))
