"""`docstore completion`: the script that teaches a shell, and the keys that it is answered with.

The scripts are click's, but for bash, which cuts words at colons: `http://host/docs/k` would be completed as
`//host/docs/k`. So bash hands over its whole line, and gets back what goes in place of its own last word.

While a person waits for a Tab nothing may hang or complain: keys come within a second or not at all.
"""

import os
from typing import Final

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

from docstore.cli.errors import ending

_BASH: Final = r"""%(complete_func)s() {
    local IFS=$'\n' answer word
    compopt +o default
    answer=$(env COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_LAST="${COMP_WORDS[COMP_CWORD]}" \
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
    COMPREPLY=()
    for word in $answer; do
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
class WholeLine(BashComplete):
    """Bash, completed from its line and not from its words."""

    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ["COMP_LINE"]
        words = split_arg_string(line)
        begun = bool(words) and not line[-1:].isspace()
        self._incomplete = words.pop() if begun else ""
        return words[1:], self._incomplete

    def format_completion(self, item: CompletionItem) -> str:
        # Of a word with colons bash replaces what is behind the last of them only.
        last = os.environ.get("COMP_LAST", "")
        kept = len(self._incomplete) - len(last) if self._incomplete.endswith(last) else 0
        return f"{item.type},{item.value[kept:]}"


@click.command(
    epilog="""\b
Example:
  docstore completion bash"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@ending
def completion(shell: str) -> None:
    """Print the script that completes commands, options and keys.

    \b
    bash:  eval "$(docstore completion bash)"            in ~/.bashrc
    zsh:   eval "$(docstore completion zsh)"             in ~/.zshrc
    fish:  docstore completion fish | source             in ~/.config/fish/config.fish

    Keys are completed from the server, when it answers within a second (or DOCSTORE_COMPLETION_S seconds).
    """
    found = get_completion_class(shell)
    root = click.get_current_context().find_root().command
    if found is not None:
        click.echo(found(root, {}, "docstore", "_DOCSTORE_COMPLETE").source())
