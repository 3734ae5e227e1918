"""Compare the command with curl: its start, many small files, and one large file. `make bench-command`; it needs curl.

    python benchmarks/command.py [--files 5000] [--size 500MiB] [--rounds 3] [--data FOLDER]

The start is the user time of `docstore get` of a small document, against that of a Python that only imports
`http.client`; with valgrind installed, also the machine instructions of both, which are steady on a busy machine. Files
of 1 KiB go up and down with `put -r` and `get -r`, against `curl -Z --parallel-max 16`; the large file with `put` and
`get -o`, against curl. The two commands run alternately against one server, and the medians of the rounds are printed
with their ratio.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

DOCSTORE = [sys.executable, "-m", "docstore"]
# Bytecode is cached, as in an installation.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def run(*words: object) -> tuple[float, float]:
    """Run a command; return its elapsed seconds and its user time."""
    began, used = time.perf_counter(), os.times().children_user
    subprocess.run(
        [str(word) for word in words], check=True, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return time.perf_counter() - began, os.times().children_user - used


@contextmanager
def serving(data: Path) -> Iterator[str]:
    command = [*DOCSTORE, "serve", "--port", "0", "--mount", f"docs=sqlite:{data}/docs.db?keys=path"]
    process = subprocess.Popen([*command, "--log-level", "error"], stdout=subprocess.PIPE, text=True)
    try:
        yield re.search(r"http://[^\s/]+", process.stdout.readline())[0]
    finally:
        process.terminate()
        process.wait(60)


def compare(name: str, ours: Callable[[], float], theirs: Callable[[], float], rounds: int) -> None:
    pairs = [(theirs(), ours()) for _ in range(rounds)]
    their_s, our_s = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{name:24} {their_s:8.3f} s {our_s:8.3f} s {our_s / their_s:6.2f}", flush=True)


def instructions(*words: str) -> int:
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *words]
    child = subprocess.run(command, capture_output=True, text=True, env={**ENVIRONMENT, "PYTHONHASHSEED": "0"})
    return int(re.search(r"Collected : (\d+)", child.stderr)[1])


def start(url: str, data: Path, rounds: int) -> None:
    (data / "small").write_bytes(b"hello")
    run(*DOCSTORE, "put", f"{url}/docs/small", data / "small")
    get, bare = [*DOCSTORE, "get", f"{url}/docs/small"], [sys.executable, "-c", "import http.client"]
    run(*get)
    compare("start, user time", lambda: run(*get)[1], lambda: run(*bare)[1], 5 * rounds)
    if shutil.which("valgrind"):
        ours, theirs = instructions(*get), instructions(*bare)
        print(f"{'start, instructions':24} {theirs / 1e6:8.0f} M {ours / 1e6:8.0f} M {ours / theirs:6.2f}", flush=True)


def many(url: str, data: Path, count: int, rounds: int) -> None:
    sources, up, down = data / "sources", data / "up", data / "down"
    sources.mkdir()
    for number in range(count):
        (sources / f"{number:06}").write_bytes(os.urandom(1024))
    names = sorted(path.name for path in sources.iterdir())
    up.write_text("".join(f'upload-file="{sources}/{name}"\nurl="{url}/docs/c/{name}"\n' for name in names))
    down.write_text("".join(f'url="{url}/docs/c/{name}"\noutput="{data}/c/{name}"\n' for name in names))
    curl = ["curl", "-s", "-Z", "--parallel-max", "16", "-K"]

    def clear(prefix: str) -> None:
        run(*DOCSTORE, "rm", "-q", "-r", "--yes", f"{url}/docs/{prefix}/")

    def fresh(name: str) -> Path:
        shutil.rmtree(data / name, ignore_errors=True)
        (data / name).mkdir()
        return data / name

    def upload(prefix: str, *words: object) -> float:
        clear(prefix)
        return run(*words)[0]

    put = [*DOCSTORE, "put", "-q", "-r", f"{url}/docs/o/", sources]
    compare(f"{count} files up", lambda: upload("o", *put), lambda: upload("c", *curl, up), rounds)
    get = [*DOCSTORE, "get", "-q", "-r", f"{url}/docs/o/", "-o"]
    compare(f"{count} files down", lambda: run(*get, fresh("o"))[0],
            lambda: (fresh("c"), run(*curl, down)[0])[1], rounds)  # fmt: skip


def large(url: str, data: Path, size: int, rounds: int) -> None:
    source, target = data / "large", data / "target"
    with source.open("wb") as file:
        for _ in range(size >> 20):
            file.write(os.urandom(1 << 20))

    def download(*words: object) -> float:
        target.unlink(missing_ok=True)
        return run(*words)[0]

    document = f"{url}/docs/large"
    put, get = [*DOCSTORE, "put", "-q", document, source], [*DOCSTORE, "get", "-q", document, "-o", target]
    compare(f"{size >> 20} MiB up", lambda: run(*put)[0], lambda: run("curl", "-s", "-T", source, document)[0], rounds)
    compare(f"{size >> 20} MiB down", lambda: download(*get),
            lambda: download("curl", "-s", "-o", target, document), rounds)  # fmt: skip


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--files", type=int, default=5000)
    arguments.add_argument("--size", default="500MiB")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--data", type=Path)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(dir=given.data) as folder, serving(Path(folder)) as url:
        print(f"{'':24} {'others':>10} {'docstore':>10}  ratio")
        start(url, Path(folder), given.rounds)
        many(url, Path(folder), given.files, given.rounds)
        large(url, Path(folder), int(given.size[:-3]) * UNITS[given.size[-3:]], given.rounds)


if __name__ == "__main__":
    main()
