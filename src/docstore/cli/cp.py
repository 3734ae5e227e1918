"""`docstore cp`: copy documents between any two addresses, with all their metadata.

A copy has the same version and the same ETag as the original, which is verified after each write. `docstore copy` does
more between two engines: it keeps modification times, which no client can set.
"""

from typing import TYPE_CHECKING, Final

import click

from docstore.cli.addresses import Address
from docstore.cli.errors import EXIT_FAILED, EXIT_OK, CommandError, exits
from docstore.cli.options import ADDRESS, Access, access_options
from docstore.cli.upload import SMALL_SIZE, options_of
from docstore.errors import Conflict, NotFound, SetupError

if TYPE_CHECKING:
    from docstore import Client, Info
    from docstore.cli.progress import Advance

_ATTEMPTS: Final = 5
"""How often a document that changes while it is read is copied again."""


@click.command(
    epilog="""\b
Examples:
  docstore cp docs/greeting file/greeting
  docstore cp -r docs/ sqlite:backup.db"""
)
@click.argument("source", type=ADDRESS, metavar="FROM")
@click.argument("target", type=ADDRESS, metavar="TO")
@click.option("-r", "--recursive", is_flag=True, help="All documents whose keys begin with FROM.")
@access_options
@exits
def cp(source: Address, target: Address, recursive: bool, access: Access) -> int:
    """Copy documents between any two addresses: servers, engines, or both.

    Content, type, fields, ETag and the remaining TTL are kept. If TO ends with a slash, the name is kept. Documents
    that TO already has in the same version are skipped, so an interrupted copy can be run again.
    """
    if recursive:
        return _copy_all(source, target, access)
    if target.is_collection:
        target = target.child(source.name)
    with (
        access.open_document(source) as (docs, key),
        access.open_document(target, writes=True) as (others, new_key),
        access.progress("cp", lambda: docs.info(key).size) as bar,
    ):
        _copy(docs, key, others, new_key, bar.advance)
    return EXIT_OK


def _copy_all(source: Address, target: Address, access: Access) -> int:
    from docstore.cli.parallel import WorkerPool

    if not target.is_collection:
        raise SetupError(f"{target} is a document; with -r TO must be a collection, which ends with a slash")
    with access.open_prefix(source) as (docs, prefix), access.open_prefix(target, writes=True) as (others, new_prefix):
        cut = prefix.rfind("/") + 1

        def copy(info: "Info", advance: "Advance") -> None:
            try:
                _copy(docs, info.key, others, new_prefix + info.key[cut:], advance)
            except NotFound as error:
                if error.problem is None or docs.contains(info.key):
                    raise
                return  # removed since it was listed
            bar.advance(documents=1)

        with access.progress("cp") as bar:
            return WorkerPool(copy, lambda info: repr(info.key), bar).run(docs.documents(prefix))


def _copy(docs: "Client", key: str, others: "Client", new_key: str, advance: "Advance") -> None:
    for _ in range(_ATTEMPTS):
        info = docs.info(key)
        options = options_of(info)
        if options is None:
            raise NotFound(f"{key!r} has just expired")
        options |= {"digest": info.digest, "progress": advance}
        if info.expires is None:
            # A document with the same version is the same. One that expires is written again with the new expiry.
            options["if_none_match"] = info.etag
        try:
            pieces = docs.iter_content(key, if_match=info.etag)
            content = b"".join(pieces) if info.size < SMALL_SIZE else pieces
            result = others.put(new_key, content, **options)
        except Conflict as error:
            if error.version == info.version and info.expires is None:
                advance(info.size)
                return
            continue
        if result.version != info.version:
            raise CommandError(EXIT_FAILED, f"{key!r} was stored as version {result.version} instead of {info.version}")
        return
    raise Conflict(None, f"{key!r} changes faster than it can be copied")
