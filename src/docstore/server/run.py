"""`docstore serve`: the sockets, processes and signals of a store, on uvicorn.

The socket is bound first, so that a port in use is a one-line error and the number behind port 0 can be printed. Each
serving process opens its engines before its first request and closes them after its last response.
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
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn

from docstore.config import Settings
from docstore.errors import SetupError
from docstore.http.url import is_loopback, normalize_origin
from docstore.server import http1
from docstore.server.access_log import AccessLogFormatter, with_access_log
from docstore.server.app import Store
from docstore.server.asgi import ASGIApplication, asgi
from docstore.server.mounts import Mount, open_mount
from docstore.server.processes import STOP_SIGNALS, Server, Workers
from docstore.server.security.audit import AuditLog
from docstore.server.security.browser_safety import LOOPBACK_NAMES, host_of
from docstore.server.security.tokens import Tokens
from docstore.units import format_count, parse_rate

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]  # checked for None below

log: Final = logging.getLogger("docstore")

PARENT_INTERVAL_S: Final = 1.0
"""How often a worker checks whether its parent process still runs."""


def run(settings: Settings) -> None:
    """Serve until a signal arrives. Raise SetupError if the server can't start."""
    set_up_logging(settings.log_level)
    if settings.workers > 1:
        Path.cwd()  # raises if the folder was removed: Python can't start workers there
    raise_descriptor_limit()
    stop = _SignalHandler()
    if settings.audit is not None and hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it says that the log was renamed, which each line notices anyway
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as for SIGHUP under nohup
            signal.signal(number, stop)
    about_clients = _about_tokens(settings) if settings.auth == "tokens" else ""
    listener = listen(settings.host, settings.port)
    settings = replace(settings, port=listener.getsockname()[1])
    store = open_store(settings)
    announce(settings, about_clients)
    if settings.workers > 1:
        asyncio.run(store.close())  # opened once here, so that an error is printed once
        Workers(_config(settings, Worker(settings, os.getpid()), factory=True), sockets=[listener]).run()
    else:
        stop.server = Server(_config(settings, application(store, settings)))
        stop.server.run(sockets=[listener])
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # at exit Python resets other handlers, and a signal would kill it
    _print("docstore: stopped")


class _SignalHandler:
    """The handler of the signals that stop the server, while uvicorn has no handler of its own."""

    server: Server | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Exit before serving; otherwise stop the server."""
        if self.server is None:
            raise SystemExit(0)
        self.server.handle_exit(number, frame)


@dataclass(frozen=True)
class Worker:
    """The factory that each worker process calls for its application."""

    settings: Settings
    parent: int
    """The parent process ID, passed on because the parent may die before the worker can ask."""

    def __call__(self) -> ASGIApplication:
        set_up_logging(self.settings.log_level)
        threading.Thread(target=_end_without_parent, args=(self.parent,), daemon=True).start()
        return application(open_store(self.settings), self.settings)


def _end_without_parent(parent: int) -> None:
    """Stop this worker when its parent was killed, so that the port becomes free."""
    while os.getppid() == parent:
        time.sleep(PARENT_INTERVAL_S)
    os.kill(os.getpid(), signal.SIGTERM)


def application(store: Store, settings: Settings) -> ASGIApplication:
    """Return the application for uvicorn: ASGI, with direct access to `handle` for http1."""
    handle = with_access_log(store.handle)
    if settings.http == "uvicorn":
        return asgi(store, handle)
    return http1.UvicornApplication(asgi(store, handle), handle, settings.limits)


def open_store(settings: Settings) -> Store:
    """Open all engines or none. Raise SetupError.

    On loopback the store accepts only loopback names; beyond it, any.
    """
    public_origins = frozenset(filter(None, map(normalize_origin, settings.public_urls)))
    hosts = None
    if is_loopback(settings.host):
        hosts = LOOPBACK_NAMES | {settings.host, *map(host_of, public_origins)}
    mounts: list[Mount] = []
    try:
        # A database that is open for reading can't be opened for writing in the same process afterwards.
        for mount in sorted(settings.mounts, key=lambda mount: mount.readonly):
            mounts.append(open_mount(mount))
            if mounts[-1].readonly and not mount.readonly:
                log.warning("/%s/ can't be written and is read-only: %s", mount.name, mount.engine)
        names = [mount.name for mount in settings.mounts]
        mounts.sort(key=lambda mount: names.index(mount.name))
        return Store(
            mounts,
            hosts=hosts,
            public_origins=public_origins,
            relative_links=not public_origins.issuperset(settings.public_urls),
            anonymous=settings.anonymous,
            tokens=Tokens(settings.data) if settings.auth == "tokens" else None,
            address_rate=parse_rate(settings.address_rate) if settings.address_rate else None,
            audit=AuditLog(settings.audit, time.time_ns) if settings.audit else None,
            sweep_interval_s=settings.sweep_interval_s,
        )
    except BaseException:
        with ThreadPoolExecutor(1) as executor:  # outside any running event loop
            executor.submit(asyncio.run, Store(mounts).close()).result()
        raise


def announce(settings: Settings, about_clients: str = "") -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    width = max(len(mount.name) for mount in settings.mounts) + 2
    mounts = (f"  {f'/{mount.name}/':<{width}}  {mount.engine}" for mount in settings.mounts)
    lines = [f"docstore: serving on http://{host}:{settings.port}/  (stop with Ctrl-C)", *mounts, about_clients]
    _print("\n".join(filter(None, lines)))


def _about_tokens(settings: Settings) -> str:
    """Say who may use the store, and how to let the first client in. Raise SetupError if the tokens can't be read."""
    everybody = f"; everybody may {settings.anonymous}" if settings.anonymous else ""
    count = len(Tokens(settings.data).list())
    hint = "" if count else f"; 'docstore token create --data {settings.data} --rights all' makes one"
    return f"docstore: {format_count(count, 'token')} may use it{hint}{everybody}"


def _print(text: str) -> None:
    """Print for a person. The server runs on if standard output is closed or its disk is full."""
    try:
        print(text, flush=True)
    except OSError:
        # Python flushes the stream at exit, and would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def raise_descriptor_limit() -> None:
    """Allow as many open files, and so connections, as the system permits."""
    if resource is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        # Some systems report no limit but accept no number.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def set_up_logging(level: str) -> None:
    """Log one line per event to standard error."""
    handler = logging.StreamHandler()
    formatter = AccessLogFormatter("%(asctime)s %(levelname).1s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    log.setLevel(level.upper())


def _config(settings: Settings, app: object, *, factory: bool = False) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # an application, or its factory
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
    """Return a listening socket. Raise SetupError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "invalid host name"
        raise SetupError(f"can't listen on {host}: {reason}") from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise SetupError(f"port {port} of {host} is in use; choose another with --port") from None
        raise SetupError(f"can't listen on {host} port {port}: {error.strerror}") from None
    listener.set_inheritable(True)
    return listener
