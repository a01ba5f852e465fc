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

# first_tick FILE VCPU, last_tick FILE VCPU
first_tick() {
	sed -n "s/^idle: vcpu $2 tick //p" "$1" | sed -n 1p
}
last_tick() {
	sed -n "s/^idle: vcpu $2 tick //p" "$1" | tail -1
}

start first run --memory 4M --vcpus 2 "$payloads/idle"
await first.serial 2 'tick 3$'
ask first pause
ask first snapshot snapshot
cp first.serial paused
ask first resume
await first.serial 2 'tick 20$'
ask first quit
ends 0

start second restore snapshot
await second.serial 2 'tick 20$'
ask second quit
ends 0
for vcpu in 0 1; do
	[ "$(first_tick second.serial $vcpu)" -eq $(($(last_tick paused $vcpu) + 1)) ] ||
		fail "vCPU $vcpu did not go on where it was: $(cat paused second.serial)"
done

# A guest that ends by itself after ticks.
succeeds run --memory 4M --vcpus 2 --argument 2 "$payloads/idle"
[ "$(grep -c 'tick 2$' "$work/output")" -eq 2 ] || fail "not all ticks came"
