#!/usr/bin/env bash
# Install missing Debian packages, then run a command in namespaces of its own: when it ends or is killed, the kernel
# ends its processes and removes its mounts and its network.
#
#   isolated.sh 'PACKAGE PACKAGE...' COMMAND...
set -euo pipefail
packages=$1
shift

[[ $(id -u) == 0 ]] && command -v apt-get >/dev/null || {
  echo "the tests on clusters need root on Debian, for their networks and for these packages: $packages" >&2
  exit 2
}
# shellcheck disable=SC2086 # The list is split into words.
if dpkg-query -Wf '${db:Status-Status}\n' $packages 2>&1 | grep -qvx installed; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends $packages >/dev/null
fi

# The shell is process 1, which collects orphans whose parents were killed: PostgreSQL waits for the end of its processes.
# shellcheck disable=SC2016 # The inner shell expands these.
exec unshare --net --pid --mount --mount-proc --fork --kill-child -- \
  sh -c 'ip link set lo up && mount -t tmpfs tmpfs /run && "$@"; exit $?' sh "$@"
