#!/usr/bin/env bash
# Start a Ceph cluster, run the tests of the S3 engine on it with the given pytest command, and stop it.
set -euo pipefail
cd "$(dirname "$0")/../.."
DOCSTORE_CLUSTER_FOLDER=$(mktemp -d -t docstore-ceph-XXXXXX)
export DOCSTORE_CLUSTER=1 DOCSTORE_CLUSTER_FOLDER
export AWS_ACCESS_KEY_ID=AK AWS_SECRET_ACCESS_KEY=SK AWS_REGION=us-east-1
export DOCSTORE_TEST_S3='s3://docs/{}?endpoint=http://127.0.0.1:7481,http://127.0.0.1:7482'

stop() {
  tests/cluster/ceph.sh down "$DOCSTORE_CLUSTER_FOLDER"
  rm -rf "$DOCSTORE_CLUSTER_FOLDER"
}

trap stop EXIT
tests/cluster/ceph.sh up "$DOCSTORE_CLUSTER_FOLDER"
"$@" -n 3 --dist load -o faulthandler_timeout=1200 tests/engines/object_store tests/server/test_oracle.py tests/crash -k 's3 or S3'
"$@" -rP -o faulthandler_timeout=1800 tests/cluster/ceph_deaths.py
