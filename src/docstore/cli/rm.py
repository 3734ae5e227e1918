"""`docstore rm`: documents are removed, one by name or all that begin alike, after a question."""

import sys
from typing import TYPE_CHECKING, Final

import click

from docstore.cli.addresses import Address
from docstore.cli.errors import DONE, NOT_MET, ending, say, told
from docstore.cli.options import ADDRESS, Access, accessing
from docstore.cli.output import printable
from docstore.cli.progress import number
from docstore.errors import DocstoreError, NotFound, SetupError

if TYPE_CHECKING:
    from docstore import Client
    from docstore.cli.parallel import Several

_COUNTED: Final = 10_000
"""How many documents are counted for the question."""


@click.command(
    epilog="""\b
Examples:
  docstore rm docs/greeting
  docstore rm -r --yes docs/drafts/"""
)
@click.argument("targets", type=ADDRESS, nargs=-1, required=True, metavar="ADDRESS...")
@click.option("--if-match", metavar="ETAG", help="Only this version.")
@click.option("-r", "--recursive", is_flag=True, help="All documents whose keys begin with the address.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@accessing
@ending
def rm(targets: tuple[Address, ...], if_match: str | None, recursive: bool, yes: bool, access: Access) -> int:
    """Remove documents.

    With -r all documents whose keys begin with the address, after a question at a terminal; elsewhere --yes is needed.
    """
    if if_match is not None and (recursive or len(targets) > 1):
        raise SetupError("--if-match is for one document")
    worst = DONE
    for address in targets:
        try:
            worst = max(worst, _many(address, yes, access) if recursive else _one(address, if_match, access))
        except DocstoreError as error:
            if len(targets) == 1:
                raise
            worst = max(worst, told(error))
    return worst


def _one(address: Address, if_match: str | None, access: Access) -> int:
    with access.document(address) as (docs, key):
        docs.delete(key, if_match=if_match)
    return DONE


def _many(address: Address, yes: bool, access: Access) -> int:
    from docstore.cli.parallel import Several

    with access.documents(address) as (docs, prefix):
        if not yes and not _agreed(docs, prefix, address):
            say("nothing was removed")
            return NOT_MET

        def remove(key: str, work: "Several[str]") -> None:
            try:
                docs.delete(key)
            except NotFound:
                return  # somebody else was faster, and it is gone as it should be
            bar.advance(documents=1)

        with access.progress("rm") as bar:
            keys = (info.key for info in docs.documents(prefix))
            return Several(remove, repr, bar).run(keys)


def _agreed(docs: "Client", prefix: str, address: Address) -> bool:
    if not sys.stdin.isatty():
        raise SetupError("there is no terminal to ask at; say --yes to remove all documents there")
    counted = docs.list(prefix=prefix, limit=_COUNTED)
    many = number(len(counted.documents), "document") if counted.after is None else f"more than {_COUNTED:,} documents"
    begins = f" whose keys begin with {printable(prefix)!r}" if prefix else ""
    return click.confirm(f"remove {many} of {address}{begins}?", err=True)
