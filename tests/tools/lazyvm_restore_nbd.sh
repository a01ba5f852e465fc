#!/bin/bash
# A guest is restored on demand from a layer and its parent that nbdkit serves, with the state of
# its machine: it finds all of its memory, also when a server dies meanwhile, and is snapshotted
# to a layer over the export.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazyvm_lib.sh
. "$(dirname "$0")/lazyvm_lib.sh"
cd "$work"
needs_kvm
command -v nbdkit >/dev/null || skip "nbdkit is not installed"
run restore "nbd+unix:///?socket=$work/none"
! grep -q 'without libnbd' errors || skip "this build has no libnbd"

servers=()

# serve NAME [FILTER PARAMETER]: the snapshot served/NAME, as the export whose URI is $uri; $server is
# who does.
serve() {
	rm -f "$1.nbd" "$1.pid"
	nbdkit --exit-with-parent --foreground --readonly --unix "$work/$1.nbd" \
		--pidfile "$work/$1.pid" ${2:+"--filter=$2"} file "served/$1" ${3:+"$3"} 2>nbd.errors &
	server=$!
	guests+=("$server")
	servers+=("$server")
	await_nbdkit "$1.pid"
	uri="nbd+unix:///?socket=$work/$1.nbd"
}

start first run --memory 32M --vcpus 2 --argument 0 --argument 16 "$payloads/writer"
await first.serial 2 'ended sweep'
ask first snapshot base
await first.serial 6 'ended sweep'
ask first snapshot layer
ask first quit
ends 0
mkdir served
mv base layer served
serve layer
layer=$uri
serve base
base=$uri

refuses 1 'its parent, base, is not given' restore "$layer"
refuses 1 'which has none' restore "$base" "$layer"
refuses 1 "$work/none" restore "$layer" "nbd+unix:///?socket=$work/none"

# The state of the machine alone.
succeeds state served/layer served.state
succeeds state "$layer" "$base" state
cmp served.state state || fail "the state in an export is another one"

# On demand; the server of the base dies before all of it was read, and comes back.
start second restore "$layer" "$base"
await_socket second
kill -KILL "$server"
wait "$server" 2>/dev/null || true
serve base
await second.serial 4 'ended sweep'
! grep -q filled second.serial || fail "a restored guest began anew"

# Its snapshot is a layer over the export, to which nobody connects without being told to.
ask second snapshot next
grep -q '^layer ' "$work/output" || fail "no layer"
await second.serial 8 'ended sweep'
ask second snapshot last
ask second quit
ends 0
grep -q 'first instruction after [0-9]* us' second.errors || fail "not said how long it took"
refuses 1 "its parent is $layer, which is no file" restore next
start third restore last next "$layer" "$base"
await third.serial 4 'ended sweep'
ask third quit
ends 0
"$lazymem" verify --parent next --parent "$layer" --parent "$base" last >/dev/null ||
	fail "a layer over an export is damaged"
succeeds state next "$layer" "$base" state
sound ./*.serial

# Who ends a guest does not wait for a server that has gone.
start lost restore --paused "$layer" "$base"
await_socket lost
for server in "${servers[@]}"; do
	kill -KILL "$server" 2>/dev/null || true
	wait "$server" 2>/dev/null || true
done
ask lost resume
ask lost quit
ends 0

# A server may let in one client only, which the guest is: its snapshots need no more. Nor does who
# ends it wait for one that is being written when the server goes.
serve base limit limit=1
start alone restore --paused "$uri"
await_socket alone
for name in over overmore; do
	ask alone snapshot "$name"
	grep -q '^layer ' "$work/output" || fail "no layer"
done
kill -KILL "$server"
wait "$server" 2>/dev/null || true
"$program" snapshot --control alone.socket never >/dev/null 2>&1 &
asker=$!
ask alone quit
ends 0
! wait "$asker" || fail "a snapshot was written without its server"
