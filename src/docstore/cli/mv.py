"""`docstore mv`: move documents: copy them, then remove each original in the version that was copied."""

import click

from docstore.cli.addresses import Address
from docstore.cli.cp import copy_all, copy_one
from docstore.cli.errors import EXIT_OK, exits
from docstore.cli.options import ADDRESS, Access, access_options
from docstore.errors import SetupError


@click.command(
    epilog="""\b
Examples:
  docstore mv docs/greeting docs/hello
  docstore mv -r file/drafts/ docs/"""
)
@click.argument("source", type=ADDRESS, metavar="FROM")
@click.argument("target", type=ADDRESS, metavar="TO")
@click.option("-r", "--recursive", is_flag=True, help="All documents whose keys begin with FROM.")
@access_options
@exits
def mv(source: Address, target: Address, recursive: bool, access: Access) -> int:
    """Move documents between any two addresses, with all their metadata.

    A document is removed only when its copy is stored, and only in the version that was copied: one that another
    client replaced meanwhile stays. If TO ends with a slash, the name is kept. A document of TO is replaced. One that
    TO already has in the same version stays in FROM, because both may be the same document.
    """
    if recursive:
        with access.summary("mv", target, "moved") as summary:
            return copy_all(source, target, summary, access, remove=True)
    if source.is_collection:
        raise SetupError(f"{source} is a collection; add -r to move all its documents")
    if target.is_collection:
        target = target.child(source.name)
    copy_one(source, target, access, remove=True)
    return EXIT_OK
