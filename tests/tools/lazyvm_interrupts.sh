#!/bin/bash
# Halted vCPUs that a timer wakes are snapshotted, paused and restored: the timers go on, and
# each vCPU counts on from where it was.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazyvm_lib.sh
. "$(dirname "$0")/lazyvm_lib.sh"
cd "$work"
needs_kvm

# last_tick FILE VCPU: the last one that was printed whole.
last_tick() {
	sed '$d' "$1" | sed -n "s/^idle: vcpu $2 tick //p" | tail -1
}

# ticks_on NAME: each vCPU ticks five times after those in `paused`.
ticks_on() {
	local vcpu
	for vcpu in 0 1; do
		await "$1.serial" 1 "vcpu $vcpu tick $(($(last_tick paused $vcpu) + 5))\$"
	done
}

start first run --memory 4M --vcpus 2 "$payloads/idle"
await first.serial 2 'tick 3$'
ask first pause
ask first snapshot snapshot
cp first.serial paused
ask first resume
ticks_on first
ask first quit
ends 0

start second restore snapshot
ticks_on second
ask second quit
ends 0
# A line that the pause has cut goes on where it was, too. The last one of all may be half a line.
cat paused second.serial | sed '$d' |
	awk '/ tick / { if ($5 != ++last[$3]) { print "not in order: " $0; exit 1 } }' ||
	fail "a vCPU did not go on where it was: $(cat paused second.serial)"

# A guest that ends by itself after ticks.
succeeds run --memory 4M --vcpus 2 --argument 2 "$payloads/idle"
[ "$(grep -c 'tick 2$' "$work/output")" -eq 2 ] || fail "not all ticks came"
