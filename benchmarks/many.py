"""Compare a store of ten million documents with one of ten thousand.

    python benchmarks/many.py [--documents 10000,10000000] [--engine sqlite] [--data FOLDER] [--rounds 5]

Each store is filled through its engine with small documents in random key order, so that its index is as mixed as in
use. Then the same operations run on all stores, interleaved, on random keys: get, a page of 100 from a random position,
a replacing and a creating put (32 at a time), and delete. The output has the medians of the rounds in microseconds an
operation, their ratios to the first store, and the disk reads an operation, which a store larger than the system's
cache must pay. All files are read once before the rounds to fill that cache. Opening is timed too, and must not depend
on the size either. Ten million documents take 10 to 15 minutes and 5 GB.
"""

import argparse
import asyncio
import random
import re
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from docstore.engines.contract import Engine, PutRequest
from docstore.engines.registry import EngineURL, open_engine
from docstore.model import Fields

FIELDS = Fields.make("text/plain", {})
CONTENT = b"x" * 200
AT_ONCE = 32
FILLING_AT_ONCE = 512


class Body:
    """A complete upload."""

    size: int | None = len(CONTENT)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield CONTENT


def key_of(number: int) -> str:
    """Return keys whose order is unrelated to the order of creation."""
    return f"{number * 2654435761 % 2**32:08x}-{number}"


async def together(operations: list[Awaitable[object]]) -> None:
    await asyncio.gather(*operations)


async def fill(engine: Engine, documents: int) -> None:
    began = time.perf_counter()
    for start in range(0, documents, FILLING_AT_ONCE):
        numbers = range(start, min(start + FILLING_AT_ONCE, documents))
        await together([engine.put(PutRequest(key_of(number), Body(), FIELDS)) for number in numbers])
        if start % (FILLING_AT_ONCE * 2000) == 0 and start:
            print(f"  {start:,} in {time.perf_counter() - began:.0f} s", flush=True)
    print(f"filled {documents:,} in {time.perf_counter() - began:.0f} s", flush=True)


def disk_reads() -> int:
    """Return the bytes that this process has read from a disk."""
    return int(re.search(r"read_bytes: (\d+)", Path("/proc/self/io").read_text())[1])


def warm(data: Path) -> None:
    """Read all files once."""
    for path in data.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                while file.read(1 << 22):
                    pass


async def operations(engine: Engine, documents: int, seed: int) -> dict[str, tuple[float, float]]:
    """Return microseconds, and KiB read from the disk, by the name of the operation."""
    draw = random.Random(seed)
    keys = [key_of(draw.randrange(documents)) for _ in range(1000)]
    created = [f"new-{seed}-{draw.random()}" for _ in range(320)]

    async def gets() -> int:
        for key in keys:
            assert await engine.get(key) is not None
        return len(keys)

    async def pages() -> int:
        for key in keys[:50]:
            await engine.list(after=key, limit=100)
        return 50

    async def at_once(names: list[str], operation: Callable[[str], Awaitable[object]]) -> int:
        for start in range(0, len(names), AT_ONCE):
            await together([operation(name) for name in names[start : start + AT_ONCE]])
        return len(names)

    async def replaced() -> int:
        return await at_once(keys[:320], lambda key: engine.put(PutRequest(key, Body(), FIELDS)))

    async def put_new() -> int:
        return await at_once(created, lambda key: engine.put(PutRequest(key, Body(), FIELDS)))

    async def deleted() -> int:
        return await at_once(created, engine.delete)

    measured: dict[str, tuple[float, float]] = {}
    steps = {"get": gets, "page of 100": pages, "replacing put": replaced, "creating put": put_new, "delete": deleted}
    for name, step in steps.items():
        began, read = time.perf_counter(), disk_reads()
        count = await step()
        measured[name] = (time.perf_counter() - began) / count * 1e6, (disk_reads() - read) / count / 1024
    return measured


async def measure(engine_name: str, data: Path, sizes: list[int], rounds: int) -> None:
    urls = {size: EngineURL(engine_name, str(data / f"{size}.store")) for size in sizes}
    for size, url in urls.items():
        engine = open_engine(url)
        await fill(engine, size)
        await engine.close()
    engines: dict[int, Engine] = {}
    results: dict[str, dict[int, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for size, url in urls.items():
        began = time.perf_counter()
        engines[size] = open_engine(url)
        results["open"][size].append(((time.perf_counter() - began) * 1e6, 0.0))
    warm(data)
    for number in range(rounds + 1):
        for size, engine in engines.items():
            for name, one in (await operations(engine, size, seed=number)).items():
                if number:  # the first round fills the caches
                    results[name][size].append(one)
    for engine in engines.values():
        await engine.close()
    report(sizes, results)


def report(sizes: list[int], results: dict[str, dict[int, list[tuple[float, float]]]]) -> None:
    columns = "".join(f"{size:>14,} us {'disk KiB':>10}" for size in sizes)
    print(f"{'':15}{columns}{'ratio':>8}")
    for name, by_size in results.items():
        medians = {size: statistics.median(us for us, _ in by_size[size]) for size in sizes}
        reads = {size: statistics.median(kib for _, kib in by_size[size]) for size in sizes}
        columns = "".join(f"{medians[size]:17.1f} {reads[size]:10.1f}" for size in sizes)
        print(f"{name:15}{columns}{medians[sizes[-1]] / medians[sizes[0]]:8.2f}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--documents", default="10000,10000000")
    arguments.add_argument("--engine", default="sqlite")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--data", type=Path)
    given = arguments.parse_args()
    sizes = [int(text) for text in given.documents.split(",")]
    with tempfile.TemporaryDirectory(dir=given.data) as folder:
        asyncio.run(measure(given.engine, Path(folder), sizes, given.rounds))


if __name__ == "__main__":
    main()
