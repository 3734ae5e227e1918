"""The commands beside `serve`: check, copy, export, import. What each does is elsewhere; here it is told to a person.

Exit status 0: all is well; 1: something is not, each with a line of its own; 2: nothing could be begun.
Results go to standard output, the summary and the count while it runs to standard error.
"""

import asyncio
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final, cast

import click

from docstore.cli.progress import Bar, number, progress, size_text
from docstore.engines.contract import Engine, Readable, Snapshotting
from docstore.engines.registry import EngineURL, kind_of, open_engine
from docstore.engines.shared.verify import Finding, check_store
from docstore.errors import ArchiveError, EngineError, NoSpace, OpenError, SetupError
from docstore.export.archive import export_store, import_store
from docstore.export.copy import Outcome, Step, copy
from docstore.export.ndjson import TooLargeForLines

_WRONG: Final = frozenset({Outcome.REFUSED, Outcome.BROKEN})


class Tally:
    """Counts documents, and tells a person what is wrong with them and how far the work has come."""

    def __init__(self, bar: Bar) -> None:
        self.documents = self.size = self.wrong = self.passed = 0
        self.bar = bar

    def count(self, size: int) -> None:
        self.documents += 1
        self.size += size
        self.bar.advance(documents=1)

    def tell(self, line: object, *, err: bool = False) -> None:
        self.bar.say(lambda: click.echo(str(line), err=err))

    def step(self, step: Step) -> None:
        """Counts what became of a document, and tells what is wrong with it."""
        if step.outcome in _WRONG:
            self.wrong += 1
            self.tell(f"docstore: {step.key!r}: {step.why}", err=True)
        elif step.outcome is Outcome.STORED:
            self.count(step.size)
        else:
            self.passed += 1


def check(url: str, *, repair: bool) -> int:
    with progress("check") as bar:
        tally, removed = Tally(bar), 0
        for checked in check_store(EngineURL.parse(url), repair=repair):
            if isinstance(checked, Finding):
                tally.tell(checked)
                removed += checked.removed
                tally.wrong += not checked.removed
            else:
                tally.count(checked.size)
                bar.advance(checked.size)
    summary = f"{number(tally.documents, 'sound document')} of {size_text(tally.size)}"
    summary += f", {number(removed, 'orphan')} removed" if repair else ""
    click.echo(f"{url}: {summary}, {number(tally.wrong, 'finding')}", err=True)
    return 1 if tally.wrong else 0


def copy_store(source_url: str, target_url: str, *, prefix: str) -> int:
    async def run(tally: Tally) -> None:
        async with (
            _opened(standing(source_url)) as source,
            _opened(EngineURL.parse(target_url)) as target,
            aclosing(copy(source, target, prefix=prefix, moved=tally.bar.advance)) as steps,
        ):
            async for step in steps:
                tally.step(step)

    return _run(run, "copy", target_url, "copied", "the same already or gone")


def export(url: str, path: Path | None, *, format: str, live: bool) -> int:
    source = standing(url)
    if path is None and sys.stdout is None:
        raise SetupError("standard output is closed; name a file")
    if path is None and sys.stdout.isatty() and format == "tar":
        raise SetupError("a tar is no text for a terminal: name a file, or send it on with > or |")

    async def run(tally: Tally) -> None:
        async with _opened(source) as engine, _state_of(engine, tally, live=live) as state:
            with _written(path) as file:
                async for step in export_store(state, file, format=format, moved=tally.bar.advance):
                    tally.step(step)

    return _run(run, "export", str(path or "standard output"), "exported", "gone")


@asynccontextmanager
async def _state_of(engine: Engine, tally: Tally, *, live: bool) -> AsyncIterator[Readable]:
    """What an export reads: one state of the whole store when its engine can show one."""
    if live or not isinstance(engine, Snapshotting):
        yield engine
        return
    async with AsyncExitStack() as stack:
        try:
            snapshot = await stack.enter_async_context(engine.snapshot())
        except NoSpace as error:
            raise NoSpace(f"{error}; with --live an export needs no room beside the store") from error
        tally.bar.expect(snapshot.size)
        yield snapshot


def import_(url: str, path: Path | None, *, replace: bool) -> int:
    target = EngineURL.parse(url)
    if path is None and sys.stdin is None:
        raise SetupError("standard input is closed; name a file")

    async def run(tally: Tally) -> None:
        with _read(path) as file:
            if path is not None:
                tally.bar.expect(os.fstat(file.fileno()).st_size)
            async with _opened(target) as engine:
                steps = import_store(engine, file, time.time_ns, replace=replace, moved=tally.bar.advance)
                async with aclosing(steps):
                    async for step in steps:
                        tally.step(step)

    return _run(run, "import", url, "imported", "the same already or expired")


def _run(run: Callable[[Tally], Coroutine[Any, Any, None]], doing: str, what: str, done: str, passed: str) -> int:
    failure = ""
    try:
        with progress(doing) as bar:
            tally = Tally(bar)
            asyncio.run(run(tally))
    except ArchiveError as error:
        failure = f"docstore: this is not a whole export: {error}; what came whole is kept, a whole one adds the rest"
    except TooLargeForLines as error:
        failure = f"docstore: {error}"
    except EngineError as error:
        failure = f"docstore: {error}"
    except BrokenPipeError:
        if sys.stdout is not None:
            # Python would complain once more when it closes it at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        failure = "docstore: whoever was to read the export has gone"
    except OSError as error:
        failure = f"docstore: {error.filename or what}: {error.strerror or error}"
    summary = f"{what}: {number(tally.documents, 'document')} {done}, {size_text(tally.size)}"
    summary += f"; {tally.passed:,} {passed}" if tally.passed else ""
    summary += f"; {tally.wrong:,} not {done}" if tally.wrong else ""
    click.echo(summary, err=True)
    if failure:
        click.echo(failure, err=True)
    return 1 if failure or tally.wrong else 0


def standing(text: str) -> EngineURL:
    """The URL of a store to read from. Raises OpenError when there is none: opening it would make an empty one."""
    url = EngineURL.parse(text)
    path = Path(url.location)
    if kind_of(url.scheme).on_disk and not any(Path(f"{path}{end}").exists() for end in ("", ".dat")):
        raise OpenError(f"{path}: there is no such store")
    return url


@asynccontextmanager
async def _opened(url: EngineURL) -> AsyncIterator[Engine]:
    engine = open_engine(url)
    try:
        yield engine
    finally:
        await engine.close()


@contextmanager
def _read(path: Path | None) -> Iterator[IO[bytes]]:
    if path is None:
        yield sys.stdin.buffer
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise SetupError(f"{path}: {error.strerror}") from error
    with file:
        yield file


@contextmanager
def _written(path: Path | None) -> Iterator[IO[bytes]]:
    """A file that stands under its name only when it is whole and on the disk; or standard output.

    Links are followed. What is there and is no plain file, such as a pipe, is written into: a name of it is not moved.
    """
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    elif path.exists() and not path.is_file():
        with _made(path, path) as file:
            yield file
    else:
        with _replaced(Path(os.path.realpath(path))) as file:
            yield file


@contextmanager
def _replaced(path: Path) -> Iterator[IO[bytes]]:
    partial = path.with_name(f"export-{secrets.token_hex(8)}.partial")
    file = _made(partial, path, "xb")
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def _made(path: Path, told: Path, mode: str = "wb") -> IO[bytes]:
    """Raises SetupError, in which the file is called `told`."""
    try:
        return cast(IO[bytes], path.open(mode))
    except OSError as error:
        raise SetupError(f"{told}: {error.strerror}") from error
