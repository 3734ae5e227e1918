"""A server process for the tests of HTTP/1.1: a store with memory and file mounts, and the limits that a test sets.

Handlers below `/test/` misbehave on purpose.
"""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import uvicorn

from docstore.content import BytesContent, Stream
from docstore.engines.registry import EngineURL, open_engine
from docstore.http.message import Handler, Request, Response, StreamedContent
from docstore.limits import Limits
from docstore.server import http1
from docstore.server.app import Store
from docstore.server.asgi import asgi
from docstore.server.mounts import Mount
from docstore.testing.server import record_log
from tests.both_ways import answer_both_ways, write_both_ways
from tests.certificates import KeyPair, trusting
from tests.server.http1.raw_client import TLS_PORTS

WAITS_S = 20


class HTTP1Server:
    """`with HTTP1Server(data, Limits(...)) as server`; `output` has the lines of its standard output."""

    def __init__(
        self,
        data: Path,
        limits: Limits | None = None,
        *,
        stop_timeout_s: int = 10,
        tls: KeyPair | None = None,
        loop: str = "uvloop",
        unix: Path | None = None,
    ) -> None:
        options = {
            "limits": asdict(limits or Limits()),
            "stop_timeout_s": stop_timeout_s,
            "data": str(data),
            "tls": [str(path) for path in tls or ()],
            "loop": loop,
            "unix": unix and str(unix),
        }
        command = [sys.executable, "-m", "tests.server.http1.server", json.dumps(options)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.output: list[str] = []
        self.errors: list[str] = []
        self._said = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self.output)),
            threading.Thread(target=self._read, args=(self.process.stderr, self.errors)),
        ]
        for reader in self._readers:
            reader.start()
        record_log(self.process, self.errors)
        self.port = int(self.wait_for("port ").removeprefix("port "))
        if tls is not None:
            TLS_PORTS[self.port] = trusting(tls)

    def _read(self, stream, lines: list[str]) -> None:
        for line in stream:
            with self._said:
                lines.append(line.rstrip("\n"))
                self._said.notify_all()

    def wait_for(self, start: str) -> str:
        """Wait for a line of output with this start and return it."""

        def found() -> str | None:
            return next((line for line in self.output if line.startswith(start)), None)

        with self._said:
            line = self._said.wait_for(lambda: found() or self.process.poll() is not None, WAITS_S) and found()
        assert line, f"{start!r} never arrived: {self.output} {self.errors}"
        return line

    def memory(self) -> int:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))

    def ask_to_stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        status = self.process.wait(WAITS_S)
        for reader in self._readers:
            reader.join()
        self.process.stdout.close()
        self.process.stderr.close()
        return status

    def __enter__(self) -> "HTTP1Server":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.ask_to_stop()
        self.wait()
        complaints = [line for line in self.errors if re.search("Task|never awaited|Exception in|Fatal", line)]
        assert not complaints, "\n".join(self.errors)


class Bad:
    """Handlers that misbehave, named by the last part of the path."""

    def __init__(self, handle: Handler) -> None:
        self._handle = handle

    async def handle(self, request: Request) -> Response:
        if not request.path.startswith("/test/"):
            return await self._handle(request)
        return await getattr(self, request.path.removeprefix("/test/"))(request)

    async def raises(self, request: Request) -> Response:
        raise SystemError("on purpose")

    async def injects(self, request: Request) -> Response:
        return Response(200, [(b"meta-a", b"b\r\nset-cookie: forged"), (b"content-length", b"2")], BytesContent(b"ok"))

    async def miscounts(self, request: Request) -> Response:
        return Response(200, [(b"content-length", b"5")], BytesContent(b"longer than five"))

    async def ends_early(self, request: Request) -> Response:
        async def read(start: int, stop: int) -> AsyncIterator[bytes]:
            yield b"only this"

        return Response(200, [(b"content-length", b"100")], Stream(read, 0, 100))

    async def breaks(self, request: Request) -> Response:
        async def generate() -> AsyncIterator[bytes]:
            yield b"so far"
            raise OSError("the disk is gone")

        return Response(200, [], StreamedContent(generate()))

    async def generates(self, request: Request) -> Response:
        async def generate() -> AsyncIterator[bytes]:
            for number in range(3):
                await asyncio.sleep(0)
                yield b"line %d\n" % number

        return Response(200, [], StreamedContent(generate()))

    async def endless(self, request: Request) -> Response:
        """Prints each megabyte that it has generated."""

        async def generate() -> AsyncIterator[bytes]:
            made = 0
            try:
                while True:
                    yield b"x" * 65536
                    made += 65536
                    if made % (1 << 20) == 0:
                        print("made", made >> 20, "MB", flush=True)
            finally:
                print("endless ended", flush=True)

        return Response(200, [], StreamedContent(generate()))

    async def large(self, request: Request) -> Response:
        return Response(200, [(b"content-length", b"200000")], BytesContent(b"x" * 200_000))

    async def never_reads(self, request: Request) -> Response:
        """Responds from the headers alone, with the status in the query."""
        challenge = [(b"www-authenticate", b'Basic realm="test"')] if request.query == "401" else []
        return Response(int(request.query or 403), [*challenge, (b"content-length", b"3")], BytesContent(b"no\n"))

    async def reads_slowly(self, request: Request) -> Response:
        """Reads one chunk, prints that, and reads the rest after SIGUSR1."""
        chunks = aiter(request.body)
        size = len(await anext(chunks))
        event = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, event.set)
        print("took one chunk", flush=True)
        await event.wait()
        async for chunk in chunks:
            size += len(chunk)
        line = b"%d\n" % size
        return Response(200, [(b"content-length", b"%d" % len(line))], BytesContent(line))

    async def waits(self, request: Request) -> Response:
        """Waits for the seconds in the query, in a context that needs a Task."""
        print("waiting", flush=True)
        async with asyncio.timeout(WAITS_S):
            await asyncio.sleep(float(request.query))
        print("waited", flush=True)
        return Response(200, [(b"content-length", b"5")], BytesContent(b"done\n"))

    async def store(self, request: Request) -> Response:
        """Reads all of the body, then waits before it responds."""
        size = sum([len(chunk) async for chunk in request.body])
        await asyncio.sleep(0.1)
        print("stored", size, flush=True)
        return Response(201, [(b"content-length", b"0")])


def open_store(data: Path) -> Store:
    return Store(
        [
            Mount("docs", open_engine(EngineURL.parse("memory:")), max_document=64 << 20),
            Mount("small", open_engine(EngineURL.parse("memory:")), max_document=1000),
            Mount("file", open_engine(EngineURL.parse(f"file:{data}/file"))),
        ]
    )


def application(options: dict) -> http1.UvicornApplication:
    store = open_store(Path(options["data"]))
    return http1.UvicornApplication(
        asgi(store),
        Bad(store.handle).handle,
        Limits(**options["limits"]),
        fast_path=partial(answer_both_ways, store),
        fast_write=partial(write_both_ways, store),
    )


def main(options: dict) -> None:
    if options["unix"]:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(options["unix"])
        listener.listen()
        print("port 0", flush=True)
    else:
        listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        print("port", listener.getsockname()[1], flush=True)
    tls = dict(zip(("ssl_certfile", "ssl_keyfile"), options["tls"], strict=False))
    config = uvicorn.Config(
        application(options), http=http1.Protocol, loop=options["loop"], ws="none", interface="asgi3", log_config=None,
        access_log=False, server_header=False, proxy_headers=False,
        timeout_graceful_shutdown=options["stop_timeout_s"], **tls,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
