"""Run wrk against one server for one workload, and check what it counts.

wrk can hand each response to Lua, but then it takes longer than the servers. Instead, requests whose response does not
depend on chance are compared in full by Python before the run and after it, and their size is noted. After the run:

- no connection failed, and every status is a success (for 404: none is);
- the bytes that wrk received are the number of responses times that size, give or take the responses in flight;
- after PUT, the keys that the run wrote have the content of this run, which no run before it had.

So a response with a wrong status or a wrong length in a run is found, and wrong bytes of the right length only in the
compared ones.
"""

import random
import re
import resource
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.requests import (
    KEY_FORMAT,
    PAGE_SIZE,
    RANGE,
    Response,
    Template,
    ask,
    content_of,
    key_of,
    keys_in,
    template_of,
    value_in,
)
from benchmarks.peers.servers import CLIENT_CORE, Server
from benchmarks.peers.workloads import NEW, ONE, RANDOM, SEVERAL, ZIPF, Workload

STRIDE = 7919
"""A prime: its multiples modulo the number of keys are all keys, and those that follow each other are far apart."""
COMPARED = 10
SETTLE_S = 2.5
"""A `file:` mount keeps a document in memory if its file changed more than two seconds before it was read."""
LONGER = (1, 5, 25)
"""A run in which no response was complete is repeated, so many times as long."""

LUA = """
local symbols = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
local function symbol(number) return symbols:sub(number + 1, number + 1) end
local function encode(text)  -- base64 of nine characters
  return (text:gsub('...', function(three)
    local a, b, c = three:byte(1, 3)
    local all = a * 65536 + b * 256 + c
    return symbol(math.floor(all / 262144)) .. symbol(math.floor(all / 4096) % 64)
      .. symbol(math.floor(all / 64) % 64) .. symbol(all % 64)
  end))
end
local count = -1
math.randomseed({seed})
local function make()
  count = count + 1
  local key = string.format('{key_format}', '{letter}', {number})
  {put}
  return {request}
end
{use}
done = function(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.timeout
  local p50, p99, p999 = latency:percentile(50), latency:percentile(99), latency:percentile(99.9)
  io.write(string.format('\\ncounted %d %d %d %d %d %d %d %d\\n',
    summary.requests, summary.bytes, summary.duration, failed, errors.status, p50, p99, p999))
end
"""
NUMBERS = {
    ONE: "0",
    SEVERAL: "count % {key_count}",
    NEW: "({start} + count) * {stride} % {many}",
    # The inverse of the distribution function of zipf with exponent 1: a key's rank has a probability of 1 / rank.
    ZIPF: "math.floor({many} ^ math.random()) * {stride} % {many}",
    RANDOM: "math.random(0, {many} - {page_size} - 1)",
}
DYNAMIC = "request = make"
STATIC = "local fixed = make() wrk.format = function() return fixed end"


@dataclass(frozen=True)
class Run:
    rate: float
    """Responses a second."""
    latencies_ms: tuple[float, float, float]
    """p50, p99 and p99.9, as wrk corrects them for requests that waited for others."""
    server_us: float
    """CPU of the server a response."""
    client_share: float
    """CPU of wrk in cores."""


