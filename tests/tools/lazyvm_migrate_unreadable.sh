#!/bin/bash
# A guest with memory that cannot be read is not sent with zeros in its place; but once it can be
# read again. The sixth argument is the kind of its memory.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazyvm_lib.sh
. "$(dirname "$0")/lazyvm_lib.sh"
# shellcheck source=tests/tools/lazyvm_migrate_lib.sh
. "$(dirname "$0")/lazyvm_migrate_lib.sh"
cd "$work"
needs_network

kind=$6
[ "$kind" != hugetlb ] || needs_hugetlb 8

# An image with something in it that the guest, which idles, never looks at.
run_in "$left" first "$program" run --memory 16M --control first.socket --serial first.serial \
	"$payloads/idle"
await_socket first
ask first snapshot snapshot
quits first
"$lazymem" export snapshot raw
"$program" state snapshot state
dd if=/dev/urandom of=raw bs=1M count=2 seek=12 conv=notrunc status=none
run_in "$left" nbd nbdkit -f --readonly --unix "$work/nbd" --pidfile "$work/nbd.pid" \
	--filter=error file raw error-pread=EIO error-pread-rate=100% error-file="$work/broken"
await_nbdkit nbd.pid

: >source.serial
run_in "$left" source "$program" restore --kind "$kind" --state state --control source.socket \
	--serial source.serial "nbd+unix:///?socket=$work/nbd"
# All that it ever looks at is there then.
await source.serial 3 'tick [0-9]+$'
touch broken
destination_of
refuses 1 'Input/output error' migrate --control source.socket "$host:$port"
await_state source 'state=running'
rm broken
depart
ended source 0
await destination.errors 1 'has all of its memory'
quits destination
