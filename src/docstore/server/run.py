"""`docstore serve`: sockets, processes and signals around the store, by uvicorn.

Sockets are bound here, before anything else: a taken port is one line, and port 0 can be told. Engines are opened
before the first request is taken, in each process that serves, and closed after the last one was answered.
"""

import asyncio
import errno
import logging
import os
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from types import FrameType
from typing import Final

import uvicorn
from uvicorn.supervisors import Multiprocess

from docstore.config import Settings, is_loopback
from docstore.errors import SetupError
from docstore.server import http1
from docstore.server.access_log import Lines, logged
from docstore.server.app import Store
from docstore.server.asgi import Application, asgi
from docstore.server.mounts import Mount
from docstore.server.opening import open_mount
from docstore.server.security.host_check import LOOPBACK_NAMES, Guard

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]  # None where a module is expected: it is asked for below

log: Final = logging.getLogger("docstore")

PARENT_INTERVAL_S: Final = 1.0
"""How often a worker looks whether the process that started it is still there."""


def run(settings: Settings) -> None:
    """Serves until a signal comes. Raises SetupError when that can't begin."""
    set_up_logging(settings.log_level)
    allow_descriptors()
    stop = _Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    listener = listen(settings.host, settings.port)
    settings = replace(settings, port=listener.getsockname()[1])
    store = open_store(settings)
    announce(settings)
    if settings.workers > 1:
        asyncio.run(store.close())  # opened once here, so that what can't be opened is said once
        Multiprocess(_config(settings, Worker(settings, os.getpid()), factory=True), sockets=[listener]).run()
    else:
        stop.server = uvicorn.Server(_config(settings, application(store, settings)))
        stop.server.run(sockets=[listener])
    print("docstore: stopped", flush=True)


class _Stop:
    """What a signal does outside uvicorn's own handling of it, before it serves and after."""

    server: uvicorn.Server | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Before, nothing is in flight: the process ends. After, uvicorn raises again the signal that stopped it."""
        if self.server is None or not self.server.started:
            raise SystemExit(0)


@dataclass(frozen=True)
class Worker:
    """What each process of several calls to have its application."""

    settings: Settings
    parent: int
    """The process that started it: told, for it may be gone before the worker can ask."""

    def __call__(self) -> Application:
        set_up_logging(self.settings.log_level)
        threading.Thread(target=_end_without_parent, args=(self.parent,), daemon=True).start()
        return application(open_store(self.settings), self.settings)


def _end_without_parent(parent: int) -> None:
    """Stops this worker when the process that would stop it was killed: the port must not stay taken."""
    while os.getppid() == parent:
        time.sleep(PARENT_INTERVAL_S)
    os.kill(os.getpid(), signal.SIGTERM)


def application(store: Store, settings: Settings) -> Application:
    """What uvicorn is given: the ASGI application, and for the wire a way past it."""
    handle = logged(store.handle)
    if settings.http == "uvicorn":
        return asgi(store, handle)
    return http1.UvicornApplication(asgi(store, handle), handle, settings.limits)


def open_store(settings: Settings) -> Store:
    """Opens all engines, or none. Raises SetupError."""
    mounts: list[Mount] = []
    try:
        for mount in settings.mounts:
            mounts.append(open_mount(mount))
        return Store(mounts, guard=guard_of(settings), sweep_interval_s=settings.sweep_interval_s)
    except BaseException:
        with ThreadPoolExecutor(1) as outside_of_any_loop:
            outside_of_any_loop.submit(asyncio.run, Store(mounts).close()).result()
        raise


def guard_of(settings: Settings) -> Guard:
    """On loopback only loopback names are answered to; beyond it the operator has said that all may come."""
    hosts = LOOPBACK_NAMES | {settings.host} if is_loopback(settings.host) else None
    return Guard(hosts, settings.anonymous or "write")


def announce(settings: Settings) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    print(f"docstore: serving on http://{host}:{settings.port}/  (stop with Ctrl-C)")
    width = max(len(mount.name) for mount in settings.mounts) + 2
    for mount in settings.mounts:
        print(f"  {f'/{mount.name}/':<{width}}  {mount.engine}")
    sys.stdout.flush()


def allow_descriptors() -> None:
    """As many open files, and so connections, as the system lets this process have."""
    if resource is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        # Some systems say that there is no limit, and take no number for it.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def set_up_logging(level: str) -> None:
    """One readable line an event on standard error."""
    handler = logging.StreamHandler()
    formatter = Lines("%(asctime)s %(levelname).1s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    log.setLevel(level.upper())


def _config(settings: Settings, app: object, *, factory: bool = False) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # an application, or with factory what makes one
        factory=factory,
        http=http1.Protocol if settings.http == "wire" else "httptools",
        ws="none",
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        lifespan="on",
        interface="asgi3",
        workers=settings.workers,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=1024,
        timeout_graceful_shutdown=settings.stop_timeout_s,
    )


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Raises SetupError in one line."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "that is no host name"
        raise SetupError(f"can't listen on {host}: {reason}") from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise SetupError(f"port {port} of {host} is taken; choose another with --port") from None
        raise SetupError(f"can't listen on {host} port {port}: {error.strerror}") from None
    listener.set_inheritable(True)
    return listener
