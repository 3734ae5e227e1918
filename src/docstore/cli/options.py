"""Arguments and options that several commands have, and how commands open the store of an address.

The client library is loaded when a store is opened, so that help and usage errors do not wait for it.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sized
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import click

from docstore.cli import addresses
from docstore.cli.addresses import Address, is_folder
from docstore.cli.errors import print_error, print_notice
from docstore.cli.progress import Bar, progress
from docstore.errors import InvalidKey, NotFound, SetupError
from docstore.http.url import encode
from docstore.units import parse_duration_s, parse_size

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from docstore import AsyncClient, Client
    from docstore.cli.summary import Summary
    from docstore.client.options import ClientOptions
    from docstore.config import MountSettings

_T = TypeVar("_T")

TRIES: Final = 5
"""How often a call is tried while no answer comes: about a second, because a person waits."""
TOTAL_TIMEOUT_S: Final = 60.0
"""How long all tries of a call may take, unless --timeout is longer."""
LONGEST_TIMEOUT_S: Final = 86_400


class _ParsedType(click.ParamType[_T]):
    """The value that `parse` returns for the text of an argument; a SetupError is a usage error."""

    def __init__(self, name: str, parse: Callable[[str], _T]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> _T:
        try:
            return self._parse(value) if isinstance(value, str) else cast(_T, value)
        except SetupError as error:
            self.fail(str(error), param, ctx)


class _AddressType(_ParsedType[Address]):
    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        from click.shell_completion import CompletionItem

        from docstore.cli.completion import complete

        return [CompletionItem(text) for text in complete(incomplete, base_url())]


class _PlaceType(_ParsedType[Address | Path]):
    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        from click.shell_completion import CompletionItem

        if is_folder(incomplete):
            return [CompletionItem(incomplete, type="dir")]
        return ADDRESS.shell_complete(ctx, param, incomplete)


def _parse_pair(kind: str, separator: str, example: str, text: str) -> tuple[str, str]:
    name, found, value = text.partition(separator)
    if not found or not name.strip():
        raise SetupError(f"{text!r} is not {kind}; example: {example}")
    return name.strip(), value.strip()


def _parse_etag(text: str) -> str:
    from docstore.client.options import format_etag  # not loaded for --help

    try:
        return format_etag(text)
    except ValueError as error:
        raise SetupError(str(error)) from None


def _parse_meta_test(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    return name.strip(), value.strip() if equals else None


ADDRESS: Final = _AddressType("address", lambda text: addresses.parse(text, base_url()))
PLACE: Final = _PlaceType(
    "place", lambda text: Path(text).expanduser() if is_folder(text) else addresses.parse(text, base_url())
)
HEADER: Final = _ParsedType("name:value", partial(_parse_pair, "name:value", ":", "X-Team:red"))
META: Final = _ParsedType("name=value", partial(_parse_pair, "name=value", "=", "author=ana"))
ETAG: Final = _ParsedType("etag", _parse_etag)
SIZE: Final = _ParsedType("size", parse_size)
META_TEST: Final = _ParsedType("name[=value]", _parse_meta_test)
DURATION: Final = _ParsedType("time", parse_duration_s)


def base_url() -> str:
    return os.environ.get("DOCSTORE_URL") or addresses.DEFAULT_BASE


def unique_names(
    ctx: click.Context, param: click.Parameter, pairs: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, str], ...]:
    """Reject a name that is given twice, in any case: only one value would arrive."""
    names = [name.lower() for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise click.BadParameter(f"{name!r} is given {names.count(name)} times", ctx, param)
    return pairs


@dataclass(frozen=True, slots=True)
class Access:
    """How a command opens stores, and what it shows meanwhile."""

    headers: dict[str, str]
    timeout_s: float
    quiet: bool
    tries: int = TRIES
    verbose: bool = False

    def hint(self, line: str) -> None:
        """Print a line that is of interest at a terminal only."""
        if not self.quiet and sys.stderr.isatty():
            print_error(line)

    def progress(self, title: str, total_bytes: Callable[[], int] | None = None) -> AbstractContextManager[Bar]:
        """Show a bar; `total_bytes` is called, which may take another request, only if the bar can be seen."""
        visible = not self.quiet and sys.stderr.isatty()
        return progress(title, total_bytes() if visible and total_bytes else None, quiet=self.quiet)

    @contextmanager
    def summary(self, title: str, subject: object, done: str) -> Iterator["Summary"]:
        """Count documents with a bar, and print the closing line when all are processed."""
        from docstore.cli.summary import Summary

        with self.progress(title) as bar:
            summary = Summary(bar, done, verbose=self.verbose)
            ended = False
            try:
                yield summary
                ended = True
            finally:
                bar.close()
                if not self.quiet and (ended or summary.documents or summary.failed):
                    print_notice(summary.closing_line(str(subject), "the same already"))

    def for_address(self, address: Address) -> "Access":
        """Return the access that sends the token of the address too, unless --header has credentials."""
        if address.token is None or any(name.lower() == "authorization" for name in self.headers):
            return self
        return replace(self, headers={**self.headers, "Authorization": f"Bearer {address.token}"})

    def find_document(self, address: Address) -> tuple[str, str]:
        """Return the URL of a document's collection, and the key. Raise SetupError for a collection's address."""
        if address.on_server:
            # Where the mount's name ends does not matter here: the request goes to the same path.
            mount, _, key = address.path.partition("/")
            url = f"{address.store}/{encode(mount)}/"
        else:
            url, key = address.store, address.path
        if not key or address.is_collection:
            example = address.child("key" if address.is_collection else "/key")
            raise SetupError(f"{address} is a collection; add a key: {example}")
        return url, key

    def find_prefix(self, address: Address) -> tuple[str, str]:
        """Return the URL of a collection, and the prefix of the keys that `address` names. Raise NotFound."""
        if not address.on_server:
            return address.store, address.path
        with self.open_prefix(address) as (_, prefix):
            return f"{address.store}/{encode(address.path.removesuffix(prefix))}", prefix

    @contextmanager
    def open_document(
        self, address: Address, *, writes: bool = False, must_exist: bool = False
    ) -> Iterator[tuple["Client", str]]:
        """Open the collection of a document; yield it with the key. Raise SetupError for a collection's address."""
        url, key = self.find_document(address)
        with self.for_address(address).open_collection(url, writes=writes, must_exist=must_exist) as docs:
            yield docs, key

    @contextmanager
    def open_prefix(
        self, address: Address, *, writes: bool = False, must_exist: bool = False
    ) -> Iterator[tuple["Client", str]]:
        """Open a collection; yield it with the prefix of the keys that `address` names. Raise NotFound."""
        if not address.on_server:
            with self.open_collection(address.store, writes=writes, must_exist=must_exist) as docs:
                yield docs, address.path
            return
        # The longest path that is a collection is the mount, as on the server.
        path, prefix = address.path.rstrip("/"), address.path
        while path:
            prefix = address.path[len(path) + 1 :]
            with self.for_address(address).open_collection(f"{address.store}/{encode(path)}/") as docs:
                if _is_collection(docs):
                    yield docs, prefix
                    return
            path = path.rpartition("/")[0]
        raise NotFound(
            f"{address}: no such collection; 'docstore ls {replace(address, path='', raw_path='')}' lists them"
        )

    @contextmanager
    def open_matching(
        self, address: Address, *, writes: bool = False, must_exist: bool = False
    ) -> Iterator[tuple["Client", str, Callable[[str], bool]]]:
        """Open a collection; yield it with a prefix, and whether a key that begins with it matches the address.

        Raise NotFound if no key begins with the prefix.
        """
        beginning = address.beginning() if address.is_pattern else address
        matches = re.compile(address.expression(), re.DOTALL).fullmatch if address.is_pattern else None
        with self.open_prefix(beginning, writes=writes, must_exist=must_exist) as (docs, prefix):
            check_found(address, prefix, docs.list(prefix=prefix, limit=1).documents if prefix else ())
            mount = beginning.path[: len(beginning.path) - len(prefix)]
            yield docs, prefix, lambda key: matches is None or matches(mount + key) is not None

    @contextmanager
    def open_collection(self, url: str, *, writes: bool = True, must_exist: bool = False) -> Iterator["Client"]:
        """Open a collection by the URL of a server or an engine. Raise SetupError.

        With `writes` a store that does not exist is created, unless it must exist. Without it nothing is created.
        """
        from docstore import Client

        client_url = _client_url(url, creates=writes and not must_exist)
        with Client(client_url, **self._client_options(create=writes)) as docs:
            yield docs

    def async_client(self, url: str, *, writes: bool = False) -> "AsyncClient":
        """As `open_collection`, on an event loop."""
        from docstore import AsyncClient

        return AsyncClient(_client_url(url, creates=writes), **self._client_options(create=writes))

    def _client_options(self, *, create: bool) -> "ClientOptions":
        retry_s = max(TOTAL_TIMEOUT_S, self.timeout_s)
        return {
            "create": create,
            "headers": self.headers,
            "timeout_s": self.timeout_s,
            "retry_timeout_s": retry_s,
            "tries": self.tries,
        }


