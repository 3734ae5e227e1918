"""Which Debian packages the comparison needs, and their installation by root.

The services in these packages do not start: `policy-rc.d` forbids it while they are installed.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGES = {
    "wrk": "wrk",
    "nginx": "nginx",
    "redis-server": "redis-server",
    "webdis": "webdis",
    "etcd": "etcd-server",
}
"""The package that has each program."""
PATH = f"{os.environ['PATH']}:/usr/sbin"
POLICY = Path("/usr/sbin/policy-rc.d")


def find_program(name: str) -> str | None:
    return shutil.which(name, path=PATH)


def missing_packages() -> list[str]:
    return [package for program, package in PACKAGES.items() if find_program(program) is None]


def install_missing() -> None:
    """Install all missing packages, or exit with one line that names them."""
    missing = missing_packages()
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise SystemExit(f"missing packages (only root on Debian can install them here): {' '.join(missing)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
    with services_stay_stopped():
        for command in (["apt-get", "update", "-qq"], install):
            subprocess.run(command, stdout=subprocess.DEVNULL, env=environment, check=True)


@contextmanager
def services_stay_stopped() -> Iterator[None]:
    if POLICY.exists():  # somebody decided already
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()
