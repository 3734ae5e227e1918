"""Run the tests of all engines against a real PostgreSQL cluster, then those that kill its nodes.

    python -m tests.cluster.run [pytest options]

`isolated.sh` runs this, with root and etcd: each node has its own network.
"""

import os
import subprocess
import sys

from tests.cluster.postgresql import running_cluster

CONTRACT = [
    *("tests/engines/test_contract.py", "tests/server/test_oracle.py", "tests/crash/test_linear.py"),
    *("tests/crash/test_together.py", "-k", "postgresql or PostgreSQL"),
]

HANGS_AFTER_S = 1800
"""Nodes are killed for ten minutes and more, and then histories are checked."""


def pytest(*arguments: str, **environment: str) -> int:
    command = [sys.executable, "-m", "pytest", "-o", f"faulthandler_timeout={HANGS_AFTER_S}", *arguments, *sys.argv[1:]]
    return subprocess.run(command, check=False, env=os.environ | {"DOCSTORE_CLUSTER": "1"} | environment).returncode


def main() -> int:
    with running_cluster() as cluster:
        status = pytest("-n", "2", "--dist", "loadfile", *CONTRACT, DOCSTORE_POSTGRESQL=cluster.url)
    return pytest("-rP", "tests/cluster/test_postgresql.py") or status


if __name__ == "__main__":
    sys.exit(main())
