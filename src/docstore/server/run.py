"""`docstore serve`: the sockets, processes and signals of a store, on uvicorn.

Each serving process opens its engines before its first request and closes them after its last response.
"""

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from socket import socket
from types import FrameType
from typing import Final

from docstore.config import Settings
from docstore.http.url import is_loopback, normalize_origin
from docstore.server import http1
from docstore.server.access_log import AccessLog, AccessLogFormatter
from docstore.server.app import Store
from docstore.server.asgi import ASGIApplication, asgi
from docstore.server.listeners import SocketFile, inherited, is_unix, listen, listen_on_path, url_of
from docstore.server.mounts import Mount, open_mount
from docstore.server.processes import STOP_SIGNALS, Config, Server, Workers
from docstore.server.security.audit import AuditLog
from docstore.server.security.browser_safety import LOOPBACK_NAMES, host_of
from docstore.server.security.proxies import TrustedProxies
from docstore.server.security.read_only_switch import ReadOnlySwitch
from docstore.server.security.tokens import Tokens
from docstore.server.tls import Certificate
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
    if (settings.audit is not None or settings.tls_cert is not None) and hasattr(signal, "SIGHUP"):
        # It says that the audit log was renamed or the certificate replaced. The server notices both by itself.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as for SIGHUP under nohup
            signal.signal(number, stop)
    certificate = certificate_of(settings)
    if certificate is not None:
        certificate.context()  # an error is printed once, before anything is opened
    with ExitStack() as stack:
        listeners, settings = open_listeners(settings, stack)
        about_clients = _about_tokens(settings) if settings.needs_tokens else ""
        store = open_store(settings)
        if settings.workers > 1:
            # Opened here too, so that an error is printed once. Closed before the address is printed, because a signal
            # after that would interrupt the loop that closes it.
            asyncio.run(store.close())
        announce(settings, listeners, about_clients)
        if settings.workers > 1:
            factory = Worker(settings, os.getpid())
            Workers(_config(settings, factory, certificate_of(settings), factory=True), sockets=listeners).run()
        else:
            stop.server = Server(_config(settings, application(store, settings), certificate))
            stop.server.run(sockets=listeners)
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # at exit Python resets other handlers, and a signal would kill it
    _print("docstore: stopped")


def open_listeners(settings: Settings, stack: ExitStack) -> tuple[list[socket], Settings]:
    """Return the sockets to serve on, and the settings with the address that they have. Raise SetupError.

    `stack` closes the sockets, and removes the file of a Unix socket that was made here.

    The sockets that systemd hands over replace those of the settings. Of several addresses, the settings get one beyond
    this machine, if there is any: it decides what must be allowed.
    """
    listeners = inherited()
    if not listeners and settings.uds is not None:
        listener = stack.enter_context(listen_on_path(settings.uds, int(settings.uds_mode, 8)))
        stack.callback(SocketFile(settings.uds).remove)
        return [listener], settings
    if not listeners:
        listener = stack.enter_context(listen(settings.host, settings.port))
        return [listener], replace(settings, port=listener.getsockname()[1])
    for listener in listeners:
        stack.enter_context(listener)
    addresses = [listener.getsockname() for listener in listeners if not is_unix(listener)]
    if not addresses:
        return listeners, replace(settings, uds=Path(os.fsdecode(listeners[0].getsockname())))
    host, port, *_ = next((address for address in addresses if not is_loopback(address[0])), addresses[0])
    return listeners, replace(settings, host=host, port=port, uds=None).checked()


def certificate_of(settings: Settings) -> Certificate | None:
    if settings.tls_cert is None:
        return None
    return Certificate(settings.tls_cert, settings.tls_key or settings.tls_cert)


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
    access_log = AccessLog()
    handle = access_log.around(store.handle)
    if settings.http == "uvicorn":
        return asgi(store, handle)
    served = http1.UvicornApplication(asgi(store, handle), handle, settings.limits)
    if store.fast_path is not None:
        served.fast_path = access_log.around_fast(store.fast_path.answer)
    if store.fast_write is not None:
        served.fast_write = access_log.around_fast_write(store.fast_write.start)
    return served


def open_store(settings: Settings) -> Store:
    """Open all engines or none. Raise SetupError.

    On loopback the store accepts only loopback names; beyond it, any. Web pages can't connect to a Unix socket.
    """
    public_origins = frozenset(filter(None, map(normalize_origin, settings.public_urls)))
    hosts = None
    if settings.uds is None and settings.is_local:
        hosts = LOOPBACK_NAMES | {settings.host, *map(host_of, public_origins)}
        hosts |= {mount.app_host for mount in settings.mounts if mount.app_host}
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
            proxies=TrustedProxies(settings.trusted_proxies) if settings.trusted_proxies else None,
            anonymous=settings.anonymous_may,
            tokens=Tokens(settings.data) if settings.needs_tokens else None,
            address_rate=parse_rate(settings.address_rate) if settings.address_rate else None,
            read_only=ReadOnlySwitch(settings.data),
            upload_limit=settings.limits.upload_count,
            audit=AuditLog(settings.audit, time.time_ns) if settings.audit else None,
            sweep_interval_s=settings.sweep_interval_s,
        )
    except BaseException:
        with ThreadPoolExecutor(1) as executor:  # outside any running event loop
            executor.submit(asyncio.run, Store(mounts).close()).result()
        raise


def announce(settings: Settings, listeners: Sequence[socket], about_clients: str = "") -> None:
    scheme = "https" if settings.tls_cert else "http"
    host = settings.host if len(listeners) == 1 else ""
    urls = " and ".join(url_of(listener, scheme, host) for listener in listeners)
    width = max(len(mount.name) for mount in settings.mounts) + 2
    mounts = (f"  {f'/{mount.name}/':<{width}}  {mount.engine}" for mount in settings.mounts)
    lines = [f"docstore: serving on {urls}  (stop with Ctrl-C)", *mounts, about_clients]
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


def _config(settings: Settings, app: object, certificate: Certificate | None, *, factory: bool = False) -> Config:
    return Config(
        app,  # an application, or its factory
        certificate=certificate,
        handshake_s=settings.limits.head_s,
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
