"""Compare Docstore (sqlite) with nginx, request by request. `make bench-peers`; it needs nginx and wrk of Debian.

    python benchmarks/peers.py [--seconds 3] [--rounds 5] [--write]

Both servers run at the same time on one core, one process each, and wrk on another; rounds alternate between them, so
that what else the machine does meets both. The ratio is the median of the rounds' ratios. Before a work is measured,
one response of it is checked. nginx stores with WebDAV, without fsync; Docstore's PUT is durable. `--write` puts the
table into benchmarks/RESULTS.md.
"""

import argparse
import http.client
import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

CONNECTIONS = 64
SIZES = {"100 B": 100, "10 kB": 10_000, "1 MB": 1_000_000}
WORKS = ("GET 100 B", "GET 100 B, 304", "GET 10 kB", "GET 1 MB", "PUT 100 B", "PUT 10 kB")
RESULTS = Path(__file__).parent / "RESULTS.md"

NGINX = """
daemon off; master_process off; worker_processes 1; error_log {folder}/error.log; pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; client_body_temp_path {folder}/body;
    client_body_buffer_size 64k; open_file_cache max=1000; types {{}} default_type text/plain;
    server {{ listen 127.0.0.1:{port} backlog=1024; root {folder}/www; location / {{ dav_methods PUT; }} }}
}}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def start(folder: Path, processes: list["subprocess.Popen[bytes]"]) -> dict[str, int]:
    """Start both servers on the first core, add them to `processes`, and store the documents. Return their ports."""
    ports = {"docs": free_port(), "nginx": free_port()}
    (folder / "www" / "docs").mkdir(parents=True)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=ports["nginx"]))
    docs = [sys.executable, "-m", "docstore", "serve", "--port", str(ports["docs"]), "--log-level", "warning"]
    docs += ["--mount", f"docs=sqlite:{folder}/docs.db", "--data", str(folder / "data")]
    nginx = [shutil.which("nginx", path="/usr/sbin:/usr/bin") or "nginx", "-c", str(folder / "nginx.conf")]
    for command in (docs, nginx):
        processes.append(subprocess.Popen(["taskset", "-c", "0", *command], stdout=subprocess.DEVNULL))
    for port in ports.values():
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                assert all(process.poll() is None for process in processes), "a server did not start"
                time.sleep(0.05)
        for name, size in SIZES.items():
            assert ask(port, "PUT", path_of(name), b"x" * size)[0] in (200, 201, 204)
    return ports


def path_of(size: str) -> str:
    return f"/docs/{size.replace(' ', '')}"


def ask(port: int, method: str, path: str, body: bytes | None = None, **fields: str) -> tuple[int, bytes, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in fields.items()})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, content, response.headers.get("ETag", "")


def script_of(work: str, port: int) -> str:
    """Check one response to the requests of `work`, and return wrk's script for them."""
    size = re.findall(r"\d+ \w+", work)[0]
    path, content = path_of(size), b"x" * SIZES[size]
    status, found, etag = ask(port, "GET", path)
    assert (status, found) == (200, content), work
    if work.endswith("304"):
        assert ask(port, "GET", path, if_none_match=etag)[:2] == (304, b""), work
        return f"wrk.path = '{path}' wrk.headers['If-None-Match'] = '{etag}'"
    if work.startswith("GET"):
        return f"wrk.path = '{path}'"
    assert ask(port, "PUT", f"{path}-0", content)[0] in (200, 201, 204)
    assert ask(port, "GET", f"{path}-0")[:2] == (200, content), work
    return (
        f"wrk.method = 'PUT' wrk.body = string.rep('x', {SIZES[size]}) local n = 0\n"
        f"request = function() n = n + 1 return wrk.format(nil, '{path}-' .. n % 1000) end"
    )


def rate(port: int, script: Path, seconds: int) -> float:
    """Return the requests a second of one run of wrk, without any failed response."""
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script)]
    output = subprocess.run([*command, f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in output, output
    assert "Socket errors" not in output, output
    return float(re.findall(r"Requests/sec: +([0-9.]+)", output)[0])


def measure(ports: dict[str, int], folder: Path, seconds: int, rounds: int, show: Callable[[str], None]) -> None:
    for work in WORKS:
        rates: dict[str, list[float]] = {name: [] for name in ports}
        scripts = {name: folder / f"{name}.lua" for name in ports}
        for name, port in ports.items():
            scripts[name].write_text(script_of(work, port))
        for _ in range(rounds):
            for name, port in ports.items():
                rates[name].append(rate(port, scripts[name], seconds))
        ratios = [ours / theirs for ours, theirs in zip(rates["docs"], rates["nginx"], strict=True)]
        medians = {name: statistics.median(found) for name, found in rates.items()}
        show(
            f"| {work} | {medians['docs']:,.0f} | {medians['nginx']:,.0f} | {statistics.median(ratios):.2f} "
            f"| {min(ratios):.2f} to {max(ratios):.2f} |"
        )


def about() -> str:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    load = os.getloadavg()[0]
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit.strip()}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores, load {load:.0f} before the run, {CONNECTIONS} connections."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3, help="of each run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="write benchmarks/RESULTS.md")
    given = parser.parse_args()
    lines = [about(), "", "| work | docs/s | nginx/s | ratio | rounds |", "|---|---|---|---|---|"]

    def show(line: str) -> None:
        lines.append(line)
        print(line, flush=True)

    print("\n".join(lines), flush=True)
    with tempfile.TemporaryDirectory() as name:
        processes: list[subprocess.Popen[bytes]] = []
        try:
            measure(start(Path(name), processes), Path(name), given.seconds, given.rounds, show)
        finally:
            for process in processes:
                process.terminate()
                process.wait()
    if given.write:
        text = RESULTS.read_text().partition("\n## ")[0].rstrip()
        RESULTS.write_text(f"{text}\n\n## Docstore beside nginx\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
