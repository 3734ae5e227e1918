"""Run the tests of all engines against a real PostgreSQL cluster, then those that kill its nodes.

    python -m tests.cluster.run [pytest options]

This needs root on Linux, because each node has its own network, and etcd.
"""

import os
import shutil
import subprocess
import sys

from tests.cluster.postgresql import running_cluster

CONTRACT = [
    *("tests/engines/test_contract.py", "tests/server/test_oracle.py", "tests/crash/test_linear.py"),
    *("tests/crash/test_together.py", "-k", "postgresql or PostgreSQL"),
]


def pytest(*arguments: str, **environment: str) -> int:
    command = [sys.executable, "-m", "pytest", *arguments, *sys.argv[1:]]
    return subprocess.run(command, check=False, env=os.environ | {"DOCSTORE_CLUSTER": "1"} | environment).returncode


def main() -> int:
    missing = [program for program in ("etcd", "ip", "unshare") if shutil.which(program) is None]
    if os.geteuid() != 0 or missing:
        needed = " and ".join(["root", *missing])
        print(f"test-cluster needs {needed}: apt-get install etcd-server iproute2 util-linux", file=sys.stderr)
        return 2
    with running_cluster() as cluster:
        status = pytest("-n", "2", "--dist", "loadfile", *CONTRACT, DOCSTORE_POSTGRESQL=cluster.url)
    return pytest("-rP", "tests/cluster") or status


if __name__ == "__main__":
    sys.exit(main())
