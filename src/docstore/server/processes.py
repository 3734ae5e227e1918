"""How the processes of a server stop: the first signal lets requests finish, a second one ends them.

SIGINT, SIGTERM and SIGHUP mean the same, except that a server with TLS or an audit log ignores SIGHUP. The exit status
is 0, and the engines are closed after the last request, so that no acknowledged write is lost. uvicorn ends requests
only after a second SIGINT, does not close the application then, and raises the signals again when it has stopped.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import resource_tracker
from socket import socket
from types import FrameType
from typing import Any, Final, cast

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from docstore.server.tls import Certificate

log: Final = logging.getLogger("docstore")

STOP_SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

_TICKS_PER_SECOND: Final = 10
"""How often uvicorn calls `on_tick`."""
_JOIN_S: Final = 0.1
"""How long the parent waits for a worker before it looks for signals."""


class Config(uvicorn.Config):
    """uvicorn's configuration, and that of TLS."""

    def __init__(self, *arguments: Any, certificate: Certificate | None, handshake_s: float, **options: Any) -> None:
        self.certificate = certificate
        self.handshake_s = handshake_s
        """The longest time for a TLS handshake."""
        super().__init__(*arguments, **options)


class Server(uvicorn.Server):
    """The server of one process."""

    config: Config

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit and self.started:
            self.force_exit = True
            self._loop.call_soon_threadsafe(self._abort_connections)
        self.should_exit = True

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Start the application and accept connections. uvicorn's own sets no time for TLS handshakes."""
        self._loop = asyncio.get_running_loop()
        config, certificate, state = self.config, self.config.certificate, self.server_state
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        options: dict[str, Any] = {}
        if certificate is not None:
            options = {"ssl": certificate.context(), "ssl_handshake_timeout": config.handshake_s}
        protocol_class = cast(Callable[..., asyncio.Protocol], config.http_protocol_class)
        protocol = partial(protocol_class, config=config, server_state=state, app_state={})
        self.servers = [
            await self._loop.create_server(protocol, sock=listener, backlog=config.backlog, **options)
            for listener in sockets or []
        ]
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        if self.config.certificate is not None and counter % _TICKS_PER_SECOND == 0:
            self.config.certificate.reload()
        return await super().on_tick(counter)

    def _abort_connections(self) -> None:
        """Close all connections; their requests fail, and their uploads store nothing."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        await super().shutdown(sockets)
        if self.force_exit:
            tasks = list(self.server_state.tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.lifespan.shutdown()


class WorkerProcess(Process):
    """A worker, whose server is the one above."""

    @property
    def server(self) -> Server:
        if self._server is None:
            self._server = Server(self.config)
        return cast(Server, self._server)


class Workers(Multiprocess):
    """The parent of several workers. It alone gets the signals of a terminal, and passes them on as SIGTERM."""

    def __init__(self, config: Config, sockets: list[socket]) -> None:
        hangup = None if sys.platform == "win32" else signal.getsignal(signal.SIGHUP)
        super().__init__(config, sockets)
        if sys.platform != "win32" and hangup is signal.SIG_IGN:  # as under nohup; uvicorn handles it nevertheless
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def init_processes(self) -> None:
        resource_tracker.ensure_running()  # it would unblock signals when the first worker starts
        self.processes = [self._start() for _ in range(self.processes_num)]

    def _start(self) -> Process:
        process = WorkerProcess(self.config, self.sockets)
        with _blocked_signals():
            process.start()
        return process

    def keep_subprocess_alive(self) -> None:
        for index, process in enumerate(self.processes):
            if self.should_exit.is_set() or process.is_alive(timeout=self.config.timeout_worker_healthcheck):
                continue
            is_stuck = process.process.is_alive()
            process.kill()
            process.join()
            if process.exitcode == STARTUP_FAILURE:
                self.should_exit.set()
                continue
            reason = f"did not respond for {self.config.timeout_worker_healthcheck} s" if is_stuck else _end_of(process)
            self.processes[index] = self._start()
            log.warning("worker process %d %s; %d replaces it", process.pid, reason, self.processes[index].pid)

    def handle_hup(self) -> None:
        self.handle_term()

    def terminate_all(self) -> None:
        for listener in self.sockets:  # otherwise clients could connect, and nobody would answer
            listener.close()
        super().terminate_all()

    def join_all(self) -> None:
        for worker in self.processes:
            while worker.process.is_alive():
                worker.process.join(_JOIN_S)
                if self.signal_queue:  # a second signal; repeated, because a process may take two for one
                    for other in self.processes:
                        other.process.terminate()


def _end_of(process: Process) -> str:
    """Say how a worker ended that nobody stopped."""
    status = process.exitcode or 0
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:  # a signal without a name
        return f"was killed by signal {-status}"


@contextmanager
def _blocked_signals() -> Iterator[None]:
    """Block the signals of a terminal: processes that start inside inherit that, and keep it."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
