#!/usr/bin/env bash
# A Ceph cluster with an S3 interface on loopback: 1 monitor, 1 manager, 3 OSDs (3 copies, 2 needed), 2 gateways.
#
#   ceph.sh up FOLDER           start, wait until healthy, create a user and the bucket "docs"
#   ceph.sh kill FOLDER NAME    SIGKILL one daemon: osd.0 osd.1 osd.2 rgw.1 rgw.2
#   ceph.sh start FOLDER NAME   start it again
#   ceph.sh settle FOLDER       wait until all copies are complete
#   ceph.sh status FOLDER
#   ceph.sh down FOLDER         SIGKILL everything that was started in FOLDER
#
# S3: ports 7481 and 7482, path style, region us-east-1, access key AK, secret key SK. Needs root, Debian, 3 GB of memory.
set -euo pipefail
command=${1:?up, kill, start, settle, status or down} folder=${2:?a folder} name=${3:-}
export CEPH_CONF=$folder/ceph.conf

write_configuration() {
  cat >"$CEPH_CONF" <<EOF
[global]
fsid = $1
mon_host = 127.0.0.1:6789
mon_initial_members = a
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv6 = false
osd_pool_default_size = 3
osd_pool_default_min_size = 2
osd_pool_default_pg_num = 8
osd_crush_chooseleaf_type = 0
osd_heartbeat_interval = 1
osd_heartbeat_grace = 4
osd_max_markdown_count = 1000
mon_osd_adjust_heartbeat_grace = false
mon_osd_min_down_reporters = 1
mon_data_avail_crit = 1
mon_data_avail_warn = 2
bluestore_block_size = 8589934592
bluestore_block_create = true
osd_memory_target = 939524096
osd_recovery_sleep = 0
osd_class_load_list = *
osd_class_default_list = *
mon_data = $folder/mon.\$id
mgr_data = $folder/mgr.\$id
osd_data = $folder/osd.\$id
run_dir = $folder
admin_socket = $folder/\$name.asok
pid_file = $folder/\$name.pid
log_file = $folder/\$name.log
EOF
}

# A busy monitor rejects some questions with EPERM.
ask() {
  local attempt
  for attempt in 1 2 3 4 5; do
    timeout 60 ceph "$@" 2>>"$folder/ask.out" && return
    sleep 1
  done
  tail -n 1 "$folder/ask.out" >&2
  return 1
}

# Without tcp_nodelay each GET waits 40 ms for an acknowledgement.
# An OSD that asks before it knows the cluster is rejected, so it tries again.
start_daemon() {
  local attempt
  for attempt in 1 2 3 4 5; do
    case $1 in
    osd.*) ceph-osd -i "${1#osd.}" && return ;;
    rgw.*) radosgw -n "client.$1" --rgw_frontends="beast endpoint=127.0.0.1:748${1#rgw.} tcp_nodelay=1" --no-mon-config && return ;;
    esac >>"$folder/$1.out" 2>&1
    sleep 1
  done
  echo "ceph.sh: $1 does not start; see $folder/$1.out" >&2
  return 1
}

up() {
  local fsid osd seconds date signature
  mkdir -p "$folder"/{mon.a,mgr.x,osd.0,osd.1,osd.2}
  fsid=$(cat /proc/sys/kernel/random/uuid)
  write_configuration "$fsid"
  monmaptool --create --clobber --addv a "[v1:127.0.0.1:6789]" --fsid "$fsid" "$folder/monmap" >/dev/null
  ceph-mon --mkfs -i a --monmap "$folder/monmap"
  ceph-mon -i a
  ask -s >/dev/null
  ceph-mgr -i x
  for osd in 0 1 2; do
    uuid=$(cat /proc/sys/kernel/random/uuid)
    ask osd new "$uuid" $osd >/dev/null
    ceph-osd -i $osd --mkfs --osd-uuid "$uuid" >>"$folder/osd.$osd.out" 2>&1
    start_daemon osd.$osd
  done
  start_daemon rgw.1
  start_daemon rgw.2
  for ((seconds = 0; seconds < 120; seconds++)); do
    curl -sf -o /dev/null http://127.0.0.1:7481/ && curl -sf -o /dev/null http://127.0.0.1:7482/ && break
    sleep 1
  done
  radosgw-admin user create --uid=docstore --display-name=docstore --access-key=AK --secret-key=SK >"$folder/user.out" 2>&1 || {
    tail -n 1 "$folder/user.out" >&2
    return 1
  }
  date=$(date -uR)
  signature=$(printf 'PUT\n\n\n%s\n/docs' "$date" | openssl sha1 -hmac SK -binary | base64)
  curl -sSf --retry 5 --retry-all-errors -X PUT -H "Date: $date" -H "Authorization: AWS AK:$signature" http://127.0.0.1:7481/docs
}

settle() {
  local seconds states
  for ((seconds = 0; seconds < 120; seconds++)); do
    states=$(ask pg stat)
    [[ $states =~ ^([0-9]+)\ pgs:\ ([0-9]+)\ active\+clean\; && ${BASH_REMATCH[1]} == "${BASH_REMATCH[2]}" ]] && return
    sleep 0.5
  done
  echo "ceph.sh: copies stay incomplete: $states" >&2
  return 1
}

case $command in
up) up ;;
settle) settle ;;
status) ask -s ;;
kill) kill -9 "$(cat "$folder/${name/#rgw/client.rgw}.pid")" ;;
start) start_daemon "$name" ;;
down) for pid in "$folder"/*.pid; do kill -9 "$(cat "$pid")" 2>/dev/null || true; done ;;
*)
  echo "ceph.sh: unknown command $command" >&2
  exit 2
  ;;
esac