class Load:
    """One workload on one server; it remembers which keys its runs have asked for."""

    def __init__(
        self, workload: Workload, server: Server, folder: Path, many: int, cores: str = str(CLIENT_CORE)
    ) -> None:
        self.workload, self.server, self.many = workload, server, many
        self.dialect = workload.mount if server.name == "docs" and workload.mount != "docs" else server.name
        if workload.needs_many and self.dialect in ("docs", "nginx"):
            self.dialect = f"many of {self.dialect}"
        self._script = folder / f"{server.name}.lua"
        self._cores = cores
        self._run_count = 0
        self._asked = 0

    def run(self, seconds: int) -> Run:
        if not self._run_count:
            self._store()
        self._run_count += 1
        mark = f"run {self._run_count} " if self.workload.operation == "put" else ""
        template = self._template(mark)
        put = template_of(self.dialect, "put", self.workload.size) if self.workload.put_every else None
        self._script.write_text(self._lua(template, put))
        templates = [template] if put is None else [template, put]
        before = [self._compare(each, mark) for each in templates]
        cpu_s, client_s = self.server.cpu_s(), client_cpu_s()
        for longer in LONGER:
            requests, size, duration_us, failed, wrong_status, *latencies = self._wrk(seconds * longer)
            if requests:
                break
        cpu_s, client_s = self.server.cpu_s() - cpu_s, client_cpu_s() - client_s
        self.server.wait_until_idle()
        after = [self._compare(each, mark) for each in templates]
        where = f"{self.workload.name} on {self.server.name}: {requests} responses"
        assert requests, where
        assert not failed, f"{where}, {failed} failed connections"
        assert wrong_status == (requests if self.workload.operation == "absent" else 0), (
            f"{where}, {wrong_status} errors"
        )
        self._check_size(requests, size, before, after)
        if self.workload.operation == "put":
            self._check_written(requests, mark)
        self._asked += requests + self.workload.connections
        assert self.workload.keys != NEW or self._asked < self.many, f"{where}: more than --keys"
        p50, p99, p999 = (latency / 1000 for latency in latencies)
        client_share = client_s / (duration_us / 1e6)
        return Run(requests / duration_us * 1e6, (p50, p99, p999), cpu_s / requests * 1e6, client_share)

    def _template(self, mark: str = "") -> Template:
        operation, etag = self.workload.operation, ""
        if operation == "not modified":
            get = template_of(self.dialect, "get")
            etag = ask(self.server.port, get.bytes_for(key_of(self.workload.letter, 0))).etag
        return template_of(self.dialect, operation, self.workload.size, mark, etag)

    def has_keys(self) -> bool:
        """Whether a further run will find keys that no run has asked for."""
        return self.workload.keys != NEW or self._asked + self._asked / max(self._run_count, 1) < self.many

    def _store(self) -> None:
        """Store the documents that the workload asks for or replaces."""
        if self.workload.needs_many or self.workload.operation == "absent":
            return
        count = self.workload.key_count if self.workload.keys == SEVERAL else 1
        put = template_of(self.dialect, "put", self.workload.size)
        for number in range(count):
            status = ask(self.server.port, put.bytes_for(key_of(self.workload.letter, number))).status
            assert status in (200, 201, 204), status
        if self.workload.mount == "file" and self.workload.operation == "get":
            time.sleep(SETTLE_S)

    def _lua(self, template: Template, put: Template | None) -> str:
        numbers = NUMBERS[self.workload.keys].format(
            key_count=self.workload.key_count, start=self._asked, stride=STRIDE, many=self.many, page_size=PAGE_SIZE
        )
        values = {
            "seed": self._run_count,
            "key_format": KEY_FORMAT,
            "letter": self.workload.letter,
            "number": numbers,
            "put": f"if count % {self.workload.put_every} == 0 then return {put.lua()} end" if put else "",
            "request": template.lua(),
            "use": STATIC if self.workload.keys == ONE else DYNAMIC,
        }
        return re.sub(r"\{(\w+)\}", lambda found: str(values.get(found[1], found[0])), LUA)

    def _wrk(self, seconds: int) -> list[int]:
        command = ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", self._cores]
        command += ["wrk", "-t1", f"-c{self.workload.connections}", f"-d{seconds}s", "--timeout", "60s"]
        command += ["-s", str(self._script), f"http://127.0.0.1:{self.server.port}"]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = re.search(r"^counted (.+)$", output, re.MULTILINE)
        assert found, output
        return [int(number) for number in found[1].split()]

    def _compare(self, template: Template, mark: str) -> list[int]:
        """Compare some responses in full; return their sizes."""
        sizes = []
        for number in self._some_numbers():
            key = key_of(self.workload.letter, number)
            response = ask(self.server.port, template.bytes_for(key))
            sizes.append(response.size)
            assert self._is_right(template, key, mark, response), (self.workload.name, self.server.name, response)
        return sizes

    def _some_numbers(self) -> list[int]:
        if self.workload.keys == ONE:
            return [0]
        if self.workload.keys == SEVERAL:
            return list(range(COMPARED))
        # Among the most popular keys, and anywhere; those of NEW were asked for already, or are the last ones.
        popular = [rank * STRIDE % self.many for rank in range(1, COMPARED + 1)]
        if self.workload.keys == NEW:
            return [-number * STRIDE % self.many for number in range(1, COMPARED + 1)]
        anywhere = random.Random(self._run_count).sample(range(self.many - PAGE_SIZE - 1), COMPARED)
        return anywhere if self.workload.keys == RANDOM else popular + anywhere

    def _is_right(self, template: Template, key: str, mark: str, response: Response) -> bool:
        operation, status, name = self.workload.operation, response.status, self.server.name
        content = content_of(key, self.workload.size, mark)
        if operation == "absent":
            return status == 404
        if operation == "not modified":
            return (status, response.content) == (304, b"")
        if operation == "page":
            number = int(key[1:])
            expected = [key_of("k", each) for each in range(number + 1, number + 1 + PAGE_SIZE)]
            return status == 200 and keys_in(name, response.content) == expected
        if operation == "range":
            return status in (200, 206) and response.content == content[RANGE.start : RANGE.stop]
        if operation == "put" or template == template_of(self.dialect, "put", self.workload.size):
            return status in (200, 201, 204)
        return status == 200 and value_in(name, response) == content

    def _check_size(self, requests: int, size: int, before: list[list[int]], after: list[list[int]]) -> None:
        """Compare the bytes that wrk received with the sizes of the compared responses."""
        shares = [1.0] if len(before) == 1 else [1 - 1 / self.workload.put_every, 1 / self.workload.put_every]
        smallest = sum(share * min(*a, *b) for share, a, b in zip(shares, before, after, strict=True))
        largest = sum(share * max(*a, *b) for share, a, b in zip(shares, before, after, strict=True))
        in_flight = self.workload.connections * max(max(each) for each in before)
        slack = self.workload.size_tolerance * size
        lowest = requests * smallest - slack - (in_flight if len(before) > 1 else 0)
        highest = requests * largest + slack + in_flight
        assert lowest <= size <= highest, (
            f"{self.workload.name} on {self.server.name}: {size} bytes in {requests} responses of "
            f"{smallest:.0f} to {largest:.0f} bytes"
        )

    def _check_written(self, requests: int, mark: str) -> None:
        """Read some of the keys that the run has replaced for certain."""
        written = min(self.workload.key_count, requests - self.workload.connections)
        for number in range(COMPARED, written, max(1, written // COMPARED)):
            key = key_of(self.workload.letter, number)
            value = self._stored(key)
            assert value == content_of(key, self.workload.size, mark), (
                f"{self.workload.name} on {self.server.name}: {key} was not stored, but {value[:40]!r}"
            )

    def _stored(self, key: str) -> bytes:
        if self.server.name == "nginx":  # its cache of open files still has the one before
            return (self.server.folder / "www" / "docs" / key).read_bytes()
        get = template_of(self.dialect, "get")
        return value_in(self.server.name, ask(self.server.port, get.bytes_for(key)))


def client_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
