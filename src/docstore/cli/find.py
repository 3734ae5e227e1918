"""`docstore find`: the documents that match, or how many there are and how large they are."""

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from docstore.cli.addresses import Address
from docstore.cli.errors import EXIT_OK, exits
from docstore.cli.globs import key_filter, translate
from docstore.cli.options import ADDRESS, DURATION, META_TEST, SIZE, Access, access_options, split_prefix
from docstore.cli.output import escape_controls, info_json, json_line
from docstore.http.url import encode
from docstore.units import format_count, format_size

if TYPE_CHECKING:
    from docstore import Info

Test = Callable[["Info"], bool]


@click.command(
    epilog="""\b
Examples:
  docstore find docs/ --name '*.txt' --older 30d
  docstore find docs/ --larger 1MiB --type 'image/*'
  docstore find docs/ --count"""
)
@click.argument("address", type=ADDRESS)
@click.option(
    "--name", "names", multiple=True, metavar="GLOB", help="Only keys that match; repeatable, for any of them."
)
@click.option("--larger", type=SIZE, metavar="SIZE", help="Only more bytes than this, such as 10MiB.")
@click.option("--smaller", type=SIZE, metavar="SIZE", help="Only fewer bytes than this.")
@click.option("--older", type=DURATION, metavar="TIME", help="Only if modified before this time: 30d, 2h.")
@click.option("--newer", type=DURATION, metavar="TIME", help="Only if modified after this time.")
@click.option("--type", "media_type", metavar="GLOB", help="Only this media type, such as 'image/*'.")
@click.option("--meta", type=META_TEST, multiple=True, help="Only with this field of your own; repeatable, for all.")
@click.option(
    "--count", is_flag=True, help="Print the number and the size of the documents in each folder, and in all."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@access_options
@exits
def find(
    address: Address,
    names: tuple[str, ...],
    larger: int | None,
    smaller: int | None,
    older: int | None,
    newer: int | None,
    media_type: str | None,
    meta: tuple[tuple[str, str | None], ...],
    count: bool,
    as_json: bool,
    access: Access,
) -> int:
    """Print the addresses of the documents below ADDRESS that match all options.

    Other commands take the addresses: docstore find docs/ --older 30d | xargs docstore rm
    """
    now = datetime.now(UTC)
    tests: list[Test] = []
    if names:
        selects = key_filter(names, ())
        tests.append(lambda info: selects(info.key))
    if larger is not None:
        tests.append(lambda info: info.size > larger)
    if smaller is not None:
        tests.append(lambda info: info.size < smaller)
    if older is not None:
        tests.append(lambda info: info.modified is not None and info.modified < now - timedelta(seconds=older))
    if newer is not None:
        tests.append(lambda info: info.modified is not None and info.modified > now - timedelta(seconds=newer))
    if media_type is not None:
        pattern = re.compile(translate(media_type), re.IGNORECASE)
        tests.append(lambda info: pattern.fullmatch(info.type.partition(";")[0].strip()) is not None)
    tests += [_has_meta(name.lower(), value) for name, value in meta]
    with access.open_matching(address) as (docs, prefix, matches):
        found = (info for info in docs.documents(prefix) if matches(info.key) and all(test(info) for test in tests))
        if count:
            _print_counts(found, split_prefix(prefix)[0], as_json)
            return EXIT_OK
        beginning = _beginning(address, prefix)
        for info in found:
            line = json_line(info_json(info)) if as_json else beginning + encode(info.key[len(prefix) :])
            sys.stdout.write(line + "\n")
    return EXIT_OK


def _has_meta(name: str, value: str | None) -> Test:
    return lambda info: name in info.meta and value in (None, info.meta[name])


def _beginning(address: Address, prefix: str) -> str:
    """Return the text to which the rest of a key is appended, in the form in which the address was typed."""
    text = address.text.partition("*")[0]
    if not address.on_server:
        return text if "#" in text else f"{text}#"
    return text if prefix or text.endswith(("/", ":")) else f"{text}/"


def _print_counts(found: "Iterable[Info]", root: str, as_json: bool) -> None:
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for info in found:
        folder, slash, _ = info.key[len(root) :].partition("/")
        counts[folder + slash if slash else ""] += 1
        sizes[folder + slash if slash else ""] += info.size
    for folder in sorted(filter(None, counts)):
        if as_json:
            values = {"folder": root + folder, "documents": counts[folder], "bytes": sizes[folder]}
            click.echo(json_line(values))
        else:
            text = format_count(counts[folder], "document")
            click.echo(f"{format_size(sizes[folder]):>10}  {text:>20}  {escape_controls(root + folder)}")
    if as_json:
        click.echo(json_line({"documents": counts.total(), "bytes": sizes.total()}))
    else:
        text = format_count(counts.total(), "document")
        click.echo(f"{format_size(sizes.total()):>10}  {text:>20}  {format_count(sizes.total(), 'byte')} in all")
