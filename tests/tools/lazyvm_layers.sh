#!/bin/bash
# Ten snapshots of a guest that writes, each a layer over the one before. The
# guest goes on from any of them, and finds no page lost, stale or torn.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazyvm_lib.sh
. "$(dirname "$0")/lazyvm_lib.sh"
cd "$work"
needs_kvm

# Every 64th of its pages is written in each sweep. It has no end of its own.
start first run --memory "$large" --vcpus 2 --kind memfd --argument 0 --argument 64 \
	"$payloads/writer"
await first.serial 2 'filled'
ask first snapshot 0
for layer in 1 2 3 4 5 6 7 8 9 10; do
	await first.serial $((layer * 2)) 'ended sweep'
	ask first snapshot "$layer"
	grep -q '^layer ' "$work/output" || fail "snapshot $layer is no layer"
done
ask first quit
ends 0
sound first.serial

# last_sweep FILE: of vCPU 0. The number in the last line may lack digits.
last_sweep() {
	sed -n 's/.*vcpu 0 ended sweep //p' "$1" | sort -n | tail -1
}

# The files of a chain can be moved together.
mkdir chain
mv 0 1 2 3 4 5 6 7 8 9 10 chain
for layer in 10 4; do
	start "from$layer" restore "chain/$layer"
	await "from$layer.serial" 8 'ended sweep'
	ask "from$layer" quit
	ends 0
	sound "from$layer.serial"
	! grep -q filled "from$layer.serial" || fail "a restored guest began anew"
done
[ "$(last_sweep from10.serial)" -gt 10 ] || fail "the guest did not go on where it was"

# A restored guest's snapshot is a layer over the one that it came from.
start again restore --kind anonymous chain/10
await again.serial 2 'ended sweep'
ask again snapshot chain/11
grep -q '^layer ' "$work/output" || fail "no layer over the snapshot that it came from"
refused again 'depends on this file' snapshot chain/4
ask again quit
ends 0
"$lazymem" verify chain/11 >/dev/null || fail "layer 11 is damaged"
"$lazymem" merge chain/11 merged >/dev/null || fail "the chain cannot be merged"
rm -r chain
start merged restore merged
await merged.serial 4 'ended sweep'
ask merged quit
ends 0
sound again.serial merged.serial
