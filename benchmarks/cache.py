"""What a quota costs, and whether the cost of an eviction grows with the number of documents.

    python benchmarks/cache.py [--engines memory,sqlite] [--small 10000] [--large 1000000]

For each engine: a GET and a PUT that replaces, with a quota that is never reached against the same engine without; a
PUT that evicts one document, with few and with many documents; and the bytes that the storage takes for an empty
document beside its key and fields, which the engine's overhead has to cover. Costs are processor time of the
process, which varies less on a shared machine, medians of rounds, and ratios within one run.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from docstore.content import BytesContent
from docstore.engines.contract import Engine, PutRequest
from docstore.engines.memory import MEMORY_OVERHEAD
from docstore.engines.registry import EngineURL, open_engine
from docstore.engines.sqlite.quota import SQLITE_OVERHEAD
from docstore.model import Fields

OVERHEADS = {"memory": MEMORY_OVERHEAD, "sqlite": SQLITE_OVERHEAD}
ROUNDS = 7
AT_ONCE = 500
FIELDS = Fields("text/plain")
CONTENT = BytesContent(b"x" * 200)
AMPLE = 2**45


@dataclass
class Store:
    """An engine and where it is."""

    engine: Engine
    folder: Path


def key(number: int) -> str:
    return f"{number:016x}"


def opened(scheme: str, folder: Path, max_bytes: int | None) -> Store:
    folder = Path(tempfile.mkdtemp(dir=folder))
    options = {} if max_bytes is None else {"max_bytes": str(max_bytes), "evict": "lru"}
    return Store(open_engine(EngineURL(scheme, "" if scheme == "memory" else str(folder / "store"), options)), folder)


async def put_many(engine: Engine, numbers: range, content: BytesContent = CONTENT) -> None:
    for start in range(0, len(numbers), AT_ONCE):
        await asyncio.gather(
            *(engine.put(PutRequest(key(n), content, FIELDS)) for n in numbers[start : start + AT_ONCE])
        )


async def get_many(engine: Engine, numbers: range) -> None:
    for number in numbers:
        await engine.get(key(number))


async def cost_us(work: Callable[[], Awaitable[None]], count: int) -> float:
    started_s = time.process_time()
    await work()
    return (time.process_time() - started_s) / count * 1e6


async def compare(scheme: str, folder: Path, count: int) -> None:
    stores = [opened(scheme, folder, None), opened(scheme, folder, AMPLE)]
    numbers = range(count)
    for store in stores:
        await put_many(store.engine, numbers)
    for name, work in (("GET", get_many), ("PUT", put_many)):
        costs: list[list[float]] = [[], []]
        for _ in range(ROUNDS):
            for store, found in zip(stores, costs, strict=True):
                found.append(await cost_us(lambda e=store.engine, w=work: w(e, numbers), count))
        plain, bounded = map(statistics.median, costs)
        print(
            f"{scheme:7} {name}: {plain:8.1f} us without a quota, {bounded:8.1f} us with one, {bounded / plain:5.2f} x"
        )
    for store in stores:
        await store.engine.close()


async def evicting(scheme: str, folder: Path, held: int, count: int) -> float:
    """The cost of a PUT of a new key into a full store of so many documents."""
    each = CONTENT.size + 16 + len(FIELDS.pack()) + OVERHEADS[scheme]
    store = opened(scheme, folder, each * held)
    await put_many(store.engine, range(held))
    costs = []
    for turn in range(ROUNDS):
        numbers = range(held + turn * count, held + (turn + 1) * count)
        costs.append(await cost_us(lambda n=numbers: put_many(store.engine, n), count))
    usage = await store.engine.usage()
    assert (usage.documents, usage.evictions) == (held, ROUNDS * count), usage
    await store.engine.close()
    return statistics.median(costs)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def on_disk(folder: Path) -> int:
    return int(subprocess.check_output(["du", "-sB1", str(folder)]).split()[0])


async def overhead(scheme: str, folder: Path, count: int) -> float:
    before, store = resident(), opened(scheme, folder, AMPLE)
    await put_many(store.engine, range(count), BytesContent(b""))
    taken = resident() - before
    await store.engine.close()
    if scheme != "memory":
        taken = on_disk(store.folder)
    return taken / count - 16 - len(FIELDS.pack())


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", default="memory,sqlite")
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=None, help="where stores are made; a temporary folder")
    given = parser.parse_args()
    for scheme in given.engines.split(","):
        with tempfile.TemporaryDirectory(dir=given.folder) as name:
            folder, count, large = Path(name), 5_000, given.large
            measured = await overhead(scheme, folder, count * 4)
            await compare(scheme, folder, count)
            few = await evicting(scheme, folder, given.small, count)
            many = await evicting(scheme, folder, large, count)
            print(f"{scheme:7} PUT that evicts: {few:.1f} us, {many:.1f} us with {large:,}, {many / few:.2f} x")
            print(f"{scheme:7} an empty document takes {measured:,.0f} bytes, and costs {OVERHEADS[scheme]:,}")


if __name__ == "__main__":
    asyncio.run(main())
