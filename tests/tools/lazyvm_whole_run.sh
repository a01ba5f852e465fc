#!/bin/bash
# A guest that counts to its end is snapshotted on its way, and ends after the restore: then it has
# checked all memory once more, and says so by its status.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazyvm_lib.sh
. "$(dirname "$0")/lazyvm_lib.sh"
cd "$work"
needs_kvm

# has_snapshot SWEEPS: of a guest that makes so many, while it did; false: it was faster than we are.
has_snapshot() {
	local in_time=true
	start first run --memory 64M --vcpus 2 --hugepages --argument "$1" --argument 2 \
		"$payloads/writer"
	await first.serial 2 'ended sweep 2'
	run snapshot --control first.socket snapshot
	[ "$status" -eq 0 ] && ! grep -q "ended sweep $1" first.serial || in_time=false
	ends 0
	sound first.serial
	$in_time
}

sweeps=12
until has_snapshot $sweeps; do
	sweeps=$((sweeps * 2))
	[ $sweeps -lt 10000 ] || fail "no snapshot in time: $(cat "$work/errors")"
done

# Each way to fill the memory, and each kind of it, has the same bytes.
for how in '--kind memfd' '--eager' '--prefetch --hugepages' '--kind memfd --prefetch'; do
	rm -f serial
	# shellcheck disable=SC2086 # options
	succeeds restore $how --serial serial snapshot
	sound serial
	[ "$(grep -c 'checked' serial)" -eq 2 ] || fail "$how: the guest has not checked its memory"
	! grep -q 'filled' serial || fail "$how: a restored guest began anew"
done

# A raw image of the memory, and the state in a file of its own; as a base and a difference.
"$lazymem" export snapshot image
succeeds state snapshot state
rm -f serial
succeeds restore --serial serial --state state image
[ "$(grep -c 'checked' serial)" -eq 2 ] || fail "from a raw image: $(cat serial)"
truncate -s 64M difference
dd if=image of=difference bs=1M skip=20 seek=20 count=10 conv=notrunc status=none
dd if=/dev/zero of=image bs=1M seek=20 count=10 conv=notrunc status=none
rm -f serial
succeeds restore --serial serial --state state image difference
[ "$(grep -c 'checked' serial)" -eq 2 ] || fail "from a base and a difference: $(cat serial)"
sound serial

# The image as an NBD export.
command -v nbdkit >/dev/null || skip "nbdkit is not installed; all but the NBD export was tested"
"$lazymem" export snapshot image
nbdkit --exit-with-parent --foreground --readonly --unix "$work/nbd" --pidfile "$work/nbd.pid" \
	file image 2>nbd.errors &
guests+=($!)
await_nbdkit nbd.pid
rm -f serial
run restore --serial serial --state state "nbd+unix:///?socket=$work/nbd"
! grep -q 'libnbd' "$work/errors" || skip "built without libnbd; all but the NBD export was tested"
[ "$status" -eq 0 ] || fail "from an NBD export: status $status"
[ "$(grep -c 'checked' serial)" -eq 2 ] || fail "from an NBD export: $(cat serial)"
sound serial
