"""A store of ten million documents beside one of ten thousand: what the size of a store costs.

    python benchmarks/many.py [--documents 10000,10000000] [--engine sqlite] [--data FOLDER] [--rounds 5]

Each store is filled through its engine with small documents whose keys come in random order, so that its index is as
mixed as use makes it. Then the same operations are timed on all stores, interleaved, on keys drawn at random: get, a
page of a listing of 100 from a random place, a replacing and a creating put (32 at once), a delete. Medians of the
rounds are told in µs an operation, and as ratios to the first store. At the end the store is opened once more, which
must not depend on its size either. Ten million take some fifteen minutes and 5 GB.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from docstore.engines import Engine, EngineURL, open_engine
from docstore.model import Fields

FIELDS = Fields.make("text/plain", {})
CONTENT = b"x" * 200
AT_ONCE = 32
FILLING_AT_ONCE = 512


class Body:
    """An upload that has come whole."""

    size: int | None = len(CONTENT)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield CONTENT


def key_of(number: int) -> str:
    """Keys in an order that has nothing to do with that of their making."""
    return f"{number * 2654435761 % 2**32:08x}-{number}"


async def together(operations: list[Awaitable[object]]) -> None:
    await asyncio.gather(*operations)


async def fill(engine: Engine, documents: int) -> None:
    began = time.perf_counter()
    for start in range(0, documents, FILLING_AT_ONCE):
        numbers = range(start, min(start + FILLING_AT_ONCE, documents))
        await together([engine.put(key_of(number), Body(), FIELDS) for number in numbers])
        if start % (FILLING_AT_ONCE * 2000) == 0 and start:
            print(f"  {start:,} in {time.perf_counter() - began:.0f} s", flush=True)
    print(f"filled {documents:,} in {time.perf_counter() - began:.0f} s", flush=True)


async def operations(engine: Engine, documents: int, seed: int) -> dict[str, float]:
    """µs of each operation, by name."""
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
        return await at_once(keys[:320], lambda key: engine.put(key, Body(), FIELDS))

    async def put_new() -> int:
        return await at_once(created, lambda key: engine.put(key, Body(), FIELDS))

    async def deleted() -> int:
        return await at_once(created, engine.delete)

    measured = {}
    steps = {"get": gets, "page of 100": pages, "replacing put": replaced, "creating put": put_new, "delete": deleted}
    for name, step in steps.items():
        began = time.perf_counter()
        count = await step()
        measured[name] = (time.perf_counter() - began) / count * 1e6
    return measured


async def measure(engine_name: str, data: Path, sizes: list[int], rounds: int) -> None:
    urls = {size: EngineURL(engine_name, str(data / f"{size}.store")) for size in sizes}
    results: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    for size, url in urls.items():
        engine = open_engine(url)
        await fill(engine, size)
        await engine.close()
    engines: dict[int, Engine] = {}
    opening = {}
    for size, url in urls.items():
        began = time.perf_counter()
        engines[size] = open_engine(url)
        opening[size] = (time.perf_counter() - began) * 1e6
    for number in range(rounds + 1):
        for size, engine in engines.items():
            measured = await operations(engine, size, seed=number)
            if number:  # the first round fills the caches
                results[size].append(measured)
    for engine in engines.values():
        await engine.close()
    tell(sizes, opening, results)


def tell(sizes: list[int], opening: dict[int, float], results: dict[int, list[dict[str, float]]]) -> None:
    print(f"{'µs':16}" + "".join(f"{size:>16,}" for size in sizes) + f"{'ratio':>10}")
    rows = {"open": opening}
    for name in results[sizes[0]][0]:
        rows[name] = {size: statistics.median(one[name] for one in results[size]) for size in sizes}
    for name, row in rows.items():
        print(
            f"{name:16}" + "".join(f"{row[size]:16.1f}" for size in sizes) + f"{row[sizes[-1]] / row[sizes[0]]:10.2f}"
        )


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
