"""`docstore cp`: documents from any address to any other, with all that is stored with them.

What is copied has the same version on the other side, and so the same ETag: it is compared at the end.
"""

from typing import TYPE_CHECKING, Final

import click

from docstore.cli.addresses import Address
from docstore.cli.errors import EXIT_FAILED, EXIT_OK, CommandError, exits
from docstore.cli.options import ADDRESS, Access, access_options
from docstore.cli.put_options import kept
from docstore.errors import Conflict, NotFound, SetupError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from docstore import Client, Info
    from docstore.cli.parallel import Progress
    from docstore.cli.progress import Bar

_SMALL: Final = 1024 * 1024
"""Bytes that are held in memory, so that the library can send them again when an answer is lost."""
_CHANGES: Final = 5


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

    Content, type, fields and what is left of a life are kept, and so is the ETag. To a TO that ends with a slash the
    name is kept. What TO has already in the same version is passed over, so that a copy can be started again.
    """
    if recursive:
        return _many(source, target, access)
    if target.is_collection:
        target = target.child(source.name)
    with access.open_document(source) as (docs, key), access.open_document(target, writes=True) as (others, new_key):
        total = docs.info(key).size if access.shows_progress else None
        with access.progress("cp", total) as bar:
            _copy(docs, key, others, new_key, bar)
    return EXIT_OK


def _many(source: Address, target: Address, access: Access) -> int:
    from docstore.cli.parallel import WorkerPool

    if not target.is_collection:
        raise SetupError(f"{target} is one document; with -r TO is a collection, and ends with a slash")
    with access.open_prefix(source) as (docs, prefix), access.open_prefix(target, writes=True) as (others, start):
        cut = prefix.rfind("/") + 1

        def copy(info: "Info", advance: "Progress") -> None:
            try:
                _copy(docs, info.key, others, start + info.key[cut:], bar, lambda: advance(0))
            except NotFound as error:
                if error.problem is None or docs.contains(info.key):
                    raise
                return  # it was removed since it was listed
            bar.advance(documents=1)

        with access.progress("cp") as bar:
            return WorkerPool(copy, lambda info: repr(info.key), bar).run(docs.documents(prefix))


def _copy(
    docs: "Client", key: str, others: "Client", new_key: str, bar: "Bar", check: "Callable[[], None]" = lambda: None
) -> None:
    for _ in range(_CHANGES):
        info = docs.info(key)
        options = kept(info, info.digest)
        if options is None:
            raise NotFound(f"{key!r} has just expired")

        def pieces(info: "Info" = info) -> "Iterator[bytes]":
            for piece in docs.iter_content(key, if_match=info.etag):
                check()
                yield piece
                bar.advance(len(piece))

        # A document without an end is the same already when its version is; one with an end may be given a new one.
        if info.expires is None:
            options["if_none_match"] = info.etag
        try:
            content = b"".join(pieces()) if info.size <= _SMALL else pieces()
            stored = others.put(new_key, content, **options)
        except Conflict as error:
            if error.version == info.version and "if_none_match" in options:
                return
            continue
        if stored.version != info.version:
            raise CommandError(EXIT_FAILED, f"{key!r} was stored as version {stored.version} and not as {info.version}")
        return
    raise Conflict(None, f"{key!r} changes faster than it can be copied")
