"""`docstore completion`: the script for a shell, and the addresses that complete what is typed.

The scripts are click's, except for bash: bash splits words at colons, so click's would complete `http://host/docs/k` as
`//host/docs/k`. Docstore's passes the whole line, and gets the text that replaces bash's last word.

Completion must not hang or print an error: it lists keys within a second or not at all.
"""

import glob
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

from docstore.cli import addresses
from docstore.cli.errors import exits
from docstore.cli.options import Access
from docstore.cli.profiles import read_profiles
from docstore.engines.registry import schemes
from docstore.errors import DocstoreError
from docstore.http.url import encode

TIMEOUT_S: Final = 1.0
"""How long a Tab may take; DOCSTORE_COMPLETION_S overrides it."""
_LIMIT: Final = 200
"""Limit of the candidates; more would not help to choose."""

_BASH: Final = r"""%(complete_func)s() {
    local IFS=$'\n' reply word
    compopt +o default
    reply=$(env COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_LAST="${COMP_WORDS[COMP_CWORD]}" \
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
    COMPREPLY=()
    for word in $reply; do
        case $word in
        dir,*) compopt -o dirnames ;;
        file,*) compopt -o default ;;
        plain,*) COMPREPLY+=("${word#plain,}") ;;
        esac
    done
    [[ ${COMPREPLY[0]} == */ ]] && compopt -o nospace
    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


@add_completion_class
class WholeLineBash(BashComplete):
    """Completes the line of bash instead of its words."""

    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ["COMP_LINE"]
        words = split_arg_string(line)
        self._incomplete = words.pop() if words and not line[-1:].isspace() else ""
        return words[1:], self._incomplete

    def format_completion(self, item: CompletionItem) -> str:
        # In a word with colons bash replaces only what follows the last colon.
        last = os.environ.get("COMP_LAST", "")
        kept = len(self._incomplete) - len(last) if self._incomplete.endswith(last) else 0
        return f"{item.type},{item.value[kept:]}"


@click.command(
    epilog="""\b
Example:
  docstore completion bash"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@exits
def completion(shell: str) -> None:
    """Print the script that completes commands, options and keys.

    \b
    bash:  eval "$(docstore completion bash)"            in ~/.bashrc
    zsh:   eval "$(docstore completion zsh)"             in ~/.zshrc
    fish:  docstore completion fish | source             in ~/.config/fish/config.fish

    Keys are completed if the server responds within a second (or DOCSTORE_COMPLETION_S seconds).
    """
    shell_class = get_completion_class(shell)
    root = click.get_current_context().find_root().command
    if shell_class is not None:
        click.echo(shell_class(root, {}, "docstore", "_DOCSTORE_COMPLETE").source())


def complete(incomplete: str, base: str) -> list[str]:
    """Return the addresses of mounts, folders and documents that begin with `incomplete`."""
    import docstore.client.client  # noqa: F401 - loading the library does not count as waiting for the server

    try:
        timeout_s = float(os.environ["DOCSTORE_COMPLETION_S"])
    except (KeyError, ValueError):
        timeout_s = TIMEOUT_S
    found: list[str] = []

    def search() -> None:
        with suppress(DocstoreError, OSError, ValueError):  # a message would spoil the line that the user is typing
            for candidate in _candidates(incomplete, base, timeout_s):
                found.append(candidate)

    # A daemon thread, so that a server that hangs does not keep the process from ending.
    thread = threading.Thread(target=search, daemon=True)
    thread.start()
    thread.join(timeout_s)
    return list(found)


def _local_candidates(incomplete: str) -> Iterator[str]:
    """Yield the schemes of engines, the servers of the configuration, and the files of stores."""
    scheme, colon, path = incomplete.partition(":")
    names = [name for name in schemes() if name != "memory"]
    if not colon:
        yield from (f"{name}:" for name in sorted([*names, *read_profiles()]) if name.startswith(scheme))
    elif scheme in names and "#" not in path:
        for found in sorted(glob.glob(f"{glob.escape(path)}*"))[:_LIMIT]:  # noqa: PTH207 - keeps "./"
            yield f"{scheme}:{found}" + ("/" if Path(found).is_dir() else "")
        if path and Path(path).exists():
            yield f"{incomplete}#"


def _candidates(incomplete: str, base: str, timeout_s: float) -> Iterator[str]:
    yield from _local_candidates(incomplete)
    if incomplete.partition(":")[0] in schemes() and ":" in incomplete and "#" not in incomplete:
        return
    access = Access({}, timeout_s, quiet=True, tries=1)
    address = addresses.parse(incomplete, base) if incomplete else addresses.parse(base)
    if address.on_server and "/" not in address.path:
        from docstore.cli.info import list_mounts

        for mount, *_ in list_mounts(address.store, access.for_address(address)):
            if mount[1:].startswith(address.path):
                yield incomplete + mount[1 + len(address.path) :]
        return
    with access.open_prefix(address) as (docs, prefix):
        page = docs.list(prefix=prefix, limit=_LIMIT, delimiter="/")
    for name in sorted([*(info.key for info in page.documents), *page.folders]):
        yield incomplete + encode(name[len(prefix) :])
