#!/bin/bash
# What a restored guest has given back is not made again by a migration, and not sent: also where the
# snapshot has something in its place. The sixth argument is the kind of its memory.
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
if [ "$kind" = hugetlb ]; then
	needs_hugetlb 16
	[ "$huge_pages" -ge 12 ] || skip "less than 16 huge pages of 2 MiB are free"
fi

# All of the upper region is something that the guest, which idles, never looks at.
run_in "$left" first "$program" run --memory 32M --control first.socket --serial first.serial \
	"$payloads/idle"
await_socket first
ask first snapshot before
quits first
"$lazymem" export before raw
"$program" state before state
dd if=/dev/urandom of=raw bs=1M count=16 seek=16 conv=notrunc status=none

: >source.serial
run_in "$left" source "$program" restore --kind "$kind" --state state --control source.socket \
	--serial source.serial raw
await source.serial 3 'tick [0-9]+$'
ask source discard 4G 12M
destination_of
depart
received=$(sed -n 's/.* received=\([0-9]*\) .*/\1/p' "$work/output")
[ "$received" -ge $((4 << 20)) ] || fail "not all was sent: $received bytes"
[ "$received" -le $((11 << 20)) ] || fail "what was given back was sent: $received bytes"
ended source 0
await destination.errors 1 'has all of its memory'
ask destination snapshot after
quits destination
"$lazymem" export after memory
cmp <(head -c 12M /dev/zero) <(tail -c 16M memory | head -c 12M) || fail "what was given back is not zeros"
cmp <(tail -c 4M raw) <(tail -c 4M memory) || fail "the rest is not what it was"
