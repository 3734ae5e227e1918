"""The sockets that the server accepts connections on: of an address, of a path, or those that systemd hands over.

They are bound before anything else is opened, so that a port in use is an error of one line.
"""

import errno
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from docstore.errors import SetupError

_BACKLOG: Final = 1024
_FIRST_INHERITED: Final = 3
"""The number of the first descriptor that systemd hands over (sd_listen_fds(3))."""

_AF_UNIX: Final[int] = getattr(socket, "AF_UNIX", -1)
"""-1 on Windows, where Python has no Unix sockets."""


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
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise SetupError(f"port {port} of {host} is in use; choose another with --port") from None
        raise SetupError(f"can't listen on {host} port {port}: {error.strerror}") from None
    listener.set_inheritable(True)
    return listener


def listen_on_path(path: Path, mode: int) -> socket.socket:
    """Return a listening Unix socket at `path` with the permissions `mode`. Raise SetupError.

    A socket of an earlier server that no process listens on is replaced; any other file is an error.
    """
    if _AF_UNIX < 0:
        raise SetupError("this system has no Unix sockets")
    listener = socket.socket(_AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_unused(path)
        listener.bind(str(path))
        path.chmod(mode)  # nobody can connect before `listen`
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        reason = (
            "another file is there, or a server listens on it" if error.errno == errno.EADDRINUSE else error.strerror
        )
        raise SetupError(f"can't listen on {path}: {reason or error}") from None
    listener.set_inheritable(True)
    return listener


def _remove_unused(path: Path) -> None:
    """Remove a socket that refuses connections."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(_AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)


def inherited() -> list[socket.socket]:
    """Return the listening sockets that systemd hands over to this process (sd_listen_fds(3)). Raise SetupError."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = os.environ.get("LISTEN_FDS", "")
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):  # they are not for the processes that this one starts
        os.environ.pop(name, None)
    sockets = []
    for number in range(_FIRST_INHERITED, _FIRST_INHERITED + (int(count) if count.isdecimal() else 0)):
        try:
            listener = socket.socket(fileno=number)
            listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        except OSError as error:
            raise SetupError(f"descriptor {number}, from LISTEN_FDS, is no socket: {error.strerror}") from None
        if not listening or listener.type != socket.SOCK_STREAM:
            raise SetupError(f"descriptor {number}, from LISTEN_FDS, is no listening stream socket")
        listener.set_inheritable(True)
        sockets.append(listener)
    return sockets


def is_unix(listener: socket.socket) -> bool:
    return listener.family == _AF_UNIX


def url_of(listener: socket.socket, scheme: str, host: str = "") -> str:
    """Return the URL of the root at a socket, with `host` instead of its address; for a Unix socket `unix:PATH`."""
    address = listener.getsockname()
    if is_unix(listener):
        return f"unix:{os.fsdecode(address)}"
    host = host or address[0]
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{address[1]}/"


class SocketFile:
    """The file of a Unix socket, which stays when the socket is closed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = path.lstat().st_ino

    def remove(self) -> None:
        """Remove the file if it is still the same one: another server may have replaced it."""
        with suppress(OSError):
            if self._path.lstat().st_ino == self._inode:
                self._path.unlink()