def split_prefix(prefix: str) -> tuple[str, str]:
    """Return the folders of a prefix, which are no part of the names in the target, and the rest."""
    cut = prefix.rfind("/") + 1
    return prefix[:cut], prefix[cut:]


def check_found(address: Address, prefix: str, listed: Sized) -> None:
    """Raise NotFound if no key begins with `prefix`: it may be mistyped. A collection may be empty."""
    if prefix and not listed:
        raise NotFound(f"{address}: not found")


def _is_collection(docs: "Client") -> bool:
    try:
        docs.list(limit=1)
    except (NotFound, InvalidKey):
        return False
    return True


def _client_url(url: str, *, creates: bool) -> str:
    """Return `url`. Raise OpenError if it is an engine without a store and none is to be created."""
    if url.startswith(("http://", "https://")):
        return url
    if not creates:
        existing_store(url)
    return url


def existing_store(text: str) -> "MountSettings":
    """Parse the URL of a store to read. Raise OpenError if there is none: opening it would create an empty one."""
    from docstore.config import MountSettings
    from docstore.engines.registry import EngineURL, check_exists

    store = MountSettings.make("store", EngineURL.parse(text))
    check_exists(store.engine)
    return store


def access_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of Access to a command, which is called with `access` in their place."""

    @click.option("--header", "headers", type=HEADER, multiple=True, callback=unique_names,
                  help="Send this header with every request; repeatable.")  # fmt: skip
    @click.option("--timeout", "timeout_s", type=click.FloatRange(0, LONGEST_TIMEOUT_S, min_open=True),
                  default=30, show_default=True, help="Give up after this many seconds of silence.")  # fmt: skip
    @click.option("-q", "--quiet", is_flag=True, help="Show no progress bar and no closing line.")
    @click.option("-v", "--verbose", is_flag=True, help="Show each document that is processed.")
    @wraps(command)
    def wrapper(
        headers: tuple[tuple[str, str], ...], timeout_s: float, quiet: bool, verbose: bool, **options: Any
    ) -> Any:
        return command(access=Access(dict(headers), timeout_s, quiet, verbose=verbose), **options)

    return wrapper
