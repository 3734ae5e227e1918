"""What the commands on documents have in common: how an address is read, and how its store is reached.

Nothing of the library is loaded before a store is opened: the help and a wrong usage need none of it.
"""

import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

from docstore.cli import addresses
from docstore.cli.addresses import Address
from docstore.cli.errors import say
from docstore.cli.times import lifetime_s
from docstore.errors import InvalidKey, NotFound, SetupError
from docstore.http.url import encode

if TYPE_CHECKING:
    from docstore import Client
    from docstore.cli.progress import Bar

TRIES: Final = 5
"""How often a call is made while no answer comes: about a second, for somebody is waiting."""
PATIENCE_S: Final = 60.0
"""How long all of them may take, or as long as one may if that is longer."""
LONGEST_S: Final = 86_400
"""No wait is longer than a day."""


class _AddressType(click.ParamType[Address]):
    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        if isinstance(value, Address):
            return value
        try:
            return addresses.parse(str(value), base_url())
        except SetupError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from docstore.cli.completed_keys import complete

        return [CompletionItem(text) for text in complete(incomplete, base_url())]


ADDRESS: Final = _AddressType()


def base_url() -> str:
    return os.environ.get("DOCSTORE_URL") or addresses.DEFAULT_BASE


class _PairType(click.ParamType[tuple[str, str]]):
    """A name and a value, parted by `sign`."""

    def __init__(self, name: str, sign: str, example: str) -> None:
        self.name = name
        self._sign = sign
        self._example = example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, sign, rest = str(value).partition(self._sign)
        if not sign or not name.strip():
            self.fail(f"{value!r} is not {self.name}; one looks like {self._example}", param, ctx)
        return name.strip(), rest.strip()


class _LifetimeType(click.ParamType[int]):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return lifetime_s(str(value))
        except SetupError as error:
            self.fail(str(error), param, ctx)


def once(ctx: click.Context, param: click.Parameter, pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Refuses a name that is given twice, in whatever case: only one value would arrive."""
    names = [name.lower() for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise click.BadParameter(f"{name!r} is given {names.count(name)} times", ctx, param)
    return pairs


HEADER: Final = _PairType("name:value", ":", "X-Team:red")
META: Final = _PairType("name=value", "=", "author=ana")
LIFETIME: Final = _LifetimeType()


class _Shared:
    """A bar that several threads move."""

    def __init__(self, bar: "Bar") -> None:
        self._bar = bar
        self._lock = threading.Lock()

    def advance(self, n_bytes: int = 0, documents: int = 0) -> None:
        with self._lock:
            self._bar.advance(n_bytes, documents)

    def expect(self, total_bytes: int) -> None:
        with self._lock:
            self._bar.expect(total_bytes)

    def say(self, write: Callable[[], None]) -> None:
        with self._lock:
            self._bar.say(write)


@dataclass(frozen=True, slots=True)
class Access:
    """How stores are reached, and how much a person is told meanwhile."""

    headers: dict[str, str]
    timeout_s: float
    quiet: bool
    tries: int = TRIES

    @property
    def watched(self) -> bool:
        """Whether a person sees a bar, for whom a request more may find out how much there is to do."""
        return not self.quiet and sys.stderr.isatty()

    def tell(self, line: str) -> None:
        """Something that only a person at a terminal wants to know."""
        if self.watched:
            say(line)

    @contextmanager
    def progress(self, doing: str, total: int | None = None) -> Iterator["Bar"]:
        from docstore.cli.progress import Silent, progress

        if self.quiet:
            yield Silent()
            return
        with progress(doing, total_bytes=total) as bar:
            yield _Shared(bar)

    @contextmanager
    def document(self, address: Address, *, writes: bool = False) -> Iterator[tuple["Client", str]]:
        """The collection of a document, opened, and its key. Raises SetupError for an address that names none."""
        collection, key = _split(address)
        if not key or address.many:
            raise SetupError(f"{address} names no document; the address of one goes on: {_example(address)}")
        with self.opened(collection, writes=writes) as docs:
            yield docs, key

    @contextmanager
    def documents(self, address: Address, *, writes: bool = False) -> Iterator[tuple["Client", str]]:
        """A collection, opened, and what the keys that are meant begin with. Raises NotFound when there is none."""
        if not address.served:
            with self.opened(address.store, writes=writes) as docs:
                yield docs, address.path
            return
        path, rest = address.path.rstrip("/"), address.path
        # From the longest path on, as the server finds its mounts: what is no collection there refuses the name.
        while path:
            rest = address.path[len(path) + 1 :]
            with self.opened(f"{address.store}/{encode(path)}/") as docs:
                if _is_collection(docs):
                    yield docs, rest
                    return
            path = path.rpartition("/")[0]
        raise NotFound(f"there is no collection at {address}; docstore ls {replace(address, path='')} lists them")

    @contextmanager
    def opened(self, url: str, *, writes: bool = True) -> Iterator["Client"]:
        """A collection by its URL, or an engine's, which is not made by reading from it. Raises SetupError."""
        from docstore import Client

        if not url.startswith(("http://", "https://")):
            url = _with_path_keys(url, makes=writes)
        patience_s = max(PATIENCE_S, self.timeout_s)
        with Client(
            url, headers=self.headers, timeout_s=self.timeout_s, retry_timeout_s=patience_s, tries=self.tries
        ) as docs:
            yield docs


def _split(address: Address) -> tuple[str, str]:
    """The URL of a collection and a key that make up the address of a document; which of several does not matter."""
    if not address.served:
        return address.store, address.path
    first, _, key = address.path.partition("/")
    return f"{address.store}/{encode(first)}/", key


def _example(address: Address) -> str:
    return str(address.below("key" if not address.path or address.many else "/key"))


def _is_collection(docs: "Client") -> bool:
    try:
        docs.list(limit=1)
    except (NotFound, InvalidKey):
        return False
    return True


def _with_path_keys(url: str, *, makes: bool) -> str:
    """An engine's URL whose keys may be any. Raises OpenError when nothing is there that could be read."""
    from docstore.cli.commands import standing
    from docstore.engines.registry import EngineURL

    parsed = EngineURL.parse(url)
    options = dict(parsed.options)
    keys = options.pop("keys", "path")
    bare = EngineURL(parsed.scheme, parsed.location, options)
    if not makes:
        standing(str(bare))
    return str(EngineURL(parsed.scheme, parsed.location, {**options, "keys": keys}))


def accessing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of Access, and hands the command an `access` in their place."""

    @click.option(
        "--header",
        "headers",
        type=HEADER,
        multiple=True,
        callback=once,
        help="Send this header too; several times for several.",
    )
    @click.option("--timeout", "timeout_s", type=click.FloatRange(0, LONGEST_S, min_open=True),
                  default=30, show_default=True,
                  help="Seconds that any pause of the server may take.")  # fmt: skip
    @click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
    @functools.wraps(command)
    def accessed(headers: tuple[tuple[str, str], ...], timeout_s: float, quiet: bool, **given: Any) -> Any:
        return command(access=Access(dict(headers), timeout_s, quiet), **given)

    return accessed
