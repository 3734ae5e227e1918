"""Some benchmarks run, and the comparison with other servers notices wrong responses."""

import json
import platform
import shutil
import subprocess
import sys
from base64 import b64decode
from pathlib import Path

import pytest

from benchmarks.peers.load import Load
from benchmarks.peers.requests import content_of, http_request, key_of, template_of
from benchmarks.peers.servers import Server
from benchmarks.peers.workloads import WORKLOADS, Workload
from benchmarks.release_counts import ReleaseCounts

ROOT = Path(__file__).parent.parent


def test_docstore_alone_runs_a_few_workloads(tmp_path: Path) -> None:
    if shutil.which("wrk") is None:
        pytest.skip("wrk is not installed")
    workloads = ["304", "zipf", "PUT 10 kB", "listing page", "whole listing"]
    options = ["--quick", "--servers", "docs", "--rounds", "1", "--keys", "2000", "--data", str(tmp_path)]
    command = [sys.executable, "-m", "benchmarks.peers", *options, *workloads]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert ended.returncode == 0, ended.stderr
    for workload in workloads:
        assert workload in ended.stdout
    assert list(tmp_path.iterdir()) == []


def load_of(name: str, folder: Path) -> Load:
    [workload] = [workload for workload in WORKLOADS if workload.name == name]
    return Load(workload, Server("docs", folder), folder, many=1000)


def test_bytes_that_were_not_expected_fail_a_run(tmp_path: Path) -> None:
    load = load_of("GET 100 B", tmp_path)
    in_flight = 64 * 500
    for size in (5000, 5000 + in_flight):
        load._check_size(10, size, [[500]], [[500]])
    for size in (4999, 5001 + in_flight):
        with pytest.raises(AssertionError, match="bytes in 10 responses of 500 to 500"):
            load._check_size(10, size, [[500]], [[500]])


def test_reads_and_writes_of_the_mix_have_sizes_of_their_own(tmp_path: Path) -> None:
    load = load_of("90 % GET, 10 % PUT, keys by zipf", tmp_path)
    sizes = [[500, 500], [300, 300]]
    load._check_size(100_000, 48_000_000, sizes, sizes)
    with pytest.raises(AssertionError):
        load._check_size(100_000, 50_000_000, sizes, sizes)


@pytest.mark.parametrize("server", ["docs", "many of nginx", "webdis", "etcd"])
def test_each_server_is_sent_the_same_content(server: str) -> None:
    key = key_of("k", 42)
    head, _, body = template_of(server, "put", 100, "run 1 ").bytes_for(key).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    content = b64decode(json.loads(body)["value"]) if server == "etcd" else body
    assert content == content_of(key, 100, "run 1 ")


def test_a_request_becomes_an_expression_of_lua() -> None:
    template = template_of("docs", "get")
    assert template.request == http_request("GET", "/docs/\x01")
    assert template.lua() == r'"GET /docs/" .. key .. " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"'


def test_workloads_have_different_names() -> None:
    assert len({workload.name for workload in WORKLOADS}) == len(WORKLOADS)
    assert all(isinstance(workload, Workload) and "docs" in workload.servers for workload in WORKLOADS)


def test_each_request_whose_instructions_are_counted_gets_its_response() -> None:
    command = [sys.executable, "benchmarks/instructions.py", "--child", "--requests", "64"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_reads_beside_writes_to_a_slow_disk_are_measured() -> None:
    command = [sys.executable, "benchmarks/slow_disk.py", "--flush", "0.001", "--seconds", "0.5", "--writers", "2"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [line[:3] for line in ended.stdout.splitlines()] == ["GET", "GET", "PUT"]


def test_counts_stand_beside_those_of_the_release() -> None:
    release = ReleaseCounts("0.1.0", platform.python_version(), {"GET": 1000})
    assert [line.split() for line in release.lines({"GET": 1100, "new": 5})[1:]] == [
        ["GET", "1,100", "1,000", "1.100"],
        ["new", "5", "-", "-"],
    ]
    older = ReleaseCounts("0.1.0", "3.10.0", {"GET": 1000})
    assert "3.10.0 then" in older.lines({"GET": 1100})[-1]
    assert release.replaced_by({"new": 5}).counts == {"GET": 1000, "new": 5}
    assert older.replaced_by({"new": 5}).counts == {"new": 5}


def test_the_counts_of_the_release_are_in_the_repository() -> None:
    assert {"GET", "304", "404", "range", "PUT", "GET at 64", "PUT at 64"} <= ReleaseCounts.read().counts.keys()
