"""Processes that share a database on a slow disk take turns: none waits for ever, and nothing is refused."""

import asyncio
import subprocess
import sys
from pathlib import Path

from benchmarks.slow_disk import SLOW_DISK
from docstore.engines.registry import EngineURL, open_engine

WRITERS = 8
PROCESSES = 3
SECONDS = 5.0
FSYNC_S = 0.1
TIMEOUT_S = 4.0
"""Shorter than the test runs: a process that never got its turn would fail."""

WRITING_PROCESS = f"""
{SLOW_DISK}
import asyncio

from docstore.content import BytesContent
from docstore.engines.contract import PutRequest
from docstore.engines.registry import EngineURL, open_engine
from docstore.engines.sqlite import schema, write_turn
from docstore.model import Fields

path, seconds, timeout_s, writers = sys.argv[1], *map(float, sys.argv[2:])
schema.WRITE_TIMEOUT_MS, write_turn.WRITE_TIMEOUT_S = int(timeout_s * 1000), timeout_s

async def run():
    engine = open_engine(EngineURL("sqlite", path))
    end = time.monotonic() + seconds
    done = 0

    async def write(number):
        nonlocal done
        while time.monotonic() < end:
            await engine.put(PutRequest(f"key{{number}}", BytesContent(b"x"), Fields()))
            done += 1

    await asyncio.gather(*(write(number) for number in range(int(writers))))
    await engine.close()
    print(done)

asyncio.run(run())
"""


def test_no_process_is_kept_from_writing_by_the_others(tmp_path: Path) -> None:
    path = tmp_path / "docs.db"
    asyncio.run(open_engine(EngineURL("sqlite", str(path))).close())
    arguments = [str(value) for value in (FSYNC_S, path, SECONDS, TIMEOUT_S, WRITERS)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITING_PROCESS, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    ended = [(process.communicate(timeout=120), process.returncode) for process in processes]
    assert [code for _, code in ended] == [0] * PROCESSES, [error for (_, error), _ in ended]
    done = [int(out) for (out, _), _ in ended]
    assert min(done) * 5 > max(done), done
